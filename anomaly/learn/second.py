"""A second look at remaining life: what the members said, each by itself, and how old the device is. Pure.

The mean of the members counts each the same wherever it stands. But of a device that is worn, kernels know more;
far from the end, where nothing shows, all say too much for the old and too little for the young. So a small smooth
regression tells how far off the mean is where the members say what they say. It learns from estimates for
devices that the members did not see, and is kept only where it does better on devices that it did not see either.
"""

import msgspec
import numpy as np

from anomaly.learn.conformal import DEVICES_MIN, device_weights
from anomaly.learn.kernel import Kernel, fit_kernel
from anomaly.learn.members import Lives
from anomaly.records import FloatArray, IntArray

ROWS_MAX = 4_000
WIDTH, RIDGE = 0.3, 1.0
"""Of the kernel; on folds of turbofans neither a third nor three times of them changed the error by a hundredth."""
WORTH_IT = 0.99
"""It must bring the error below this share of what it is without."""


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """A correction of the mean of the members."""

    kernel: Kernel
    """From what each member says, and the age, to what is to be added; hours."""

    def look(
        self, mean: FloatArray, said: FloatArray, age_hours: FloatArray, *, cap: float
    ) -> FloatArray:
        """Return the remaining life that the members, (rows, members), and their mean speak of; hours, (rows,)."""
        return np.asarray(np.clip(mean + self.kernel.predict(_seen(said, age_hours)), 0.0, cap))


def fit_second(  # noqa: PLR0913 - estimates and what they are judged by, named
    mean: FloatArray,
    said: FloatArray,
    lives: Lives,
    fold: IntArray,
    *,
    cap: float,
    seed: int,
) -> tuple[Second | None, FloatArray]:
    """Learn the correction, and return it with corrected estimates for devices left out.

    Parameters
    ----------
    mean, said : ndarray, shape (rows,) and (rows, members)
        Estimates for devices that the members did not see, hours.
    lives, fold : Lives and ndarray, shape (rows,)
        What became of them, and the part in which each device is left out.
    cap : float
        Lives beyond it count as it, hours.
    seed : int
        Draws the kernel's landmarks.

    Returns
    -------
    tuple of Second or None, and ndarray, shape (rows,)
        None, and `mean` as it is, with fewer lives than `DEVICES_MIN` or where it brings too little.
    """
    if len(np.unique(lives.device)) < DEVICES_MIN:
        return None, mean
    looked = np.empty(len(mean))
    for number in range(int(fold.max()) + 1):
        second = _fitted(mean, said, lives, np.flatnonzero(fold != number), cap=cap, seed=seed)
        test = fold == number
        looked[test] = second.look(mean[test], said[test], lives.age_hours[test], cap=cap)
    if lives.rmse(looked, cap=cap) >= WORTH_IT * lives.rmse(mean, cap=cap):
        return None, mean
    return _fitted(mean, said, lives, np.arange(len(mean)), cap=cap, seed=seed), looked


def _fitted(  # noqa: PLR0913 - as above
    mean: FloatArray, said: FloatArray, lives: Lives, rows: IntArray, *, cap: float, seed: int
) -> Second:
    some = lives.thinned(rows, most=ROWS_MAX)
    kernel = fit_kernel(
        _seen(said[some], lives.age_hours[some]),
        np.minimum(lives.left_hours[some], cap) - mean[some],
        device_weights(lives.device[some]),
        width=WIDTH, ridge=RIDGE, seed=seed, rounds=0,
    )  # fmt: skip
    return Second(kernel=kernel)


def _seen(said: FloatArray, age_hours: FloatArray) -> FloatArray:
    return np.concatenate([said, age_hours[:, None]], axis=1)
