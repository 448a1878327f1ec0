"""The chance of failing in each stretch of the future, learned from the past of many devices. Pure.

Each row of features is crossed with intervals of the time after it (person-periods): did the failure
come in this interval, given that it had not come before? Boosted trees answer; survival is the product
of the answers, so it falls over any horizons. A censored row counts as far as it was observed: an
interval that was cut short counts by the share that was seen. Within an interval the hazard is constant,
and beyond the last one it goes on as in the last.

How many trees: as many as did best on groups of rows left out (devices, or stretches of time when few
devices fail). Where none did better than a constant, or where fewer than `FAILURES_MIN` failures are
known, there is nothing to learn: the rate of all devices stands, a gamma-Poisson estimate.

References
----------
Singer, Willett (1993), J. Educ. Stat. 18(2). doi:10.3102/10769986018002155
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from anomaly.learn.outcome import Outcome
from anomaly.learn.trees import Trees
from anomaly.records import BoolArray, FloatArray, IntArray

FAILURES_MIN = 10
"""Fewer failures than this teach trees nothing that lasts: about ten events per thing learned.
Peduzzi et al. (1996), J. Clin. Epidemiol. 49(12). doi:10.1016/S0895-4356(96)00236-3"""
PERIODS_MAX = 60_000
"""Person-periods that trees are grown from; beyond, rows without failure are thinned and weighted up."""
ROWS_AT_ONCE = 20_000
"""Rows that are forecast together: a copy of all of them with each interval's end would be as large as they are."""
FOLDS = 3
TREES_TRIED = (5, 10, 20, 40, 80, 160)
L2 = 30.0
"""Rows of one device are near copies of each other: leaves are drawn to nothing as if so many more rows
said nothing. Of 1, 10, 50, 100 on training parts, 10 to 100 differed little and 1 was worse by a sixth."""
EXTRA_EDGES = 4
"""Quantiles of the times to failure that cut the future beside the horizons."""
PRIOR_FAILURES = 0.5
PRIOR_HOURS = 10 * 8766.0
"""A mode of which nothing is known: 0.05 failures a year, counted as half a failure (Jeffreys' shape)."""
_SHARES = np.linspace(0, 1, 125)
_TINY = 1e-9


class Hazard(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What was learned of one failure mode."""

    edges_hours: tuple[float, ...]
    """Ends of the intervals, rising; the first begins at the forecast."""
    members: tuple[Trees, ...] = ()
    """One per seed, averaged; empty: only the rate is known."""
    rate_per_hour: float
    """Of all devices together."""
    trees: int = 0
    """In each member, as the rows left out chose."""
    loss_ratio: float | None = None
    """Log loss on the rows left out, over that of a constant hazard per interval; None: not learned."""

    @cached_property
    def _starts(self) -> FloatArray:
        return np.array([0.0, *self.edges_hours])

    def cumulative(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Cumulative hazard of each row up to each horizon; shape (rows, horizons), rising in hours."""
        wanted = np.asarray(hours, dtype=np.float64)
        if not self.members:
            return np.tile(wanted * self.rate_per_hour, (len(x), 1))
        known = np.concatenate([np.zeros((len(x), 1)), np.cumsum(self._steps(x), axis=1)], axis=1)
        starts = self._starts
        place = np.clip(np.searchsorted(starts, wanted, side="left") - 1, 0, len(starts) - 2)
        share = (wanted - starts[place]) / (starts[place + 1] - starts[place])
        step = known[:, place + 1] - known[:, place]
        return np.asarray(known[:, place] + np.maximum(share, 0) * step)

    def survival(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Chance of not having failed by each horizon; shape (rows, horizons), falling in hours."""
        return np.asarray(np.exp(-self.cumulative(x, hours)))

    def _steps(self, x: FloatArray) -> FloatArray:
        """Cumulative hazard within each interval; shape (rows, intervals)."""
        steps = np.empty((len(x), len(self.edges_hours)))
        for first in range(0, len(x), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            crossed = np.concatenate([x[part], np.empty((len(x[part]), 1))], axis=1)
            for column, edge in enumerate(self.edges_hours):
                crossed[:, -1] = edge
                chance = np.mean([trees.predict(crossed) for trees in self.members], axis=0)
                steps[part, column] = -np.log1p(-np.minimum(chance, 1 - _TINY))
        return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Rows crossed with intervals."""

    row: IntArray
    interval: IntArray
    has_failed: BoolArray
    weight: FloatArray

    def at(self, rows: IntArray) -> "Periods":
        """Return the same of rows that stand at these places."""
        return replace(self, row=rows[self.row])

    def take(self, chosen: IntArray, *, scale: FloatArray) -> "Periods":
        return Periods(
            row=self.row[chosen],
            interval=self.interval[chosen],
            has_failed=self.has_failed[chosen],
            weight=self.weight[chosen] * scale,
        )


def fit_hazard(  # noqa: PLR0913 - rows and what is known of them, named
    x: FloatArray,
    outcome: Outcome,
    *,
    groups: IntArray,
    failures: int,
    exposure_hours: float,
    horizons_hours: Sequence[float],
    seeds: Sequence[int],
    trees: int | None = None,
    rows: IntArray | None = None,
) -> Hazard:
    """Learn the hazard of one failure mode.

    Parameters
    ----------
    x : ndarray, shape (rows, features)
    outcome : Outcome
        What came after each row.
    groups : ndarray, shape (rows,)
        Rows with the same number are left out together when the number of trees is chosen.
    failures : int
        Different failures that were seen; a failure is in many rows.
    exposure_hours : float
        Time that devices were watched for, all together.
    horizons_hours : sequence of float
        Horizons that will be asked for: the hazard may change there.
    trees : int, optional
        Do not choose the number of trees again; 0: nothing can be learned.
    rows : ndarray, optional
        Learn from these alone, without a copy of them.
    """
    used = np.arange(len(x)) if rows is None else rows
    outcome = Outcome(hours=outcome.hours[used], has_failed=outcome.has_failed[used])
    edges = choose_edges(outcome, horizons_hours)
    rate = (PRIOR_FAILURES + failures) / (PRIOR_HOURS + exposure_hours)
    plain = Hazard(edges_hours=edges, rate_per_hour=rate)
    names = np.unique(groups[used])
    if failures < FAILURES_MIN or len(names) < FOLDS or trees == 0:
        return plain
    periods = cross(outcome, edges).at(used)
    ratio = None
    if trees is None:
        trees, ratio = _choose_trees(
            x, periods, edges=edges, groups=groups, names=names, seed=seeds[0]
        )
    if trees == 0:
        return msgspec.structs.replace(plain, loss_ratio=ratio)
    members = tuple(Trees.of(_grow(x, periods, edges=edges, trees=trees, seed=s)) for s in seeds)
    return msgspec.structs.replace(plain, members=members, trees=trees, loss_ratio=ratio)


def choose_edges(outcome: Outcome, horizons_hours: Sequence[float]) -> tuple[float, ...]:
    """Cut the future at the horizons and where failures came, so that no interval is without any."""
    edges = {float(h) for h in horizons_hours}
    times = outcome.hours[outcome.has_failed & (outcome.hours > 0)]
    within = times[times <= max(edges)]
    if len(within):
        for quantile in np.quantile(within, np.linspace(0, 1, EXTRA_EDGES + 2)[1:-1]):
            apart = max(edges) / (4 * (EXTRA_EDGES + len(edges)))
            if min(abs(quantile - edge) for edge in edges) > apart and quantile > apart:
                edges.add(float(quantile))
    return tuple(sorted(edges))


def cross(outcome: Outcome, edges: Sequence[float]) -> Periods:
    """Cross every row with the intervals in which it was watched."""
    parts = []
    start = 0.0
    for number, end in enumerate(edges):
        failed = outcome.has_failed & (outcome.hours > start) & (outcome.hours <= end)
        if number == 0:
            failed |= outcome.has_failed & (outcome.hours <= 0)
        seen = np.clip((outcome.hours - start) / (end - start), 0, 1)
        weight = np.where(failed, 1.0, np.where(outcome.has_failed & (seen < 1), 0.0, seen))
        if outcome.sureness is not None:
            fails = outcome.has_failed & (outcome.hours <= edges[-1])
            weight = np.where(fails, weight, weight * outcome.sureness)
        rows = np.flatnonzero(weight > 0)
        parts.append((rows, np.full(len(rows), number), failed[rows], weight[rows]))
        start = end
    row, interval, has_failed, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Periods(row=row, interval=interval, has_failed=has_failed, weight=weights)


def _thin(periods: Periods, *, most: int, rng: np.random.Generator) -> Periods:
    """Draw at most so many person-periods: failures first, the others weighted up by what was left out."""
    if len(periods.row) <= most:
        return periods
    chosen, scales = [], []
    room = most
    for kind, share in ((periods.has_failed, 0.5), (~periods.has_failed, 1.0)):
        places = np.flatnonzero(kind)
        number = min(len(places), int(room * share))
        chosen.append(rng.choice(places, size=number, replace=False))
        scales.append(np.full(number, len(places) / max(number, 1)))
        room = most - number
    return periods.take(np.concatenate(chosen), scale=np.concatenate(scales))


def _grow(
    x: FloatArray, periods: Periods, *, edges: Sequence[float], trees: int, seed: int
) -> HistGradientBoostingClassifier:
    thin = _thin(periods, most=PERIODS_MAX, rng=np.random.default_rng(seed))
    model = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=trees,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=L2,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    )
    crossed = _to_few_values(_table(x, thin, edges))
    crossed[:, np.isnan(crossed).all(axis=0)] = 0.0  # nothing known: no split, and no error
    with threadpool_limits(limits=1, user_api="openmp"):
        model.fit(crossed, thin.has_failed, sample_weight=thin.weight)
    return model


def _to_few_values(table: FloatArray) -> FloatArray:
    """Round each column to the nearest of as many values as the trees have bins.

    Half are quantiles of the rows, half of the different values, so that rare ones keep their place.
    scikit-learn cuts between neighbouring values when they are few, so a stored threshold parts rows
    just as it did in training; with weights, finding the bins itself takes it longer than the trees.
    """
    for column in table.T:
        known = np.sort(column[~np.isnan(column)])
        if len(known):
            different = known[np.append(True, known[1:] != known[:-1])]
            values = np.unique(np.concatenate([_spread(known), _spread(different)]))
            place = np.searchsorted((values[:-1] + values[1:]) / 2, column, side="left")
            column[:] = np.where(np.isnan(column), np.nan, values[place])
    return table


def _spread(ordered: FloatArray) -> FloatArray:
    """As `np.quantile(ordered, _SHARES, method="nearest")`, of values that are sorted already."""
    return ordered[np.rint((len(ordered) - 1) * _SHARES).astype(np.int64)]


def _table(x: FloatArray, periods: Periods, edges: Sequence[float]) -> FloatArray:
    ends = np.asarray(edges)[periods.interval]
    return np.concatenate([x[periods.row], ends[:, None]], axis=1)


def _choose_trees(  # noqa: PLR0913 - rows and what is known of them, named
    x: FloatArray,
    periods: Periods,
    *,
    edges: Sequence[float],
    groups: IntArray,
    names: IntArray,
    seed: int,
) -> tuple[int, float]:
    """Return how many trees did best on groups left out (0: none did better than a constant), and how well."""
    rng = np.random.default_rng(seed)
    thin = _thin(periods, most=PERIODS_MAX // 3, rng=rng)
    names = rng.permutation(names)
    fold_of = dict(zip(names.tolist(), (np.arange(len(names)) % FOLDS).tolist(), strict=True))
    fold = np.array([fold_of[g] for g in groups[thin.row].tolist()])
    losses, constant, weight = np.zeros(len(TREES_TRIED)), 0.0, 0.0
    everything = np.ones(len(thin.row))
    for number in range(FOLDS):
        inside, left_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        learn = thin.take(inside, scale=everything[inside])
        test = thin.take(left_out, scale=everything[left_out])
        if learn.has_failed.sum() == 0 or len(test.row) == 0:
            continue
        model = _grow(x, learn, edges=edges, trees=max(TREES_TRIED), seed=seed)
        table = _table(x, test, edges)
        with threadpool_limits(limits=1, user_api="openmp"):
            for number_of_trees, chance in enumerate(model.staged_predict_proba(table), start=1):
                if number_of_trees in TREES_TRIED:
                    losses[TREES_TRIED.index(number_of_trees)] += _loss(chance[:, 1], test)
        constant += _loss(_constant(learn, len(edges))[test.interval], test)
        weight += float(test.weight.sum())
    best = int(np.argmin(losses))
    if weight == 0 or losses[best] >= constant:
        return 0, 1.0
    return TREES_TRIED[best], float(losses[best] / constant)


def _constant(periods: Periods, intervals: int) -> FloatArray:
    """Chance of failing per interval, the same for all rows."""
    failed = np.bincount(periods.interval, periods.weight * periods.has_failed, intervals)
    watched = np.bincount(periods.interval, periods.weight, intervals)
    return np.asarray((failed + _TINY) / (watched + 2 * _TINY))


def _loss(chance: FloatArray, periods: Periods) -> float:
    chance = np.clip(chance, _TINY, 1 - _TINY)
    each = np.where(periods.has_failed, np.log(chance), np.log1p(-chance))
    return -float(np.sum(periods.weight * each))
