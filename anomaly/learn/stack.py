"""How much each of several forecasters counts: by what they said of devices that they had not seen. Pure.

Shares of a mixture of chances, the likeliest ones for what happened (EM; the likelihood has one summit).

References
----------
Smyth, Wolpert (1999), Linearly combining density estimators via stacking, Mach. Learn. 36.
doi:10.1023/A:1007511322260
"""

from collections.abc import Sequence

import numpy as np

from anomaly.learn.calibration import known_weights
from anomaly.learn.conformal import device_weights
from anomaly.learn.outcome import Outcome
from anomaly.records import FloatArray, IntArray

ROUNDS = 60
LEAST = 0.05
"""A share below it is not worth its time."""
SURE = 1.0
"""Standard errors, over devices, by which a mixture must do better than the simplest forecaster."""
_TINY = 1e-9


def mixture(
    chances: Sequence[FloatArray],
    outcome: Outcome,
    groups: IntArray,
    *,
    horizons_hours: Sequence[float],
) -> FloatArray:
    """Return the share of each forecaster, the first one being the simplest: it stands in doubt.

    Parameters
    ----------
    chances : sequence of ndarray, shape (rows, horizons)
        What each said, of devices that it had not learned from.
    outcome : Outcome
        What came after each row.
    groups : ndarray, shape (rows,)
        Rows of one number are no independent cases.

    Returns
    -------
    ndarray, shape (forecasters,)
        Not below 0; the sum is 1.
    """
    likely, weight = _likely(chances, outcome, groups, horizons_hours)
    shares = _likeliest(likely, weight)
    simple = np.eye(len(chances))[0]
    mixed = np.tensordot(shares, likely, axes=1)
    own = (weight * (np.log(mixed) - np.log(likely[0]))).sum(axis=1)
    return shares if is_surely_positive(own, groups) else simple


def _likely(
    chances: Sequence[FloatArray],
    outcome: Outcome,
    groups: IntArray,
    horizons_hours: Sequence[float],
) -> tuple[FloatArray, FloatArray]:
    """Chance that each gave to what happened, and how much each row and horizon counts."""
    weight = np.stack([known_weights(outcome, h) for h in horizons_hours], axis=1)
    if len(groups):
        weight = weight * device_weights(groups)[:, None]
    failed = np.stack([outcome.has_failed & (outcome.hours <= h) for h in horizons_hours], axis=1)
    said = [np.clip(chance, _TINY, 1 - _TINY) for chance in chances]
    return np.stack([np.where(failed, p, 1 - p) for p in said]), weight


def _likeliest(likely: FloatArray, weight: FloatArray) -> FloatArray:
    total = weight.sum()
    shares = np.full(len(likely), 1 / len(likely))
    for _ in range(ROUNDS if total > 0 else 0):
        part = shares[:, None, None] * likely
        shares = (weight * part / part.sum(axis=0)).sum(axis=(1, 2)) / total
    shares = np.where(shares < LEAST, 0.0, shares)
    return np.asarray(shares / shares.sum())


def is_surely_positive(gain: FloatArray, groups: IntArray, *, sure: float = SURE) -> bool:
    """Whether the mean over groups is above 0 by so many standard errors."""
    _, place = np.unique(groups, return_inverse=True)
    own = np.bincount(place, weights=gain)
    if len(own) < 2:
        return False
    return bool(own.mean() > sure * own.std(ddof=1) / np.sqrt(len(own)))
