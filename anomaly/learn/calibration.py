"""Probabilities that mean what they say: what was forecast against what came, on later data. Pure.

Per horizon an isotonic regression of what happened on what was forecast, on a slice of time after
training and for devices that the forecasting model did not see. A little of the forecast itself stays
in, so that two forecasts that differed still differ: calibration must not cost ranking. With fewer
than `FAILURES_MIN` failures in the slice only the level is moved. Chances never fall over horizons.

References
----------
Zadrozny, Elkan (2002), KDD. doi:10.1145/775047.775151
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from sklearn.isotonic import isotonic_regression

from anomaly.learn.outcome import Outcome
from anomaly.records import FloatArray

FAILURES_MIN = 10
"""Failures in the slice below which only the level is moved: a step of a curve needs several."""
KEEP = 0.001
"""Share of the forecast itself in what comes out: strictly rising, whatever the steps are."""
_TINY = 1e-9


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """From the forecast chance to the calibrated one, for one horizon."""

    chances: tuple[float, ...] = ()
    """Never falling; the forecasts at which each step begins and ends."""
    happened: tuple[float, ...] = ()
    """Calibrated chance there, never falling."""
    shift: float = 0.0
    """Added to the log odds where there is no curve."""

    def apply(self, chance: FloatArray) -> FloatArray:
        """Calibrate chances of any shape."""
        if not self.chances:
            return np.asarray(_chance(_odds(chance) + self.shift))
        level = np.interp(chance, np.array(self.chances), np.array(self.happened))
        return np.asarray((1 - KEEP) * level + KEEP * chance)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """One curve per horizon."""

    horizons_hours: tuple[float, ...]
    """Rising."""
    curves: tuple[Curve, ...]

    def apply(self, chance: FloatArray) -> FloatArray:
        """Calibrate chances of failing within the horizons; shape (rows, horizons), rising in each row."""
        columns = [curve.apply(chance[:, n]) for n, curve in enumerate(self.curves)]
        return np.asarray(np.maximum.accumulate(np.stack(columns, axis=1), axis=1))


def fit_calibration(
    chance: FloatArray, outcome: Outcome, *, horizons_hours: Sequence[float], failures: int
) -> Calibration:
    """Learn the curves.

    Parameters
    ----------
    chance : ndarray, shape (rows, horizons)
        Forecast chance of failing within each horizon, by models that did not see these devices.
    outcome : Outcome
        What came after; rows that ended unknown before a horizon are made up for by those like them
        (inverse probability of censoring).
    failures : int
        Different failures in the slice; each is in many rows.
    """
    rows_per_failure = max(outcome.has_failed.sum() / max(failures, 1), 1.0)
    curves = []
    for column, horizon in enumerate(horizons_hours):
        failed = outcome.has_failed & (outcome.hours <= horizon)
        weight = known_weights(outcome, horizon)
        curves.append(
            _curve(
                np.clip(chance[:, column], _TINY, 1 - _TINY),
                failed.astype(np.float64),
                weight,
                prior=min(rows_per_failure, max(failed.sum() / max(failures, 1), 1.0)),
                is_level=failures < FAILURES_MIN,
            )
        )
    return Calibration(horizons_hours=tuple(horizons_hours), curves=tuple(curves))


def known_weights(outcome: Outcome, horizon: float) -> FloatArray:
    """Weight of each row for one horizon: 0 where it ended unknown before, else 1 / P(still watched)."""
    failed = outcome.has_failed & (outcome.hours <= horizon)
    known = failed | (outcome.hours >= horizon)
    order = np.argsort(outcome.hours, kind="stable")
    hours, censored = outcome.hours[order], ~outcome.has_failed[order]
    at_risk = len(hours) - np.searchsorted(hours, hours, side="left")
    watched = np.cumprod(1 - censored / np.maximum(at_risk, 1))
    until = np.minimum(outcome.hours, horizon)
    before = np.searchsorted(hours, until, side="left")
    share = np.where(before > 0, watched[np.maximum(before - 1, 0)], 1.0)
    return np.asarray(np.where(known, 1 / np.maximum(share, 0.05), 0.0))


def _curve(
    chance: FloatArray, failed: FloatArray, weight: FloatArray, *, prior: float, is_level: bool
) -> Curve:
    kept = weight > 0
    chance, failed, weight = chance[kept], failed[kept], weight[kept]
    if not len(chance):
        return Curve()
    mean = float((np.sum(weight * failed) + prior * np.average(chance)) / (weight.sum() + prior))
    if is_level or failed.sum() == 0:
        return Curve(shift=_shift_to(mean, chance, weight))
    order = np.argsort(chance, kind="stable")
    chance, failed, weight = chance[order], failed[order], weight[order]
    fitted = isotonic_regression(failed, sample_weight=weight)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(fitted) > 0]))
    total = np.add.reduceat(weight, starts)
    levels = (np.add.reduceat(weight * failed, starts) + prior * mean) / (total + prior)
    ends = np.concatenate([starts[1:], [len(fitted)]]) - 1
    borders = np.stack([chance[starts], chance[ends]], axis=1).ravel()
    return Curve(
        chances=tuple(borders.tolist()),
        happened=tuple(np.repeat(np.maximum.accumulate(levels), 2).tolist()),
    )


def _shift_to(mean: float, chance: FloatArray, weight: FloatArray) -> float:
    """Shift of the log odds at which the forecasts' mean is what happened."""
    low, high = -20.0, 20.0
    odds = _odds(chance)
    for _ in range(60):
        middle = (low + high) / 2
        too_low = np.average(_chance(odds + middle), weights=weight) < mean
        low, high = (middle, high) if too_low else (low, middle)
    return (low + high) / 2


def _odds(chance: FloatArray) -> FloatArray:
    chance = np.clip(chance, _TINY, 1 - _TINY)
    return np.asarray(np.log(chance) - np.log1p(-chance))


def _chance(odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-odds)))
