"""Are the worse ones ranked higher? Average precision, Harrell's and Uno's C. Pure."""

import numpy as np

from anomaly.judge.calibration import kaplan_meier
from anomaly.records import BoolArray, FloatArray

_STAYS_MIN = 0.05
"""Share still watched below which a failure counts no more than there."""


def average_precision(
    score: FloatArray, happened: BoolArray, weight: FloatArray | None = None
) -> float | None:
    """Area under the steps of the precision-recall curve; None without an event.

    Parameters
    ----------
    score : ndarray, shape (rows,)
        Higher is worse; equal scores are one step. NaN rows are left out.
    happened : ndarray of bool, shape (rows,)
    weight : ndarray, shape (rows,), optional
    """
    known = ~np.isnan(score)
    w = np.ones(len(score)) if weight is None else weight
    s, y, w = score[known], happened[known], w[known]
    order = np.argsort(-s, kind="stable")
    s, hit, total = s[order], np.cumsum(w[order] * y[order]), np.cumsum(w[order])
    if not len(s) or hit[-1] <= 0:
        return None
    last = np.append(s[1:] != s[:-1], True) & (total > 0)
    gained = np.diff(hit[last], prepend=0.0)
    return float((gained * hit[last] / total[last]).sum() / hit[-1])


def macro_average_precision(score: FloatArray, happened: BoolArray) -> float | None:
    """Mean average precision over the columns that have an event; None if none has.

    Parameters
    ----------
    score, happened : ndarray, shape (rows, kinds)
    """
    found = [average_precision(score[:, k], happened[:, k]) for k in range(score.shape[1])]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def c_index(
    hours: FloatArray, has_failed: BoolArray, risk: FloatArray, weight: FloatArray | None = None
) -> float | None:
    """Harrell's C: in how many of the pairs whose order is known the sooner failure had the higher risk.

    A pair is known when the shorter time ended in a failure, or both times are equal and one of the two failed.
    Equal risks count half. O(n log n), by a tree of counts.

    Parameters
    ----------
    hours : ndarray, shape (rows,)
        Until the failure or the end of the observation.
    has_failed : ndarray of bool, shape (rows,)
    risk : ndarray, shape (rows,)
        Higher: expected to fail sooner.
    weight : ndarray, shape (rows,), optional
        Of the pairs in which the row is the one that failed sooner; by default all count alike.

    Returns
    -------
    float or None
        In [0, 1]; None without a known pair.

    References
    ----------
    Harrell et al. (1996), Stat. Med. 15. doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4
    """
    heavy = np.ones(len(hours)) if weight is None else weight
    rank = np.unique(risk, return_inverse=True)[1] + 1
    tree = np.zeros(int(rank.max(initial=0)) + 1, dtype=np.int64)
    order = np.lexsort(
        (has_failed, -hours)
    )  # longest first; at equal times the censored ones first
    pairs = concordant = tied = 0.0
    place, outlived = 0, 0
    while place < len(order):
        end = place
        while end < len(order) and hours[order[end]] == hours[order[place]]:
            end += 1
        group = order[place:end]
        censored, failed = group[~has_failed[group]], group[has_failed[group]]
        for row in censored:
            _add(tree, int(rank[row]))
        outlived += len(censored)
        for row in failed:
            lower, equal_or_lower = _below(tree, int(rank[row]) - 1), _below(tree, int(rank[row]))
            concordant += heavy[row] * lower
            tied += heavy[row] * (equal_or_lower - lower)
            pairs += heavy[row] * outlived
        for row in failed:
            _add(tree, int(rank[row]))
        outlived += len(failed)
        place = end
    return float((concordant + tied / 2) / pairs) if pairs else None


def c_index_within(
    hours: FloatArray, has_failed: BoolArray, risk: FloatArray, *, horizon_hours: float
) -> float | None:
    """Uno's C: of the failures before a horizon, as if no observation had ended early.

    Harrell's C counts a failure by how many others were still watched, so what fails in an age that few
    were watched in hardly counts. Here each failure at t counts 1/G(t-)² times, G being the share
    whose observation had not ended: the figure does not hang on when the devices were delivered.

    Parameters
    ----------
    horizon_hours : float
        Hours; beyond it too few are watched for weights that mean something.

    References
    ----------
    Uno et al. (2011), Stat. Med. 30(10). doi:10.1002/sim.4154
    """
    stays = kaplan_meier(hours, ~has_failed, leaves_first=has_failed).before(hours)
    weight = np.where(hours < horizon_hours, 1 / np.maximum(stays, _STAYS_MIN) ** 2, 0.0)
    return c_index(hours, has_failed, risk, weight)


def _add(tree: np.ndarray, place: int) -> None:
    while place < len(tree):
        tree[place] += 1
        place += place & -place


def _below(tree: np.ndarray, place: int) -> int:
    """How many were added at places up to and including this one."""
    total = 0
    while place > 0:
        total += int(tree[place])
        place -= place & -place
    return total
