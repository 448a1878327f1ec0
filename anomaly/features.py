"""From samples to windows: means of metrics and of the terms that explain them. Pure.

A window's numbers depend on its own samples alone, never on how the samples arrived: only
additions within the window and multiplications per sample, so a restart gives the same bits.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement

import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray, Samples
from core.product import Evidence, Product

Term = tuple[str, ...]
"""Conditions whose product explains a metric: ("load", "load") is load squared."""

COVERAGE_MIN = 0.6
"""A column counts in a window only if so much of the running samples have it."""
RUNNING_MIN = 0.2
"""A window counts only if the device ran for so much of it."""
FLAT_SAMPLES_MIN = 8


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
    """Sums of a device's samples over windows that have any running sample; oldest first."""

    index: IntArray
    """Window number since 1970; the window covers [index, index + 1) * window length."""
    observed: FloatArray
    """Mean of each watched metric, NaN where too few samples have it; (n, watched)."""
    terms: FloatArray
    """Mean of each term; (n, terms)."""
    conditions: FloatArray
    """Mean of each condition; (n, conditions)."""
    excess: FloatArray
    """How far conditions lie outside the learned range, in half ranges; (n, conditions)."""
    noise: FloatArray
    """Standard deviation within the window, of each watched metric; (n, watched)."""
    flat: BoolArray
    """The metric or condition did not move at all; (n, watched + conditions)."""
    running: IntArray
    """Number of running samples; (n,)."""

    def __len__(self) -> int:
        return len(self.index)


def running_mask(layout: Layout, samples: Samples) -> BoolArray:
    """Tell which samples say something about wear: the device runs and reports no fault."""
    product, values = layout.product, samples.values
    mask = np.ones(len(samples.at_us), dtype=np.bool_)
    if product.running is not None:
        mask &= values[:, layout.columns[product.running.metric]] > product.running.above
    if product.fault_metric is not None:
        fault = values[:, layout.columns[product.fault_metric]]
        mask &= ~(np.abs(fault) > 0)
    return mask


def summarise(layout: Layout, samples: Samples, *, ranges: tuple[Range, ...]) -> Windows:
    """Sum samples up into windows.

    Parameters
    ----------
    layout : Layout
    samples : Samples
        Whole windows only: the caller cuts at a border of windows.
    ranges : tuple of Range, one per condition
        Outside, terms go on as straight lines instead of as the cubes they are.
    """
    mask = running_mask(layout, samples)
    at_us, values = samples.at_us[mask], samples.values[mask]
    number = at_us // layout.window_us
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1)) if len(number) else number
    counts = np.diff(starts, append=len(number))
    watched = values[:, [layout.columns[name] for name in layout.watched]]
    raw = values[:, [layout.columns[name] for name in layout.conditions]]
    scaled, excess = _scale(raw, ranges)
    terms = _evaluate(layout, scaled, excess)
    observed = _means(watched, starts, counts)
    both = np.concatenate([watched, raw], axis=1)
    windows = Windows(
        index=number[starts],
        observed=observed,
        terms=_means(terms, starts, counts),
        conditions=_means(raw, starts, counts),
        excess=_means(np.abs(excess), starts, counts),
        noise=_noise(watched, observed, starts, counts),
        flat=_flat(both, starts, counts),
        running=counts.astype(np.int64),
    )
    return _keep(windows, counts >= layout.samples_min)


def _keep(windows: Windows, mask: BoolArray) -> Windows:
    return Windows(**{name: getattr(windows, name)[mask] for name in Windows.__slots__})


def _scale(raw: FloatArray, ranges: tuple[Range, ...]) -> tuple[FloatArray, FloatArray]:
    middle = np.array([r.middle for r in ranges]).reshape(1, -1)
    half = np.array([r.half for r in ranges]).reshape(1, -1)
    scaled = (raw - middle) / half
    inside = np.clip(scaled, -1.0, 1.0)
    return inside, scaled - inside


def _evaluate(layout: Layout, inside: FloatArray, excess: FloatArray) -> FloatArray:
    """Multiply out each term, to first order in what lies outside the learned range."""
    place = {name: i for i, name in enumerate(layout.conditions)}
    columns = []
    for term in layout.terms:
        value = inside[:, place[term[0]]]
        slope = excess[:, place[term[0]]]
        for name in term[1:]:
            factor, outside = inside[:, place[name]], excess[:, place[name]]
            value, slope = value * factor, slope * factor + value * outside
        columns.append(value + slope)
    return np.stack(columns, axis=1) if columns else np.empty((len(inside), 0))


def _means(values: FloatArray, starts: IntArray, counts: IntArray) -> FloatArray:
    if not len(starts) or not values.shape[1]:
        return np.empty((len(starts), values.shape[1]))
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    number = np.add.reduceat(known.astype(np.float64), starts, axis=0)
    enough = number >= np.maximum(1, COVERAGE_MIN * counts)[:, None]
    return np.where(enough, sums / np.maximum(number, 1), np.nan)


def _noise(values: FloatArray, means: FloatArray, starts: IntArray, counts: IntArray) -> FloatArray:
    if not len(starts):
        return np.empty((0, values.shape[1]))
    away = values - np.repeat(means, counts, axis=0)
    return np.asarray(np.sqrt(_means(away * away, starts, counts)))


def _flat(values: FloatArray, starts: IntArray, counts: IntArray) -> BoolArray:
    if not len(starts) or not values.shape[1]:
        return np.zeros((len(starts), values.shape[1]), dtype=np.bool_)
    lowest = np.fmin.reduceat(values, starts, axis=0)
    highest = np.fmax.reduceat(values, starts, axis=0)
    return np.asarray((lowest == highest) & (counts >= FLAT_SAMPLES_MIN)[:, None])
