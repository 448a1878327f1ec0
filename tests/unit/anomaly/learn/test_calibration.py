"""Calibrated chances."""

import msgspec
import numpy as np
import pytest

from anomaly.learn.calibration import Calibration, fit_calibration, known_weights
from anomaly.learn.outcome import Outcome

SEED = 3


def overconfident(rows: int = 4000) -> tuple[np.ndarray, Outcome, np.ndarray]:
    """Forecasts twice too high at two horizons; what came is drawn from the truth."""
    rng = np.random.default_rng(SEED)
    truth = rng.beta(0.4, 2, size=rows) / 2
    failed = rng.random(rows) < truth
    hours = np.where(failed, rng.uniform(0, 10, rows), 50.0)
    chance = np.stack([truth * 2, np.minimum(truth * 2 + 0.001, 1)], axis=1)
    return chance, Outcome(hours=hours, has_failed=failed), truth


def test_twice_too_high_forecasts_are_brought_down() -> None:
    chance, outcome, truth = overconfident()

    calibration = fit_calibration(chance, outcome, horizons_hours=(10, 20), failures=500)
    after = calibration.apply(chance)

    assert np.mean(np.abs(after[:, 0] - truth)) < 0.03
    assert after[:, 0].mean() == pytest.approx(outcome.has_failed.mean(), abs=0.005)


def test_different_forecasts_stay_different_and_in_order() -> None:
    chance, outcome, _ = overconfident()
    calibration = fit_calibration(chance, outcome, horizons_hours=(10, 20), failures=500)

    even = np.linspace(0.0001, 0.9999, 999)
    after = calibration.apply(np.stack([even, even], axis=1))

    assert np.all(np.diff(after, axis=0) > 0)
    assert np.all(np.diff(after, axis=1) >= 0)
    assert after.min() > 0
    assert after.max() < 1


def test_few_failures_only_move_the_level() -> None:
    chance, outcome, _ = overconfident()

    calibration = fit_calibration(chance, outcome, horizons_hours=(10, 20), failures=9)

    assert all(not curve.chances for curve in calibration.curves)
    assert calibration.curves[0].shift < 0


def test_nothing_known_changes_nothing() -> None:
    none = Outcome(hours=np.empty(0), has_failed=np.empty(0, dtype=bool))

    calibration = fit_calibration(np.empty((0, 1)), none, horizons_hours=(10,), failures=0)

    assert calibration.apply(np.array([[0.3]]))[0, 0] == pytest.approx(0.3)


def test_a_calibration_survives_storage() -> None:
    chance, outcome, _ = overconfident()
    calibration = fit_calibration(chance, outcome, horizons_hours=(10, 20), failures=500)

    kept = msgspec.json.decode(msgspec.json.encode(calibration), type=Calibration)

    assert np.array_equal(kept.apply(chance), calibration.apply(chance))


def test_rows_that_ended_unknown_are_made_up_for() -> None:
    outcome = Outcome(hours=np.array([1.0, 2, 3, 4]), has_failed=np.array([1, 0, 1, 0]) > 0)

    weights = known_weights(outcome, 3.5)

    # after the censoring at 2, each of the two rows left stands for 1.5 of the three at risk
    assert weights == pytest.approx([1, 0, 1.5, 1.5])
