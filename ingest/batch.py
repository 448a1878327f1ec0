"""Stores one batch of messages in one transaction, and says what to answer.

A crash before the COMMIT leaves nothing behind, a crash after it leaves a batch that comes again:
every write here may be repeated.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
from psycopg import errors

from core.failpoint import failpoint
from core.pool import Connection
from core.product import Product
from gateway.session import Arrival
from ingest import store
from ingest.clock_store import write_shifted
from ingest.door import admit
from ingest.fleet import Advances, StreamTable
from ingest.inflow import Inflow, cut
from ingest.lateness import Edges
from ingest.limits.gate import Gate, Held, save_held
from ingest.records import NEVER_MS, Admission, Messages, Refusal, Refused
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


class Piece(NamedTuple):
    """Some messages of a batch, and what became of them."""

    first: int
    """Place of its first message in the batch."""
    held: Held


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


class Beside(Protocol):
    """What somebody else writes in the same transactions, for instance what Sparkplug nodes declared."""

    def save(self, connection: Connection) -> None:
        """Write what is waiting. Called again when a batch is given again, or stored in halves."""

    def settle(self) -> None:
        """Take it as stored: the COMMIT has been done."""


class BatchWriter:
    """Writes batches over one connection and remembers how far each stream has come."""

    def __init__(
        self, registry: RegistryCache, *, share: float = 1.0, beside: Beside | None = None
    ) -> None:
        self.registry = registry
        self._beside = beside
        self._gate = Gate(registry, share=share)
        self._streams = StreamTable()
        self._edges = Edges()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy")
        self._under_way: Sequence[Arrival] = ()
        self._held: dict[int, Held] = {}
        """What the gate has said of the batch that is under way, by where the piece begins."""

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
        moment = Moment(now=now, now_s=now_s)
        self._prepare(connection, arrivals, moment)
        if refuse_with:
            admission = admit(arrivals, self.registry, now=now)
            refused = refused_by_database(arrivals[0], admission, reason=refuse_with, now=now)
            pieces = [Piece(0, Held(admission=refused))]
        else:
            pieces = self._copy(connection, arrivals, moment)
        held = joined(pieces)
        advances = self._fill(connection, held, moment, pieces)
        if self._beside is not None:
            self._beside.save(connection)
        failpoint("ingest.before_commit")
        connection.commit()
        failpoint("ingest.after_commit")
        self._streams.settle(advances)
        if self._beside is not None:
            self._beside.settle()
        return Stored(
            rows=sum(piece.held.admission.rows for piece in pieces),
            messages=len(arrivals),
            refused=len(held.admission.refused),
            confirmations=_confirmations(arrivals, advances),
            notices=held.notices,
        )

    def _copy(
        self, connection: Connection, arrivals: Sequence[Arrival], moment: Moment
    ) -> list[Piece]:
        """Check piece after piece and send its samples: the database works on one while the next is
        received and read. Returns what became of each piece."""
        if arrivals is not self._under_way:
            self._under_way, self._held = arrivals, {}
        pieces: list[Piece] = []
        copy: store.SampleCopy | None = store.SampleCopy(connection, self._thread)
        try:
            for first, piece in cut(arrivals):
                copy = self._know(connection, piece, arrivals, moment, copy)
                admission = self._admit(connection, piece, moment, copy)
                held = self._hold(admission, piece, moment, first=first)
                pieces.append(Piece(first, held))
                if copy is not None:
                    copy = self._send(connection, held.admission, copy)
            if copy is not None:
                copy = self._end(connection, copy)
        except BaseException:
            if copy is not None:
                copy.abandon()
            raise
        if copy is None:
            # Somebody has sent again what is stored. The quick way is lost for this batch alone.
            for _, held in pieces:
                for name, columns in held.admission.columns.items():
                    store.merge_samples(connection, held.admission.products[name], columns)
        return pieces

    def _prepare(self, connection: Connection, arrivals: Sequence[Arrival], moment: Moment) -> None:
        """Read what must be known about the senders of some messages."""
        self.registry.prepare(connection, arrivals, now_s=moment.now_s)
        self._gate.refresh(connection, self.registry.products, now_s=moment.now_s)

    def _know(
        self,
        connection: Connection,
        piece: Sequence[Arrival],
        arrivals: Sequence[Arrival],
        moment: Moment,
        copy: store.SampleCopy | None,
    ) -> store.SampleCopy | None:
        """Read who sends, where somebody has come whom the batch did not begin with: then all of it is
        waited for, since every look interrupts the COPY. None: something was stored already."""
        if self.registry.lacks(piece, now_s=moment.now_s):
            if isinstance(arrivals, Inflow):
                arrivals.fill()
            copy = copy and self._end(connection, copy)
            self._prepare(connection, arrivals, moment)
        return copy

    def _send(
        self, connection: Connection, admission: Admission, copy: store.SampleCopy
    ) -> store.SampleCopy | None:
        """Send samples; None: something of what was sent is stored already."""
        try:
            for name, columns in admission.columns.items():
                copy.write(admission.products[name], columns)
        except errors.UniqueViolation:
            copy.abandon()
            connection.rollback()
            return None
        return copy

    def _end(self, connection: Connection, copy: store.SampleCopy) -> store.SampleCopy | None:
        """End a COPY, so that the connection is free; None: something was stored already."""
        try:
            copy.close()
        except errors.UniqueViolation:
            connection.rollback()
            return None
        return copy

    def _admit(
        self,
        connection: Connection,
        piece: Sequence[Arrival],
        moment: Moment,
        copy: store.SampleCopy | None,
    ) -> Admission:
        """Check some messages; where a metric is unknown, against the newest sheets."""
        admission = admit(piece, self.registry, now=moment.now)
        if any(r.reason is Refusal.UNKNOWN_METRIC for r in admission.refused):
            if copy is not None:
                copy.close()
            self.registry.refresh_sheets(connection, now_s=moment.now_s)
            products = self.registry.products
            if any(products.get(name) is not used for name, used in admission.products.items()):
                admission = admit(piece, self.registry, now=moment.now)
        return admission

    def _hold(
        self, admission: Admission, piece: Sequence[Arrival], moment: Moment, *, first: int
    ) -> Held:
        """Hold some messages against the limits of their senders, once: a batch that is given again,
        because the database was away, must not use up what its senders are allowed."""
        before = self._held.get(first)
        if before is not None:
            return before.again(admission)
        held = self._gate.hold(admission, piece, now=moment.now, now_s=moment.now_s)
        self._held[first] = held
        return held

    def _fill(
        self, connection: Connection, held: Held, moment: Moment, pieces: Sequence[Piece]
    ) -> Advances:
        """Write everything but the samples, which the pieces have brought already."""
        admission, now = held.admission, moment.now
        unknown = self._streams.unknown(admission.messages)
        known = store.load_streams(connection, unknown) if unknown else {}
        write_shifted(connection, admission, now=now)
        letters = save_held(connection, held, now=now, now_s=moment.now_s)
        store.add_dead_letters(connection, [*admission.refused, *letters])
        advances = self._streams.advance(admission.messages, known)
        store.save_streams(connection, advances)
        late = store.save_progress(connection, advances.spans, now=now)
        blocks = [
            (piece.held.admission.products[name], block)
            for piece in pieces
            for name, block in piece.held.admission.columns.items()
        ]
        add_late_marks(connection, late_stretches([b for _, b in blocks], late), now=now)
        store.save_late(connection, self._edges.late(connection, blocks))
        return advances


def joined(pieces: Sequence[Piece]) -> Held:
    """Put what became of the pieces together, but for the samples. Pure."""
    if len(pieces) == 1:
        return pieces[0].held
    admissions = [piece.held.admission for piece in pieces]
    messages = {
        field.name: np.concatenate([getattr(one.messages, field.name) for one in admissions])
        for field in fields(Messages)
    }
    lengths = [len(one.messages) for one in admissions]
    messages["places"] += np.repeat([piece.first for piece in pieces], lengths)
    products: dict[str, Product] = {}
    for one in admissions:
        products |= one.products
    return Held(
        admission=Admission(
            columns={},
            refused=[refused for one in admissions for refused in one.refused],
            messages=Messages(**messages),
            shifted=[
                replace(shifted, place=shifted.place + piece.first)
                for piece in pieces
                for shifted in piece.held.admission.shifted
            ],
            products=products,
        ),
        withheld=[one for piece in pieces for one in piece.held.withheld],
        notices=[one for piece in pieces for one in piece.held.notices],
    )


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
