"""The bare arithmetic that a scorer cannot do without: EWMA and two-sided CUSUM of arrays. Pure."""

import numpy as np

from anomaly.records import FloatArray

_SMOOTHING = 1 / 16
_SLACK, _LIMIT = 0.5, 5.0


def ewma_and_cusum(values: FloatArray) -> int:
    """Run both over time, all devices and metrics side by side; return how many values alarm.

    Parameters
    ----------
    values : ndarray of float64, shape (minutes, devices, metrics)
    """
    level = values[0].copy()
    spread = np.ones_like(level)
    high, low = np.zeros_like(level), np.zeros_like(level)
    alarms = 0
    for row in values:
        away = row - level
        level += _SMOOTHING * away
        spread += _SMOOTHING * (away * away - spread)
        score = away / np.sqrt(spread)
        high = np.maximum(0.0, high + score - _SLACK)
        low = np.maximum(0.0, low - score - _SLACK)
        alarms += int(((high > _LIMIT) | (low > _LIMIT)).sum())
    return alarms
