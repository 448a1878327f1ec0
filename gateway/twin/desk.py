"""Tells devices what they are to have, and takes in what they say they have.

A message that got lost in a crash or on the way is sent again with back-off while its device is
connected, and after its next birth; a device that has confirmed the version is left alone.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.errors import InvalidError
from core.log import get_logger
from core.pool import Connection
from gateway.back_off import next_try
from gateway.desk import Incoming, Outgoing
from gateway.presence import read_change
from gateway.twin import store
from gateway.twin.merging import after_report, config_payload, desired_of, read_report

log = get_logger("gateway")

_AT_ONCE_MAX = 500
_BACK_OFF_MAX = timedelta(hours=1)


class TwinDesk:
    """Keeps gateway.twin in step with the devices.

    A report that comes twice merges the same values twice. Two reports that come again come in
    their order, so the last word stays the last.
    """

    kinds = frozenset({"birth", "reported"})

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        born = {m.device for m in incoming if m.kind == "birth" and read_change(m)}
        if born:
            store.born(connection, sorted(born), now=now)
        reports = [message for message in incoming if message.kind == "reported"]
        for message in sorted(reports, key=lambda message: message.device):
            _take_report(connection, message, now=now)
        return ()

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        store.rest(connection, now=now)
        rows = store.due(connection, now=now, limit=_AT_ONCE_MAX)
        if not rows:
            return ()
        next_at = [next_try(now, tries=row.tries + 1, longest=_BACK_OFF_MAX) for row in rows]
        store.note_sent(connection, rows, next_at, now=now)
        return [
            Outgoing(
                device=row.device,
                shard=row.shard,
                kind="config",
                payload=config_payload(row.version, desired_of(row.layers)),
            )
            for row in rows
        ]


def _take_report(connection: Connection, message: Incoming, *, now: datetime) -> None:
    report = read_report(message)
    if report is None:
        log.warning("twin.unreadable", device=message.device, bytes=len(message.payload))
        return
    row = store.find_to_change(connection, message.device, now=now)
    if row is None:
        return
    try:
        outcome = after_report(row, report, now=now)
    except InvalidError as error:
        log.warning("twin.report_too_large", device=message.device, reason=str(error))
        return
    store.take_report(connection, row.device_id, outcome, now=now)
