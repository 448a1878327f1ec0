"""The best possible forecaster of a simulated fleet is calibrated, and knows nothing of a part's own future."""

import numpy as np
import pytest

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import Labels
from bench.evaluate.readers.fleet import Truth, sheet_of
from bench.evaluate.readers.oracle import oracle_track
from firmware_sim.long_run import LongRun, make_long_run

START_S = 1_735_689_600
NONE = np.empty(0, dtype=np.int64)
SHEET = sheet_of("water_pump")
CATALOG = Catalog(SHEET)
OK, DECLINING, LEARNING = (STATUSES.index(name) for name in ("ok", "declining", "learning"))


@pytest.fixture(scope="module")
def run() -> LongRun:
    return make_long_run(devices=160, days=730, seed=9, start_s=START_S, products=("water_pump",))


def blank(run: LongRun, place: int) -> Track:
    """A device of which the first layer says at all times, after ten days, that it is well."""
    made = np.arange(run.start_s, run.end_s, 86_400) * 1_000_000
    shape = len(made), len(CATALOG.modes)
    status = np.full(shape, OK)
    status[:10] = LEARNING
    history = History(device=str(place), begins_us=0, until_us=run.end_s * 1_000_000)
    labels = Labels(
        failure_us=NONE, failure_mode=NONE, service_us=NONE, service_component=NONE,
        doubt_us=NONE, doubt_mode=NONE,
    )  # fmt: skip
    return Track(
        history=history, made_us=made, status=status, p_fail=np.full((*shape, 3), np.nan),
        life_hours=np.full((*shape, 5), np.inf), worn=np.zeros(shape), labels=labels, sensors=(),
    )  # fmt: skip


def test_its_intervals_hold_as_often_as_they_say_and_its_chances_come_true(run: LongRun) -> None:
    inside, chances, happened = [], [], []
    for place, (machine, unit) in enumerate(zip(run.machines, run.units, strict=True)):
        truth = Truth(machine=machine, unit=unit, later={})
        track = oracle_track(CATALOG, blank(run, place), truth, run.habits["water_pump"])
        for failure in machine.failures:
            mode = CATALOG.modes.index(failure.mode)
            at_s = track.made_us // 1_000_000
            rows = (track.status[:, mode] == DECLINING) & (at_s < failure.fails_s)
            rows &= at_s > failure.onset_s + 86_400
            left = (failure.fails_s - at_s[rows]) / 3600
            life = track.life_hours[rows, mode]
            inside.append((life[:, 0] <= left) & (left <= life[:, 4]))
            chances.append(track.p_fail[rows, mode, 1])
            happened.append(left <= 168)

    assert np.concatenate(inside).mean() == pytest.approx(0.9, abs=0.04)
    assert np.concatenate(chances).mean() == pytest.approx(
        np.concatenate(happened).mean(), abs=0.03
    )


def test_where_nothing_is_worn_it_expects_nothing_within_days_and_little_within_a_month(
    run: LongRun,
) -> None:
    place = next(n for n, unit in enumerate(run.units) if unit.is_healthy)
    truth = Truth(machine=run.machines[place], unit=run.units[place], later=run.later[place])

    track = oracle_track(CATALOG, blank(run, place), truth, run.habits["water_pump"])

    later = track.p_fail[10:]
    gradual = [
        CATALOG.modes.index(h.mode.name)
        for h in run.habits["water_pump"]
        if h.mode.kind == "gradual"
    ]
    assert (later[:, gradual, 1] == 0).all()
    assert 0 < later[:, gradual, 2].max() < 0.05
    assert np.isinf(track.life_hours).all()
    assert np.isnan(track.p_fail[:10]).all()


def test_it_does_not_know_the_future_of_the_part(run: LongRun) -> None:
    machine, unit = next(
        (m, u) for m, u in zip(run.machines, run.units, strict=True)
        if any(f.onset_s > run.start_s + 20 * 86_400 and f.fails_s < run.end_s for f in m.failures)
    )  # fmt: skip
    truth = Truth(machine=machine, unit=unit, later={})

    track = oracle_track(CATALOG, blank(run, 0), truth, run.habits["water_pump"])

    rows = track.status == DECLINING
    width = track.life_hours[rows][:, 4] / np.maximum(track.life_hours[rows][:, 0], 1.0)
    assert np.median(width) > 1.15
