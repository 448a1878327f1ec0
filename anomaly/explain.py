"""Which failure modes, or which bad sensors, explain the deviations of a moment best. Pure.

Every failure mode has a pattern: how far each metric moves when its part has failed. A bad sensor
is a pattern too: one metric alone, or, for an operating condition, all metrics that lean on it. The
set of at most two patterns that explains the deviations best, after a price for each, wins; so one
fault gives one failure mode, and a stuck sensor none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from anomaly.baseline import Baseline
from anomaly.features import Layout
from anomaly.records import BoolArray, FloatArray, IntArray

SIGNIFICANT = 4.0
"""The two largest deviations together (root of squares) need no explanation below so many spreads."""
_UNMODELLED = 0.05
"""Of failed_at: what seasons, knobs and tolerances may do that the learning time did not show."""
SENSOR_SHARE_MIN = 0.25
"""A sensor is suspected only once it is off by so much of what counts as failed."""
_MISFIT = 0.2  # a pattern holds within so much of each deviation: laws of wear are no exact ratios
_CROSSTALK = 0.04  # of failed_at: what a far advanced fault may move in metrics it is not known by
_PRICE_MODE, _PRICE_SENSOR, _PRICE_CONDITION = 5.0, 9.0, 12.0  # in squared spreads, as in AIC/BIC
_AGREE_SHARE = 0.3  # a metric agrees with a mode from this share of the predicted deviation on
_AGREE_SPREADS = 2.0
_CHOICES_MAX = 40  # explanations that are tried before a moment counts as unexplained
_BLOCK_ROWS = 256  # moments that are explained at once: their pairs of patterns fit the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanations:
    """What explains each of many moments; rows are moments, columns `Patterns.modes`."""

    degradation: FloatArray
    """0 as new, 1 failed; 0 for modes that are not needed to explain what is seen; (n, modes)."""
    traces: FloatArray
    """What each mode alone would make of it, however little: the early path of a fault; (n, modes).
    Where a moment is explained, its degradation."""
    sensors: dict[int, dict[str, float]]
    """By moment, suspected metric to its deviation in spreads."""

    def between(self, first: int, last: int) -> "Explanations":
        """Return those of some moments that follow each other."""
        return Explanations(
            degradation=self.degradation[first:last],
            traces=self.traces[first:last],
            sensors={row - first: s for row, s in self.sensors.items() if first <= row < last},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The same of one moment."""

    degradation: dict[str, float]
    traces: dict[str, float]
    sensors: dict[str, float]


@dataclass(frozen=True)
class Patterns:
    """All patterns of one product that share a scale, as one matrix."""

    layout: Layout
    baseline: Baseline

    @cached_property
    def modes(self) -> tuple[str, ...]:
        """Failure modes that have evidence with a known scale."""
        return tuple(
            mode.name
            for mode in self.layout.product.failure_modes
            if any(self._failed_at(e.metric, e.failed_at) for e in mode.evidence)
        )

    def _failed_at(self, metric: str, given: float | None) -> float:
        if given is not None:
            return given
        place = self.layout.watched.index(metric)
        return FAILED_SPREADS * self.baseline.metrics[place].sigma_smooth

    @cached_property
    def names(self) -> tuple[str, ...]:
        return self.modes + self.layout.watched + self.layout.conditions

    @cached_property
    def matrix(self) -> FloatArray:
        """One column per pattern: deviation of every watched metric, (watched, patterns)."""
        watched = self.layout.watched
        columns = []
        for name in self.modes:
            column = np.zeros(len(watched))
            for e in self.layout.product.failure_mode(name).evidence:
                sign = -1.0 if e.direction == "down" else 1.0
                column[watched.index(e.metric)] = sign * self._failed_at(e.metric, e.failed_at)
            columns.append(column)
        columns += list(np.eye(len(watched)))
        columns += [-np.array(row) for row in self.baseline.gradients]
        return np.stack(columns, axis=1)

    @cached_property
    def either_way(self) -> BoolArray:
        """Evidence that may move up or down; (watched, modes)."""
        found = np.zeros((len(self.layout.watched), len(self.modes)), dtype=np.bool_)
        for j, name in enumerate(self.modes):
            for e in self.layout.product.failure_mode(name).evidence:
                found[self.layout.watched.index(e.metric), j] = e.direction == "both"
        return found

    @cached_property
    def agree(self) -> IntArray:
        product = self.layout.product
        return np.array([product.failure_mode(name).agree for name in self.modes], dtype=np.int64)

    @cached_property
    def scale(self) -> FloatArray:
        """Smallest deviation of each metric that counts as failed in some mode."""
        sizes = np.abs(self.matrix[:, : len(self.modes)])
        return np.asarray(np.where(sizes > 0, sizes, np.inf).min(axis=1, initial=np.inf))

    @cached_property
    def unmodelled(self) -> FloatArray:
        """Spread of what a healthy device does beyond what was learned, per watched metric."""
        return np.where(np.isfinite(self.scale), _UNMODELLED * self.scale, 0.0)

    @cached_property
    def prices(self) -> FloatArray:
        return np.array(
            [_PRICE_MODE] * len(self.modes)
            + [_PRICE_SENSOR] * len(self.layout.watched)
            + [_PRICE_CONDITION] * len(self.layout.conditions)
        )

    @cached_property
    def pairs(self) -> IntArray:
        """Pairs of patterns of which at least one is a failure mode or both are sensors; (n, 2)."""
        return np.array(list(combinations(range(len(self.names)), 2)), dtype=np.int64).reshape(
            -1, 2
        )


FAILED_SPREADS = 14.0
"""Deviation that counts as failed where the sheet gives none, in spreads of the smoothed residual."""


def explain(patterns: Patterns, deviations: FloatArray, spreads: FloatArray) -> Explanation:
    """Explain the smoothed deviations of one moment; shapes (watched,)."""
    found = explain_all(patterns, deviations[None], spreads[None])
    sizes = zip(patterns.modes, found.degradation[0].tolist(), strict=True)
    return Explanation(
        degradation={name: size for name, size in sizes if size},
        traces=dict(zip(patterns.modes, found.traces[0].tolist(), strict=True)),
        sensors=found.sensors.get(0, {}),
    )


def explain_all(patterns: Patterns, deviations: FloatArray, spreads: FloatArray) -> Explanations:
    """Explain smoothed deviations of many moments; each by itself, whatever stands beside it.

    Parameters
    ----------
    patterns : Patterns
    deviations : ndarray, shape (n, watched)
        Smoothed observed minus expected; NaN where the metric is missing.
    spreads : ndarray, shape (n, watched)
        Standard deviation of the smoothed deviation of a healthy device.
    """
    known = np.isfinite(deviations) & (spreads < 1e29)
    scores = np.where(known, np.abs(deviations) / spreads, 0.0)
    values = np.where(known, deviations, 0.0)
    traces = _traces(patterns, values, np.where(known, spreads, np.inf))
    degradation = np.zeros_like(traces)
    sensors: dict[int, dict[str, float]] = {}
    for rows in _in_blocks(np.flatnonzero(_two_largest(scores) >= SIGNIFICANT**2)):
        moment = _Moments(
            patterns=patterns, values=values[rows], spreads=spreads[rows], known=known[rows]
        )
        for place, parts in _best(moment):
            row = int(rows[place])
            traces[row] = 0.0
            for pattern, size in parts:
                if pattern < len(patterns.modes):
                    degradation[row, pattern] = traces[row, pattern] = size
            suspected = _suspected(patterns, parts, scores[row])
            if suspected:
                sensors[row] = suspected
    return Explanations(degradation=degradation, traces=traces, sensors=sensors)


def _two_largest(scores: FloatArray) -> FloatArray:
    """Sum of the squares of the two largest scores of each moment."""
    largest, second = np.zeros(len(scores)), np.zeros(len(scores))
    for place in range(scores.shape[1]):
        column = scores[:, place]
        second = np.maximum(second, np.minimum(largest, column))
        largest = np.maximum(largest, column)
    return np.asarray(second**2 + largest**2)


def _in_blocks(rows: IntArray) -> list[IntArray]:
    return [rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS)]


def _traces(patterns: Patterns, values: FloatArray, spreads: FloatArray) -> FloatArray:
    """Size of each mode when it alone is fitted; at least 0."""
    number = len(patterns.modes)
    found = np.empty((number, len(values)))
    for mode in range(number):
        power, match = np.zeros(len(values)), np.zeros(len(values))
        for place in np.flatnonzero(patterns.matrix[:, mode]).tolist():
            value, spread = values[:, place], spreads[:, place]
            own = patterns.matrix[place, mode] / spread
            if patterns.either_way[place, mode]:
                own = np.where(value < 0, -own, own)
            power += own * own
            match += own * (value / spread)
        found[mode] = np.maximum(match, 0.0) / np.maximum(power, 1e-30)
    return found.T


@dataclass(frozen=True)
class _Moments:
    """Some moments in which something stands out, and how well each pattern fits them."""

    patterns: Patterns
    values: FloatArray
    spreads: FloatArray
    known: BoolArray

    @cached_property
    def matrix(self) -> FloatArray:
        """Patterns, with evidence that may go either way turned to where it went; (n, watched, patterns)."""
        turned = np.where(self.patterns.either_way & (self.values < 0)[:, :, None], -1.0, 1.0)
        matrix = np.repeat(self.patterns.matrix[None], len(self.values), axis=0)
        matrix[:, :, : len(self.patterns.modes)] *= turned
        return matrix

    @cached_property
    def weight(self) -> FloatArray:
        scale = self.patterns.scale
        worst = (np.abs(self.values) / scale).max(axis=1, keepdims=True)
        floor = np.where(np.isfinite(scale), _CROSSTALK * worst * scale, 0.0)
        variance = self.spreads**2 + (_MISFIT * self.values) ** 2 + floor**2
        return np.where(self.known, 1 / variance, 0.0)

    @cached_property
    def power(self) -> FloatArray:
        return _total(self.matrix**2 * self.weight[:, :, None])

    @cached_property
    def match(self) -> FloatArray:
        return _total(self.matrix * (self.weight * self.values)[:, :, None])

    @cached_property
    def singles(self) -> tuple[FloatArray, FloatArray]:
        """Gain and size of each pattern alone; (n, patterns)."""
        number = len(self.patterns.modes)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.where(self.power > 0, self.match / self.power, 0.0)
        gain = self.match * size - self.patterns.prices
        gain[:, :number][size[:, :number] <= 0] = -np.inf
        gain[self.power <= 0] = -np.inf
        return gain, size

    @cached_property
    def doubles(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Gain and both sizes of each pair of patterns; (n, pairs)."""
        number, prices = len(self.patterns.modes), self.patterns.prices
        first, second = self.patterns.pairs[:, 0], self.patterns.pairs[:, 1]
        power, match = self.power, self.match
        cross = np.zeros((len(self.values), len(first)))
        for place in range(self.values.shape[1]):
            row = self.matrix[:, place]
            cross += row[:, first] * row[:, second] * self.weight[:, place, None]
        determinant = power[:, first] * power[:, second] - cross**2
        sound = determinant > 1e-6 * power[:, first] * power[:, second]
        determinant = np.where(sound, determinant, 1.0)
        a = (match[:, first] * power[:, second] - match[:, second] * cross) / determinant
        b = (match[:, second] * power[:, first] - match[:, first] * cross) / determinant
        sound &= ((first >= number) | (a > 0)) & ((second >= number) | (b > 0))
        gain = a * match[:, first] + b * match[:, second] - prices[first] - prices[second]
        return np.where(sound, gain, -np.inf), a, b


def _total(parts: FloatArray) -> FloatArray:
    """Add up over the metrics, one after the other: the same bits for any number of moments."""
    total = np.zeros((parts.shape[0], parts.shape[2]))
    for place in range(parts.shape[1]):
        total += parts[:, place]
    return total


def _best(moments: _Moments) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Find the best explanation that its metrics bear out, of each moment that has any."""
    gain, size = moments.singles
    both, a, b = moments.doubles
    every = np.concatenate([gain, both], axis=1)
    worth = np.flatnonzero(every.max(axis=1, initial=-np.inf) > 0)
    order = np.argsort(-every[worth], axis=1, kind="stable")[:, :_CHOICES_MAX]
    first, second = moments.patterns.pairs[:, 0], moments.patterns.pairs[:, 1]
    for place, choices in zip(worth.tolist(), order.tolist(), strict=True):
        for choice in choices:
            if every[place, choice] <= 0:
                break
            pair = choice - gain.shape[1]
            if pair < 0:
                parts = [(choice, float(size[place, choice]))]
            else:
                parts = [
                    (int(first[pair]), float(a[place, pair])),
                    (int(second[pair]), float(b[place, pair])),
                ]
            if _agrees(
                moments.patterns,
                parts,
                matrix=moments.matrix[place],
                values=moments.values[place],
                spreads=moments.spreads[place],
                known=moments.known[place],
            ):
                yield place, parts
                break


def _agrees(  # noqa: PLR0913 - one moment's numbers, named
    patterns: Patterns,
    parts: list[tuple[int, float]],
    *,
    matrix: FloatArray,
    values: FloatArray,
    spreads: FloatArray,
    known: BoolArray,
) -> bool:
    """Every failure mode among the parts is borne out by as many metrics as its sheet asks for."""
    for place, size in parts:
        if place >= len(patterns.modes):
            continue
        rest = values.copy()
        for other, amount in parts:
            if other != place:
                rest -= amount * matrix[:, other]
        own = matrix[:, place]
        needed = np.maximum(_AGREE_SHARE * size * np.abs(own), _AGREE_SPREADS * spreads)
        agreeing = known & (own != 0) & (rest * np.sign(own) >= needed)
        # A metric that another part names as a bad sensor says nothing.
        for other, _ in parts:
            sensor = other - len(patterns.modes)
            if 0 <= sensor < len(values):
                agreeing[sensor] = False
        if agreeing.sum() < min(int(patterns.agree[place]), int((own != 0).sum())):
            return False
    return True


def _suspected(
    patterns: Patterns, parts: list[tuple[int, float]], scores: FloatArray
) -> dict[str, float]:
    """Sensors among the parts, with their scores; that of a condition is the largest of all."""
    number = len(patterns.modes)
    found: dict[str, float] = {}
    for place, _ in parts:
        if place >= number:
            within = place - number
            score = scores[within] if within < len(scores) else scores.max()
            found[patterns.names[place]] = float(score)
    return found
