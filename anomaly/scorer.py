"""Scores one device's stream: windows to degradation, detections and forecasts. Pure.

`advance` promises: what comes out depends on the device's own stream, the baseline and the service
events alone, never on how the stream was cut into batches. Events are taken in order of event time:
the end of a window, then a service, then a fault report, then a forecast.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from anomaly import evidence as words
from anomaly.baseline import SMOOTHING_WINDOWS, UNKNOWN, Baseline, own_offsets
from anomaly.explain import Patterns, explain
from anomaly.features import Layout, Windows, summarise
from anomaly.follow import follow_window, learn_reference
from anomaly.forecaster import base_outlook, forecast_path
from anomaly.records import (
    BoolArray,
    Detection,
    Evidence,
    Expectation,
    FloatArray,
    Forecast,
    Health,
    MetricEvidence,
    Outlook,
    Output,
    Samples,
    Sentence,
    ServiceEvent,
    Status,
)
from anomaly.state import DeviceState, ModeState, SensorState
from core.product import FailureMode

RAISE_AT, CLEAR_AT = 0.12, 0.06
"""Degradation at which a mode counts as seen, and below which it counts as gone."""
RAISE_HITS, LAST_WINDOWS = 6, 8
"""A detection needs so many of the last windows."""
FAILURES_PER_YEAR = 0.05
"""Of a failure mode of a device that shows no sign."""
FLAT_SHARE_MAX = 0.02
UNSEEN_MAX = 24
"""Windows after which a metric without values is a missing one."""
PATH_MAX = 240
_AWAY, _NEAR = 3.0, 2.0
_EXCESS_WIDENS = 3.0
_BELIEF = 0.97
_BITS = (1 << LAST_WINDOWS) - 1
_US_PER_HOUR = 3.6e9


@dataclass(frozen=True)
class Scorer:
    """What is needed besides the device's own state."""

    layout: Layout
    baseline: Baseline | None
    """None while the product is still being learned; not needed where devices follow themselves."""

    @cached_property
    def patterns(self) -> Patterns:
        assert self.baseline is not None
        return Patterns(self.layout, self.baseline)

    @cached_property
    def forecast_every_us(self) -> int:
        return round(self.layout.product.forecast_every.total_seconds() * 1e6)

    @cached_property
    def can_score(self) -> bool:
        return self.layout.follows or self.baseline is not None

    @cached_property
    def sigma(self) -> FloatArray:
        assert self.baseline is not None
        return np.array([m.sigma for m in self.baseline.metrics])

    @cached_property
    def sigma_smooth(self) -> FloatArray:
        assert self.baseline is not None
        return np.array([m.sigma_smooth for m in self.baseline.metrics])

    @cached_property
    def depends(self) -> BoolArray:
        """Which watched metric leans on which condition; (watched, conditions)."""
        rows = [
            [c in self.layout.product.metric(name).depends_on for c in self.layout.conditions]
            for name in self.layout.watched
        ]
        return np.array(rows, dtype=np.bool_).reshape(
            len(self.layout.watched), len(self.layout.conditions)
        )

    @cached_property
    def mode_noise(self) -> dict[str, float]:
        """Standard deviation of a healthy device's degradation, per mode."""
        found = {}
        for name in self.patterns.modes:
            column = np.abs(self.patterns.matrix[:, self.patterns.modes.index(name)])
            used = column > 0
            found[name] = float(1 / np.sqrt(((column / self.sigma_smooth)[used] ** 2).sum()))
        return found


def read_from_us(scorer: Scorer, state: DeviceState, *, through_us: int) -> int:
    """From which instant on `advance` needs samples."""
    if state.phase == "scoring":
        return min(state.windows_us, state.through_us + 1)
    if through_us >= state.learn_until_us and scorer.can_score:
        return state.learn_from_us
    return state.through_us + 1


def advance(
    scorer: Scorer,
    state: DeviceState,
    samples: Samples,
    *,
    through_us: int,
    services: Sequence[ServiceEvent] = (),
) -> Output:
    """Take a device's stream up to `through_us` into account; changes `state`.

    Parameters
    ----------
    scorer : Scorer
    state : DeviceState
    samples : Samples
        All samples from `read_from_us` up to and including `through_us`.
    through_us : int
        The stream is complete up to here.
    services : sequence of ServiceEvent
        All that is known; those of the future wait, those that come late are taken at once.
    """
    output = Output()
    if state.phase == "learning":
        until = min(through_us, state.learn_until_us - 1)
        _walk(scorer, state, samples, None, until_us=until, services=services, output=output)
        if through_us >= state.learn_until_us and scorer.can_score:
            _learn(scorer, state, samples, output)
    if state.phase == "scoring":
        whole = through_us // scorer.layout.window_us * scorer.layout.window_us
        ranges = scorer.baseline.ranges if scorer.baseline else ()
        part = samples.between(state.windows_us, max(whole, state.windows_us))
        windows = summarise(scorer.layout, part, ranges=ranges)
        _walk(
            scorer, state, samples, windows, until_us=through_us, services=services, output=output
        )
        state.windows_us = max(whole, state.windows_us)
    return output


# --- the order of events -------------------------------------------------------------------------

_WINDOW, _SERVICE, _FAULT, _FORECAST = range(4)


def _walk(
    scorer: Scorer,
    state: DeviceState,
    samples: Samples,
    windows: Windows | None,
    *,
    until_us: int,
    services: Sequence[ServiceEvent],
    output: Output,
) -> None:
    """Take everything between `state.through_us` and `until_us` in order of event time."""
    if until_us <= state.through_us:
        return
    events: list[tuple[int, int, int]] = []
    if windows is not None:
        ends = (windows.index + 1) * scorer.layout.window_us
        events += [(int(end), _WINDOW, row) for row, end in enumerate(ends)]
        expected = _expected(scorer, windows)
    events += [
        (max(service.found_us, state.through_us + 1), _SERVICE, place)
        for place, service in enumerate(services)
        if service.finding_id not in state.services and service.found_us <= until_us
    ]
    events += [(at, _FAULT, code) for at, code in _fault_changes(scorer, state, samples, until_us)]
    every = scorer.forecast_every_us
    first = (state.through_us // every + 1) * every
    events += [(at, _FORECAST, 0) for at in range(first, until_us + 1, every)]
    for at_us, kind, place in sorted(events):
        if kind == _WINDOW:
            assert windows is not None
            _take_window(scorer, state, windows, expected, place, at_us, output)
        elif kind == _SERVICE:
            _take_service(scorer, state, services[place], at_us, output)
        elif kind == _FAULT:
            _take_fault(scorer, state, place, at_us, output)
        else:
            _make_forecasts(scorer, state, at_us, output)
    state.through_us = until_us


def _expected(scorer: Scorer, windows: Windows) -> FloatArray:
    if scorer.baseline is None or not len(windows):
        return np.zeros((len(windows), len(scorer.layout.watched)))
    return scorer.baseline.expected(windows.terms)


def _fault_changes(
    scorer: Scorer, state: DeviceState, samples: Samples, until_us: int
) -> Iterator[tuple[int, int]]:
    """Instants at which the reported fault code changes, and to what."""
    name = scorer.layout.product.fault_metric
    if name is None:
        return
    part = samples.between(state.through_us + 1, until_us + 1)
    codes = part.values[:, scorer.layout.columns[name]]
    known = np.isfinite(codes)
    at, codes = part.at_us[known], codes[known].astype(np.int64)
    for place in np.flatnonzero(np.diff(codes, prepend=state.fault_code)):
        yield int(at[place]), int(codes[place])


# --- learning ------------------------------------------------------------------------------------


def _learn(scorer: Scorer, state: DeviceState, samples: Samples, output: Output) -> None:
    """Learn the device's own normal; too little running time makes the learning longer."""
    layout, baseline = scorer.layout, scorer.baseline
    ranges = baseline.ranges if baseline else ()
    windows = summarise(
        layout, samples.between(state.learn_from_us, state.learn_until_us), ranges=ranges
    )
    number = len(layout.watched)
    if layout.follows:
        if not learn_reference(state, windows):
            state.learn_until_us += state.learn_until_us - state.learn_from_us
            return
    else:
        assert baseline is not None
        offsets = own_offsets(layout, baseline, windows)
        state.offsets = [float(v) for v in offsets]
        _expect_learning(scorer, windows, offsets, output)
    state.smooth = [0.0] * number
    state.weight = [0.0] * number
    state.unseen = [0] * number
    state.away_us = [None] * number
    state.excess = [0.0] * len(layout.conditions)
    state.modes = {
        mode.name: state.modes.get(mode.name, ModeState()) for mode in layout.product.failure_modes
    }
    state.windows_us = state.learn_until_us
    state.phase = "scoring"


def _expect_learning(scorer: Scorer, windows: Windows, offsets: FloatArray, output: Output) -> None:
    """Show the learning time in the charts too, without scores."""
    expected = _expected(scorer, windows) + offsets
    for row in range(len(windows)):
        at_us = int(windows.index[row] + 1) * scorer.layout.window_us
        for place, name in enumerate(scorer.layout.watched):
            output.expectations.append(
                Expectation(
                    metric=name,
                    at_us=at_us,
                    observed=_or_none(windows.observed[row, place]),
                    expected=_or_none(expected[row, place]),
                    spread=_or_none(scorer.sigma[place]),
                    score=None,
                )
            )


# --- windows -------------------------------------------------------------------------------------


def _take_window(
    scorer: Scorer,
    state: DeviceState,
    windows: Windows,
    expected: FloatArray,
    row: int,
    at_us: int,
    output: Output,
) -> None:
    layout = scorer.layout
    observed = windows.observed[row]
    state.newest_us = at_us
    state.conditions = [_or_none(v) for v in windows.conditions[row]]
    if layout.follows:
        degradation, scores = follow_window(layout, state, observed)
        sensors: dict[str, float] = {}
        traces: dict[str, float] = {}
    else:
        normal = expected[row] + np.array(state.offsets)
        deviations, spreads = _smooth(scorer, state, windows, observed - normal, row)
        state.observed = [_or_none(v) for v in observed]
        state.expected = [_or_none(v) for v in normal]
        state.spread = [float(v) for v in spreads]
        found = explain(scorer.patterns, deviations, spreads)
        degradation, sensors, traces = found.degradation, found.sensors, found.traces
        scores = np.abs(deviations) / spreads
    _note_metrics(scorer, state, scores, at_us, output)
    for mode in layout.product.failure_modes:
        size = degradation.get(mode.name, 0.0)
        state.modes[mode.name].trace = size or traces.get(mode.name, 0.0)
        _note_mode(scorer, state, mode, size, scores, at_us, output)
    _note_sensors(scorer, state, windows, row, sensors, at_us, output)


def _smooth(
    scorer: Scorer, state: DeviceState, windows: Windows, residuals: FloatArray, row: int
) -> tuple[FloatArray, FloatArray]:
    """Smooth the residuals; widen the spread where conditions are new or values few."""
    usable = np.isfinite(residuals) & ~_stuck(scorer, windows.flat[row])
    excess = np.nan_to_num(windows.excess[row])
    for place, value in enumerate(excess):
        state.excess[place] += (float(value) - state.excess[place]) / SMOOTHING_WINDOWS
    outside = (scorer.depends * np.array(state.excess)).max(axis=1, initial=0.0)
    deviations = np.full(len(residuals), np.nan)
    few = np.ones(len(residuals))
    for place in range(len(residuals)):
        if usable[place]:
            weight = 1 + state.weight[place] * (1 - 1 / SMOOTHING_WINDOWS)
            before = state.smooth[place] or 0.0
            state.smooth[place] = before + (float(residuals[place]) - before) / weight
            state.weight[place] = weight
            state.unseen[place] = 0
        else:
            state.unseen[place] += 1
        if state.weight[place] > 0 and state.unseen[place] < UNSEEN_MAX:
            deviations[place] = state.smooth[place] or 0.0
            few[place] = max(1.0, SMOOTHING_WINDOWS / state.weight[place]) ** 0.5
        elif state.unseen[place] >= UNSEEN_MAX:
            state.weight[place] = 0.0
    spreads = scorer.sigma_smooth * (1 + _EXCESS_WIDENS * outside) * few
    return deviations, np.hypot(spreads, scorer.patterns.unmodelled)


def _stuck(scorer: Scorer, flat: BoolArray) -> BoolArray:
    """Metrics that do not move although they always do, or lean on a condition that does so."""
    assert scorer.baseline is not None
    number = len(scorer.layout.watched)
    usual = np.array([m.flat_share for m in scorer.baseline.metrics])
    conditions = flat[number:] & (np.array(scorer.baseline.condition_flat_share) < FLAT_SHARE_MAX)
    return np.asarray(
        (flat[:number] & (usual < FLAT_SHARE_MAX)) | (scorer.depends & conditions).any(axis=1)
    )


def _note_metrics(
    scorer: Scorer, state: DeviceState, scores: FloatArray, at_us: int, output: Output
) -> None:
    for place, name in enumerate(scorer.layout.watched):
        score = _or_none(scores[place])
        if score is None or score < _NEAR:
            state.away_us[place] = None
        elif score > _AWAY and state.away_us[place] is None:
            state.away_us[place] = at_us
        sigma = scorer.sigma[place] if scorer.baseline else state.reference_spread[place]
        output.expectations.append(
            Expectation(
                metric=name,
                at_us=at_us,
                observed=state.observed[place],
                expected=state.expected[place],
                spread=_or_none(sigma),
                score=score,
            )
        )


def _note_mode(
    scorer: Scorer,
    state: DeviceState,
    mode: FailureMode,
    size: float,
    scores: FloatArray,
    at_us: int,
    output: Output,
) -> None:
    own = state.modes[mode.name]
    if own.reported_us is not None:
        return
    own.tolerated = min(own.tolerated, size) if size > 0 else own.tolerated
    own.degradation = max(0.0, size - own.tolerated)
    places = [scorer.layout.watched.index(e.metric) for e in mode.evidence]
    seen = scores[places][np.isfinite(scores[places])]
    own.score = float(seen.max()) if len(seen) else 0.0
    is_hit = own.degradation >= (CLEAR_AT if own.is_raised else RAISE_AT)
    own.hits = ((own.hits << 1) | int(is_hit)) & _BITS
    if own.degradation > CLEAR_AT and own.since_us is None:
        own.since_us = at_us
    elif not own.hits and own.degradation <= CLEAR_AT:
        own.since_us = None
    number = own.hits.bit_count()
    if not own.is_raised and number >= RAISE_HITS:
        _raise_mode(scorer, state, mode, at_us, output)
    elif own.is_raised and number <= LAST_WINDOWS - RAISE_HITS:
        own.is_raised = False
        _detect(scorer, state, mode, "cleared", at_us, output)
    output.healths.append(
        Health(
            failure_mode=mode.name,
            at_us=at_us,
            score=own.score,
            health_index=_health(own),
        )
    )


def _raise_mode(
    scorer: Scorer, state: DeviceState, mode: FailureMode, at_us: int, output: Output
) -> None:
    state.modes[mode.name].is_raised = True
    _detect(scorer, state, mode, "raised", at_us, output)


def _detect(
    scorer: Scorer,
    state: DeviceState,
    mode: FailureMode,
    change: Literal["raised", "cleared"],
    at_us: int,
    output: Output,
) -> None:
    own = state.modes[mode.name]
    output.detections.append(
        Detection(
            kind="wear",
            failure_mode=mode.name,
            change=change,
            at_us=at_us,
            score=own.score,
            evidence=_evidence(scorer, state, mode),
        )
    )


def _note_sensors(
    scorer: Scorer,
    state: DeviceState,
    windows: Windows,
    row: int,
    suspected: dict[str, float],
    at_us: int,
    output: Output,
) -> None:
    """Count how long each sensor has been suspected, stuck or missing; raise and clear."""
    layout = scorer.layout
    if layout.follows or scorer.baseline is None:
        return
    usual = [m.flat_share for m in scorer.baseline.metrics]
    usual += list(scorer.baseline.condition_flat_share)
    missing = np.concatenate([windows.observed[row], windows.conditions[row]])
    for place, name in enumerate(layout.watched + layout.conditions):
        reason: Literal["sensor", "stuck", "missing"] | None = None
        if not np.isfinite(missing[place]):
            reason = "missing"
        elif windows.flat[row, place] and usual[place] < FLAT_SHARE_MAX:
            reason = "stuck"
        elif name in suspected:
            reason = "sensor"
        own = state.sensors.get(name)
        if own is None:
            if reason is None:
                continue
            own = state.sensors.setdefault(name, SensorState())
        own.hits = ((own.hits << 1) | int(reason is not None)) & _BITS
        own.score = suspected.get(name, 0.0)
        number = own.hits.bit_count()
        if not own.is_raised and number >= RAISE_HITS and reason is not None:
            own.is_raised, own.reason = True, reason
            output.detections.append(_sensor_detection(scorer, state, name, "raised", at_us))
        elif own.is_raised and number <= LAST_WINDOWS - RAISE_HITS:
            own.is_raised = False
            output.detections.append(_sensor_detection(scorer, state, name, "cleared", at_us))
        if not own.hits and not own.is_raised:
            del state.sensors[name]


def _sensor_detection(
    scorer: Scorer,
    state: DeviceState,
    name: str,
    change: Literal["raised", "cleared"],
    at_us: int,
) -> Detection:
    own = state.sensors[name]
    metrics = _metric_evidence(scorer, state, (name,))
    title = scorer.layout.product.metric(name).title
    return Detection(
        kind="sensor",
        failure_mode=name,
        change=change,
        at_us=at_us,
        score=own.score,
        evidence=Evidence(
            metrics=metrics,
            operating=_operating(scorer, state),
            sentences=(words.sentence(own.reason, title=title),),
        ),
    )


# --- faults and services -------------------------------------------------------------------------


def _take_fault(scorer: Scorer, state: DeviceState, code: int, at_us: int, output: Output) -> None:
    """A reported fault fails its mode at once; the end of the report gives it back to the scores."""
    state.fault_code = code
    for mode in scorer.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        reported = code in mode.fault_codes
        if reported == (own.reported_us is not None):
            continue
        own.reported_us = at_us if reported else None
        own.since_us = own.since_us or at_us
        output.detections.append(
            Detection(
                kind="reported_fault",
                failure_mode=mode.name,
                change="raised" if reported else "cleared",
                at_us=at_us,
                score=own.score,
                evidence=_evidence(scorer, state, mode),
            )
        )
        if reported:
            output.forecasts.append(_forecast(scorer, state, mode, at_us))


def _take_service(
    scorer: Scorer, state: DeviceState, service: ServiceEvent, at_us: int, output: Output
) -> None:
    """A serviced component is as new; where no fault was found, only what gets worse counts."""
    state.services.append(service.finding_id)
    if service.verdict == "not_inspected":
        return
    for mode in scorer.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        if service.verdict == "no_fault_found":
            if mode.name == service.failure_mode:
                own.tolerated = min(0.6, own.degradation + own.tolerated + 0.05)
                own.tolerated_us = at_us
                _forget(scorer, state, mode, at_us, output)
        elif mode.component == service.component or mode.name == service.failure_mode:
            _forget(scorer, state, mode, at_us, output)
            state.modes[mode.name] = ModeState(serviced_us=at_us, reported_us=own.reported_us)
            for e in mode.evidence:
                if state.phase == "scoring":
                    place = scorer.layout.watched.index(e.metric)
                    state.weight[place], state.smooth[place] = 0.0, 0.0


def _forget(
    scorer: Scorer, state: DeviceState, mode: FailureMode, at_us: int, output: Output
) -> None:
    """Clear the detection and the path of a mode."""
    own = state.modes[mode.name]
    if own.is_raised:
        own.is_raised = False
        _detect(scorer, state, mode, "cleared", at_us, output)
    own.hits, own.since_us, own.degradation = 0, None, 0.0
    own.path_us, own.path = [], []


# --- forecasts -----------------------------------------------------------------------------------


def _make_forecasts(scorer: Scorer, state: DeviceState, at_us: int, output: Output) -> None:
    state.forecast_us = at_us
    is_silent = _is_silent(scorer, state, at_us)
    if is_silent and state.phase == "scoring" and state.fault_code == 0:
        quiet = at_us - scorer.forecast_every_us
        if _is_silent(scorer, state, quiet):
            return  # said once; said again only when there is something new
    for mode in scorer.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        if state.phase == "scoring" and not is_silent and own.reported_us is None:
            own.path_us.append(at_us)
            own.path.append(max(0.0, own.trace - own.tolerated))
            del own.path_us[:-PATH_MAX], own.path[:-PATH_MAX]
        output.forecasts.append(_forecast(scorer, state, mode, at_us))


def _is_silent(scorer: Scorer, state: DeviceState, at_us: int) -> bool:
    """No window with data for as long as it takes to notice."""
    newest = state.newest_us if state.newest_us is not None else state.learn_until_us
    return at_us - newest > max(4 * scorer.forecast_every_us, 24 * scorer.layout.window_us)


def _forecast(scorer: Scorer, state: DeviceState, mode: FailureMode, at_us: int) -> Forecast:
    own = state.modes[mode.name]
    base = base_outlook(FAILURES_PER_YEAR)
    status: Status
    outlook: Outlook | None = base
    if own.reported_us is not None:
        status = "failed"
        outlook = Outlook(
            p_fail_1d=1.0, p_fail_7d=1.0, p_fail_30d=1.0,
            life_hours_q10=0.0, life_hours_q50=0.0, life_hours_q90=0.0,
        )  # fmt: skip
    elif state.phase == "learning":
        status, outlook = "learning", None
    elif _is_silent(scorer, state, at_us):
        status = "no_data"
    elif own.is_raised and len(own.path) > 1:
        status = "failed" if own.degradation >= 1 else "declining"
        hours = (np.array(own.path_us) - at_us) / _US_PER_HOUR
        window_hours = scorer.layout.window_us / _US_PER_HOUR
        follows = scorer.layout.follows
        outlook = forecast_path(
            hours,
            np.array(own.path),
            noise=0.05 if follows else scorer.mode_noise[mode.name],
            lag_hours=(2.0 if follows else SMOOTHING_WINDOWS - 1) * window_hours,
            belief=_BELIEF * own.hits.bit_count() / LAST_WINDOWS,
            base=base,
        )
    else:
        status = "ok"
    return Forecast(
        failure_mode=mode.name,
        made_us=at_us,
        status=status,
        health_index=None if status == "learning" else _health(own),
        outlook=outlook,
        evidence=_evidence(scorer, state, mode),
    )


def _health(own: ModeState) -> float:
    if own.reported_us is not None:
        return 0.0
    return float(min(1.0, max(0.0, 1.0 - own.degradation)))


# --- evidence ------------------------------------------------------------------------------------


def _evidence(scorer: Scorer, state: DeviceState, mode: FailureMode) -> Evidence:
    own = state.modes[mode.name]
    sentences: list[Sentence] = []
    caveats: list[Sentence] = []
    metrics: tuple[MetricEvidence, ...] = ()
    if own.reported_us is not None:
        sentences.append(words.sentence("reported_fault", code=state.fault_code, mode=mode.title))
    if state.phase == "learning":
        if own.reported_us is None:
            day = words.day_of(words.iso(state.learn_until_us))
            sentences.append(words.sentence("learning", day=day))
        return Evidence(sentences=tuple(sentences))
    names = tuple(e.metric for e in mode.evidence)
    metrics = _metric_evidence(scorer, state, names)
    if own.is_raised or own.reported_us is not None:
        far = [m for m in metrics if abs(m.deviation_spreads or 0) >= _AWAY]
        far.sort(key=lambda m: -abs(m.deviation_spreads or 0))
        sentences += [words.metric_sentence(m) for m in far[:4]]
    for place, name in enumerate(scorer.layout.conditions):
        leans = any(name in scorer.layout.product.metric(m).depends_on for m in names)
        if leans and state.excess[place] > 0.15:
            title = scorer.layout.product.metric(name).title
            caveats.append(words.sentence("outside", title=title))
    if own.serviced_us is not None:
        day = words.day_of(words.iso(own.serviced_us))
        caveats.append(words.sentence("serviced", component=mode.component, day=day))
    if own.tolerated > 0 and own.tolerated_us is not None:
        caveats.append(words.sentence("held", day=words.day_of(words.iso(own.tolerated_us))))
    if not sentences:
        sentences.append(words.sentence("all_normal"))
    return Evidence(
        metrics=metrics,
        since=words.iso(own.since_us) if own.since_us is not None else None,
        operating=_operating(scorer, state),
        sentences=tuple(sentences),
        caveats=tuple(caveats),
    )


def _metric_evidence(
    scorer: Scorer, state: DeviceState, names: tuple[str, ...]
) -> tuple[MetricEvidence, ...]:
    found = []
    for name in names:
        if name not in scorer.layout.watched or not state.observed:
            continue
        place = scorer.layout.watched.index(name)
        metric = scorer.layout.product.metric(name)
        smooth, spread = state.smooth[place], state.spread[place]
        expected = state.expected[place]
        spreads = None
        if smooth is not None and spread and spread < UNKNOWN:
            spreads = smooth / spread
        away = state.away_us[place]
        is_far = spreads is not None and abs(spreads) > _NEAR
        found.append(
            MetricEvidence(
                metric=name,
                title=metric.title,
                unit=metric.unit,
                observed=_rounded(_sum(expected, smooth)),
                expected=_rounded(expected),
                spread=_rounded(spread),
                deviation_spreads=_rounded(spreads),
                direction="none" if not is_far else "up" if (spreads or 0) > 0 else "down",
                since=words.iso(away) if away is not None else None,
            )
        )
    return tuple(found)


def _operating(scorer: Scorer, state: DeviceState) -> dict[str, float]:
    pairs = zip(scorer.layout.conditions, state.conditions, strict=False)
    return {name: round(value, 4) for name, value in pairs if value is not None}


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _or_none(value: float | np.float64 | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
