"""From samples to windows: means of metrics and of the terms that explain them. Pure.

A window's numbers depend on its own samples alone, never on how the samples arrived or on which
other devices were summed up with it: only additions within the window and multiplications per
sample, so a restart gives the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement, pairwise

import numpy as np

from anomaly.records import (
    BoolArray,
    FleetSamples,
    FloatArray,
    IntArray,
    Samples,
    of_one,
    side_by_side,
)
from core.product import Evidence, Product

Term = tuple[str, ...]
"""Conditions whose product explains a metric: ("load", "load") is load squared."""

COVERAGE_MIN = 0.6
"""A column counts in a window only if so much of the running samples have it."""
RUNNING_MIN = 0.2
"""A window counts only if the device ran for so much of it."""
FLAT_SAMPLES_MIN = 8
BLOCK_SAMPLES = 32_768
"""Samples that are summed up at once: their columns stay in the processor's cache."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a product are watched, and what explains them."""

    product: Product

    @cached_property
    def watched(self) -> tuple[str, ...]:
        """Metrics that are evidence of some failure mode, in the sheet's order."""
        used = {e.metric for mode in self.product.failure_modes for e in mode.evidence}
        return tuple(m.name for m in self.product.metrics if m.name in used)

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Operating conditions of all watched metrics, in the sheet's order."""
        used = {c for name in self.watched for c in self.product.metric(name).depends_on}
        return tuple(m.name for m in self.product.metrics if m.name in used)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Every term that explains some watched metric."""
        found: dict[Term, None] = {}
        for name in self.watched:
            found.update(dict.fromkeys(terms_of(self.product.metric(name).depends_on)))
        return tuple(found)

    @cached_property
    def columns(self) -> dict[str, int]:
        return {metric.name: i for i, metric in enumerate(self.product.metrics)}

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Measured quantities that are neither watched nor conditions: kept, but not scored."""
        seen = {*self.watched, *self.conditions, self.product.fault_metric}
        measures = (m.name for m in self.product.metrics if m.kind == "measure")
        return tuple(name for name in measures if name not in seen)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """All of which windows keep the mean: watched, conditions and others, in this order."""
        return tuple(dict.fromkeys((*self.watched, *self.conditions, *self.others)))

    @cached_property
    def measured_columns(self) -> list[int]:
        """Where each of `measured` stands in watched, conditions and others laid side by side."""
        every = (*self.watched, *self.conditions, *self.others)
        return [every.index(name) for name in self.measured]

    @cached_property
    def modes(self) -> tuple[str, ...]:
        return tuple(mode.name for mode in self.product.failure_modes)

    @cached_property
    def window_us(self) -> int:
        return round(self.product.window.total_seconds() * 1e6)

    @cached_property
    def samples_min(self) -> int:
        expected = self.product.window / self.product.interval
        return max(1, round(expected * RUNNING_MIN))

    def term_mask(self, metric: str) -> BoolArray:
        """Which of `terms` explain this metric."""
        own = set(terms_of(self.product.metric(metric).depends_on))
        return np.array([term in own for term in self.terms], dtype=np.bool_)

    @cached_property
    def evidence_of(self) -> tuple[tuple[Evidence, ...], ...]:
        """Per watched metric, what it is evidence of."""
        every = [e for mode in self.product.failure_modes for e in mode.evidence]
        return tuple(tuple(e for e in every if e.metric == name) for name in self.watched)

    @cached_property
    def harm(self) -> tuple[int, ...]:
        """Per watched metric the direction that means harm: 1 up, -1 down, 0 both."""
        sides = {"up": 1, "down": -1, "both": 0}
        wanted = [{sides[e.direction] for e in evidence} for evidence in self.evidence_of]
        return tuple(only.pop() if len(only) == 1 else 0 for only in wanted)

    @cached_property
    def follows(self) -> bool:
        """Whether normal is each device's own recent past.

        So it is when the sheet names no conditions that explain the metrics, and not for every
        evidence the deviation that counts as failed: then there is nothing that devices could
        share, and only changes quicker than the learning time can be told from drift.
        """
        scales = [e.failed_at for mode in self.product.failure_modes for e in mode.evidence]
        return not self.conditions and None in scales


def terms_of(conditions: tuple[str, ...]) -> tuple[Term, ...]:
    """List the polynomial terms of some conditions: all up to squares, and cubes of each alone."""
    names = sorted(set(conditions))
    terms: list[Term] = [(name,) for name in names]
    terms += combinations_with_replacement(names, 2)
    terms += [(name, name, name) for name in names]
    return tuple(terms) if len(names) <= 6 else (*terms[: len(names)], *combinations(names, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The part of a condition that was seen while learning."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def half(self) -> float:
        return max((self.high - self.low) / 2, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Sums of samples over windows that have enough running ones: device after device, oldest first."""

    owner: IntArray
    """Place of the device among those that were summed up together; (n,)."""
    index: IntArray
    """Window number since 1970; the window covers [index, index + 1) * window length."""
    observed: FloatArray
    """Mean of each watched metric, NaN where too few samples have it; (n, watched)."""
    terms: FloatArray
    """Mean of each term; (n, terms)."""
    conditions: FloatArray
    """Mean of each condition; (n, conditions)."""
    others: FloatArray
    """Mean of each measured quantity besides; (n, others)."""
    excess: FloatArray
    """How far conditions lie outside the learned range, in half ranges; (n, conditions)."""
    noise: FloatArray
    """Standard deviation within the window, of each watched metric; (n, watched), or (n, 0)."""
    flat: BoolArray
    """The metric or condition did not move at all; (n, watched + conditions)."""
    running: IntArray
    """Number of running samples; (n,)."""

    def __len__(self) -> int:
        return len(self.index)

    def measured(self, layout: Layout) -> FloatArray:
        """Mean of everything that is measured; (n, measured)."""
        every = np.concatenate([self.observed.T, self.conditions.T, self.others.T])
        return every[layout.measured_columns].T

    def measured_at(self, layout: Layout, row: int) -> FloatArray:
        """Return the same of one window; (measured,)."""
        every = [self.observed[row], self.conditions[row], self.others[row]]
        return np.asarray(np.concatenate(every)[layout.measured_columns])

    def kept(self, mask: BoolArray) -> "Windows":
        if mask.all():
            return self
        return Windows(**{name: getattr(self, name)[mask] for name in Windows.__slots__})

    def of(self, place: int) -> "Windows":
        """Return one device's own."""
        first, last = np.searchsorted(self.owner, [place, place + 1])
        return Windows(**{name: getattr(self, name)[first:last] for name in Windows.__slots__})


def running_mask(layout: Layout, values: FloatArray) -> BoolArray:
    """Tell which samples say something about wear: the device runs and reports no fault."""
    product = layout.product
    mask = np.ones(len(values), dtype=np.bool_)
    if product.running is not None:
        mask &= values[:, layout.columns[product.running.metric]] > product.running.above
    if product.fault_metric is not None:
        fault = values[:, layout.columns[product.fault_metric]]
        mask &= ~(np.abs(fault) > 0)
    return mask


def summarise(layout: Layout, samples: Samples, *, ranges: tuple[Range, ...]) -> Windows:
    """Sum one device's samples up into windows, with the noise within them.

    Parameters
    ----------
    layout : Layout
    samples : Samples
        Whole windows only: the caller cuts at a border of windows.
    ranges : tuple of Range, one per condition
        Outside, terms go on as straight lines instead of as the cubes they are.
    """
    return _summarise_block(layout, of_one(samples), ranges, with_noise=True)


def summarise_fleet(layout: Layout, samples: FleetSamples, *, ranges: tuple[Range, ...]) -> Windows:
    """Sum many devices' samples up into windows; without the noise, which only learning asks for."""
    borders = _blocks(layout, samples)
    parts = [
        _summarise_block(
            layout,
            FleetSamples(
                owner=samples.owner[first:last],
                at_us=samples.at_us[first:last],
                values=samples.values[first:last],
            ),
            ranges,
            with_noise=False,
        )
        for first, last in pairwise(borders)
    ]
    if len(parts) == 1:
        return parts[0]
    return Windows(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in Windows.__slots__}
    )


def _blocks(layout: Layout, samples: FleetSamples) -> list[int]:
    """Cut at borders of windows, every so many samples."""
    number = len(samples.at_us)
    borders = [0]
    while borders[-1] + BLOCK_SAMPLES < number:
        place = borders[-1] + BLOCK_SAMPLES
        begins = int(samples.at_us[place]) // layout.window_us * layout.window_us
        first = int(np.searchsorted(samples.owner, samples.owner[place]))
        last = int(np.searchsorted(samples.owner, samples.owner[place], side="right"))
        cut = first + int(np.searchsorted(samples.at_us[first:last], begins))
        if cut <= borders[-1]:  # one window larger than a block
            cut = first + int(np.searchsorted(samples.at_us[first:last], begins + layout.window_us))
        borders.append(cut)
    return [*borders, number] if borders[-1] < number or number == 0 else borders


def _summarise_block(
    layout: Layout, samples: FleetSamples, ranges: tuple[Range, ...], *, with_noise: bool
) -> Windows:
    samples = samples.kept(running_mask(layout, samples.values))
    owner, number = samples.owner, samples.at_us // layout.window_us
    is_first = np.ones(len(number), dtype=np.bool_)
    is_first[1:] = (number[1:] != number[:-1]) | (owner[1:] != owner[:-1])
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(number))
    cut = _Cut(starts=starts, counts=counts)
    watched = _columns(layout, samples, layout.watched)
    raw = _columns(layout, samples, layout.conditions)
    inside, excess, outer = _scale(raw, ranges)
    means = [cut.mean(column) for column in watched]
    windows = Windows(
        owner=owner[starts],
        index=number[starts],
        observed=side_by_side(means, rows=len(starts)),
        terms=side_by_side(
            [cut.mean(term) for term in _terms(layout, inside, excess, outer)], rows=len(starts)
        ),
        conditions=side_by_side([cut.mean(column) for column in raw], rows=len(starts)),
        others=side_by_side(
            [cut.mean(column) for column in _columns(layout, samples, layout.others)],
            rows=len(starts),
        ),
        excess=side_by_side(
            [cut.mean(np.abs(e)) if len(outer) else np.zeros(len(starts)) for e in excess],
            rows=len(starts),
        ),
        noise=side_by_side(
            [cut.noise(c, m) for c, m in zip(watched, means, strict=True)] if with_noise else [],
            rows=len(starts),
        ),
        flat=_flat(cut, watched + raw),
        running=counts.astype(np.int64),
    )
    return windows.kept(counts >= layout.samples_min)


def _columns(layout: Layout, samples: FleetSamples, names: tuple[str, ...]) -> list[FloatArray]:
    return [np.ascontiguousarray(samples.values[:, layout.columns[name]]) for name in names]


def _scale(
    raw: list[FloatArray], ranges: tuple[Range, ...]
) -> tuple[list[FloatArray], list[FloatArray], IntArray]:
    """Scale conditions to their learned ranges: what lies inside, what beyond, and in which samples
    any lies beyond (or is missing)."""
    inside, excess = [], []
    beyond = np.zeros(len(raw[0]) if raw else 0, dtype=np.bool_)
    for column, span in zip(raw, ranges, strict=True):
        scaled = (column - span.middle) / span.half
        within = np.clip(scaled, -1.0, 1.0)
        outside = scaled - within
        beyond |= outside != 0
        inside.append(within)
        excess.append(outside)
    return inside, excess, np.flatnonzero(beyond)


def _terms(
    layout: Layout, inside: list[FloatArray], excess: list[FloatArray], outer: IntArray
) -> Iterator[FloatArray]:
    """Multiply out each term; where a condition lies outside the learned range, to first order in it."""
    place = {name: i for i, name in enumerate(layout.conditions)}
    within = [column[outer] for column in inside]
    beyond = [column[outer] for column in excess]
    known: dict[Term, FloatArray] = {}
    for term in layout.terms:
        factor = inside[place[term[-1]]]
        value = known[term[:-1]] * factor if len(term) > 1 else factor
        known[term] = value
        if len(outer):
            value = value.copy()
            value[outer] = _first_order([(within[place[n]], beyond[place[n]]) for n in term])
        yield value


def _first_order(factors: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    value, slope = factors[0]
    for factor, outside in factors[1:]:
        value, slope = value * factor, slope * factor + value * outside
    return value + slope


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """Where windows begin in a row of samples, and how many samples each has."""

    starts: IntArray
    counts: IntArray

    def mean(self, column: FloatArray) -> FloatArray:
        """Mean of the values that are there; NaN where there are too few."""
        if not len(self.starts):
            return np.empty(0)
        sums = np.add.reduceat(column, self.starts)
        # The sum of no window with a missing value is finite. -0.0 becomes 0.0.
        if np.isfinite(sums).all():
            return np.asarray(sums / self.counts + 0.0)
        known = np.isfinite(column)
        sums = np.add.reduceat(np.where(known, column, 0.0), self.starts)
        number = np.add.reduceat(known.astype(np.float64), self.starts)
        enough = number >= np.maximum(1, COVERAGE_MIN * self.counts)
        return np.where(enough, sums / np.maximum(number, 1) + 0.0, np.nan)

    def noise(self, column: FloatArray, means: FloatArray) -> FloatArray:
        away = column - np.repeat(means, self.counts)
        return np.asarray(np.sqrt(self.mean(away * away)))


def _flat(cut: _Cut, columns: list[FloatArray]) -> BoolArray:
    """Tell where a column did not move. Nearly always the first, middle and last value tell."""
    found = np.zeros((len(cut.starts), len(columns)), dtype=np.bool_)
    long = np.flatnonzero(cut.counts >= FLAT_SAMPLES_MIN)
    if not len(long):
        return found
    starts, counts = cut.starts[long], cut.counts[long]
    for place, column in enumerate(columns):
        first = column[starts]
        middle, last = column[starts + counts // 2], column[starts + counts - 1]
        moves = (first != middle) | (first != last)
        moves &= np.isfinite(first) & np.isfinite(middle) & np.isfinite(last)
        if 4 * np.count_nonzero(moves) < len(long):
            lowest = np.fmin.reduceat(column, cut.starts)[long]
            found[long, place] = lowest == np.fmax.reduceat(column, cut.starts)[long]
            continue
        for row in np.flatnonzero(~moves).tolist():
            part = column[starts[row] : starts[row] + counts[row]]
            found[long[row], place] = np.fmin.reduce(part) == np.fmax.reduce(part)
    return found
