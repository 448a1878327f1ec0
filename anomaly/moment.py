"""Takes one window of one device into account: health, detections, bad sensors. Pure but for the run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from anomaly.features import Windows
from anomaly.records import (
    Change,
    Detection,
    FloatArray,
    Kind,
    Output,
    Scored,
)
from anomaly.report import (
    AWAY,
    LAST_WINDOWS,
    NEAR,
    health_index,
    learns_until,
    mode_evidence,
    sensor_detection,
)
from anomaly.residuals import BadSensor, Seen
from anomaly.state import DeviceState, ModeState, SensorState
from anomaly.stream.quality import CONVERSIONS, conversion_of
from anomaly.yardstick import Yardstick
from core.product import FailureMode

RAISE_AT, CLEAR_AT = 0.12, 0.06
"""Degradation at which a mode counts as seen, and below which it counts as gone."""
RAISE_HITS = 6
"""A detection needs so many of the last windows."""
FOLLOW_HITS = 2
"""The same where devices follow themselves: a score sums up eight windows already. Docs: decision 25."""
_BITS = (1 << LAST_WINDOWS) - 1
_NEWEST = (1 << RAISE_HITS) - 1
"""Windows in which nothing may stand out before it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One device on its way through a stretch of its stream."""

    yard: Yardstick
    state: DeviceState
    output: Output
    is_worded: bool = True
    """Whether forecasts carry evidence; a replay that is only counted needs none."""


def take_window(run: Run, windows: Windows, row: int, *, seen: Seen, at_us: int) -> None:
    """Take one window into account."""
    yard, state = run.yard, run.state
    if state.serviced_us is not None and at_us - yard.layout.window_us < state.serviced_us:
        return  # it still shows the old part
    state.newest_us = at_us
    state.conditions = listed(windows.conditions[row])
    _carry(state, seen, row)
    told = listed(seen.scores[row])
    modes = yard.scored_modes
    degradation = dict(zip(modes, seen.found.degradation[row].tolist(), strict=True))
    traces = dict(zip(modes, seen.found.traces[row].tolist(), strict=True))
    _note_metrics(state, told, at_us)
    noted = []
    for mode, places in zip(yard.layout.product.failure_modes, yard.evidence_places, strict=True):
        size = degradation.get(mode.name, 0.0)
        state.modes[mode.name].trace = size or traces.get(mode.name, 0.0)
        state.modes[mode.name].score = max([told[p] or 0.0 for p in places], default=0.0)
        noted.append(_note_mode(run, mode, size, at_us))
    run.output.windows.append(
        Scored(
            at_us=at_us,
            measured=tuple(listed(windows.measured_at(yard.layout, row))),
            expected=tuple(state.expected),
            spread=tuple(yard.sigma_listed or state.spread),
            score=tuple(told),
            health=tuple([health for health, _ in noted]),
            wear_score=tuple([score for _, score in noted]),
        )
    )
    _note_sensors(run, seen, row, at_us=at_us)


def _carry(state: DeviceState, seen: Seen, row: int) -> None:
    """Lay down in the state what smoothing carries after a window."""
    state.observed, state.expected = listed(seen.windows.observed[row]), listed(seen.normal[row])
    state.smooth, state.weight = listed(seen.smooth[row]), seen.weight[row].tolist()
    state.unseen, state.excess = seen.unseen[row].tolist(), seen.excess[row].tolist()
    state.spread = listed(seen.spreads[row])


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


def _note_metrics(state: DeviceState, scores: list[float | None], at_us: int) -> None:
    """Note since when each metric has been away from normal."""
    for place, score in enumerate(scores):
        if score is None or score < NEAR:
            state.away_us[place] = None
        elif score > AWAY and state.away_us[place] is None:
            state.away_us[place] = at_us


def _note_mode(
    run: Run, mode: FailureMode, size: float, at_us: int
) -> tuple[float | None, float | None]:
    """Update a mode's health; raise or clear its detection when enough windows agree.

    Returns
    -------
    health index and score; None while the device itself reports the failure, and while its normal is learned anew
    """
    own = run.state.modes[mode.name]
    if own.reported_us is not None or learns_until(run.yard, run.state, mode) is not None:
        return None, None
    if size < own.tolerated:
        own.tolerated = max(0.0, size)  # what has gone is not tolerated again
    own.degradation = max(0.0, size - own.tolerated)
    is_hit = own.degradation >= (CLEAR_AT if own.is_raised else RAISE_AT)
    own.hits = ((own.hits << 1) | int(is_hit)) & _BITS
    if own.degradation > CLEAR_AT and own.since_us is None:
        own.since_us = at_us
    elif not own.hits and own.degradation <= CLEAR_AT:
        own.since_us = None
    if not own.is_raised and own.hits.bit_count() >= raise_hits(run.yard):
        own.is_raised = True
        detect(run, mode, "wear", "raised", at_us)
    elif own.is_raised and _is_over(run.yard, own):
        own.is_raised = False
        detect(run, mode, "wear", "cleared", at_us)
    return health_index(own), own.score


def raise_hits(yard: Yardstick) -> int:
    """How many of the last windows a detection needs."""
    return FOLLOW_HITS if yard.layout.follows else RAISE_HITS


def _is_over(yard: Yardstick, own: ModeState) -> bool:
    if yard.layout.follows:
        return own.hits & _NEWEST == 0
    return own.hits.bit_count() <= LAST_WINDOWS - RAISE_HITS


def _note_sensors(run: Run, seen: Seen, row: int, *, at_us: int) -> None:
    """Count how long each sensor has been suspected, stuck or missing; raise and clear."""
    yard, state = run.yard, run.state
    bad = bad_sensors(yard, seen, row)
    if not state.sensors and not bad:
        return
    for name in yard.layout.watched + yard.layout.conditions:
        found = bad.get(name)
        if found is None and name not in state.sensors:
            continue
        own = state.sensors.setdefault(name, SensorState())
        own.hits = ((own.hits << 1) | int(found is not None)) & _BITS
        own.score = seen.found.sensors.get(row, {}).get(name, 0.0)
        number = own.hits.bit_count()
        if not own.is_raised and number >= RAISE_HITS and found is not None:
            own.is_raised, own.reason = True, found.reason
            own.conversion = found.conversion
            run.output.detections.append(sensor_detection(yard, state, name, "raised", at_us))
        elif own.is_raised and number <= LAST_WINDOWS - RAISE_HITS:
            own.is_raised = False
            run.output.detections.append(sensor_detection(yard, state, name, "cleared", at_us))
        if not own.hits and not own.is_raised:
            del state.sensors[name]


def bad_sensors(yard: Yardstick, seen: Seen, row: int) -> Mapping[str, BadSensor]:
    """Tell what is wrong with which sensor in one window."""
    if yard.layout.follows:
        return seen.bad.get(row, {})
    suspected, windows = seen.found.sensors.get(row, {}), seen.windows
    missing = np.isnan(np.concatenate([windows.observed[row], windows.conditions[row]]))
    if not suspected and not missing.any() and not seen.stuck[row].any():
        return {}
    found: dict[str, BadSensor] = {}
    for place, name in enumerate(yard.layout.watched + yard.layout.conditions):
        if missing[place]:
            found[name] = BadSensor(reason="missing")
        elif seen.stuck[row, place]:
            found[name] = BadSensor(reason="stuck")
        elif name in suspected:
            found[name] = _suspected(yard, seen, row, place)
    return found


def _suspected(yard: Yardstick, seen: Seen, row: int, place: int) -> BadSensor:
    """Tell whether a suspected sensor shows what would be normal in another unit."""
    if place < len(yard.layout.watched):
        unit = conversion_of(
            float(seen.windows.observed[row, place]),
            normal=float(seen.normal[row, place]),
            spread=float(yard.sigma[place]),
        )
        if unit:
            return BadSensor(reason="unit", conversion=CONVERSIONS[unit - 1].text)
    return BadSensor(reason="sensor")


def listed(values: FloatArray) -> list[float | None]:
    """Values for JSON: None where there is none."""
    return [None if v != v else v for v in values.tolist()]  # noqa: PLR0124 - NaN, without a call
