"""Takes one window into account: smoothing, explanation, health, detections. Pure but for the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

import numpy as np

from anomaly.baseline import SMOOTHING_WINDOWS
from anomaly.explain import explain
from anomaly.features import Windows
from anomaly.follow import follow_window
from anomaly.records import Change, Detection, Expectation, FloatArray, Health, Kind, Output
from anomaly.report import (
    AWAY,
    LAST_WINDOWS,
    NEAR,
    health_index,
    mode_evidence,
    sensor_detection,
)
from anomaly.state import DeviceState, SensorState
from anomaly.yardstick import Yardstick
from core.product import FailureMode

RAISE_AT, CLEAR_AT = 0.12, 0.06
"""Degradation at which a mode counts as seen, and below which it counts as gone."""
RAISE_HITS = 6
"""A detection needs so many of the last windows."""
UNSEEN_MAX = 24
"""Windows after which a metric without values is a missing one."""
_EXCESS_WIDENS = 3.0
_BITS = (1 << LAST_WINDOWS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One device on its way through a stretch of its stream."""

    yard: Yardstick
    state: DeviceState
    output: Output


def take_window(run: Run, windows: Windows, row: int, *, expected: FloatArray, at_us: int) -> None:
    """Take one window into account; `expected` is the fleet's expectation for it."""
    yard, state = run.yard, run.state
    if state.serviced_us is not None and at_us - yard.layout.window_us < state.serviced_us:
        return  # it still shows the old part
    state.newest_us = at_us
    state.conditions = _listed(windows.conditions[row])
    observed = windows.observed[row]
    if yard.layout.follows:
        degradation, scores = follow_window(yard.layout, state, observed)
        traces, sensors = degradation, dict[str, float]()
    else:
        normal = expected + np.array(state.offsets)
        deviations, spreads = _smooth(run, windows, row, residuals=observed - normal)
        state.observed, state.expected = _listed(observed), _listed(normal)
        state.spread = spreads.tolist()
        found = explain(yard.patterns, deviations, spreads)
        degradation, sensors, traces = found.degradation, found.sensors, found.traces
        scores = np.abs(deviations) / spreads
    told = _listed(scores)
    _note_metrics(run, told, at_us)
    for mode, places in zip(yard.layout.product.failure_modes, yard.evidence_places, strict=True):
        size = degradation.get(mode.name, 0.0)
        state.modes[mode.name].trace = size or traces.get(mode.name, 0.0)
        state.modes[mode.name].score = max((told[p] or 0.0 for p in places), default=0.0)
        _note_mode(run, mode, size, at_us)
    if not yard.layout.follows:
        _note_sensors(run, windows, row, suspected=sensors, at_us=at_us)


def detect(run: Run, mode: FailureMode, kind: Kind, change: Change, at_us: int) -> None:
    """Record a change of state of a failure mode, with what explains it."""
    run.output.detections.append(
        Detection(
            kind=kind,
            failure_mode=mode.name,
            change=change,
            at_us=at_us,
            score=run.state.modes[mode.name].score,
            evidence=mode_evidence(run.yard, run.state, mode),
        )
    )


def _smooth(
    run: Run, windows: Windows, row: int, *, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Smooth the residuals; widen the spread where conditions are new or values few."""
    yard, state = run.yard, run.state
    excess = windows.excess[row].tolist()
    for place, value in enumerate(excess):
        if not isnan(value):
            state.excess[place] += (value - state.excess[place]) / SMOOTHING_WINDOWS
    stuck = windows.flat[row] & yard.never_flat
    number = len(residuals)
    deviations, widths = [np.nan] * number, [1.0] * number
    for place, value in enumerate(residuals.tolist()):
        leans = yard.leans[place]
        if not isnan(value) and not stuck[place] and not any(stuck[number + c] for c in leans):
            weight = 1 + state.weight[place] * (1 - 1 / SMOOTHING_WINDOWS)
            before = state.smooth[place] or 0.0
            state.smooth[place] = before + (value - before) / weight
            state.weight[place] = weight
            state.unseen[place] = 0
        else:
            state.unseen[place] += 1
            if state.unseen[place] >= UNSEEN_MAX:
                state.weight[place] = 0.0
        if state.weight[place] > 0:
            deviations[place] = state.smooth[place] or 0.0
            few = max(1.0, SMOOTHING_WINDOWS / state.weight[place]) ** 0.5
            outside = max((state.excess[c] for c in leans), default=0.0)
            widths[place] = (1 + _EXCESS_WIDENS * outside) * few
    spreads = np.hypot(yard.sigma_smooth * np.array(widths), yard.patterns.unmodelled)
    return np.array(deviations), spreads


def _note_metrics(run: Run, scores: list[float | None], at_us: int) -> None:
    yard, state = run.yard, run.state
    sigma: Sequence[float | None] = yard.sigma_listed or state.reference_spread
    for place, name in enumerate(yard.layout.watched):
        score = scores[place]
        if score is None or score < NEAR:
            state.away_us[place] = None
        elif score > AWAY and state.away_us[place] is None:
            state.away_us[place] = at_us
        run.output.expectations.append(
            Expectation(
                metric=name,
                at_us=at_us,
                observed=state.observed[place],
                expected=state.expected[place],
                spread=sigma[place],
                score=score,
            )
        )


def _note_mode(run: Run, mode: FailureMode, size: float, at_us: int) -> None:
    """Update a mode's health; raise or clear its detection when enough windows agree."""
    own = run.state.modes[mode.name]
    if own.reported_us is not None:
        return
    if size < own.tolerated:
        own.tolerated = max(0.0, size)  # what has gone is not tolerated again
    own.degradation = max(0.0, size - own.tolerated)
    is_hit = own.degradation >= (CLEAR_AT if own.is_raised else RAISE_AT)
    own.hits = ((own.hits << 1) | int(is_hit)) & _BITS
    if own.degradation > CLEAR_AT and own.since_us is None:
        own.since_us = at_us
    elif not own.hits and own.degradation <= CLEAR_AT:
        own.since_us = None
    number = own.hits.bit_count()
    if not own.is_raised and number >= RAISE_HITS:
        own.is_raised = True
        detect(run, mode, "wear", "raised", at_us)
    elif own.is_raised and number <= LAST_WINDOWS - RAISE_HITS:
        own.is_raised = False
        detect(run, mode, "wear", "cleared", at_us)
    health = health_index(own)
    run.output.healths.append(
        Health(failure_mode=mode.name, at_us=at_us, score=own.score, health_index=health)
    )


def _note_sensors(
    run: Run, windows: Windows, row: int, *, suspected: dict[str, float], at_us: int
) -> None:
    """Count how long each sensor has been suspected, stuck or missing; raise and clear."""
    yard, state = run.yard, run.state
    missing = np.isnan(np.concatenate([windows.observed[row], windows.conditions[row]]))
    stuck = windows.flat[row] & yard.never_flat
    if not state.sensors and not suspected and not missing.any() and not stuck.any():
        return
    for place, name in enumerate(yard.layout.watched + yard.layout.conditions):
        reason: Literal["sensor", "stuck", "missing"] | None = None
        if missing[place]:
            reason = "missing"
        elif stuck[place]:
            reason = "stuck"
        elif name in suspected:
            reason = "sensor"
        if reason is None and name not in state.sensors:
            continue
        own = state.sensors.setdefault(name, SensorState())
        own.hits = ((own.hits << 1) | int(reason is not None)) & _BITS
        own.score = suspected.get(name, 0.0)
        number = own.hits.bit_count()
        if not own.is_raised and number >= RAISE_HITS and reason is not None:
            own.is_raised, own.reason = True, reason
            run.output.detections.append(sensor_detection(yard, state, name, "raised", at_us))
        elif own.is_raised and number <= LAST_WINDOWS - RAISE_HITS:
            own.is_raised = False
            run.output.detections.append(sensor_detection(yard, state, name, "cleared", at_us))
        if not own.hits and not own.is_raised:
            del state.sensors[name]


def _listed(values: FloatArray) -> list[float | None]:
    """Values for JSON: None where there is none."""
    return [None if isnan(v) else v for v in values.tolist()]
