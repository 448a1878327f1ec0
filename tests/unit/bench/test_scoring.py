"""The fleet of the scoring bench is one that has something to score; its tables show what was kept."""

from pathlib import Path

import numpy as np

from anomaly.fleet_scorer import Survey, conclude
from anomaly.scorer import advance
from bench.scoring.bare import ewma_and_cusum
from bench.scoring.fleet import Fleet
from bench.scoring.following import Following
from bench.scoring.measure import Cost, through_us
from bench.scoring.report import keep, page_part, results, trainings
from bench.scoring.run import middle
from bench.scoring.years import Years

FLEET = Fleet("bench_pump", 220)
MINUTES = 721
RESULT = {
    "at": "2026-11-24T00:00:00+00:00",
    "is_quick": False,
    "metrics": 8,
    "machine": {"cores": 2, "cpu": "a processor", "kernel": "6"},
    "versions": {
        "revision": "abc", "PostgreSQL": "17", "timescaledb": "2", "numpy": "2", "python": "3",
    },
    "scoring": {
        "devices": 10_000, "minutes": 360, "samples_per_s": 700_000, "alone_samples_per_s": 5_000_000,
        "bare_samples_per_s": 10_000_000, "ratio_bare": 0.5, "trees_version": "1",
        "trees": [
            {"name": "defaults", "trees": 10, "height": 8, "samples_per_s": 40_000, "ratio": 17.5},
            {"name": "paper", "trees": 25, "height": 15, "samples_per_s": 800, "ratio": 875},
        ],
        "scorer_us_per_sample": 0.4, "database_us_per_sample": 1.0,
        "database_share": 0.7, "with_database_share": 0.9, "wall_samples_per_s": 600_000,
    },
    "growth": [],
    "growth_worst": 1.2,
}  # fmt: skip


def test_most_devices_of_the_fleet_have_nothing_to_tell_and_some_wear():
    samples = FLEET.samples(FLEET.table(0, MINUTES), 0)
    survey = Survey(
        yard=FLEET.yard,
        states=FLEET.states(),
        samples=samples,
        through_us=np.full(FLEET.devices, through_us(MINUTES)),
    )

    output = conclude(survey, {})

    raised = [
        d.failure_mode
        for told in output.told.values()
        for d in told.detections
        if d.change == "raised" and d.kind == "wear"
    ]
    assert len(survey.windows) == FLEET.devices * 12
    assert set(raised) == {"fan_bearing"}
    assert 2 <= len(output.told) < FLEET.devices / 4


def test_a_longer_stretch_begins_like_a_shorter_one():
    assert np.array_equal(FLEET.table(0, 30)[:, 10:20], FLEET.table(10, 10))


def test_the_bare_arithmetic_raises_what_jumps():
    values = np.zeros((60, 3, 2))
    values[40:, 1, 0] = 50

    assert ewma_and_cusum(values) > 0
    assert ewma_and_cusum(values[:40]) == 0


def test_cost_is_the_time_of_scorer_and_database_together():
    half = Cost(samples=500_000, scorer_s=0.25, database_s=0.75, wall_s=4.5)

    cost = half + half
    assert cost.us == 2
    assert cost.per_s == 500_000


def test_a_kept_result_is_found_again_and_shown(tmp_path: Path):
    keep(RESULT, tmp_path)

    kept = results(tmp_path)

    assert kept == [RESULT]
    words = "river 1, half-space trees, the same rows: 10 trees of height 8 (its defaults)"
    assert f"| {words} | 40,000 | 25 | 17.5 |" in page_part(kept)


def test_training_is_kept_by_itself_and_shown_beside_the_newest_scoring(tmp_path: Path):
    training = {
        "devices": 500, "days": 730, "windows": 8_760_000, "modes": 4, "failures": 700,
        "cpu_s": 300.0, "seconds": 310.0, "peak_mib": 1500,
    }  # fmt: skip
    facts = {key: RESULT[key] for key in ("machine", "versions", "is_quick")}
    keep(RESULT, tmp_path)
    keep({**facts, "at": "2026-11-25T00:00:00+00:00", "training": training}, tmp_path)
    keep(
        {**RESULT, "at": "2026-11-23T00:00:00+00:00", "training": {**training, "modes": 7}},
        tmp_path,
    )

    page = page_part(results(tmp_path), trainings(tmp_path))

    assert [one["training"]["modes"] for one in trainings(tmp_path)] == [7, 4]
    assert len(results(tmp_path)) == 2
    assert "| 500 | 730 | 8,760,000 | 4 | 700 | 300 | 310 | 1,500 |" in page


def test_the_middle_pass_counts():
    costs = [Cost(samples=100, scorer_s=seconds) for seconds in (5.0, 1.0, 2.0, 9.0)]

    assert middle(costs).scorer_s == 2.0
    assert middle(costs[:3]).scorer_s == 2.0


def test_years_of_a_device_show_wear_before_it_fails_and_never_after():
    years = Years(Fleet("bench_years", 40), days=400)
    drawn = [years.year(device) for device in range(40)]

    assert sum(len(year.fails_us) for year in drawn) > 10
    for year in drawn:
        assert year.values.shape == (400 * 24, 8)
        for at_us, mode in zip(year.fails_us, year.mode, strict=True):
            place = int(np.searchsorted(years.at_us, at_us))
            assert year.wear[place - 1, mode] > 0.9
            assert year.wear[place + 1, mode] < 0.9
    assert np.array_equal(Years(Fleet("other", 3), days=400).year(7).values, drawn[7].values)


def test_devices_that_follow_themselves_give_the_same_one_by_one_and_side_by_side():
    fleet = Following(8, 361)
    states = fleet.states.of(range(8))
    survey = Survey(
        yard=fleet.yard,
        states=states,
        samples=fleet.samples,
        through_us=np.full(8, fleet.until_us),
    )

    conclude(survey, {})

    assert fleet.yard.layout.follows
    for place in range(8):
        alone = fleet.states.get(place)
        advance(fleet.yard, alone, fleet.samples.of(place), through_us=fleet.until_us)
        assert states.get(place).detector.to_bytes() == alone.detector.to_bytes()


def test_what_following_devices_cost_is_told_both_ways():
    part = {
        "devices": 4000, "minutes": 361, "alone_samples_per_s": 1000,
        "together_samples_per_s": 50_000, "ratio": 50.0,
    }  # fmt: skip

    page = page_part([RESULT | {"following": part}])

    assert "1,000 samples/s one by one, 50,000 side by side (50.0 times)" in page
