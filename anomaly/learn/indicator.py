"""One sign of wear at a time: a curve that only rises or only falls, from one feature to the share of life used up. Pure.

With four lives, two hundred features and any learner that may combine them, chance looks like wear. A single feature
that goes one way along every life can still be told from chance: each is judged on lives that its curve has
not seen, and the few best are averaged.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression

from anomaly.learn.packed import Packed
from anomaly.records import BoolArray, FloatArray, IntArray

CANDIDATES = 12
"""Features whose ranks go most with the share: these are judged on lives left out."""
INDICATORS = 3
"""The best of them, averaged: with few lives the best one is the best partly by luck."""
ROWS_MAX = 2_000
FOLDS = 5
KNOWN_MIN = 0.8
"""Share of the rows in which a feature must be known."""
_UNKNOWN = 0.5


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """One feature's curve."""

    feature: int
    """Place among the features."""
    at: Packed
    """Values of the feature, rising."""
    share: Packed
    """Share of life used up at each of them; straight between two, level beyond the ends."""

    def predict(self, x: FloatArray) -> FloatArray:
        """Share of life used up; (rows,). A missing value says nothing: one half."""
        value = x[:, self.feature]
        known = np.isfinite(value)
        said = np.interp(np.where(known, value, 0.0), self.at.array, self.share.array)
        return np.where(known, said, _UNKNOWN)


def fit_indicators(
    x: FloatArray, share: FloatArray, device: IntArray, weight: FloatArray
) -> tuple[Indicator, ...]:
    """Return the curves of the features that tell the share best on devices left out.

    Parameters
    ----------
    x : ndarray, shape (rows, features)
        NaN where missing.
    share, device, weight : ndarray, shape (rows,)
        Share of life used up, whose row it is, and how much it counts.
    """
    part = slice(None, None, max(1, -(-len(x) // ROWS_MAX)))
    some, told, owner, counts = x[part], share[part], device[part], weight[part]
    candidates = _candidates(some, told)
    errors = [
        _error(some[:, place], told, owner, counts, is_rising=rises) for place, rises in candidates
    ]
    best = [candidates[n] for n in np.argsort(errors, kind="stable")[:INDICATORS]]
    return tuple(_curve(x, place, share, weight, is_rising=rises) for place, rises in best)


def _candidates(x: FloatArray, share: FloatArray) -> list[tuple[int, bool]]:
    """Places of the features that go with the share, and whether they rise with it."""
    known = np.isfinite(x)
    places = np.flatnonzero(known.mean(axis=0) >= KNOWN_MIN)
    ranks = np.stack([_centred_ranks(x[:, n], known[:, n]) for n in places] or [share * 0])
    told = _centred_ranks(share, np.ones(len(share), dtype=np.bool_))
    spread = np.sqrt((ranks**2).sum(axis=1) * (told**2).sum())
    along = (ranks * told).sum(axis=1) / np.where(spread > 0, spread, np.inf)
    order = np.argsort(-np.abs(along), kind="stable")[:CANDIDATES]
    return [(int(places[n]), bool(along[n] > 0)) for n in order if along[n] != 0]


def _centred_ranks(values: FloatArray, known: BoolArray) -> FloatArray:
    ranks = np.zeros(len(values))
    ranks[known] = rankdata(values[known])
    ranks[known] -= ranks[known].mean()
    return ranks


def _error(
    value: FloatArray, share: FloatArray, device: IntArray, weight: FloatArray, *, is_rising: bool
) -> float:
    """Weighted mean square error on devices left out."""
    known = np.isfinite(value)
    numbers = np.unique(device, return_inverse=True)[1]
    fold = numbers % min(int(numbers.max()) + 1, FOLDS)
    total = 0.0
    for number in range(int(fold.max()) + 1):
        learn, test = known & (fold != number), known & (fold == number)
        if learn.any() and test.any():
            model = _isotonic(value[learn], share[learn], weight[learn], is_rising=is_rising)
            total += float((weight[test] * (model.predict(value[test]) - share[test]) ** 2).sum())
    return total / float(weight[known].sum())


def _curve(
    x: FloatArray, place: int, share: FloatArray, weight: FloatArray, *, is_rising: bool
) -> Indicator:
    known = np.isfinite(x[:, place])
    model = _isotonic(x[known, place], share[known], weight[known], is_rising=is_rising)
    return Indicator(
        feature=place,
        at=Packed.of(model.X_thresholds_, "<f8"),
        share=Packed.of(model.y_thresholds_, "<f8"),
    )


def _isotonic(
    value: FloatArray, share: FloatArray, weight: FloatArray, *, is_rising: bool
) -> IsotonicRegression:
    model = IsotonicRegression(increasing=is_rising, out_of_bounds="clip")
    return model.fit(value, share, sample_weight=weight)


def mean_share(indicators: Sequence[Indicator], x: FloatArray) -> FloatArray:
    """Mean of what the curves say; one half without any."""
    said = [indicator.predict(x) for indicator in indicators]
    return np.asarray(np.mean(said, axis=0)) if said else np.full(len(x), _UNKNOWN)
