"""The chance of failing, read out of corrected quantiles of remaining life, so that the two never contradict each other. Pure."""

import numpy as np
from scipy.special import ndtr, ndtri

from anomaly.forecaster import base_outlook
from anomaly.lives import is_corrected
from anomaly.records import LIFE_SHARES, FloatArray
from anomaly.report import BELIEF, FAILURES_PER_YEAR

_HORIZONS_HOURS = (24.0, 168.0, 720.0)
_HOURS_MIN, _HOURS_MAX = 1e-2, 1e6
_STEP_MIN = 1e-3
"""Of the logarithm, between two quantiles: two that are equal give a steep rise, and no endless one."""
_normal = np.asarray(ndtri(LIFE_SHARES))


def chances_of(said_hours: FloatArray, life_hours: FloatArray, p_fail: FloatArray) -> FloatArray:
    """Return chances of failing within a day, a week and a month that agree with corrected lives.

    Parameters
    ----------
    said_hours, life_hours : ndarray, shape (n, 5)
        Quantiles of remaining life at `LIFE_SHARES`, as the laws have them and corrected.
    p_fail : ndarray, shape (n, 3)
        Chances as the laws have them: they stand where lives were not corrected.
    """
    is_open = is_corrected(said_hours)
    base = base_outlook(FAILURES_PER_YEAR)
    well = np.array([base.p_fail_1d, base.p_fail_7d, base.p_fail_30d])
    worn = [_within(life_hours[is_open], hours) for hours in _HORIZONS_HOURS]
    chance = 1 - (1 - BELIEF * np.stack(worn, axis=1)) * (1 - well)
    found = p_fail.copy()
    found[is_open] = np.maximum.accumulate(np.clip(chance, 0.0, 1.0), axis=1)
    return found


def _within(life_hours: FloatArray, hours: float) -> FloatArray:
    """Share of lives that are over by then: between quantiles, and beyond, the normal score rises with the logarithm; (n,)."""
    logs = np.log(np.clip(life_hours, _HOURS_MIN, _HOURS_MAX))
    at = np.log(hours)
    after = np.clip((logs < at).sum(axis=1), 1, len(_normal) - 1)
    rows = np.arange(len(logs))
    low, high = logs[rows, after - 1], logs[rows, after]
    slope = (_normal[after] - _normal[after - 1]) / np.maximum(high - low, _STEP_MIN)
    return np.asarray(ndtr(_normal[after - 1] + (at - low) * slope))
