"""The scorer's arithmetic once more, as plainly as it can be said: one window, one metric at a time.

Slow, and shares with the real one only what takes events (`walk`) and the choice of an explanation. What
the real one computes in arrays for many devices must be the same to the bit.
"""

import math
from collections.abc import Sequence

import numpy as np

from anomaly.baseline import SMOOTHING_WINDOWS
from anomaly.explain import Explanations, explain_all
from anomaly.features import COVERAGE_MIN, FLAT_SAMPLES_MIN, Layout, Range, Windows
from anomaly.moment import Run
from anomaly.records import FloatArray, Output, Samples, ServiceEvent
from anomaly.residuals import UNSEEN_MAX, Seen
from anomaly.scorer import advance, read_from_us, walk
from anomaly.state import DeviceState
from anomaly.yardstick import Yardstick
from tests.unit.anomaly.bench import YARD, begin


def score_slowly(
    samples: Samples, services: Sequence[ServiceEvent], *, until_us: int, yard: Yardstick = YARD
) -> Output:
    """Score one device's stream up to an instant."""
    state, whole = begin(yard, first_us=int(samples.at_us[0])), Output()
    # Cut at every service, because smoothing may begin anew there.
    cuts = sorted({s.found_us for s in services if s.found_us < until_us} | {until_us})
    for through_us in (state.learn_until_us, *cuts):
        if through_us > state.through_us and through_us <= until_us:
            output = _advance(yard, state, samples, through_us=through_us, services=services)
            for name in Output.__slots__:
                getattr(whole, name).extend(getattr(output, name))
    return whole


def _advance(
    yard: Yardstick, state: DeviceState, samples: Samples, *, through_us: int, services
) -> Output:
    from_us = read_from_us(yard, state, through_us=through_us)
    part = samples.between(from_us, through_us + 1)
    if state.phase == "learning":
        return advance(yard, state, part, through_us=through_us, services=services)
    run = Run(yard=yard, state=state, output=Output())
    whole = max(through_us // yard.layout.window_us * yard.layout.window_us, state.windows_us)
    windows = _windows(yard.layout, part.between(state.windows_us, whole), yard.baseline.ranges)
    if state.serviced_us is not None:
        windows = windows.kept(windows.index * yard.layout.window_us >= state.serviced_us)
    walk(
        run, part, windows, until_us=through_us, services=services, seen=_seen(yard, state, windows)
    )
    state.windows_us = whole
    return run.output


def _windows(layout: Layout, samples: Samples, ranges: tuple[Range, ...]) -> Windows:
    numbers = samples.at_us // layout.window_us
    rows = [
        _window(layout, samples.values[numbers == n], int(n), ranges) for n in np.unique(numbers)
    ]
    kept = [row for row in rows if row["running"] >= layout.samples_min]
    shapes = {"observed": len(layout.watched), "terms": len(layout.terms), "noise": 0}
    shapes |= {"others": len(layout.others), "flat": len(layout.watched + layout.conditions)}
    shapes |= dict.fromkeys(("conditions", "excess"), len(layout.conditions))
    return Windows(
        owner=np.zeros(len(kept), dtype=np.int64),
        index=np.array([row["index"] for row in kept], dtype=np.int64),
        running=np.array([row["running"] for row in kept], dtype=np.int64),
        **{
            name: np.array(
                [row.get(name, []) for row in kept],
                dtype=np.bool_ if name == "flat" else np.float64,
            ).reshape(len(kept), width)
            for name, width in shapes.items()
        },
    )


def _window(layout: Layout, values: FloatArray, number: int, ranges: tuple[Range, ...]) -> dict:
    product, place = layout.product, layout.columns
    running = values[:, place[product.running.metric]] > product.running.above
    running &= ~(np.abs(values[:, place[product.fault_metric]]) > 0)
    values = values[running]
    watched, conditions, others = (
        [values[:, place[name]] for name in names]
        for names in (layout.watched, layout.conditions, layout.others)
    )
    scaled = [(v - r.middle) / r.half for v, r in zip(conditions, ranges, strict=True)]
    inside = [np.minimum(np.maximum(s, -1.0), 1.0) for s in scaled]
    outside = [s - i for s, i in zip(scaled, inside, strict=True)]
    terms = []
    for term in layout.terms:
        first, *rest = (layout.conditions.index(name) for name in term)
        value, slope = inside[first], outside[first]
        for factor in rest:
            value, slope = value * inside[factor], slope * inside[factor] + value * outside[factor]
        terms.append(value + slope)
    return {
        "index": number,
        "running": len(values),
        "observed": [_mean(v) for v in watched],
        "terms": [_mean(v) for v in terms],
        "conditions": [_mean(v) for v in conditions],
        "others": [_mean(v) for v in others],
        "excess": [_mean(np.abs(v)) for v in outside],
        "flat": [_is_flat(v) for v in watched + conditions],
    }


def _mean(values: FloatArray) -> float:
    known = np.isfinite(values)
    if not len(values) or known.sum() < max(1, COVERAGE_MIN * len(values)):
        return math.nan
    # The sum is numpy's own: the first, and the others in pairs, in an order given by their number alone.
    first, *_ = filled = np.where(known, values, 0.0)
    return float((first + filled[1:].sum()) / known.sum())


def _is_flat(values: FloatArray) -> bool:
    known = values[np.isfinite(values)]
    return bool(len(values) >= FLAT_SAMPLES_MIN and len(known) and known.min() == known.max())


def _seen(yard: Yardstick, state: DeviceState, windows: Windows) -> Seen:
    smooth, weight = list(state.smooth), list(state.weight)
    unseen, excess = list(state.unseen), list(state.excess)
    number = len(yard.layout.watched)
    expected = [_expected(yard, windows.terms[row]) for row in range(len(windows))]
    normal = np.array(expected).reshape(len(windows), number) + np.array(state.offsets)
    kept: dict[str, list[list[float]]] = {
        name: [] for name in ("smooth", "weight", "unseen", "excess", "spreads", "scores")
    }
    stuck = windows.flat & yard.never_flat
    found: list[Explanations] = []
    for row in range(len(windows)):
        for place, value in enumerate(windows.excess[row].tolist()):
            if not math.isnan(value):
                excess[place] += (value - excess[place]) / SMOOTHING_WINDOWS
        deviations, spreads = [], []
        for place in range(number):
            leans = yard.leans[place]
            residual = float(windows.observed[row, place] - normal[row, place])
            blind = stuck[row, place] or any(stuck[row, number + c] for c in leans)
            if not math.isnan(residual) and not blind:
                weight[place] = 1 + weight[place] * (1 - 1 / SMOOTHING_WINDOWS)
                smooth[place] += (residual - smooth[place]) / weight[place]
                unseen[place] = 0
            else:
                unseen[place] += 1
                if unseen[place] >= UNSEEN_MAX:
                    weight[place] = 0.0
            width = 1.0
            if weight[place] > 0:
                few = math.sqrt(max(1.0, SMOOTHING_WINDOWS / weight[place]))
                width = (1 + 3.0 * max((excess[c] for c in leans), default=0.0)) * few
            deviations.append(smooth[place] if weight[place] > 0 else math.nan)
            spreads.append(
                float(np.hypot(yard.sigma_smooth[place] * width, yard.patterns.unmodelled[place]))
            )
        scores = [abs(d) / s for d, s in zip(deviations, spreads, strict=True)]
        for name, values in (
            ("smooth", smooth), ("weight", weight), ("unseen", unseen), ("excess", excess),
            ("spreads", spreads), ("scores", scores),
        ):  # fmt: skip
            kept[name].append(list(values))
        found.append(explain_all(yard.patterns, np.array([deviations]), np.array([spreads])))
    modes = len(yard.patterns.modes)
    arrays = {
        name: np.array(rows).reshape(len(windows), len(excess) if name == "excess" else number)
        for name, rows in kept.items()
    }
    return Seen(
        windows=windows,
        normal=normal,
        stuck=stuck,
        found=Explanations(
            degradation=np.array([f.degradation[0] for f in found]).reshape(-1, modes),
            traces=np.array([f.traces[0] for f in found]).reshape(-1, modes),
            sensors={row: f.sensors[0] for row, f in enumerate(found) if f.sensors},
        ),
        **arrays,
    )


def _expected(yard: Yardstick, terms: FloatArray) -> list[float]:
    return [
        float(np.where(np.array(m.coefficients) != 0, terms * np.array(m.coefficients), 0.0).sum())
        + m.intercept
        for m in yard.baseline.metrics
    ]
