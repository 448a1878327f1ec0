"""Stores one batch of messages in one transaction, and says what to answer.

A crash before the COMMIT leaves nothing behind, a crash after it leaves a batch that comes again:
every write here may be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from psycopg import errors

from core.failpoint import failpoint
from core.pool import Connection
from gateway.session import Arrival
from ingest import store
from ingest.clock_store import write_shifted
from ingest.door import admit
from ingest.fleet import Advances, StreamTable
from ingest.lateness import Edges
from ingest.limits.gate import Gate, Held, save_held
from ingest.records import NEVER_MS, Admission, Refusal, Refused
from ingest.registry import RegistryCache
from ingest.rollups.late import late_stretches
from ingest.rollups.store import add_late_marks

PERMANENT = (
    errors.DataError,
    errors.IntegrityError,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.DatatypeMismatch,
)
"""Errors that the same rows would meet again."""


class Moment(NamedTuple):
    """When a batch is written, on the wall clock and on one that never goes back."""

    now: datetime
    now_s: float


class Confirmation(NamedTuple):
    """What is to be told to a device."""

    topic: str
    """Of its telemetry."""
    boot: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a batch."""

    rows: int
    messages: int
    refused: int
    confirmations: Sequence[Confirmation]
    notices: Sequence[tuple[str, bytes]] = ()
    """Topic and payload: what senders over a limit are to be told."""


class BatchWriter:
    """Writes batches over one connection and remembers how far each stream has come."""

    def __init__(self, registry: RegistryCache, *, share: float = 1.0) -> None:
        self.registry = registry
        self._gate = Gate(registry, share=share)
        self._streams = StreamTable()
        self._edges = Edges()

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
            notices=[*first.notices, *second.notices],
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
        held = self._gate.hold(admission, arrivals, now=now, now_s=now_s)
        admission = held.admission
        moment = Moment(now=now, now_s=now_s)
        try:
            advances = self._fill(connection, held, moment, is_merge=False)
        except errors.UniqueViolation:
            # Somebody has sent again what is stored. The quick way is lost for this batch alone.
            connection.rollback()
            advances = self._fill(connection, held, moment, is_merge=True)
        failpoint("ingest.before_commit")
        connection.commit()
        failpoint("ingest.after_commit")
        self._streams.settle(advances)
        return Stored(
            rows=admission.rows,
            messages=len(arrivals),
            refused=len(admission.refused),
            confirmations=_confirmations(arrivals, advances),
            notices=held.notices,
        )

    def _admit(
        self, connection: Connection, arrivals: Sequence[Arrival], *, now: datetime, now_s: float
    ) -> Admission:
        self.registry.prepare(connection, arrivals, now_s=now_s)
        self._gate.refresh(connection, self.registry.products, now_s=now_s)
        admission = admit(arrivals, self.registry, now=now)
        if any(r.reason is Refusal.UNKNOWN_METRIC for r in admission.refused):
            self.registry.refresh_sheets(connection, now_s=now_s)
            products = self.registry.products
            if any(products.get(name) is not used for name, used in admission.products.items()):
                admission = admit(arrivals, self.registry, now=now)
        return admission

    def _fill(
        self, connection: Connection, held: Held, moment: Moment, *, is_merge: bool
    ) -> Advances:
        admission, now = held.admission, moment.now
        unknown = self._streams.unknown(admission.messages)
        known = store.load_streams(connection, unknown) if unknown else {}
        write_samples = store.merge_samples if is_merge else store.copy_samples
        for name, columns in admission.columns.items():
            write_samples(connection, admission.products[name], columns)
        write_shifted(connection, admission, now=now)
        letters = save_held(connection, held, now=now, now_s=moment.now_s)
        store.add_dead_letters(connection, [*admission.refused, *letters])
        advances = self._streams.advance(admission.messages, known)
        store.save_streams(connection, advances)
        late = store.save_progress(connection, advances.spans, now=now)
        add_late_marks(connection, late_stretches(admission.columns.values(), late), now=now)
        late_ms = self._edges.late(connection, admission.columns, admission.products)
        store.save_late(connection, late_ms)
        return advances


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
    messages = admission.messages
    return Admission(
        columns={},
        refused=[refused],
        messages=replace(
            messages,
            samples=messages.samples * 0,
            values=messages.values * 0,
            oldest_ms=messages.oldest_ms * 0 - NEVER_MS,
            newest_ms=messages.newest_ms * 0 + NEVER_MS,
        ),
        products=admission.products,
    )


def _confirmations(arrivals: Sequence[Arrival], advances: Advances) -> list[Confirmation]:
    chosen = advances.is_confirmed
    return [
        Confirmation(arrivals[place].topic, boot, seq)
        for place, boot, seq in zip(
            advances.places[chosen].tolist(),
            advances.boots[chosen].tolist(),
            advances.confirm[chosen].tolist(),
            strict=True,
        )
    ]
