"""Errors of remaining life, and whether its intervals hold. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np

from anomaly.judge.calibration import known_within
from anomaly.records import BoolArray, FloatArray

_LATE_DIVISOR, _EARLY_DIVISOR = 10.0, 13.0
"""Saxena et al. (2008), "Damage propagation modeling", doi:10.1109/PHM.2008.4711414: cycles per e-fold of penalty."""


def rmse(truth: FloatArray, forecast: FloatArray, *, cap: float | None = None) -> float | None:
    """Root mean squared error, in the unit of the arguments; None without rows.

    Parameters
    ----------
    truth, forecast : ndarray, shape (rows,)
        Remaining life, in one unit.
    cap : float, optional
        Truths above it count as it ("capped labels"), and so do forecasts: who forecasts more than the cap
        is not wrong. Without: raw.
    """
    t, f = _capped(truth, cap), _capped(forecast, cap)
    return float(np.sqrt(np.mean((f - t) ** 2))) if len(t) else None


def nasa_score(
    truth: FloatArray, forecast: FloatArray, *, cap: float | None = None
) -> float | None:
    """Sum of asymmetric penalties: exp(d/10) - 1 for a forecast that is d cycles too long, exp(-d/13) - 1 for too short.

    Arguments as in `rmse`, in cycles.
    """
    error = _capped(forecast, cap) - _capped(truth, cap)
    scale = np.where(error >= 0, _LATE_DIVISOR, _EARLY_DIVISOR)
    return float(np.expm1(np.abs(error) / scale).sum()) if len(error) else None


def life_fraction_rmse(
    truth: FloatArray, forecast: FloatArray, *, life: FloatArray
) -> float | None:
    """Root mean squared error of the share of life that is left.

    Parameters
    ----------
    truth, forecast : ndarray, shape (rows,)
        Remaining life, in one unit.
    life : ndarray, shape (rows,)
        Whole life of the device of each row, in the same unit, greater than 0.
    """
    return rmse(truth / life, forecast / life)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How often an interval held the truth, and how wide it was."""

    low: float
    """Smallest forecast of the group, in the unit of the forecasts."""
    high: float
    rows: int
    covered: float
    """Share of rows."""
    width: float
    """Mean width, in the unit of the forecasts."""


def coverage(
    truth: FloatArray, *, low: FloatArray, high: FloatArray, known: BoolArray | None = None
) -> Coverage | None:
    """Count how often [low, high] held the truth.

    Parameters
    ----------
    truth : ndarray, shape (rows,)
        Remaining life.
    low, high : ndarray, shape (rows,)
        Ends of the interval; infinite is allowed and counts for the width as it is.
    known : ndarray of bool, shape (rows,), optional
        Rows whose truth is known.
    """
    keep = np.ones(len(truth), dtype=np.bool_) if known is None else known
    t, a, b = truth[keep], low[keep], high[keep]
    if not len(t):
        return None
    return Coverage(
        low=float(a.min()),
        high=float(b.max()),
        rows=len(t),
        covered=float(((a <= t) & (t <= b)).mean()),
        width=float((b - a).mean()),
    )


def coverage_by_life(
    truth: FloatArray,
    *,
    low: FloatArray,
    high: FloatArray,
    middle: FloatArray,
    edges: Sequence[float],
) -> tuple[Coverage, ...]:
    """Coverage per bin of predicted life.

    Parameters
    ----------
    middle : ndarray, shape (rows,)
        Predicted life (median), by which rows are grouped.
    edges : sequence of float
        Rising borders of the groups, at least two: [first, second), [second, third), …
    """
    found = []
    for first, last in pairwise(edges):
        inside = (middle >= first) & (middle < last)
        part = coverage(truth, low=low, high=high, known=inside)
        if part is not None:
            found.append(msgspec.structs.replace(part, low=float(first), high=float(last)))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Per row."""

    loss: FloatArray
    """Hours."""
    weight: FloatArray
    """0 where the end is not known."""

    @property
    def mean(self) -> float | None:
        """Hours; None without a row whose end is known."""
        total = float(self.weight.sum())
        return float((self.weight * self.loss).sum() / total) if total > 0 else None


def life_losses(
    hours: FloatArray,
    has_failed: BoolArray,
    quantiles: FloatArray,
    *,
    shares: Sequence[float],
    until_hours: float,
) -> Losses:
    """How far quantiles of remaining life are from what came: the mean pinball loss, lives cut off at an hour.

    A quantile of a life that is cut off is the quantile cut off, so the loss is least for the true quantiles,
    whatever is said beyond the hour. A life that was watched beyond it is known as far as it matters; one that
    went out of sight before is made up for by those like it (inverse probability of censoring).

    Parameters
    ----------
    hours : ndarray, shape (rows,)
        Until the failure, or until the observation ended.
    has_failed : ndarray of bool, shape (rows,)
        False: the observation ended without a failure.
    quantiles : ndarray, shape (rows, shares)
        Forecast, hours; infinite is allowed.
    shares : sequence of float
        Of the quantiles, in (0, 1).
    until_hours : float
        At which lives are cut off, greater than 0.

    References
    ----------
    Gneiting (2011), Quantiles as optimal point forecasts, Int. J. Forecast. 27(2).
    doi:10.1016/j.ijforecast.2009.12.015
    """
    known = known_within(hours, has_failed, horizon_hours=until_hours)
    error = np.minimum(hours, until_hours)[:, None] - np.minimum(quantiles, until_hours)
    share = np.asarray(shares, dtype=np.float64)
    loss = np.maximum(share * error, (share - 1) * error).mean(axis=1)
    return Losses(loss=np.asarray(loss), weight=known.weight)


def _capped(values: FloatArray, cap: float | None) -> FloatArray:
    return values if cap is None else np.minimum(values, cap)
