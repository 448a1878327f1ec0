"""Which failure modes, or which bad sensors, explain the deviations of a moment best. Pure.

Every failure mode has a pattern: how far each metric moves when its part has failed. A bad sensor
is a pattern too: one metric alone, or, for an operating condition, all metrics that lean on it. The
set of at most two patterns that explains the deviations best, after a price for each, wins; so one
fault gives one failure mode, and a stuck sensor none.
"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Degradation per failure mode (0 as new, 1 failed) and the sensors that are suspected."""

    degradation: dict[str, float]
    """Only the modes that are needed to explain what is seen."""
    traces: dict[str, float]
    """What each mode alone would make of it, however little: the early path of a fault."""
    sensors: dict[str, float]
    """Suspected metric to its deviation in spreads."""


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
    """Explain smoothed deviations.

    Parameters
    ----------
    patterns : Patterns
    deviations : ndarray, shape (watched,)
        Smoothed observed minus expected; NaN where the metric is missing.
    spreads : ndarray, shape (watched,)
        Standard deviation of the smoothed deviation of a healthy device.
    """
    known = np.isfinite(deviations) & (spreads < 1e29)
    scores = np.where(known, np.abs(deviations) / spreads, 0.0)
    values = np.where(known, deviations, 0.0)
    matrix = _oriented(patterns, values)
    if (np.sort(scores)[-2:] ** 2).sum() < SIGNIFICANT**2:
        traces = _traces(patterns, matrix, values, np.where(known, spreads, np.inf))
        return Explanation(degradation={}, traces=traces, sensors={})
    worst = float((np.abs(values) / patterns.scale).max())
    floor = np.where(np.isfinite(patterns.scale), _CROSSTALK * worst * patterns.scale, 0.0)
    variance = spreads**2 + (_MISFIT * values) ** 2 + floor**2
    weight = np.where(known, 1 / variance, 0.0)
    power = (matrix**2 * weight[:, None]).sum(axis=0)
    match = (matrix * (weight * values)[:, None]).sum(axis=0)
    number = len(patterns.modes)

    with np.errstate(divide="ignore", invalid="ignore"):
        amplitude = np.where(power > 0, match / power, 0.0)
    gain = match * amplitude - patterns.prices
    gain[:number][amplitude[:number] <= 0] = -np.inf
    gain[power <= 0] = -np.inf

    first, second = patterns.pairs[:, 0], patterns.pairs[:, 1]
    cross = (matrix[:, first] * matrix[:, second] * weight[:, None]).sum(axis=0)
    determinant = power[first] * power[second] - cross**2
    sound = determinant > 1e-6 * power[first] * power[second]
    determinant = np.where(sound, determinant, 1.0)
    a = (match[first] * power[second] - match[second] * cross) / determinant
    b = (match[second] * power[first] - match[first] * cross) / determinant
    sound &= ((first >= number) | (a > 0)) & ((second >= number) | (b > 0))
    both = a * match[first] + b * match[second] - patterns.prices[first] - patterns.prices[second]
    both = np.where(sound, both, -np.inf)

    order = np.argsort(-np.concatenate([gain, both]), kind="stable")
    for choice in order[:40]:
        if choice < len(gain):
            if gain[choice] <= 0:
                break
            parts = [(int(choice), float(amplitude[choice]))]
        else:
            pair = choice - len(gain)
            if both[pair] <= 0:
                break
            parts = [(int(first[pair]), float(a[pair])), (int(second[pair]), float(b[pair]))]
        if _agrees(patterns, parts, matrix=matrix, values=values, spreads=spreads, known=known):
            return _told(patterns, parts, scores)
    traces = _traces(patterns, matrix, values, np.where(known, spreads, np.inf))
    return Explanation(degradation={}, traces=traces, sensors={})


def _traces(
    patterns: Patterns, matrix: FloatArray, values: FloatArray, spreads: FloatArray
) -> dict[str, float]:
    """Size of each mode when it alone is fitted; at least 0."""
    own = matrix[:, : len(patterns.modes)] / spreads[:, None]
    power = (own * own).sum(axis=0)
    match = (own * (values / spreads)[:, None]).sum(axis=0)
    sizes = np.maximum(match, 0.0) / np.maximum(power, 1e-30)
    return dict(zip(patterns.modes, sizes.tolist(), strict=True))


def _oriented(patterns: Patterns, values: FloatArray) -> FloatArray:
    """Turn evidence that may go either way into the direction in which it went."""
    matrix = patterns.matrix.copy()
    number = len(patterns.modes)
    turned = np.where(patterns.either_way & (values < 0)[:, None], -1.0, 1.0)
    matrix[:, :number] *= turned
    return matrix


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


def _told(patterns: Patterns, parts: list[tuple[int, float]], scores: FloatArray) -> Explanation:
    number = len(patterns.modes)
    degradation = {patterns.names[p]: size for p, size in parts if p < number}
    sensors: dict[str, float] = {}
    for place, _ in parts:
        if place >= number:
            within = place - number
            score = scores[within] if within < len(scores) else scores.max()
            sensors[patterns.names[place]] = float(score)
    return Explanation(degradation=degradation, traces={}, sensors=sensors)
