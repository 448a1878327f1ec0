"""Devices left out, and what a first trial on them tells: the kernel's strengths, up to where lives differ. Pure."""

import numpy as np

from anomaly.learn.conformal import DEVICES_MIN, device_weights
from anomaly.learn.kernel import RIDGES, WIDTHS, fit_kernel
from anomaly.learn.members import Lives, Strengths
from anomaly.records import FloatArray, IntArray

FOLDS = 5
ALONE_MAX = 10
"""Up to so many lives, each is left out by itself."""
TRIAL_ROWS = 4_000
TOLD_APART = 0.9
"""Share of the variance of lives up to the cap that must be explained on devices left out."""
CAP_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def folds(device: IntArray, *, seed: int) -> IntArray:
    """Number of the part in which each row's device is left out; (rows,)."""
    names, place = np.unique(device, return_inverse=True)
    count = len(names) if len(names) <= ALONE_MAX else FOLDS
    drawn = np.empty(len(names), dtype=np.int64)
    drawn[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % count
    return np.asarray(drawn[place])


def choose_strengths(lives: Lives, fold: IntArray, *, seed: int) -> Strengths:
    """Return the width and the ridge with the smallest error on devices left out."""
    cap = float(np.quantile(lives.left_hours, 0.6))
    best, least = Strengths(width=WIDTHS[0], ridge=RIDGES[0]), np.inf
    for width in WIDTHS:
        for ridge in RIDGES:
            tried = Strengths(width=width, ridge=ridge)
            rows, said = _trial(lives, fold, tried, cap=cap, seed=seed)
            error = lives.take(rows).rmse(said, cap=cap)
            if error < least:
                best, least = tried, error
    return best


def choose_cap(lives: Lives, fold: IntArray, strengths: Strengths, *, seed: int) -> float:
    """Longest life that can still be told from shorter ones; without many lives, there is none."""
    longest = float(lives.left_hours.max())
    if len(np.unique(lives.device)) < DEVICES_MIN:
        return longest
    for share in reversed(CAP_SHARES):
        cap = float(np.quantile(lives.left_hours, share))
        rows, said = _trial(lives, fold, strengths, cap=cap, seed=seed)
        tested = lives.take(rows)
        weight = device_weights(tested.device)
        truth = np.minimum(tested.left_hours, cap)
        spread = np.average((truth - np.average(truth, weights=weight)) ** 2, weights=weight)
        if tested.rmse(said, cap=cap) ** 2 <= (1 - TOLD_APART) * spread:
            return cap
    return longest


def _trial(
    lives: Lives, fold: IntArray, strengths: Strengths, *, cap: float, seed: int
) -> tuple[IntArray, FloatArray]:
    """Kernel estimates of a part of the lives that were left out of a part of the rows."""
    tested, said = [], []
    for number in range(2 if fold.max() + 1 == FOLDS else int(fold.max()) + 1):
        learn = lives.thinned(np.flatnonzero(fold != number), most=TRIAL_ROWS)
        test = lives.thinned(np.flatnonzero(fold == number), most=TRIAL_ROWS)
        model = fit_kernel(
            lives.x[learn], np.minimum(lives.left_hours[learn], cap),
            device_weights(lives.device[learn]),
            width=strengths.width, ridge=strengths.ridge, seed=seed, rounds=0,
        )  # fmt: skip
        tested.append(test)
        said.append(np.clip(model.predict(lives.x[test]), 0, cap))
    return np.concatenate(tested), np.concatenate(said)
