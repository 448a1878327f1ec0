"""Scores a device's history anew after samples came late into a stretch that was scored already.

What is charted (expectations, health) and what the scorer carries on (its state) become what they would
be had the samples come in time. What was said at the time stays: detections and forecasts are not
made up afterwards, so late data never raises an alarm about the past. Where the new history leaves
a failure mode in another state than the old one, one detection says so at the present end of the stream.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from anomaly import store
from anomaly.features import Layout
from anomaly.laid_out import laid_out
from anomaly.moment import Run, detect
from anomaly.records import Output
from anomaly.result_store import DeviceOutput, write_results
from anomaly.sample_store import read_samples
from anomaly.scorer import advance, read_from_us
from anomaly.service import next_through
from anomaly.state import DeviceState, first_state
from anomaly.state_store import (
    Claimed,
    DeviceProgress,
    LayoutRow,
    claim_states,
    keep_single,
    read_layout,
)
from anomaly.yardstick import Yardstick
from core.failpoint import failpoint
from core.pool import Connection
from core.units import US

EVERY = timedelta(minutes=1)
"""Wall time between two rescorings of one device, however often its samples come late."""
DEVICES_PER_TURN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """What one transaction did."""

    devices: int = 0
    windows: int = 0


def rescore_product(connection: Connection, row: store.ProductRow, *, now: datetime) -> Rescored:
    """Score anew what late samples have changed of a few devices; the caller commits.

    A crash before the COMMIT leaves the marks unhandled, and all of it is done again.
    """
    marks = store.read_marked_devices(
        connection, product_id=row.id, rescored_before=now - EVERY, limit=DEVICES_PER_TURN
    )
    if not marks:
        return Rescored()
    newest = store.read_baseline(connection, product_id=row.id)
    kind = read_layout(connection, product_id=row.id, layout=Layout(row.product))
    states = _old_states(claim_states(connection, kind, [marked.progress for marked in marks]))
    devices = windows = 0
    for marked in marks:
        if marked.device_id not in states:
            continue
        baseline_id, old = states[marked.device_id]
        found = None if kind.names.follows else newest
        if baseline_id is not None and (newest is None or newest.id != baseline_id):
            found = store.read_baseline_by_id(connection, baseline_id=baseline_id)
        if marked.from_us <= old.through_us and _is_whole(marked, old):
            windows += _rescore(connection, kind, found, marked, old, now=now)
            devices += 1
        store.keep_rescored(connection, marked, now=now)
    failpoint("anomaly.before_rescore_commit")
    return Rescored(devices=devices, windows=windows)


def _old_states(claimed: Claimed) -> dict[int, tuple[int | None, DeviceState]]:
    """Baseline and state by device."""
    found = {s.progress.device_id: (s.baseline_id, s.state) for s in claimed.singles}
    for crowd in claimed.crowds:
        for place, progress in enumerate(crowd.progress):
            found[progress.device_id] = crowd.baseline_id, crowd.states.get(place)
    return found


def _is_whole(marked: store.MarkedDevice, old: DeviceState) -> bool:
    """Whether the samples from which the device was learned are still there: else what would come out
    is worse than what is known, and the old state stays."""
    return marked.gone_before_us is None or marked.gone_before_us <= old.learn_from_us


def _rescore(  # noqa: PLR0913 - one device's parts, by keyword
    connection: Connection,
    kind: LayoutRow,
    found: store.BaselineRow | None,
    marked: store.MarkedDevice,
    old: DeviceState,
    *,
    now: datetime,
) -> int:
    yard = Yardstick(kind.layout, laid_out(kind.layout, found.baseline) if found else None)
    window_us = kind.layout.window_us
    # Windows carry the instant of their end: the first one that a late sample can have changed.
    from_us = (marked.from_us // window_us + 1) * window_us
    state, output = _walk_again(connection, yard, marked, old)
    turned = _turned(yard, old, state)
    kept = Output(
        windows=[window for window in output.windows if window.at_us >= from_us],
        traces=output.traces,
        detections=turned.detections,
    )
    baseline_id = found.id if found and state.phase == "scoring" else None
    store.forget_history(connection, device_id=marked.device_id, from_us=from_us)
    write_results(
        connection,
        kind,
        devices=[DeviceOutput(device_id=marked.device_id, baseline_id=baseline_id, output=kept)],
        now=now,
    )
    keep_single(connection, kind, device_id=marked.device_id, baseline_id=baseline_id, state=state)
    return len(kept.windows)


def _walk_again(
    connection: Connection, yard: Yardstick, marked: store.MarkedDevice, old: DeviceState
) -> tuple[DeviceState, Output]:
    """Take the whole stored history once more, up to where the old state had come."""
    services_of = store.read_services(connection, device_ids=[marked.device_id])
    services = [
        service
        for service in services_of.get(marked.device_id, [])
        if service.finding_id in set(old.services)
    ]
    state = first_state(
        first_us=old.learn_from_us,
        window_us=yard.layout.window_us,
        learning_us=yard.layout.product.learning // US,
    )
    goal = DeviceProgress(
        device_id=marked.device_id, first_us=old.learn_from_us, through_us=old.through_us
    )
    output = Output()
    while state.through_us < old.through_us:
        through_us = next_through(yard, state, goal)
        if through_us <= state.through_us:
            break
        samples = read_samples(
            connection,
            yard.layout,
            device_id=marked.device_id,
            from_us=read_from_us(yard, state, through_us=through_us),
            through_us=through_us,
        )
        part = advance(yard, state, samples, through_us=through_us, services=services)
        output.windows += part.windows
        output.traces += part.traces
    return state, output


def _turned(yard: Yardstick, old: DeviceState, state: DeviceState) -> Output:
    """Say, at the end of the stream, which modes the new history leaves in another state."""
    run = Run(yard=yard, state=state, output=Output())
    for mode in yard.layout.product.failure_modes:
        before, after = old.modes.get(mode.name), state.modes.get(mode.name)
        was_raised = before is not None and before.is_raised
        is_raised = after is not None and after.is_raised
        if was_raised != is_raised:
            detect(run, mode, "wear", "raised" if is_raised else "cleared", state.through_us)
    return run.output
