"""Tells, for all forecasts of a device at once, which ones cannot want a visit. Pure.

The arithmetic is that of `maintenance.decide`, in arrays. It may err on one side only: what is near the border, or
has a number missing, counts as one that might want a visit, and `decide` looks at it.
"""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from core.product import FailureMode, Product
from core.tickets import HORIZONS_DAYS, STATUSES, ForecastRows, TicketPolicy
from maintenance.decide import UNUSED_LATER, horizon_of

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_DECLINING, _FAILED = STATUSES.index("declining"), STATUSES.index("failed")
_HORIZONS_HOURS = tuple(24.0 * days for days in HORIZONS_DAYS)
_QUANTILES = (0.1, 0.5, 0.9)
_NEAR = 1e-9
"""Share by which two ways of computing the same may differ."""
_P_MAX = 0.999999


def may_want_visit(product: Product, rows: ForecastRows, *, policy: TicketPolicy) -> BoolArray:
    """Return which forecasts might want a visit; shape (n, modes)."""
    busy: BoolArray = np.asarray(rows.status == _FAILED)
    for place, mode in enumerate(product.failure_modes):
        declining = np.flatnonzero(rows.status[:, place] == _DECLINING)
        if len(declining):
            p, life = rows.p_fail[declining, place], rows.life_hours[declining, place]
            busy[declining, place] = _may_pay(p, life, mode=mode, threshold=policy.threshold)
    return busy


def _may_pay(
    p: FloatArray, life: FloatArray, *, mode: FailureMode, threshold: float | None
) -> BoolArray:
    """Whether a visit might be worth its cost, from chances (n, 3) and quantiles of life in hours (n, 3)."""
    hours = horizon_of(mode) / timedelta(hours=1)
    if not _HORIZONS_HOURS[0] <= hours <= _HORIZONS_HOURS[-1]:
        return np.ones(len(p), dtype=np.bool_)
    p_soon = _chance_within(p, life, hours=hours)
    if threshold is not None:
        return ~(p_soon < threshold * (1 - _NEAR))
    p_later = np.maximum(_chance_within(p, life, hours=_HORIZONS_HOURS[-1]) - p_soon, 0.0)
    kit = sum(part.price * part.quantity for part in mode.kit)
    middle, lead = life[:, 1], mode.lead_time / timedelta(hours=1)
    known = np.where(np.isfinite(middle), middle, 0.0)
    unused = np.where(np.isfinite(middle), known / (known + lead), 1.0)
    acting = mode.cost_of_visit + kit * unused
    later = mode.cost_of_visit + kit * np.minimum(unused, UNUSED_LATER)
    waiting = p_soon * mode.cost_of_failure + p_later * later
    return ~(waiting < acting * (1 - _NEAR))  # NaN, too


def _chance_within(p: FloatArray, life: FloatArray, *, hours: float) -> FloatArray:
    """Read the chance within some hours, from the first horizon to the last, as `decide.failure_probability` does."""
    known_at = np.broadcast_to(np.array(_HORIZONS_HOURS), p.shape)
    between_at, between = _between(p, life)
    at, chance = np.hstack([known_at, between_at]), np.hstack([p, between])
    order = np.lexsort((chance, at), axis=-1)
    at = np.take_along_axis(at, order, axis=1)
    hazard = -np.log1p(-np.minimum(np.take_along_axis(chance, order, axis=1), _P_MAX))
    origin = np.zeros((len(p), 1))
    at, hazard = np.hstack([origin, at]), np.hstack([origin, hazard])
    rows, upper = np.arange(len(p)), (at < hours).sum(axis=1)
    x0, x1 = at[rows, upper - 1], at[rows, upper]
    y0, y1 = hazard[rows, upper - 1], hazard[rows, upper]
    return np.asarray(-np.expm1(-(y0 + np.maximum(y1 - y0, 0.0) * ((hours - x0) / (x1 - x0)))))


def _between(p: FloatArray, life: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where quantiles of life lie between two horizons, and the chance there; elsewhere the first horizon again."""
    at = np.full(life.shape, _HORIZONS_HOURS[0])
    chance = np.repeat(p[:, :1], life.shape[1], axis=1)
    shares = np.broadcast_to(np.array(_QUANTILES), life.shape)
    for number, (low, high) in enumerate(pairwise(_HORIZONS_HOURS)):
        inside = (low < life) & (life < high)
        clipped = np.minimum(np.maximum(shares, p[:, [number]]), p[:, [number + 1]])
        at, chance = np.where(inside, life, at), np.where(inside, clipped, chance)
    return at, chance
