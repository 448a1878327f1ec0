"""What is normal: each watched metric explained by its operating conditions. Pure.

All devices of a product share the slopes; each has an offset of its own, drawn towards the fleet's. Where the data
say that devices differ by a factor rather than by a sum (a meter that shows 4 % too much shows more too much the more there
is), the offset grows with the expected value: what was learned in winter still holds in summer.
The fit is robust, so that a few devices that are ill from the start neither bend it nor hide in it.
"""

import msgspec
import numpy as np

from anomaly.features import Layout, Range, Term, Windows, running_mask
from anomaly.records import BoolArray, FloatArray, Samples

SMOOTHING_WINDOWS = 16.0
"""Time constant of the smoothing of residuals, windows."""
UNKNOWN = 1e30
"""Spread of what could not be learned: so wide that nothing is ever strange."""
RANGE_QUANTILES = (0.002, 0.998)
_HUBER = 2.0  # spreads beyond which a residual loses weight; 95 % efficiency lies at 1.345
_ROUNDS = 8
_RIDGE = 1e-4
_ODD_DEVICES_MIN = 6
_FACTORS = (0.1, 3.0)
"""Least and most that an offset shrinks or grows with the expected value: beyond, nothing was learned."""
_LOW_MIN = 0.25
"""Share of the typical value below which hardly any may lie where a factor is asked for: temperatures have no zero."""
_SURE = 1.64
"""Standard errors by which more devices must be closer to a factor than to a sum: one in twenty by chance."""
_MAD = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


class MetricBaseline(msgspec.Struct, frozen=True, kw_only=True):
    metric: str
    intercept: float
    coefficients: tuple[float, ...]
    """One per term of the layout; 0 for terms that do not belong to the metric."""
    sigma: float
    """Robust standard deviation of one healthy window around its expected value."""
    sigma_smooth: float
    """The same after smoothing over windows."""
    tau: float
    """Robust standard deviation of the offsets between devices."""
    explained: float
    """Share of the variance within devices that the conditions explain."""
    flat_share: float
    """Share of healthy windows in which the metric did not move."""
    noise: float
    """Typical standard deviation within a window."""
    level: float = 0.0
    """Expected value at which a device's offset holds, where devices differ by a factor; 0: they differ by a sum."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Learned from a product's devices; plain numbers, stored as JSON."""

    ranges: tuple[Range, ...]
    metrics: tuple[MetricBaseline, ...]
    condition_flat_share: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
    """Per condition and metric: change of the expected value per unit of the condition."""
    devices: int
    windows: int
    conditions: tuple[str, ...] = ()
    """Whose ranges these are. Without it and `terms` in baselines that were kept before names were."""
    terms: tuple[Term, ...] = ()
    """What the coefficients belong to."""

    def expected(self, terms: FloatArray) -> FloatArray:
        """Expected value of every watched metric; terms of shape (n, terms) give (n, watched)."""
        coefficients = np.array([m.coefficients for m in self.metrics]).reshape(
            len(self.metrics), -1
        )
        intercepts = np.array([m.intercept for m in self.metrics])
        # Not `@`: a matrix product may round differently for another number of rows. And a missing
        # condition is missed only where it counts.
        parts = np.where(coefficients[None] != 0, terms[:, None, :] * coefficients[None], 0.0)
        return np.asarray(parts.sum(axis=2) + intercepts)

    def factors(self, expected: FloatArray) -> FloatArray:
        """How much of a device's offset holds at expected values; (n, watched), 1 where devices differ by a sum."""
        levels = np.array([m.level for m in self.metrics])
        grown = np.clip(expected / np.where(levels > 0, levels, 1.0), *_FACTORS)
        return np.where(levels > 0, grown, 1.0)

    def normal(self, expected: FloatArray, offsets: FloatArray) -> FloatArray:
        """Expected value of every watched metric of devices with these offsets; (n, watched)."""
        return np.asarray(expected + offsets * self.factors(expected))


def learned_ranges(layout: Layout, samples: list[Samples]) -> tuple[Range, ...]:
    """Where each condition was while devices ran."""
    found = []
    for name in layout.conditions:
        column = layout.columns[name]
        parts = [s.values[running_mask(layout, s.values), column] for s in samples]
        seen = np.concatenate([p[np.isfinite(p)] for p in parts]) if parts else np.empty(0)
        low, high = np.quantile(seen, RANGE_QUANTILES) if len(seen) else (0.0, 0.0)
        found.append(Range(low=float(low), high=float(max(high, low + 1e-6))))
    return tuple(found)


def fit_baseline(layout: Layout, fleet: list[Windows], *, ranges: tuple[Range, ...]) -> Baseline:
    """Learn what is normal from the learning periods of a fleet.

    Parameters
    ----------
    layout : Layout
    fleet : list of Windows, one per device
        Summed up with the same `ranges`.
    """
    fleet = [windows for windows in fleet if len(windows)]
    metrics = tuple(
        _fit_metric(layout, fleet, place=place, metric=name)
        for place, name in enumerate(layout.watched)
    )
    flat = np.concatenate([w.flat for w in fleet]) if fleet else np.zeros((1, 0), dtype=np.bool_)
    baseline = Baseline(
        ranges=ranges,
        metrics=metrics,
        condition_flat_share=tuple(flat.mean(axis=0)[len(layout.watched) :].tolist()),
        gradients=(),
        devices=len(fleet),
        windows=sum(len(w) for w in fleet),
        conditions=layout.conditions,
        terms=layout.terms,
    )
    return msgspec.structs.replace(baseline, gradients=gradients_of(layout, baseline))


def _fit_metric(layout: Layout, fleet: list[Windows], *, place: int, metric: str) -> MetricBaseline:
    mask = layout.term_mask(metric)
    rows = [_complete(w, place, mask) for w in fleet]
    kept = [(w.terms[r][:, mask], w.observed[r, place]) for w, r in zip(fleet, rows, strict=True)]
    kept = [(x, y) for x, y in kept if len(y) >= 3]
    noise = [w.noise[r, place] for w, r in zip(fleet, rows, strict=True)]
    flat = [w.flat[r, place] for w, r in zip(fleet, rows, strict=True)]
    if not kept:
        return unlearned(metric, terms=len(mask))
    slopes, offsets, residuals = _robust_fit(kept)
    intercept = float(np.median(offsets))
    by_factor = _by_factor(
        [x @ slopes + intercept for x, _ in kept], [y for _, y in kept], residuals
    )
    level, own, residuals = by_factor or (0.0, offsets - intercept, residuals)
    smooth = np.concatenate([smoothed(r)[int(SMOOTHING_WINDOWS) :] for r in residuals])
    every = np.concatenate(residuals)
    size = float(np.median(np.abs(np.concatenate([y for _, y in kept]))))
    sigma = max(_mad(every), 1e-6 * size, 1e-9)
    total = np.concatenate([y - y.mean() for _, y in kept])
    coefficients = np.zeros(len(mask))
    coefficients[mask] = slopes
    return MetricBaseline(
        metric=metric,
        intercept=intercept,
        coefficients=tuple(coefficients.tolist()),
        sigma=sigma,
        sigma_smooth=max(_mad(smooth) if len(smooth) > 20 else sigma / 2, sigma / 6),
        tau=_mad(own) if len(own) >= _ODD_DEVICES_MIN else UNKNOWN,
        explained=float(1 - np.clip(_mad(every) ** 2 / max(_mad(total) ** 2, 1e-30), 0, 1)),
        flat_share=float(np.concatenate(flat).mean()),
        noise=float(np.median(np.concatenate(noise))),
        level=level,
    )


def unlearned(metric: str, *, terms: int) -> MetricBaseline:
    return MetricBaseline(
        metric=metric, intercept=0.0, coefficients=(0.0,) * terms, sigma=UNKNOWN,
        sigma_smooth=UNKNOWN, tau=0.0, explained=0.0, flat_share=1.0, noise=0.0,
    )  # fmt: skip


def _by_factor(
    expected: list[FloatArray], observed: list[FloatArray], by_sum: list[FloatArray]
) -> tuple[float, FloatArray, list[FloatArray]] | None:
    """Try whether devices differ by a factor: the level, an offset at it per device, and what is left over.

    Returns
    -------
    tuple of float, ndarray and list of ndarray, or None
        None where it is not sure that more devices come closer to what is expected so than by a sum (`by_sum` is left over
        then). Asked are the devices that are off the most: the others are as close either way.
    """
    every = np.concatenate(expected)
    level = float(np.median(every))
    if level <= 0 or len(expected) < _ODD_DEVICES_MIN:
        return None
    if float(np.quantile(every, RANGE_QUANTILES[0])) < _LOW_MIN * level:
        return None
    grown = [np.clip(e / level, *_FACTORS) for e in expected]
    own = np.array([
        np.median((y - e) / g) for y, e, g in zip(observed, expected, grown, strict=True)
    ])  # fmt: skip
    left = [y - e - o * g for y, e, o, g in zip(observed, expected, own, grown, strict=True)]
    is_closer = np.array([
        np.abs(new).sum() < np.abs(old).sum() for new, old in zip(left, by_sum, strict=True)
    ])  # fmt: skip
    telling = is_closer[np.argsort(-np.abs(own))[: max(len(own) // 2, _ODD_DEVICES_MIN)]]
    surplus = telling.sum() - len(telling) / 2
    return (level, own, left) if surplus > _SURE * np.sqrt(len(telling)) / 2 else None


def _complete(windows: Windows, place: int, mask: BoolArray) -> BoolArray:
    known = np.isfinite(windows.observed[:, place])
    return np.asarray(known & np.isfinite(windows.terms[:, mask]).all(axis=1))


def _robust_fit(
    devices: list[tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
    """Huber regression with common slopes and one offset per device, drawn to the fleet's.

    The offsets are eliminated by blocks (Schur complement), so the cost grows with the rows alone.
    """
    sizes = np.array([len(y) for _, y in devices])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    x = np.concatenate([x for x, _ in devices])
    y = np.concatenate([y for _, y in devices])
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = np.full(x.shape[1], _RIDGE * len(y))
    ridge[-1] = 1e-9
    weights, shrink = np.ones(len(y)), 1.0
    for _ in range(_ROUNDS):
        wx, wy = x * weights[:, None], y * weights
        sums, totals = np.add.reduceat(wx, starts, axis=0), np.add.reduceat(wy, starts)
        number = np.add.reduceat(weights, starts) + shrink
        left = x.T @ wx + np.diag(ridge) - (sums / number[:, None]).T @ sums
        solution = np.linalg.lstsq(left, x.T @ wy - sums.T @ (totals / number), rcond=None)[0]
        offsets = (totals - sums @ solution) / number
        residuals = y - x @ solution - np.repeat(offsets, sizes)
        spread = max(_mad(residuals), 1e-12)
        weights = _HUBER * spread / np.maximum(np.abs(residuals), _HUBER * spread)
        between = max(_mad(offsets), 1e-9) if len(offsets) >= _ODD_DEVICES_MIN else spread
        shrink = float(np.clip(SMOOTHING_WINDOWS * (spread / between) ** 2, 1e-3, 1e3))
    slopes: FloatArray = np.asarray(solution[:-1], dtype=np.float64)
    raw = y - x[:, :-1] @ slopes
    medians = np.array([np.median(part) for part in np.split(raw, starts[1:])])
    return slopes, medians, [p - m for p, m in zip(np.split(raw, starts[1:]), medians, strict=True)]


def smoothed(values: FloatArray) -> FloatArray:
    """Smooth a row of values over `SMOOTHING_WINDOWS` windows, as the scorer does."""
    out, state, weight = np.empty_like(values), 0.0, 0.0
    for place, value in enumerate(values):
        weight = 1 + weight * (1 - 1 / SMOOTHING_WINDOWS)
        state += (value - state) / weight
        out[place] = state
    return out


def gradients_of(layout: Layout, baseline: Baseline) -> tuple[tuple[float, ...], ...]:
    """Slope of every expected value along each condition, across the learned range."""
    place = {name: i for i, name in enumerate(layout.conditions)}
    found = []
    for name, span in zip(layout.conditions, baseline.ranges, strict=True):
        ends = []
        for side in (-0.5, 0.5):
            scaled = np.zeros(len(layout.conditions))
            scaled[place[name]] = side
            terms = [np.prod([scaled[place[factor]] for factor in term]) for term in layout.terms]
            ends.append(baseline.expected(np.array(terms).reshape(1, -1))[0])
        found.append(tuple(((ends[1] - ends[0]) / span.half).tolist()))
    return tuple(found)


def own_offsets(layout: Layout, baseline: Baseline, windows: Windows) -> FloatArray:
    """Offset of one device from the fleet, learned in its own first time; where devices differ by a factor, at `level`.

    It is drawn to the fleet's and kept within what devices of this product show, so that a device
    that is odd from the start stays odd.
    """
    expected = baseline.expected(windows.terms)
    residuals = (windows.observed - expected) / baseline.factors(expected)
    offsets = np.zeros(len(layout.watched))
    for place, metric in enumerate(baseline.metrics):
        known = residuals[np.isfinite(residuals[:, place]), place]
        if len(known) < 3:
            continue
        own = float(np.median(known))
        if metric.tau < UNKNOWN:
            noise = metric.sigma_smooth**2 * SMOOTHING_WINDOWS / max(len(known), SMOOTHING_WINDOWS)
            spread = max(metric.tau, metric.sigma_smooth)
            own *= spread**2 / (spread**2 + noise)
            own = float(np.clip(own, -3 * spread, 3 * spread))
        offsets[place] = own
    return offsets


def _mad(values: FloatArray) -> float:
    return float(_MAD * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
