"""How surprising a number is: minus the decimal logarithm of the chance that calm data show more. Pure.

1 is seen in one of ten calm windows, 3 in one of a thousand. In these units parts of different kinds can
be laid side by side, and a false-alarm budget becomes a threshold without looking at the data.
"""

from datetime import timedelta

import numpy as np
from scipy.special import fdtrc, ndtri, stdtr

from anomaly.records import FloatArray

YEAR = timedelta(days=365.25)
_LEAST = 1e-300


def surprise_of_spread(spreads: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the surprise of a deviation in learned spreads, to either side.

    A spread that was learned from few independent values is itself uncertain: Student's tail.
    """
    return np.asarray(-np.log10(np.maximum(2 * stdtr(freedom, -np.abs(spreads)), _LEAST)))


def surprise_of_sum(
    sums: FloatArray, freedom: FloatArray, *, slack: float, decision: float
) -> FloatArray:
    """Return the surprise of a two-sided cumulative sum that is taken for each of `decision` windows anew.

    Calm data reach a sum once in an average run length, which Siegmund's approximation tells. A spread that
    was learned from few values makes that less sure: as for a single deviation of the same surprise.

    Parameters
    ----------
    sums : ndarray
        The larger of both sides, in spreads of independent values.
    freedom : ndarray
    slack : float
        Taken off every value before it is added.
    decision : float
        Windows in which an alert would be one.

    References
    ----------
    Siegmund (1985), Sequential Analysis, section 2.6. doi:10.1007/978-1-4757-1862-1
    """
    reach = 2 * slack * (sums + 1.166)
    length = (np.exp(reach) - 1 - reach) / (2 * slack**2)
    chance = np.clip(2 * decision / length, _LEAST, 1.0)
    return surprise_of_spread(-ndtri(chance / 2), freedom)


def sum_for(surprise: FloatArray, *, slack: float, decision: float) -> FloatArray:
    """Return about the sum that has a surprise, where spreads are known for certain."""
    length = 2 * decision * 10.0**surprise
    return np.asarray(np.log(length * 2 * slack**2) / (2 * slack) - 1.166)


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
