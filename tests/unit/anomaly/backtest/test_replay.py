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
from anomaly.records import Samples, ServiceEvent
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


@pytest.mark.parametrize("piece_days", [1, 7, 400])
def test_a_replay_in_pieces_says_what_the_scorer_says_in_one_go(
    yard: Yardstick, monkeypatch: pytest.MonkeyPatch, piece_days: int
) -> None:
    monkeypatch.setattr(replay, "_PIECE", timedelta(days=piece_days))
    one = stream(50, wear=FAILS)
    state = first_state(first_us=one.first_us, window_us=LAYOUT.window_us, learning_us=6 * DAY_US)
    whole = one.samples(0, one.until_us + 1)

    live = advance(yard, state, whole, through_us=one.until_us)
    track = replayed(, yard, one)

    said = [f for f in live.forecasts if f.failure_mode == "bearing_wear"]
    place = CATALOG.modes.index("bearing_wear")
    assert track.made_us.tolist() == [f.made_us for f in said]
    assert [STATUSES[s] for s in track.status[:, place]] == [f.status for f in said]
    p30 = [np.nan if f.outlook is None else f.outlook.p_fail_30d for f in said]
    assert np.array_equal(track.p_fail[:, place, 2], p30, equal_nan=True)
    healths = {
        w.at_us: float(np.float32(w.health[place]))
        for w in live.windows
        if w.health[place] is not None
    }
    kept = dict(zip(track.history.at_us.tolist(), track.history.health[:, place], strict=True))
    assert {at: kept[at] for at in healths} == healths


def test_a_reported_fault_is_the_failure_and_the_finding_the_new_beginning(yard: Yardstick) -> None:
    found_us = START_US + round(33 * DAY_US)
    finding = ServiceEvent(
        finding_id=1, failure_mode="bearing_wear", component="bearing", verdict="confirmed",
        found_us=found_us,
    )  # fmt: skip

    track = replayed(, yard, replace(stream(51, wear=FAILS), findings=(finding,)))

    history = track.history
    assert history.failure_us == pytest.approx([START_US + 30 * DAY_US], abs=DAY_US / 100)
    assert history.service_us.tolist() == [found_us]
    assert CATALOG.modes[history.failure_mode[0]] == "bearing_wear"


def test_every_window_in_which_a_device_ran_has_the_means_of_all_metrics(yard: Yardstick) -> None:
    one = stream(52)

    history = replayed(, yard, one).history

    samples = one.samples(0, one.until_us + 1)
    row = len(history.at_us) // 2
    end = int(history.at_us[row])
    part = samples.between(end - LAYOUT.window_us, end)
    ran = part.values[:, LAYOUT.columns["load_pct"]] > 1
    expected = [part.values[ran, LAYOUT.columns[name]].mean() for name in CATALOG.metrics]
    assert history.values[row] == pytest.approx(expected)
    assert history.at_us[0] <= one.first_us + 2 * LAYOUT.window_us
