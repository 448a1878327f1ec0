"""Scores a device's history anew after samples came late into a stretch that was scored already.

What is charted (expectations, health) and what the scorer carries on (its state) become what they would
be had the samples come in time. What was said at the time stays: detections and forecasts are not
made up afterwards, so late data never raises an alarm about the past. Where the new history leaves
a failure mode in another state than the old one, one detection says so at the present end of the stream.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from anomaly import store
from anomaly.features import Layout
from anomaly.moment import Run, detect
from anomaly.records import Output
from anomaly.scorer import advance, read_from_us
from anomaly.service import begin, next_through
from anomaly.state import DeviceState, first_state
from anomaly.yardstick import Yardstick
from core.failpoint import failpoint
from core.pool import Connection

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
    newest = store.read_baseline(connection, product_id=row.id)
    layout = Layout(row.product)
    devices = windows = 0
    for marked in store.read_marked_devices(
        connection, product_id=row.id, rescored_before=now - EVERY, limit=DEVICES_PER_TURN
    ):
        claimed = store.claim_state(
            connection, device_id=marked.device_id, make=partial(begin, layout, marked.progress)
        )
        if claimed is None:
            continue
        baseline_id, old = claimed
        found = newest
        if baseline_id is not None and (newest is None or newest.id != baseline_id):
            found = store.read_baseline_by_id(connection, baseline_id=baseline_id)
        if marked.from_us <= old.through_us and _is_whole(marked, old):
            windows += _rescore(connection, layout, found, marked, old, now=now)
            devices += 1
        store.keep_rescored(connection, marked, now=now)
    failpoint("anomaly.before_rescore_commit")
    return Rescored(devices=devices, windows=windows)


def _is_whole(marked: store.MarkedDevice, old: DeviceState) -> bool:
    """Whether the samples from which the device was learned are still there: else what would come out
    is worse than what is known, and the old state stays."""
    return marked.gone_before_us is None or marked.gone_before_us <= old.learn_from_us


def _rescore(  # noqa: PLR0913 - one device's parts, by keyword
    connection: Connection,
    layout: Layout,
    found: store.BaselineRow | None,
    marked: store.MarkedDevice,
    old: DeviceState,
    *,
    now: datetime,
) -> int:
    yard = Yardstick(layout, found.baseline if found else None)
    window_us = layout.window_us
    # Windows carry the instant of their end: the first one that a late sample can have changed.
    from_us = (marked.from_us // window_us + 1) * window_us
    state, output = _walk_again(connection, yard, marked, old)
    turned = _turned(yard, old, state)
    kept = Output(
        expectations=[e for e in output.expectations if e.at_us >= from_us],
        healths=[h for h in output.healths if h.at_us >= from_us],
        detections=turned.detections,
    )
    baseline_id = found.id if found and state.phase == "scoring" else None
    store.forget_history(connection, device_id=marked.device_id, from_us=from_us)
    store.write_outputs(
        connection,
        [store.DeviceOutput(device_id=marked.device_id, baseline_id=baseline_id, output=kept)],
        now=now,
    )
    store.keep_state(connection, device_id=marked.device_id, baseline_id=baseline_id, state=state)
    return len(kept.healths)


def _walk_again(
    connection: Connection, yard: Yardstick, marked: store.MarkedDevice, old: DeviceState
) -> tuple[DeviceState, Output]:
    """Take the whole stored history once more, up to where the old state had come."""
    services = [
        service
        for service in store.read_services(connection, device_id=marked.device_id)
        if service.finding_id in set(old.services)
    ]
    state = first_state(
        first_us=old.learn_from_us,
        window_us=yard.layout.window_us,
        learning_us=yard.layout.product.learning // timedelta(microseconds=1),
    )
    goal = store.DeviceProgress(
        device_id=marked.device_id, first_us=old.learn_from_us, through_us=old.through_us
    )
    output = Output()
    while state.through_us < old.through_us:
        through_us = next_through(yard, state, goal)
        if through_us <= state.through_us:
            break
        samples = store.read_samples(
            connection,
            yard.layout,
            device_id=marked.device_id,
            from_us=read_from_us(yard, state, through_us=through_us),
            through_us=through_us,
        )
        part = advance(yard, state, samples, through_us=through_us, services=services)
        output.expectations += part.expectations
        output.healths += part.healths
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
