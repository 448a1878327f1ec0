"""Operating states of a product, learned: what each metric is under the conditions of the moment. Pure.

Conditions fall into states (k-means), and within each state a metric is an affine function of them: a few
discrete modes become so many constants, a load that slides becomes a broken line. How many states there
are is decided by devices left out: the fewest that explain their metrics as well as any number.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
from sklearn.cluster import KMeans

from anomaly.learn.history import Catalog, History
from anomaly.learn.packed import Packed
from anomaly.records import FloatArray, IntArray, Reals

STATES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Numbers of states that are tried."""
WORTH_IT = 0.02
"""More states must leave this share less of the variance of devices left out."""
ROWS_MAX = 40_000
"""Windows that are learned from, spread evenly over all there are."""
RIDGE = 1e-3
"""Of the variance of a condition: what varies less than a thousandth within a state explains nothing."""
FLAT = 1e-6
"""A metric that moves by less than this share of its size says nothing."""


class Regimes(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """States, and the expectation of each metric in each."""

    conditions: tuple[int, ...]
    """Places among the catalog's metrics."""
    metrics: tuple[int, ...]
    """Places of the metrics that are judged; those that never move are left out."""
    middle: tuple[float, ...]
    """Mean of each condition."""
    scale: tuple[float, ...]
    """Standard deviation of each condition."""
    centres: Packed
    """In scaled conditions; (states, conditions)."""
    terms: Packed
    """Constant, then a slope per condition; (states, 1 + conditions, metrics)."""
    spread: Packed
    """Standard deviation of what is not explained; (states, metrics)."""

    @cached_property
    def states(self) -> int:
        return self.centres.shape[0]

    def state(self, values: Reals) -> IntArray:
        """Return the nearest state of each window; -1 where a condition is missing."""
        scaled = self._scaled(values)
        return _nearest(scaled, self.centres.array)

    def strange(self, values: Reals) -> FloatArray:
        """How far each judged metric is from what is usual in its state, in standard deviations.

        Parameters
        ----------
        values : ndarray, shape (windows, metrics of the catalog)
            NaN where missing.

        Returns
        -------
        ndarray, shape (windows, judged metrics)
        """
        scaled = self._scaled(values)
        state = _nearest(scaled, self.centres.array)
        known = np.maximum(state, 0)
        found = np.empty((len(values), len(self.metrics)))
        terms, spread = self.terms.array, self.spread.array
        for column, place in enumerate(self.metrics):
            expected = terms[known, 0, column]
            for number in range(len(self.conditions)):
                expected = expected + terms[known, number + 1, column] * scaled[:, number]
            found[:, column] = (values[:, place] - expected) / spread[known, column]
        found[state < 0] = np.nan
        return found

    def _scaled(self, values: Reals) -> FloatArray:
        chosen = values[:, list(self.conditions)]
        return np.asarray((chosen - np.array(self.middle)) / np.array(self.scale))


def fit_regimes(catalog: Catalog, histories: Sequence[History], *, seed: int = 0) -> Regimes:
    """Learn states from training histories; half of the devices decide how many."""
    values, device = _windows(histories)
    conditions = tuple(catalog.metrics.index(name) for name in catalog.conditions)
    watched = tuple(n for n in range(len(catalog.metrics)) if n not in conditions)
    chosen = values[:, list(conditions)]
    complete = np.isfinite(chosen).all(axis=1)
    chosen, device = chosen[complete], device[complete]
    target = values[complete][:, list(watched)]
    middle, scale = _location(chosen)
    scaled = (chosen - middle) / scale
    states = _how_many(scaled, target, device, seed=seed) if conditions else 1
    centres = _centres(scaled, states, seed=seed)
    terms = _terms(scaled, target, centres)
    spread = _spreads(scaled, target, centres, terms)
    kept = np.flatnonzero(np.isfinite(spread).any(axis=0))
    return Regimes(
        conditions=conditions,
        metrics=tuple(watched[n] for n in kept),
        middle=tuple(middle.tolist()),
        scale=tuple(scale.tolist()),
        centres=Packed.of(centres, "<f8"),
        terms=Packed.of(terms[:, :, kept], "<f8"),
        spread=Packed.of(spread[:, kept], "<f8"),
    )


def _windows(histories: Sequence[History]) -> tuple[FloatArray, IntArray]:
    total = sum(len(h.values) for h in histories)
    every = max(1, -(-total // ROWS_MAX))
    width = max((h.values.shape[1] for h in histories), default=0)
    parts = [h.values[::every].astype(np.float64) for h in histories if h.values.shape[1]]
    numbers = [np.full(len(h.values[::every]), n) for n, h in enumerate(histories)]
    if not parts:
        return np.empty((0, width)), np.empty(0, dtype=np.int64)
    return np.concatenate(parts), np.concatenate(
        [part for part, h in zip(numbers, histories, strict=True) if h.values.shape[1]]
    )


def _location(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    if not len(values):
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    middle, scale = values.mean(axis=0), values.std(axis=0)
    return middle, np.where(scale > FLAT * np.maximum(np.abs(middle), 1e-9), scale, 1.0)


def _nearest(scaled: FloatArray, centres: FloatArray) -> IntArray:
    distance = np.zeros((len(scaled), len(centres)))
    for number in range(scaled.shape[1]):
        distance += (scaled[:, number, None] - centres[None, :, number]) ** 2
    state = np.argmin(distance, axis=1)
    return np.where(np.isfinite(distance).all(axis=1), state, -1)


def _how_many(scaled: FloatArray, target: FloatArray, device: IntArray, *, seed: int) -> int:
    """Return the fewest states that leave about as little unexplained as the best number does."""
    learn = device % 2 == 0
    if learn.all() or not learn.any():
        return 1
    whole = np.nanvar(target[~learn], axis=0)
    used = np.sqrt(whole) > FLAT * np.maximum(np.nanmax(np.abs(target), axis=0), 1e-9)
    left: list[float] = []
    for states in STATES:
        if len(np.unique(scaled[learn], axis=0)) < states:
            break
        centres = _centres(scaled[learn], states, seed=seed)
        terms = _terms(scaled[learn], target[learn], centres)
        rest = _rest(scaled[~learn], target[~learn], centres, terms)
        share = np.nanmean(rest**2, axis=0)[used] / whole[used]
        left.append(float(np.mean(np.log(np.maximum(share, FLAT)))))
    if not left:
        return 1
    best = min(left)
    return next(s for s, value in zip(STATES, left, strict=False) if value <= best + WORTH_IT)


def _centres(scaled: FloatArray, states: int, *, seed: int) -> FloatArray:
    if states == 1 or not scaled.shape[1]:
        return np.zeros((1, scaled.shape[1]))
    model = KMeans(states, n_init=4, random_state=seed).fit(scaled)
    centres: FloatArray = model.cluster_centers_
    return centres[np.lexsort(centres.T[::-1])]


def _terms(scaled: FloatArray, target: FloatArray, centres: FloatArray) -> FloatArray:
    """Affine fit per state and metric, drawn towards a constant."""
    width = scaled.shape[1]
    terms = np.zeros((len(centres), 1 + width, target.shape[1]))
    state = _nearest(scaled, centres)
    for place in range(len(centres)):
        rows = state == place
        for metric in range(target.shape[1]):
            use = rows & np.isfinite(target[:, metric])
            if not use.any():
                continue
            x, y = scaled[use], target[use, metric]
            middle, mean = x.mean(axis=0), y.mean()
            power = (x - middle).T @ (x - middle) + RIDGE * len(x) * np.eye(width)
            slope = np.linalg.solve(power, (x - middle).T @ (y - mean)) if width else np.empty(0)
            terms[place, 0, metric] = mean - middle @ slope
            terms[place, 1:, metric] = slope
    return terms


def _rest(
    scaled: FloatArray, target: FloatArray, centres: FloatArray, terms: FloatArray
) -> FloatArray:
    state = _nearest(scaled, centres)
    expected = terms[state, 0] + np.einsum("nc,ncm->nm", scaled, terms[state, 1:])
    return np.asarray(target - expected)


def _spreads(
    scaled: FloatArray, target: FloatArray, centres: FloatArray, terms: FloatArray
) -> FloatArray:
    """Standard deviation around the expectation per state and metric; NaN where it never moves."""
    rest, state = _rest(scaled, target, centres, terms), _nearest(scaled, centres)
    size = FLAT * np.maximum(np.nanmax(np.abs(target), axis=0, initial=0.0), 1e-9)
    found = np.full((len(centres), target.shape[1]), np.nan)
    for place in range(len(centres)):
        own = rest[state == place]
        known = np.isfinite(own).sum(axis=0)
        spread = np.sqrt(np.nansum(own**2, axis=0) / np.maximum(known, 1))
        found[place] = np.where((known > 1) & (spread > size), spread, np.nan)
    return found
