"""What of a score is new: an excursion is told once, and again only when it has become stranger. Pure.

For every threshold at once this marks the scores at which a policy with a cool-down would open an alert.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d

from anomaly.records import FloatArray


def news_of(score: FloatArray, *, quiet: int) -> FloatArray:
    """Keep scores that are higher than all of the last `quiet`; 0 elsewhere, NaN stays.

    Parameters
    ----------
    score : ndarray of float64, shape (rows,)
        Oldest first.
    quiet : int
        Cool-down, rows, at least 1.
    """
    known = np.nan_to_num(score, nan=0.0)
    padded = np.concatenate([np.zeros(quiet), known])
    # the filter's window ends at the row before: rows - quiet .. row - 1
    before = maximum_filter1d(padded, size=quiet, origin=(quiet - 1) // 2, mode="constant")
    before = before[quiet - 1 : quiet - 1 + len(known)]
    return np.where(np.isnan(score), np.nan, np.where(known > before, known, 0.0))
