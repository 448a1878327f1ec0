"""What is told of a failure mode: chances within the horizons, and quantiles of remaining life that agree with them. Pure.

Both are read off one curve, the chance of having failed by each hour. At the calibrated horizons the curve is what the
hazard says, whatever else is known, so alerts hang on it alone. Between them the hazard knows little: there is
one number for a stretch of weeks, and one for all the time after the last. There the curve takes the shape of the remaining
life that lives which ended have taught, as far as devices left out say that it should (`ModeModel.life_share`).

Remaining life is learned from parts that failed while they were watched, so it says when a part fails if it does. Whether
it does is the hazard's to say: by each horizon, and by the longest life that can be told apart (`Life.cap_hours`).
"""

from collections.abc import Sequence

import numpy as np

from anomaly.learn.conformal import SHARES, Errors
from anomaly.learn.life import Life
from anomaly.learn.model import ModeModel
from anomaly.learn.trend import Trend
from anomaly.records import LIFE_SHARES, FloatArray

HORIZONS_HOURS = (24.0, 168.0, 720.0)
"""A day, a week, a month."""
LIFE_HOURS: FloatArray = np.union1d(np.geomspace(1.0, 3 * 8766.0, 120), HORIZONS_HOURS)
"""At which the curve is known: to three years, dense where it matters, the horizons among them."""
ROWS_AT_ONCE = 8_192
"""Rows whose curves are in memory together."""
_LEAST = 1e-6
"""Chance below which a stretch is not cut up any further."""


def outlook_rows(
    model: ModeModel, x: FloatArray, life_hours: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Forecast rows of features.

    Parameters
    ----------
    x : ndarray, shape (rows, features)
        As the model's spec makes them.
    life_hours : ndarray, shape (rows,), optional
        Estimates of remaining life, filtered along each part (`anomaly.learn.remaining`); None: the hazard alone.

    Returns
    -------
    tuple of ndarray
        Chance of failing within `HORIZONS_HOURS`, (rows, 3); quantiles of remaining life at
        `LIFE_SHARES` in hours, inf beyond three years, (rows, 5). A quantile is at most a horizon just where the
        chance within it is at least the quantile's share.
    """
    chance, life = [np.empty((0, len(HORIZONS_HOURS)))], [np.empty((0, len(LIFE_SHARES)))]
    for first in range(0, len(x), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        failed = failed_by(model, x[part], None if life_hours is None else life_hours[part])
        chance.append(failed[:, np.searchsorted(LIFE_HOURS, HORIZONS_HOURS)])
        life.append(quantiles_of(failed))
    return np.concatenate(chance), np.concatenate(life)


def failed_by(model: ModeModel, x: FloatArray, life_hours: FloatArray | None) -> FloatArray:
    """Chance of having failed by each of `LIFE_HOURS`, never falling; (rows, hours). Parameters as in `outlook_rows`."""
    failed = np.maximum.accumulate(1 - model.survival(x, LIFE_HOURS.tolist()), axis=1)
    told = model.life or model.trend
    if told is None or life_hours is None:
        return np.asarray(failed)
    return shaped_by_life(failed, told, life_hours, share=model.life_share)


def curve_through(chance: FloatArray, horizons_hours: Sequence[float]) -> FloatArray:
    """Chance of having failed by each of `LIFE_HOURS` where only that within some horizons is known; (rows, hours).

    The hazard is constant between two horizons, and goes on after the last.

    Parameters
    ----------
    chance : ndarray, shape (rows, horizons)
        Rising in each row.
    """
    passed = -np.log1p(-np.clip(chance, 0, 1 - 1e-12))
    at = np.array([0.0, *horizons_hours])
    points = np.concatenate([np.zeros((len(chance), 1)), passed], axis=1)
    place = np.clip(np.searchsorted(at, LIFE_HOURS) - 1, 0, len(at) - 2)
    part = (LIFE_HOURS - at[place]) / (at[place + 1] - at[place])
    inside = points[:, place] + part * (points[:, place + 1] - points[:, place])
    return np.asarray(-np.expm1(-inside))


def shaped_by_life(
    failed: FloatArray, told: Life | Trend, life_hours: FloatArray, *, share: float
) -> FloatArray:
    """Give a hazard's curve the shape of the remaining life that lives which ended have taught; (rows, hours).

    Where nothing is said of a row (NaN), or its end is not in sight, the curve stays.
    """
    if share <= 0 or told.errors is None:
        return failed
    knots = [*HORIZONS_HOURS, max(told.cap_hours, HORIZONS_HOURS[-1])]
    is_known = np.isfinite(life_hours)
    by_life = life_by(told.errors, np.where(is_known, life_hours, 0.0))
    return np.where(is_known[:, None], shaped(failed, by_life, knots=knots, share=share), failed)


def life_by(errors: Errors, life_hours: FloatArray) -> FloatArray:
    """Chance that a part which fails has failed by each of `LIFE_HOURS`; (rows, hours)."""
    ends = np.stack([errors.quantile(life_hours, float(share)) for share in SHARES], axis=1)
    found = np.empty((len(life_hours), len(LIFE_HOURS)))
    for row, own in enumerate(ends):
        found[row] = np.interp(LIFE_HOURS, own, SHARES, left=0.0, right=1.0)
    return found


def shaped(
    failed: FloatArray,
    told: FloatArray,
    *,
    knots: Sequence[float],
    share: float,
) -> FloatArray:
    """Give a curve the shape of another one between the hours where it is sure.

    Parameters
    ----------
    failed : ndarray, shape (rows, hours)
        Chance of having failed by each of `LIFE_HOURS`, as the hazard has it.
    told : ndarray, shape (rows, hours)
        The same of parts that fail.
    knots : sequence of float
        Hours, rising, at which `failed` stands (at the first of `LIFE_HOURS` that is not less), and after which all of
        it does.
    share : float
        Of the other shape, from 0 to 1.
    """
    found = failed.copy()
    first = -1
    places = np.minimum(np.searchsorted(LIFE_HOURS, knots), len(LIFE_HOURS) - 1)
    for last in np.unique(places).tolist():
        inside = slice(first + 1, last + 1)
        start, end = _before(failed, first), failed[:, [last]]
        start_told, end_told = _before(told, first), told[:, [last]]
        passed = _part(told[:, inside] - start_told, end_told - start_told)
        mixed = share * (start + (end - start) * passed) + (1 - share) * failed[:, inside]
        is_told = end_told - start_told > _LEAST
        found[:, inside] = np.where(is_told, mixed, failed[:, inside])
        found[:, last] = failed[:, last]
        first = last
    return np.asarray(np.maximum.accumulate(found, axis=1))


def quantiles_of(failed: FloatArray) -> FloatArray:
    """First hours at which the chance of having failed has reached each of `LIFE_SHARES`, else inf; (rows, shares)."""
    columns = []
    rows = np.arange(len(failed))
    for share in LIFE_SHARES:
        place = (failed < share).sum(axis=1)
        after = np.minimum(place, len(LIFE_HOURS) - 1)
        before = np.maximum(after - 1, 0)
        low, high = failed[rows, before], failed[rows, after]
        part = np.clip((share - low) / np.maximum(high - low, 1e-12), 0, 1)
        hours = LIFE_HOURS[before] + part * (LIFE_HOURS[after] - LIFE_HOURS[before])
        columns.append(np.where(place < len(LIFE_HOURS), hours, np.inf))
    return np.stack(columns, axis=1)


def _before(curve: FloatArray, place: int) -> FloatArray:
    """The curve at a place, 0 before the first; (rows, 1)."""
    return curve[:, [place]] if place >= 0 else np.zeros((len(curve), 1))


def _part(some: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray(some / np.maximum(whole, 1e-300))
