"""Scores one device's stream: windows to degradation, detections and forecasts. Pure.

`advance` promises: what comes out depends on the device's own stream, the baseline and the service
events alone, never on how the stream was cut into batches. Events are taken in order of event time:
the end of a window, then a service, then a fault report, then a forecast.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from anomaly.baseline import own_offsets
from anomaly.features import Windows, summarise
from anomaly.follow import learn_reference
from anomaly.moment import Run, detect, take_window
from anomaly.records import Expectation, FloatArray, Output, Samples, ServiceEvent
from anomaly.report import forecast_mode, is_silent
from anomaly.state import DeviceState, ModeState
from anomaly.yardstick import Yardstick
from core.product import FailureMode

PATH_MAX = 240
"""Values of a path of degradation that are kept, one per forecast."""
_TOLERATED_MAX, _TOLERATED_MORE = 0.6, 0.05


def read_from_us(yard: Yardstick, state: DeviceState, *, through_us: int) -> int:
    """From which instant on `advance` needs samples."""
    if state.phase == "scoring":
        return min(state.windows_us, state.through_us + 1)
    if through_us >= state.learn_until_us and yard.can_score:
        return state.learn_from_us
    return state.through_us + 1


def advance(
    yard: Yardstick,
    state: DeviceState,
    samples: Samples,
    *,
    through_us: int,
    services: Sequence[ServiceEvent] = (),
) -> Output:
    """Take a device's stream up to `through_us` into account; changes `state`.

    Parameters
    ----------
    yard : Yardstick
    state : DeviceState
    samples : Samples
        All samples from `read_from_us` up to and including `through_us`.
    through_us : int
        The stream is complete up to here.
    services : sequence of ServiceEvent
        All that is known; those of the future wait, those that come late are taken at once.
    """
    run = Run(yard=yard, state=state, output=Output())
    if state.phase == "learning":
        until = min(through_us, state.learn_until_us - 1)
        _walk(run, samples, None, until_us=until, services=services)
        if through_us >= state.learn_until_us and yard.can_score:
            _learn(run, samples)
    if state.phase == "scoring":
        whole = through_us // yard.layout.window_us * yard.layout.window_us
        ranges = yard.baseline.ranges if yard.baseline else ()
        part = samples.between(state.windows_us, max(whole, state.windows_us))
        windows = summarise(yard.layout, part, ranges=ranges)
        _walk(run, samples, windows, until_us=through_us, services=services)
        state.windows_us = max(whole, state.windows_us)
    return run.output


# --- the order of events -------------------------------------------------------------------------

_WINDOW, _SERVICE, _FAULT, _FORECAST = range(4)


def _walk(
    run: Run,
    samples: Samples,
    windows: Windows | None,
    *,
    until_us: int,
    services: Sequence[ServiceEvent],
) -> None:
    """Take everything between `state.through_us` and `until_us` in order of event time."""
    yard, state = run.yard, run.state
    if until_us <= state.through_us:
        return
    events: list[tuple[int, int, int]] = []
    if windows is not None:
        ends = (windows.index + 1) * yard.layout.window_us
        events += [(int(end), _WINDOW, row) for row, end in enumerate(ends)]
        expected = _expected(yard, windows)
    events += [
        (max(service.found_us, state.through_us + 1), _SERVICE, place)
        for place, service in enumerate(services)
        if service.finding_id not in state.services and service.found_us <= until_us
    ]
    events += [(at, _FAULT, code) for at, code in _fault_changes(run, samples, until_us)]
    every = yard.forecast_every_us
    first = (state.through_us // every + 1) * every
    events += [(at, _FORECAST, 0) for at in range(first, until_us + 1, every)]
    for at_us, kind, place in sorted(events):
        if kind == _WINDOW:
            assert windows is not None
            take_window(run, windows, place, expected=expected[place], at_us=at_us)
        elif kind == _SERVICE:
            _take_service(run, services[place], at_us)
        elif kind == _FAULT:
            _take_fault(run, place, at_us)
        else:
            _make_forecasts(run, at_us)
    state.through_us = until_us


def _expected(yard: Yardstick, windows: Windows) -> FloatArray:
    if yard.baseline is None or not len(windows):
        return np.zeros((len(windows), len(yard.layout.watched)))
    return yard.baseline.expected(windows.terms)


def _fault_changes(run: Run, samples: Samples, until_us: int) -> Iterator[tuple[int, int]]:
    """Instants at which the reported fault code changes, and to what."""
    yard, state = run.yard, run.state
    name = yard.layout.product.fault_metric
    if name is None:
        return
    part = samples.between(state.through_us + 1, until_us + 1)
    codes = part.values[:, yard.layout.columns[name]]
    known = np.isfinite(codes)
    at, codes = part.at_us[known], codes[known].astype(np.int64)
    for place in np.flatnonzero(np.diff(codes, prepend=state.fault_code)):
        yield int(at[place]), int(codes[place])


# --- learning ------------------------------------------------------------------------------------


def _learn(run: Run, samples: Samples) -> None:
    """Learn the device's own normal; too little running time makes the learning longer."""
    state, layout, baseline = run.state, run.yard.layout, run.yard.baseline
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
        _expect_learning(run, windows, offsets)
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


def _expect_learning(run: Run, windows: Windows, offsets: FloatArray) -> None:
    """Show the learning time in the charts too, without scores."""
    yard = run.yard
    expected = _expected(yard, windows) + offsets
    for row in range(len(windows)):
        at_us = int(windows.index[row] + 1) * yard.layout.window_us
        for place, name in enumerate(yard.layout.watched):
            run.output.expectations.append(
                Expectation(
                    metric=name,
                    at_us=at_us,
                    observed=_or_none(windows.observed[row, place]),
                    expected=_or_none(expected[row, place]),
                    spread=_or_none(yard.sigma[place]),
                    score=None,
                )
            )


# --- faults and services -------------------------------------------------------------------------


def _take_fault(run: Run, code: int, at_us: int) -> None:
    """A reported fault fails its mode at once; the end of the report gives it back to the scores."""
    run.state.fault_code = code
    for mode in run.yard.layout.product.failure_modes:
        own = run.state.modes.setdefault(mode.name, ModeState())
        reported = code in mode.fault_codes
        if reported == (own.reported_us is not None):
            continue
        own.reported_us = at_us if reported else None
        own.since_us = own.since_us or at_us
        detect(run, mode, "reported_fault", "raised" if reported else "cleared", at_us)
        if reported:
            run.output.forecasts.append(forecast_mode(run.yard, run.state, mode, at_us))


def _take_service(run: Run, service: ServiceEvent, at_us: int) -> None:
    """A serviced component is as new; where no fault was found, only what gets worse counts."""
    state = run.state
    state.services.append(service.finding_id)
    if service.verdict == "not_inspected":
        return
    for mode in run.yard.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        if service.verdict == "no_fault_found":
            if mode.name == service.failure_mode:
                size = own.degradation + own.tolerated + _TOLERATED_MORE
                _forget(run, mode, at_us)
                own.tolerated, own.tolerated_us = min(_TOLERATED_MAX, size), at_us
        elif mode.component == service.component or mode.name == service.failure_mode:
            _forget(run, mode, at_us)
            state.modes[mode.name] = ModeState(serviced_us=at_us, reported_us=own.reported_us)
            state.serviced_us = at_us
            for e in mode.evidence if state.phase == "scoring" else ():
                place = run.yard.layout.watched.index(e.metric)
                state.weight[place], state.smooth[place] = 0.0, 0.0


def _forget(run: Run, mode: FailureMode, at_us: int) -> None:
    """Clear the detection and the path of a mode."""
    own = run.state.modes[mode.name]
    if own.is_raised:
        own.is_raised = False
        detect(run, mode, "wear", "cleared", at_us)
    own.hits, own.since_us, own.degradation, own.trace = 0, None, 0.0, 0.0
    own.path_us, own.path = [], []


# --- forecasts -----------------------------------------------------------------------------------


def _make_forecasts(run: Run, at_us: int) -> None:
    yard, state = run.yard, run.state
    state.forecast_us = at_us
    is_quiet = is_silent(yard, state, at_us)
    was_quiet = is_silent(yard, state, at_us - yard.forecast_every_us)
    if is_quiet and was_quiet and state.phase == "scoring" and state.fault_code == 0:
        return  # said once; said again only when there is something new
    for mode in yard.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        if state.phase == "scoring" and not is_quiet and own.reported_us is None:
            own.path_us.append(at_us)
            own.path.append(max(0.0, own.trace - own.tolerated))
            del own.path_us[:-PATH_MAX], own.path[:-PATH_MAX]
        run.output.forecasts.append(forecast_mode(yard, state, mode, at_us))


def _or_none(value: float | np.float64 | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
