"""How surprising a number is: minus the decimal logarithm of the chance that calm data show more. Pure.

1 is seen in one of ten calm windows, 3 in one of a thousand. In these units parts of different kinds can
be laid side by side, and a false-alarm budget becomes a threshold without looking at the data.
"""

from datetime import timedelta

import numpy as np
from scipy.special import fdtrc, stdtr

from anomaly.records import FloatArray

YEAR = timedelta(days=365.25)
_LEAST = 1e-300


def surprise_of_spread(spreads: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the surprise of a deviation in learned spreads, to either side.

    A spread that was learned from few independent values is itself uncertain: Student's tail.
    """
    return np.asarray(-np.log10(np.maximum(2 * stdtr(freedom, -np.abs(spreads)), _LEAST)))


def surprise_of_ratio(ratio: FloatArray, metrics: int, freedom: FloatArray) -> FloatArray:
    """Return the surprise of a squared distance, as a ratio to what is normal: Hotelling's F tail."""
    return np.asarray(-np.log10(np.maximum(fdtrc(metrics, freedom, ratio), _LEAST)))


def threshold_for(budget_per_year: float, *, decision: timedelta) -> float:
    """Surprise from which on alerts stay within a budget of false ones per device-year.

    Parameters
    ----------
    budget_per_year : float
        False alarms of one device in a year, greater than 0.
    decision : timedelta
        Time after which a calm device's score has forgotten what it was: so often it is a new decision.
    """
    return float(max(1.0, np.log10(YEAR / decision / budget_per_year)))
