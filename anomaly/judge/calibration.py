"""Are the probabilities true? Brier score, calibration error, reliability, coverage of intervals. Pure.

Where lives are censored, P(failure within h) is judged with inverse-probability-of-censoring weights:
a row whose outcome within h is known stands for those like it whose outcome is not.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from anomaly.records import BoolArray, FloatArray

Bins = Literal["mass", "width"]
_BINS = 15  # Guo et al. (2017), arXiv:1706.04599, section 4


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts of about the same probability, and how often it happened."""

    low: float
    high: float
    rows: int
    weight: float
    forecast: float
    """Mean forecast."""
    happened: float
    """Share in which it happened."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes within a horizon, with their weights."""

    happened: BoolArray
    weight: FloatArray
    """0 where it is not known."""


def known_within(
    hours: FloatArray, has_failed: BoolArray, *, horizon_hours: float, weights_max: float = 20.0
) -> Known:
    """Say for each row whether it failed within a horizon, weighted for those of which nobody knows.

    Parameters
    ----------
    hours : ndarray, shape (rows,)
        Until the failure, or until the observation ended, hours.
    has_failed : ndarray of bool, shape (rows,)
        False: the observation ended without a failure.
    horizon_hours : float
        Hours, greater than 0.
    weights_max : float
        Bound on a weight, so that a handful of rows does not decide.

    Returns
    -------
    Known
        Weight 1/G(t-) for a failure at t within the horizon and 1/G(h-) for a row that outlived it; 0 for a
        row that was censored before. G is the Kaplan-Meier estimate of not being censored, where a
        failure comes before a censoring at the same instant.

    References
    ----------
    Graf et al. (1999), Stat. Med. 18. doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5
    """
    happened = has_failed & (hours <= horizon_hours)
    outlived = (hours > horizon_hours) | (~has_failed & (hours >= horizon_hours))
    stays = kaplan_meier(hours, ~has_failed, leaves_first=has_failed)
    needed = stays.before(np.where(happened, hours, horizon_hours))
    weight = np.where(happened | outlived, 1 / np.maximum(needed, 1 / weights_max), 0.0)
    return Known(happened=happened, weight=weight)


class Survival(msgspec.Struct, frozen=True, kw_only=True):
    """A Kaplan-Meier curve: the share left just after each of the rising instants."""

    hours: FloatArray
    share: FloatArray

    def at(self, hours: FloatArray) -> FloatArray:
        """Share left after instants."""
        place = np.searchsorted(self.hours, hours, side="right")
        return np.asarray(np.append(1.0, self.share)[place])

    def before(self, hours: FloatArray) -> FloatArray:
        """Share left just before instants."""
        place = np.searchsorted(self.hours, hours, side="left")
        return np.asarray(np.append(1.0, self.share)[place])


def kaplan_meier(
    hours: FloatArray, happened: BoolArray, *, leaves_first: BoolArray | None = None
) -> Survival:
    """Estimate the share that has not had the event.

    Parameters
    ----------
    hours : ndarray, shape (rows,)
        Until the event or the end of the observation.
    happened : ndarray of bool, shape (rows,)
    leaves_first : ndarray of bool, shape (rows,), optional
        Rows that are not at risk any more at the instant at which they leave.
    """
    instants, place = np.unique(hours, return_inverse=True)
    events = np.bincount(place, weights=happened, minlength=len(instants))
    leaving = np.bincount(place, minlength=len(instants))
    at_risk = len(hours) - np.append(0, np.cumsum(leaving))[:-1]
    if leaves_first is not None:
        at_risk = at_risk - np.bincount(place, weights=leaves_first, minlength=len(instants))
    share = np.cumprod(1 - events / np.maximum(at_risk, 1))
    kept = events > 0
    return Survival(hours=instants[kept], share=share[kept])


def brier(
    probability: FloatArray, happened: BoolArray, weight: FloatArray | None = None
) -> float | None:
    """Mean squared error of probabilities; None without rows.

    Parameters
    ----------
    probability : ndarray, shape (rows,)
        In [0, 1]; NaN rows are left out.
    happened : ndarray of bool, shape (rows,)
    weight : ndarray, shape (rows,), optional
        For instance of `known_within`.
    """
    p, y, w = _kept(probability, happened, weight)
    return float(np.average((p - y) ** 2, weights=w)) if w.sum() > 0 else None


def reliability(
    probability: FloatArray,
    happened: BoolArray,
    weight: FloatArray | None = None,
    *,
    bins: int = _BINS,
    kind: Bins = "mass",
) -> tuple[ReliabilityBin, ...]:
    """Group forecasts and lay beside each group how often it happened.

    Parameters
    ----------
    bins : int
        At most so many; equal forecasts stay together.
    kind : {"mass", "width"}
        Groups of equal weight, or of equal width in probability.
    """
    p, y, w = _kept(probability, happened, weight)
    if w.sum() <= 0:
        return ()
    values, place = np.unique(p, return_inverse=True)
    if kind == "width":
        group = np.minimum((values * bins).astype(int), bins - 1)
    else:
        mass = np.bincount(place, weights=w)
        middle = (np.cumsum(mass) - mass / 2) / mass.sum()
        group = np.minimum((middle * bins).astype(int), bins - 1)
    found = []
    for number in np.unique(group):
        inside = group[place] == number
        if w[inside].sum() <= 0:
            continue
        found.append(
            ReliabilityBin(
                low=float(p[inside].min()),
                high=float(p[inside].max()),
                rows=int((inside & (w > 0)).sum()),
                weight=float(w[inside].sum()),
                forecast=float(np.average(p[inside], weights=w[inside])),
                happened=float(np.average(y[inside], weights=w[inside])),
            )
        )
    return tuple(found)


def calibration_error(
    probability: FloatArray,
    happened: BoolArray,
    weight: FloatArray | None = None,
    *,
    bins: int = _BINS,
    kind: Bins = "mass",
) -> float | None:
    """Expected calibration error: mean distance between forecast and frequency over the groups.

    15 groups of equal weight unless told otherwise; arguments as in `reliability`.
    """
    return error_of(reliability(probability, happened, weight, bins=bins, kind=kind))


def error_of(table: Sequence[ReliabilityBin]) -> float | None:
    """Mean distance between forecast and frequency over groups that are made already."""
    total = sum(row.weight for row in table)
    if total <= 0:
        return None
    return sum(row.weight * abs(row.forecast - row.happened) for row in table) / total


def _kept(
    probability: FloatArray, happened: BoolArray, weight: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    w = np.ones(len(probability)) if weight is None else weight
    known = ~np.isnan(probability)
    return probability[known], happened[known].astype(np.float64), w[known]
