"""Stores one batch of messages in one transaction, and says what to answer.

A crash before the COMMIT leaves nothing behind, a crash after it leaves a batch that comes again:
every write here may be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from psycopg import errors

from core.failpoint import failpoint
from core.pool import Connection
from gateway.session import Arrival
from ingest import store
from ingest.door import admit
from ingest.records import Admission, Refusal, Refused, Span, StreamKey
from ingest.registry import RegistryCache
from ingest.streams import Advance, Stream, advance

_STREAMS_MAX = 100_000
"""Streams kept in memory; beyond it all are forgotten and read again when they are needed."""
PERMANENT = (
    errors.DataError,
    errors.IntegrityError,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.DatatypeMismatch,
)
"""Errors that the same rows would meet again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a batch."""

    rows: int
    messages: int
    refused: int
    confirmations: Sequence[tuple[StreamKey, int]]


class BatchWriter:
    """Writes batches over one connection and remembers how far each stream has come."""

    def __init__(self, registry: RegistryCache) -> None:
        self.registry = registry
        self._streams: dict[StreamKey, Stream] = {}

    def write(
        self, connection: Connection, arrivals: Sequence[Arrival], *, now: datetime, now_s: float
    ) -> Stored:
        """Store a batch; a message that the database refuses for ever becomes a dead letter.

        Raises
        ------
        psycopg.OperationalError, psycopg.InterfaceError
            If the database is away or overloaded: nothing is stored beyond what earlier halves of
            the batch have committed, and the whole batch may be given again.
        """
        try:
            return self._write(connection, arrivals, now=now, now_s=now_s)
        except PERMANENT as error:
            connection.rollback()
            self.registry.forget()
            reason = str(error).strip().splitlines()[0]
        if len(arrivals) == 1:
            return self._write(connection, arrivals, now=now, now_s=now_s, refuse_with=reason)
        middle = len(arrivals) // 2
        first = self.write(connection, arrivals[:middle], now=now, now_s=now_s)
        second = self.write(connection, arrivals[middle:], now=now, now_s=now_s)
        return Stored(
            rows=first.rows + second.rows,
            messages=first.messages + second.messages,
            refused=first.refused + second.refused,
            confirmations=[*first.confirmations, *second.confirmations],
        )

    def _write(
        self,
        connection: Connection,
        arrivals: Sequence[Arrival],
        *,
        now: datetime,
        now_s: float,
        refuse_with: str = "",
    ) -> Stored:
        admission = self._admit(connection, arrivals, now=now, now_s=now_s)
        if refuse_with:
            admission = refused_by_database(arrivals[0], admission, reason=refuse_with, now=now)
        try:
            advances = self._fill(connection, admission, now=now, is_merge=False)
        except errors.UniqueViolation:
            # Somebody has sent again what is stored. The quick way is lost for this batch alone.
            connection.rollback()
            advances = self._fill(connection, admission, now=now, is_merge=True)
        failpoint("ingest.before_commit")
        connection.commit()
        failpoint("ingest.after_commit")
        self._settle(advances)
        return Stored(
            rows=admission.rows,
            messages=len(arrivals),
            refused=len(admission.refused),
            confirmations=[
                (key, found.confirm) for key, found in advances.items() if found.confirm is not None
            ],
        )

    def _admit(
        self, connection: Connection, arrivals: Sequence[Arrival], *, now: datetime, now_s: float
    ) -> Admission:
        self.registry.prepare(connection, arrivals, now_s=now_s)
        admission = admit(arrivals, self.registry, now=now)
        is_unknown = any(r.reason is Refusal.UNKNOWN_METRIC for r in admission.refused)
        if is_unknown and self.registry.refresh_sheets(connection, now_s=now_s):
            admission = admit(arrivals, self.registry, now=now)
        return admission

    def _fill(
        self, connection: Connection, admission: Admission, *, now: datetime, is_merge: bool
    ) -> Mapping[StreamKey, Advance]:
        self._know(connection, admission)
        write_samples = store.merge_samples if is_merge else store.copy_samples
        for name, blocks in admission.columns.items():
            write_samples(connection, admission.products[name], blocks)
        store.add_dead_letters(connection, admission.refused)
        advances = advance(self._streams, admission.numbered)
        store.save_streams(connection, advances)
        through_ms = _through_ms(admission, advances)
        for device_id, through in through_ms.items():
            admission.spans.setdefault(device_id, Span(oldest_ms=through))
        store.save_progress(connection, admission.spans, through_ms, now=now)
        return advances

    def _know(self, connection: Connection, admission: Admission) -> None:
        if len(self._streams) > _STREAMS_MAX:
            self._streams.clear()
        wanted = {(message.device_id, message.boot) for message in admission.numbered}
        unknown = [key for key in wanted if key not in self._streams]
        if unknown:
            self._streams |= store.load_streams(connection, unknown)

    def _settle(self, advances: Mapping[StreamKey, Advance]) -> None:
        for key, found in advances.items():
            self._streams[key] = found.stream


def refused_by_database(
    arrival: Arrival, admission: Admission, *, reason: str, now: datetime
) -> Admission:
    """Turn the admission of one message into its refusal. Pure."""
    refused = Refused(
        device_name=arrival.topic.split("/")[2],
        topic=arrival.topic,
        payload=arrival.payload,
        reason=Refusal.NOT_STORABLE,
        detail=reason[:300],
        received_at=now,
    )
    for message in admission.numbered:
        message.newest_ms = None
    return Admission(refused=[refused], numbered=admission.numbered, products=admission.products)


def confirmation(boot: int, seq: int) -> bytes:
    """Return the payload of a `stored` message."""
    return msgspec.json.encode({"boot": boot, "seq": seq})


def _through_ms(admission: Admission, advances: Mapping[StreamKey, Advance]) -> dict[int, int]:
    """Return how far each device's history reaches without a gap, as far as this batch knows."""
    through: dict[int, int] = {}
    for (device_id, _), found in advances.items():
        if found.newest_ms is not None:
            through[device_id] = max(found.newest_ms, through.get(device_id, found.newest_ms))
    for device_id, span in admission.spans.items():
        newest = span.newest_unnumbered_ms
        if newest is not None:
            through[device_id] = max(newest, through.get(device_id, newest))
    return through
