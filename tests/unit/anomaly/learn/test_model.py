"""The model of a failure mode, learned by time and by device."""

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from anomaly.learn.age import Age
from anomaly.learn.fit import fit_mode_model, ground_of
from anomaly.learn.frame import make_frame
from anomaly.learn.history import History
from anomaly.learn.model import ModeModel
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR

LEAD = 24
TRAIN, CHECK = 500 * HOUR, 700 * HOUR


def press(rng: np.random.Generator, number: int) -> History:
    """Error 7 announces each failure of the belt a day ahead; error 1 announces nothing."""
    failures = np.cumsum(rng.integers(120, 260, 4)) * HOUR
    idle = rng.integers(0, 900, 6) * HOUR
    at = np.concatenate([failures - LEAD * HOUR, idle])
    codes = np.repeat([7, 1], [len(failures), len(idle)])
    order = np.argsort(at, kind="stable")
    return History(
        device=f"press-{number}", begins_us=0, until_us=900 * HOUR,
        values=np.empty((0, len(CATALOG.metrics))),
        event_us=at[order], event_metric=np.zeros(len(at), dtype=np.int64),
        event_code=codes[order], failure_us=failures,
        failure_mode=np.zeros(len(failures), dtype=np.int64),
        service_us=failures, service_component=np.zeros(len(failures), dtype=np.int64),
    )  # fmt: skip


def fleet(number: int = 12) -> list[History]:
    rng = np.random.default_rng(4)
    return [press(rng, place) for place in range(number)]


@cache
def learned(*, cut: bool = False, mode: str = "belt_worn") -> ModeModel:
    histories = [h.upto(CHECK) for h in fleet()] if cut else fleet()
    return fit_mode_model(
        CATALOG, histories, mode=mode, train_until_us=TRAIN, calibrate_until_us=CHECK,
        seeds=(0,), horizons_hours=(12, 24, 48),
    )  # fmt: skip


def test_a_device_that_never_was_seen_is_warned_by_what_others_did() -> None:
    model = learned()
    unseen = press(np.random.default_rng(99), 99)
    frame = make_frame(CATALOG, model.spec, [unseen])

    chance = model.predict(frame).failed[:, 1]

    left = (unseen.failure_us[:, None] - frame.at_us).astype(float)
    hours = np.where(left > 0, left, np.inf).min(axis=0) / HOUR
    assert chance[hours <= LEAD].mean() > 0.6
    assert chance[hours > LEAD].mean() < 0.1


def test_nothing_after_the_calibration_slice_is_looked_at() -> None:
    assert msgspec.json.encode(learned()) == msgspec.json.encode(learned(cut=True))


def test_what_a_model_has_seen_is_counted() -> None:
    seen = learned().seen

    assert (seen.train_until_us, seen.calibrate_until_us, seen.devices) == (TRAIN, CHECK, 12)
    belongs = [np.sum(h.failure_us <= TRAIN) for h in fleet()]
    later = [np.sum((h.failure_us > TRAIN) & (h.failure_us <= CHECK)) for h in fleet()]
    assert seen.failures == sum(belongs)
    assert seen.calibration_failures == sum(later)


def test_a_model_has_seen_nothing_of_the_time_before_its_data() -> None:
    at = np.array([300, 301]) * HOUR
    values = np.zeros((2, len(CATALOG.metrics)))
    delivered = [replace(h, at_us=at, values=values) for h in fleet()]

    ground = ground_of(
        CATALOG, delivered, train_until_us=TRAIN, calibrate_until_us=CHECK, seeds=(0,),
        groups=(Age,),
    )  # fmt: skip

    assert ground.seen_from_us == at[0]


def test_calibrated_survival_falls_over_any_horizons_and_agrees_at_the_known_ones() -> None:
    model = learned()
    frame = make_frame(CATALOG, model.spec, [press(np.random.default_rng(7), 1)])

    survival = model.survival(frame.x, (0, 1, 12, 13, 24, 47, 48, 60, 500))

    assert np.all(np.diff(survival, axis=1) <= 0)
    assert survival[:, 0] == pytest.approx(1)
    assert 1 - survival[:, [2, 4, 6]] == pytest.approx(model.predict(frame).failed)


def test_a_stored_model_forecasts_the_same() -> None:
    model = learned()
    frame = make_frame(CATALOG, model.spec, [press(np.random.default_rng(8), 1)])

    kept = msgspec.json.decode(msgspec.json.encode(model), type=ModeModel)

    assert np.array_equal(kept.predict(frame).failed, model.predict(frame).failed)


def test_a_mode_that_never_failed_has_a_rate_and_no_claim_of_more() -> None:
    model = learned(mode="pump_worn")

    frame = make_frame(CATALOG, model.spec, [press(np.random.default_rng(8), 1)])
    chance = model.predict(frame).failed

    assert model.hazard.members == ()
    assert chance.max() < 0.01
    assert np.ptp(chance[:, 0]) < 1e-12
