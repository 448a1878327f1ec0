"""A replay says what the live scorer said."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from anomaly.backtest import replay
from anomaly.backtest.replay import learn_baseline, replay_streams
from anomaly.backtest.track import STATUSES, Stream, Track
from anomaly.learn.history import Catalog
from anomaly.records import Output, Samples, ServiceEvent
from anomaly.scorer import advance
from anomaly.state import first_state
from anomaly.yardstick import Yardstick
from tests.unit.anomaly.bench import BEARING, DAY_US, LAYOUT, PUMP, START_US, Wear, make_samples

DAYS = 40.0
CATALOG = Catalog(PUMP)
FAILS = Wear(from_day=12, fails_day=30, moves=BEARING)


def between(samples: Samples, from_us: int, until_us: int) -> Samples:
    return samples.between(from_us, until_us)


def stream(seed: int, *, wear: Wear | None = None) -> Stream:
    samples = make_samples(seed, days=DAYS, wear=wear)
    return Stream(
        device=f"pump-{seed}", begins_us=START_US, first_us=int(samples.at_us[0]),
        until_us=int(samples.at_us[-1]), samples=partial(between, samples),
    )  # fmt: skip


@pytest.fixture(scope="module")
def yard() -> Yardstick:
    return Yardstick(LAYOUT, learn_baseline(LAYOUT, [stream(seed) for seed in range(12)]))


def replayed(yard: Yardstick, one: Stream) -> Track:
    return next(iter(replay_streams(CATALOG, yard, [one])))


def assert_said(track: Track, live: Output) -> None:
    """The track holds what the scorer has told, failure mode by failure mode."""
    for place, mode in enumerate(CATALOG.modes):
        said = {f.made_us: f for f in live.forecasts if f.failure_mode == mode}
        rows = [row for row, at in enumerate(track.made_us.tolist()) if at in said]
        told = [said[int(track.made_us[row])] for row in rows]
        assert len(told) == len(said)
        assert [STATUSES[s] for s in track.status[rows, place]] == [f.status for f in told]
        outlooks = [f.outlook for f in told]
        p30 = [np.nan if o is None else o.p_fail_30d for o in outlooks]
        assert np.array_equal(track.p_fail[rows, place, 2], p30, equal_nan=True)
        lives = [[np.inf if v is None else v for v in o.lives] for o in outlooks if o is not None]
        known = [row for row, o in zip(rows, outlooks, strict=True) if o is not None]
        assert track.life_hours[known, place].tolist() == lives
        healths = {w.at_us: w.health[place] for w in live.windows}
        kept = zip(track.history.at_us.tolist(), track.history.health[:, place], strict=True)
        assert {at: None if np.isnan(h) else np.float32(h) for at, h in kept} == {
            at: None if h is None else np.float32(h) for at, h in healths.items()
        }
    sensors = [
        (d.at_us, d.failure_mode)
        for d in live.detections
        if d.kind == "sensor" and d.change == "raised"
    ]
    assert list(track.sensors) == sensors


def scored_alone(yard: Yardstick, one: Stream) -> Output:
    state = first_state(first_us=one.first_us, window_us=LAYOUT.window_us, learning_us=6 * DAY_US)
    whole = one.samples(0, one.until_us + 1)
    return advance(yard, state, whole, through_us=one.until_us, services=one.findings)


@pytest.mark.parametrize("piece_days", [1, 7, 400])
def test_a_replay_in_pieces_says_what_the_scorer_says_in_one_go(
    yard: Yardstick, monkeypatch: pytest.MonkeyPatch, piece_days: int
) -> None:
    monkeypatch.setattr(replay, "_PIECE", timedelta(days=piece_days))
    monkeypatch.setattr(replay, "_PIECES_MAX", 1)
    one = stream(50, wear=FAILS)

    track = replayed(yard, one)

    assert_said(track, scored_alone(yard, one))


@pytest.mark.parametrize(("together", "samples"), [(2, 600_000), (128, 600_000), (128, 5_000)])
def test_devices_that_are_replayed_side_by_side_say_what_each_says_alone(
    yard: Yardstick, monkeypatch: pytest.MonkeyPatch, together: int, samples: int
) -> None:
    monkeypatch.setattr(replay, "DEVICES_TOGETHER", together)
    monkeypatch.setattr(replay, "SAMPLES_AT_ONCE", samples)
    monkeypatch.setattr(replay, "_PIECES_MAX", 1)
    fleet = fleet_of_all_kinds()

    tracks = list(replay_streams(CATALOG, yard, fleet))

    assert [track.history.device for track in tracks] == [one.device for one in fleet]
    statuses = np.concatenate([np.unique(track.status) for track in tracks])
    assert set(statuses.tolist()) == set(range(len(STATUSES)))
    for one, track in zip(fleet, tracks, strict=True):
        assert_said(track, scored_alone(yard, one))


def fleet_of_all_kinds() -> list[Stream]:
    """Well, failing, failing and repaired, looked at in vain, dead sensor, silent, young, and too young."""
    failing, repaired, looked_at = (stream(seed, wear=FAILS) for seed in (60, 61, 62))
    blind, silent, young, too_young = (stream(seed) for seed in (63, 64, 65, 66))
    found = ServiceEvent(
        finding_id=1, failure_mode="bearing_wear", component="bearing", verdict="confirmed",
        found_us=START_US + round(33.3 * DAY_US),
    )  # fmt: skip
    in_vain = replace(
        found, finding_id=2, verdict="no_fault_found", found_us=START_US + 20 * DAY_US
    )
    return [
        stream(59),
        failing,
        replace(repaired, findings=(found,)),
        replace(looked_at, findings=(in_vain,)),
        replace(blind, samples=partial(without_vibration, blind, START_US + 15 * DAY_US)),
        replace(silent, samples=partial(without_days, silent, 15, 22)),
        replace(young, samples=young.samples, first_us=START_US + 9 * DAY_US + 77_000_000),
        replace(too_young, until_us=START_US + 4 * DAY_US),
    ]


def without_vibration(one: Stream, since_us: int, from_us: int, until_us: int) -> Samples:
    samples = one.samples(from_us, until_us)
    values = samples.values.copy()
    values[samples.at_us >= since_us, LAYOUT.columns["vibration"]] = np.nan
    return Samples(at_us=samples.at_us, values=values)


def without_days(one: Stream, first: int, last: int, from_us: int, until_us: int) -> Samples:
    samples = one.samples(from_us, until_us)
    day = (samples.at_us - START_US) / DAY_US
    kept = (day < first) | (day >= last)
    return Samples(at_us=samples.at_us[kept], values=samples.values[kept])


def test_a_reported_fault_is_the_failure_and_the_finding_the_new_beginning(yard: Yardstick) -> None:
    found_us = START_US + round(33 * DAY_US)
    finding = ServiceEvent(
        finding_id=1, failure_mode="bearing_wear", component="bearing", verdict="confirmed",
        found_us=found_us,
    )  # fmt: skip

    track = replayed(yard, replace(stream(51, wear=FAILS), findings=(finding,)))

    history = track.history
    assert history.failure_us == pytest.approx([START_US + 30 * DAY_US], abs=DAY_US / 100)
    assert history.service_us.tolist() == [found_us]
    assert CATALOG.modes[history.failure_mode[0]] == "bearing_wear"


def test_every_window_in_which_a_device_ran_has_the_means_of_all_metrics(yard: Yardstick) -> None:
    one = stream(52)

    history = replayed(yard, one).history

    samples = one.samples(0, one.until_us + 1)
    row = len(history.at_us) // 2
    end = int(history.at_us[row])
    part = samples.between(end - LAYOUT.window_us, end)
    ran = part.values[:, LAYOUT.columns["load_pct"]] > 1
    expected = [part.values[ran, LAYOUT.columns[name]].mean() for name in CATALOG.metrics]
    assert history.values[row] == pytest.approx(expected)
    assert history.at_us[0] <= one.first_us + 2 * LAYOUT.window_us


def test_while_its_product_is_being_learned_a_device_is_said_to_be_learning() -> None:
    track = replayed(Yardstick(LAYOUT, None), stream(53))

    assert {STATUSES[s] for s in np.unique(track.status)} == {"learning"}
    assert np.isnan(track.p_fail).all()
