"""The fleet of the scoring bench is one that has something to score; its tables show what was kept."""

from pathlib import Path

import numpy as np

from anomaly.fleet_scorer import Survey, conclude
from bench.scoring.bare import ewma_and_cusum
from bench.scoring.fleet import Fleet
from bench.scoring.measure import Cost, through_us
from bench.scoring.report import keep, page_part, results

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
        "trees_samples_per_s": 40_000, "ratio_trees": 17.5, "trees_paper_samples_per_s": 800,
        "ratio_trees_paper": 875, "scorer_us_per_sample": 0.4, "database_us_per_sample": 1.0,
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
    assert "| river 1, half-space trees, the same rows: its defaults | 40,000 | 25 | 17.5 |" in (
        page_part(kept)
    )
