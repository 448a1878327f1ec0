"""Takes one device's stream event by event: windows, services, fault reports, forecasts. Pure.

`advance` promises: what comes out depends on the device's own stream, the baseline and the service
events alone, never on how the stream was cut into batches. Events are taken in order of event time:
the end of a window, then a service, then a fault report, then a forecast. `fleet_scorer` does the same for many
devices at once, and calls `walk` for those about which there is something to tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from anomaly.baseline import own_offsets
from anomaly.features import Layout, Windows, summarise
from anomaly.follow import following_one, learn_anew, learn_reference, look_back
from anomaly.moment import Run, detect, listed, take_window
from anomaly.records import FloatArray, Output, Samples, Scored, ServiceEvent, Trace
from anomaly.report import forecast_mode, is_silent, learns_until
from anomaly.residuals import Carried, Seen, look
from anomaly.state import DeviceState, ModeState
from anomaly.yardstick import Yardstick
from core.product import FailureMode

PATH_MAX = 240
"""Values of a path of degradation that are kept, one per forecast."""
_TOLERATED_MAX, _TOLERATED_MORE = 0.6, 0.05


def read_from_us(yard: Yardstick, state: DeviceState, *, through_us: int) -> int:
    """From which instant on `advance` needs samples."""
    if state.phase == "scoring":
        due = [since for since, until in anew_spans(state) if until <= through_us]
        return min([state.windows_us, state.through_us + 1, *due])
    if through_us >= state.learn_until_us and yard.can_score:
        return state.learn_from_us
    return state.through_us + 1


def anew_spans(state: DeviceState) -> set[tuple[int, int]]:
    """From when until when metrics are learned anew."""
    pairs = zip(state.anew_from_us, state.anew_until_us, strict=True)
    return {(since, until) for since, until in pairs if since is not None and until is not None}


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
        walk(run, samples, None, until_us=until, services=services)
        if through_us >= state.learn_until_us and yard.can_score:
            _learn(run, samples)
    if state.phase == "scoring":
        whole = through_us // yard.layout.window_us * yard.layout.window_us
        ranges = yard.baseline.ranges if yard.baseline else ()
        part = samples.between(state.windows_us, max(whole, state.windows_us))
        windows = summarise(yard.layout, part, ranges=ranges)
        walk(run, samples, windows, until_us=through_us, services=services)
        state.windows_us = max(whole, state.windows_us)
    return run.output


# --- the order of events -------------------------------------------------------------------------

_WINDOW, _SERVICE, _LEARNED, _FAULT, _FORECAST = range(5)


def walk(  # noqa: PLR0913 - a stretch of one device, by keyword
    run: Run,
    samples: Samples,
    windows: Windows | None,
    *,
    until_us: int,
    services: Sequence[ServiceEvent],
    seen: Seen | None = None,
) -> None:
    """Take everything between `state.through_us` and `until_us` in order of event time.

    `seen` is what the windows show, where that is known already.
    """
    yard, state = run.yard, run.state
    if until_us <= state.through_us:
        return
    if windows is not None and seen is None:
        windows = without_old_part(yard.layout, windows, state.serviced_us)
    events = sorted(_events(run, samples, windows, services, until_us))
    if windows is not None and seen is None:
        seen = look_at_one(yard, state, _until_a_turn(yard.layout, windows, events))
    for at_us, kind, place in events:
        if kind == _WINDOW:
            assert windows is not None
            assert seen is not None
            take_window(run, windows, place, seen=seen, at_us=at_us)
        elif kind in (_SERVICE, _LEARNED):
            if kind == _SERVICE:
                _take_service(run, services[place], at_us)
            else:
                _learn_anew(run, samples, at_us)
            if windows is not None:
                # What is normal, or smoothing, may have begun anew, so what is left is looked at again.
                rest = windows.kept((windows.index + 1) * yard.layout.window_us > at_us)
                state.through_us = at_us - 1
                walk(run, samples, rest, until_us=until_us, services=services)
                return
        elif kind == _FAULT:
            _take_fault(run, place, at_us)
        else:
            _make_forecasts(run, at_us)
    state.through_us = until_us


def _events(
    run: Run,
    samples: Samples,
    windows: Windows | None,
    services: Sequence[ServiceEvent],
    until_us: int,
) -> Iterator[tuple[int, int, int]]:
    """Instant, kind, and which one."""
    yard, state = run.yard, run.state
    if windows is not None:
        ends = (windows.index + 1) * yard.layout.window_us
        yield from ((end, _WINDOW, row) for row, end in enumerate(ends.tolist()))
    for place, service in enumerate(services):
        if service.finding_id not in state.services and service.found_us <= until_us:
            yield max(service.found_us, state.through_us + 1), _SERVICE, place
    if state.phase == "scoring":
        for until in {until for _, until in anew_spans(state) if until <= until_us}:
            yield max(until, state.through_us + 1), _LEARNED, 0
    yield from ((at, _FAULT, code) for at, code in _fault_changes(run, samples, until_us))
    every = yard.forecast_every_us
    first = (state.through_us // every + 1) * every
    yield from ((at, _FORECAST, 0) for at in range(first, until_us + 1, every))


def _until_a_turn(
    layout: Layout, windows: Windows, events: Sequence[tuple[int, int, int]]
) -> Windows:
    """Leave out windows after the first event with which a device's own normal begins anew."""
    turns = [at_us for at_us, kind, _ in events if kind in (_SERVICE, _LEARNED)]
    if not layout.follows or not turns:
        return windows
    return windows.kept((windows.index + 1) * layout.window_us <= turns[0])


def without_old_part(layout: Layout, windows: Windows, serviced_us: int | None) -> Windows:
    """Leave out windows that still show a part that was exchanged."""
    if serviced_us is None:
        return windows
    return windows.kept(windows.index * layout.window_us >= serviced_us)


def look_at_one(yard: Yardstick, state: DeviceState, windows: Windows) -> Seen:
    """Smooth and explain one device's windows, going on from its state."""
    if yard.layout.follows:
        alone = replace(windows, owner=np.zeros(len(windows), dtype=np.int64))
        return look_back(yard, alone, following_one(state, len(yard.layout.watched)))
    carried = Carried(
        smooth=np.array([state.smooth], dtype=np.float64).T,
        weight=np.array([state.weight], dtype=np.float64).T,
        unseen=np.array([state.unseen], dtype=np.int64).T,
        excess=np.array([state.excess], dtype=np.float64).T,
    )
    alone = replace(windows, owner=np.zeros(len(windows), dtype=np.int64))
    return look(
        yard,
        alone,
        expected=expected_of(yard, windows),
        offsets=np.array([state.offsets], dtype=np.float64),
        carried=carried,
    )


def expected_of(yard: Yardstick, windows: Windows) -> FloatArray:
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
        if not learn_reference(layout, state, windows):
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


def _learn_anew(run: Run, samples: Samples, at_us: int) -> None:
    """Learn what is normal with a part that was exchanged; too little running time makes it longer."""
    state, layout = run.state, run.yard.layout
    for since, until in sorted(anew_spans(state)):
        if until > at_us:
            continue
        begins = (
            -(-since // layout.window_us) * layout.window_us
        )  # earlier windows show the old part
        windows = summarise(layout, samples.between(begins, until), ranges=())
        places = [
            place
            for place, span in enumerate(zip(state.anew_from_us, state.anew_until_us, strict=True))
            if span == (since, until)
        ]
        is_learned = learn_anew(layout, state, windows, places)
        for place in places:
            state.anew_from_us[place] = None if is_learned else since
            state.anew_until_us[place] = None if is_learned else until + until - since


def _begin_anew(run: Run, mode: FailureMode, at_us: int) -> None:
    """Let the metrics of a mode whose part was exchanged be learned anew."""
    state, layout = run.state, run.yard.layout
    number = len(layout.watched)
    state.anew_from_us = state.anew_from_us or [None] * number
    state.anew_until_us = state.anew_until_us or [None] * number
    whole = -(-at_us // layout.window_us) * layout.window_us
    for e in mode.evidence:
        place = layout.watched.index(e.metric)
        state.anew_from_us[place] = at_us
        state.anew_until_us[place] = whole + state.learn_until_us - state.learn_from_us


def _expect_learning(run: Run, windows: Windows, offsets: FloatArray) -> None:
    """Show the learning time in the charts too, without scores."""
    yard, layout = run.yard, run.yard.layout
    expected = expected_of(yard, windows)
    if yard.baseline is not None:
        expected = yard.baseline.normal(expected, offsets)
    nothing = (None,) * len(layout.watched), (None,) * len(layout.modes)
    for row in range(len(windows)):
        run.output.windows.append(
            Scored(
                at_us=int(windows.index[row] + 1) * layout.window_us,
                measured=tuple(listed(windows.measured_at(layout, row))),
                expected=tuple(listed(expected[row])),
                spread=tuple(yard.sigma_listed),
                score=nothing[0],
                health=nothing[1],
                wear_score=nothing[1],
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
            forecast = forecast_mode(run.yard, run.state, mode, at_us, is_worded=run.is_worded)
            run.output.forecasts.append(forecast)


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
            state.modes[mode.name] = ModeState(
                serviced_us=at_us, reported_us=own.reported_us, path_from_us=at_us
            )
            state.serviced_us = at_us
            if run.yard.layout.follows:
                _begin_anew(run, mode, at_us)
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
    own.path_us, own.path, own.path_from_us = [], [], at_us


# --- forecasts -----------------------------------------------------------------------------------


def _make_forecasts(run: Run, at_us: int) -> None:
    yard, state = run.yard, run.state
    state.forecast_us = at_us
    is_quiet = is_silent(yard, state, at_us)
    was_quiet = is_silent(yard, state, at_us - yard.forecast_every_us)
    if is_quiet and was_quiet and state.phase == "scoring" and state.fault_code == 0:
        return  # said once; said again only when there is something new
    sizes: list[float | None] = []
    for mode in yard.layout.product.failure_modes:
        own = state.modes.setdefault(mode.name, ModeState())
        size = None
        is_known = state.phase == "scoring" and learns_until(yard, state, mode) is None
        if is_known and not is_quiet and own.reported_us is None:
            size = max(0.0, own.trace - own.tolerated)
            own.path_us.append(at_us)
            own.path.append(size)
            del own.path_us[:-PATH_MAX], own.path[:-PATH_MAX]
        sizes.append(size)
        run.output.forecasts.append(
            forecast_mode(yard, state, mode, at_us, is_worded=run.is_worded)
        )
    if any(size is not None for size in sizes):
        run.output.traces.append(Trace(at_us=at_us, sizes=tuple(sizes)))
