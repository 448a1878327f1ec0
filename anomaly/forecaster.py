"""From the path of degradation to the chance of failure and the remaining life. Pure, no dice.

A path is explained by many laws of wear at once: every onset on a grid times every shape on a list
(quick at first, linear, faster and faster, exponential). For each law the rate is a weighted least
squares fit with a normal posterior, so the time at which degradation reaches 1 has a distribution
in closed form; the laws are mixed by how well they explain the path.
"""

from functools import cache

import numpy as np
from scipy.special import log_ndtr, ndtr

from anomaly.records import LIFE_SHARES, FloatArray, IntArray, Outlook

_POWERS = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0)
_GROWTHS = (1.0, 2.0, 3.5)
_SHAPE_PRIOR = np.array([0.6, 0.9, 1.6, 1.2, 1.2, 0.8, 0.8, 0.8, 0.4])
_ONSETS = 24
_SHAPES = len(_POWERS) + len(_GROWTHS)
_SHARE_MIN = 1e-5
"""Laws that are less likely than this are left out: most explain nothing."""
_POINTS_MAX = 60
_LAW_ERROR = 0.16
"""Relative error of a law's future, and of the level at which parts really fail."""
_PATH_ERROR = 0.05  # relative error of one value of the path
HORIZON_HOURS = 24.0 * 365 * 3
_HOURS = np.concatenate([[0.0], np.geomspace(1e-3, HORIZON_HOURS, 180)])


@cache
def base_outlook(failures_per_year: float) -> Outlook:
    """Chance of failure of a device that shows no sign."""
    rate = failures_per_year / 365.25
    return Outlook(
        p_fail_1d=float(-np.expm1(-rate)),
        p_fail_7d=float(-np.expm1(-7 * rate)),
        p_fail_30d=float(-np.expm1(-30 * rate)),
    )


def forecast_path(  # noqa: PLR0913 - a path and what is known of it, named
    hours: FloatArray,
    degradation: FloatArray,
    *,
    noise: float,
    lag_hours: float,
    correlated: float,
    belief: float,
    base: Outlook,
) -> Outlook:
    """Extrapolate a path of degradation to 1.

    Parameters
    ----------
    hours : ndarray, shape (n,)
        Time of each value before now, at most 0, rising.
    degradation : ndarray, shape (n,)
        0 as new to 1 failed.
    noise : float
        Standard deviation of one value of a healthy device.
    lag_hours : float
        By how much the smoothed path is behind.
    correlated : float
        How many values of the smoothed path are worth one independent one.
    belief : float
        Probability that this is wear at all; the rest of the chance is `base`.
    base : Outlook
        Chance of failure without any sign.

    Returns
    -------
    Outlook
        Probabilities that rise with the horizon, quantiles in order.
    """
    block = -(-len(hours) // _POINTS_MAX)
    past = _thinned(hours, block) - lag_hours
    values = _thinned(np.clip(degradation, 0.0, 1.5), block)
    chance = _mixture(past, values, noise=max(noise, 1e-3), repeats=max(1.0, correlated / block))
    p = [
        _mixed(belief, float(np.interp(24.0 * days, _HOURS, chance)), healthy)
        for days, healthy in ((1, base.p_fail_1d), (7, base.p_fail_7d), (30, base.p_fail_30d))
    ]
    life = [_quantile(chance, share) for share in LIFE_SHARES]
    return Outlook(
        p_fail_1d=p[0],
        p_fail_7d=max(p[1], p[0]),
        p_fail_30d=max(p[2], p[1], p[0]),
        life_hours_q05=life[0],
        life_hours_q10=life[1],
        life_hours_q50=life[2],
        life_hours_q90=life[3],
        life_hours_q95=life[4],
    )


def _thinned(values: FloatArray, block: int) -> FloatArray:
    """Means of blocks, the newest block whole."""
    if block <= 1:
        return values
    kept = values[len(values) % block :]
    return np.asarray(kept.reshape(-1, block).mean(axis=1))


def _mixed(belief: float, wear: float, healthy: float) -> float:
    return float(np.clip(1 - (1 - belief * wear) * (1 - healthy), 0.0, 1.0))


def _mixture(past: FloatArray, values: FloatArray, *, noise: float, repeats: float) -> FloatArray:
    """Distribution function of the time to failure on the grid of hours."""
    ages = np.maximum(past - _onsets(past)[:, None], 0.0)  # since each onset, at each value
    now = np.maximum(ages[:, -1:], 1e-9)
    curve = _curves(ages / now)
    variance = (noise**2 + (_PATH_ERROR * values) ** 2) * repeats
    weight = 1 / variance
    power = np.maximum(curve**2 @ weight, 1e-12)
    rate = curve @ (weight * values) / power
    error = values**2 @ weight - rate**2 * power
    spread = np.sqrt(1 / power + (_LAW_ERROR * rate) ** 2)
    evidence = -0.5 * error + np.log(np.tile(_SHAPE_PRIOR, _ONSETS)) + log_ndtr(rate / spread)
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    likely = np.flatnonzero(share > _SHARE_MIN)
    needed = _needed((ages[:, -1:] - past[-1] + _HOURS) / now, likely)
    by_then = ndtr((rate[likely, None] - needed) / spread[likely, None])
    chance = share[likely] @ by_then / share[likely].sum()
    # It has not failed yet: all that would have happened before now is excluded.
    chance = (chance - chance[0]) / max(1 - chance[0], 1e-9)
    return np.asarray(np.maximum.accumulate(np.clip(chance, 0.0, 1.0)))


def _onsets(past: FloatArray) -> FloatArray:
    """When it may have begun, hours before now."""
    span = past[-1] - past[0]
    step = max(span / max(len(past) - 1, 1), 1e-6)
    early = past[0] - np.geomspace(max(span, step), step, 6)
    return np.concatenate([early, np.linspace(past[0], past[-1] - step, _ONSETS - 6)])


def _curves(relative: FloatArray) -> FloatArray:
    """Each onset's values by each shape, scaled to 1 at the newest; (laws, n)."""
    out = np.empty((len(relative), _SHAPES, relative.shape[1]))
    with np.errstate(divide="ignore"):
        logs = np.log(relative)
    for place, power in enumerate(_POWERS):
        out[:, place] = relative if power == 1 else np.exp(power * logs)
    for place, growth in enumerate(_GROWTHS, start=len(_POWERS)):
        out[:, place] = np.expm1(growth * relative) / np.expm1(growth)
    return out.reshape(-1, relative.shape[1])


def _needed(relative: FloatArray, laws: IntArray) -> FloatArray:
    """Degradation now that reaches 1 by each hour of the grid, of some laws; (laws, hours)."""
    onset, shape = np.divmod(laws, _SHAPES)
    logs = np.log(relative)
    out = np.empty((len(laws), relative.shape[1]))
    for place, power in enumerate(_POWERS):
        own = shape == place
        out[own] = np.exp(-power * logs[onset[own]])
    for place, growth in enumerate(_GROWTHS, start=len(_POWERS)):
        own = shape == place
        grown = np.expm1(np.minimum(growth * relative[onset[own]], 300.0))
        out[own] = np.expm1(growth) / grown
    return out


def _quantile(chance: FloatArray, share: float) -> float | None:
    if chance[-1] <= share:
        return None
    place = int(np.searchsorted(chance, share))
    low, high = chance[max(place - 1, 0)], chance[place]
    part = (share - low) / (high - low) if high > low else 1.0
    return float(_HOURS[max(place - 1, 0)] + part * (_HOURS[place] - _HOURS[max(place - 1, 0)]))
