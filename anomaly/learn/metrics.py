"""Features: measured metrics, each judged within its operating state and against the device's own early life. Pure.

Spans of time grow from a few steps (the time between two forecasts, or a window where that is longer) to a
quarter of what was observed, so that they fit a product that lives 200 hours and one that lives ten years.
Beside each metric stand a few mixtures of metrics that move together (principal components): where one
fault moves fourteen metrics a little, their mixture shows it when no single one does.

Sums run from the first window on, so a row is the same to the bit whatever comes after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.signal import lfilter

from anomaly.learn.history import Catalog, History
from anomaly.learn.packed import Packed
from anomaly.learn.regimes import Regimes, fit_regimes
from anomaly.records import FloatArray, IntArray

FIRST_SPAN = 5
"""Steps of the shortest mean: below, it is noise."""
SPAN_FACTOR = 3
SPANS_MAX = 5
OBSERVED_PER_SPAN = 4
"""A span is at most this part of the median time of observation."""
MIXTURES_MAX = 4
FADED = math.log(1e10)
"""Spans after which a value has no part in the exponentially weighted mean any more: one of ten billion."""
KNOWN_MIN = 0.5
"""Share of the metrics that must be known for a mixture of them."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True, tag="metrics"):
    """Means, changes and spreads over several spans."""

    metrics: tuple[str, ...] = ()
    """In the order of `regimes.metrics`."""
    spans: tuple[int, ...] = ()
    """In steps, rising."""
    regimes: Regimes | None = None
    mixtures: Packed | None = None
    """Weight of each metric in each mixture; (mixtures, metrics)."""
    conditions: tuple[str, ...] | None = None
    """In the order of `regimes.conditions`; None in models that were kept before they had them."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Metrics":
        seen = [h for h in histories if len(h.at_us) and h.values.shape[1]]
        if not seen:
            return cls()
        regimes = fit_regimes(catalog, seen)
        spans = _spans(catalog, seen)
        return cls(
            metrics=tuple(catalog.metrics[place] for place in regimes.metrics),
            spans=spans,
            regimes=regimes,
            mixtures=Packed.of(_mixtures(catalog, regimes, seen, span=spans[0]), "<f8"),
            conditions=tuple(catalog.metrics[place] for place in regimes.conditions),
        )

    @property
    def names(self) -> tuple[str, ...]:
        kinds = (
            *(f"mean_{span}" for span in self.spans),
            *(f"change_{span}" for span in self.spans),
            *(f"spread_{span}" for span in self.spans[1:]),
            "slow",
        )
        series = (*self.metrics, *(f"mixture_{n}" for n in range(self._mixed)))
        return (
            *(f"{name}.{kind}" for name in series for kind in kinds),
            *(f"{name}.{kind}" for name in self.metrics for kind in ("level", "early")),
        )

    @property
    def _mixed(self) -> int:
        return 0 if self.mixtures is None else self.mixtures.shape[0]

    def reach(self, catalog: Catalog) -> int:
        """Windows before an instant without which its features would be others, but for a billionth; beside early life."""
        if not self.spans:
            return 0
        step = -(-step_us(catalog) // catalog.window_us)
        return max(2 * self.spans[-1] * step, math.ceil(FADED * self.spans[-1]))

    def _placed(self, catalog: Catalog, regimes: Regimes) -> Regimes:
        """Find the places of metrics and conditions by their names."""
        metrics = tuple(catalog.metrics.index(name) for name in self.metrics)
        conditions = regimes.conditions
        if self.conditions is not None:
            conditions = tuple(catalog.metrics.index(name) for name in self.conditions)
        if (metrics, conditions) == (regimes.metrics, regimes.conditions):
            return regimes
        return msgspec.structs.replace(regimes, metrics=metrics, conditions=conditions)

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        if self.regimes is None or self.mixtures is None:
            return np.empty((len(at_us), 0))
        if not len(history.at_us) or not history.values.shape[1]:
            return np.full((len(at_us), len(self.names)), np.nan)
        clean = self._placed(catalog, self.regimes).strange(history.values)
        early = early_life(catalog, history, clean)
        mixed = _mix(clean - early, self.mixtures.array)
        sums = _Sums.of(history, np.concatenate([clean - early, mixed], axis=1))
        step = step_us(catalog)
        means, changes, spreads = [], [], []
        for place, span in enumerate(self.spans):
            mean, square = sums.over(at_us, span * step)
            before, _ = sums.over(at_us - span * step, span * step)
            means.append(mean)
            changes.append(mean - before)
            if place:
                spreads.append(np.sqrt(np.maximum(square - mean * mean, 0.0)))
        slow = _latest(history.at_us, _slow(sums.values, self.spans[-1]), at_us)
        own = _latest(history.at_us, early, at_us)
        level = means[0][:, : len(self.metrics)] + own
        series = _interleaved([*means, *changes, *spreads, slow])
        return np.concatenate([series, _interleaved([level, own])], axis=1)


def step_us(catalog: Catalog) -> int:
    """Unit in which spans are counted: the time between two forecasts, and at least a window."""
    return max(catalog.every_us, catalog.window_us)


def early_life(catalog: Catalog, history: History, clean: FloatArray) -> FloatArray:
    """Mean of each column while the device was learned, as known at each window; (windows, columns)."""
    until = history.begins_us + round(catalog.product.learning.total_seconds() * 1e6)
    known = np.isfinite(clean)
    taken = known & (history.at_us <= until)[:, None]
    count = np.cumsum(taken, axis=0)
    total = np.cumsum(np.where(taken, clean, 0.0), axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class _Sums:
    """Running sums of columns over windows."""

    at_us: IntArray
    values: FloatArray
    count: IntArray
    total: FloatArray
    square: FloatArray

    @classmethod
    def of(cls, history: History, values: FloatArray) -> "_Sums":
        known = np.isfinite(values)
        filled = np.where(known, values, 0.0)
        zero = np.zeros((1, values.shape[1]))
        return cls(
            at_us=history.at_us,
            values=values,
            count=np.concatenate([zero.astype(np.int64), np.cumsum(known, axis=0)]),
            total=np.concatenate([zero, np.cumsum(filled, axis=0)]),
            square=np.concatenate([zero, np.cumsum(filled * filled, axis=0)]),
        )

    def over(self, at_us: IntArray, span_us: int) -> tuple[FloatArray, FloatArray]:
        """Mean, and mean square, of the windows in (at - span, at]; NaN where there are none."""
        last = np.searchsorted(self.at_us, at_us, side="right")
        first = np.searchsorted(self.at_us, at_us - span_us, side="right")
        count = self.count[last] - self.count[first]
        some = np.maximum(count, 1)
        mean = np.where(count > 0, (self.total[last] - self.total[first]) / some, np.nan)
        return mean, (self.square[last] - self.square[first]) / some


def _slow(values: FloatArray, span: int) -> FloatArray:
    """Exponentially weighted mean of the known values."""
    share = 1.0 / span
    known = np.isfinite(values)
    total = lfilter([share], [1.0, share - 1.0], np.where(known, values, 0.0), axis=0)
    weight = lfilter([share], [1.0, share - 1.0], known.astype(np.float64), axis=0)
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), np.nan)


def _interleaved(parts: Sequence[FloatArray]) -> FloatArray:
    """All kinds of the first column, then of the second, …"""
    return np.stack(parts, axis=2).reshape(len(parts[0]), len(parts) * parts[0].shape[1])


def _latest(known_us: IntArray, values: FloatArray, at_us: IntArray) -> FloatArray:
    """Newest row at each instant; NaN before the first."""
    place = np.searchsorted(known_us, at_us, side="right") - 1
    return np.where((place >= 0)[:, None], values[np.maximum(place, 0)], np.nan)


def _mix(deviation: FloatArray, weights: FloatArray) -> FloatArray:
    """Mixtures of columns; a missing column counts as not moved while enough others are known."""
    known = np.isfinite(deviation)
    enough = known.sum(axis=1) >= KNOWN_MIN * max(deviation.shape[1], 1)
    filled = np.where(known, deviation, 0.0)
    mixed = np.zeros((len(deviation), len(weights)))
    for column in range(deviation.shape[1]):  # not `@`: its last bit depends on the number of rows
        mixed += filled[:, column, None] * weights[None, :, column]
    return np.where(enough[:, None], mixed, np.nan)


def _mixtures(
    catalog: Catalog, regimes: Regimes, histories: Sequence[History], *, span: int
) -> FloatArray:
    """Principal components of the smoothed deviations from early life that say more than one metric does."""
    width = len(regimes.metrics)
    power, rows = np.zeros((width, width)), 0
    for history in histories:
        clean = regimes.strange(history.values)
        sums = _Sums.of(history, clean - early_life(catalog, history, clean))
        smooth, _ = sums.over(history.at_us, span * step_us(catalog))
        filled = np.where(np.isfinite(smooth), smooth, 0.0)
        power += filled.T @ filled
        rows += len(filled)
    if width < 2 or not rows:
        return np.empty((0, width))
    values, vectors = np.linalg.eigh(power / rows)
    order = np.argsort(values)[::-1][:MIXTURES_MAX]
    kept = [n for n in order if values[n] > values.mean()]
    chosen = vectors[:, kept].T
    return np.asarray(chosen * np.where(chosen.sum(axis=1) < 0, -1.0, 1.0)[:, None])


def _spans(catalog: Catalog, histories: Sequence[History]) -> tuple[int, ...]:
    observed = float(np.median([h.until_us - h.begins_us for h in histories]))
    longest = max(observed / step_us(catalog) / OBSERVED_PER_SPAN, FIRST_SPAN)
    spans = [FIRST_SPAN * SPAN_FACTOR**n for n in range(SPANS_MAX)]
    return tuple(span for span in spans if span <= longest)
