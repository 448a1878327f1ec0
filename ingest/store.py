"""Runs ingest's SQL: the only writer of the rows of telemetry.* and of ingest.*. Never commits."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from sys import intern

import psycopg
from psycopg import Copy, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import class_row

from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from ingest.fleet import Advances
from ingest.packing import HEADER, TRAILER, has_repeats, pack, pack_integers
from ingest.records import NEVER_MS, Columns, Device, DeviceSpans, Integers, Refused, StreamKey
from ingest.streams import Stream

_queries = Queries("ingest")
_TEMPORARY = sql.Identifier("forecare_batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    id: int
    device_name: str
    reason: str
    detail: str
    received_at: datetime
    times: int
    bytes: int
    replayed_at: datetime | None
    replay_result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    id: int
    device_name: str
    topic: str
    payload: bytes
    reason: str
    detail: str
    received_at: datetime
    times: int
    replayed_at: datetime | None
    replay_result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLetter:
    """A dead letter that is to go through the door once more."""

    id: int
    topic: str
    payload: bytes
    received_at: datetime


class _Integers:
    """A bigint[] that goes over in its binary form."""

    __slots__ = ("data",)

    def __init__(self, values: Integers) -> None:
        self.data = pack_integers(values)


class _IntegersDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["int8"].array_oid

    def dump(self, obj: _Integers) -> bytes:
        return obj.data


psycopg.adapters.register_dumper(_Integers, _IntegersDumper)


class SampleCopy:
    """Copies samples of which none is stored yet, piece by piece: while a thread hands one piece to
    the server, the caller reads the next. A repeat is a UniqueViolation, raised at some later piece or
    at the end. The connection is the thread's until `close` or `abandon`.
    """

    def __init__(self, connection: Connection, thread: Executor) -> None:
        self._connection = connection
        self._thread = thread
        self._under_way: Future[None] | None = None
        self._product: Product | None = None
        self._copy: AbstractContextManager[Copy] | None = None
        self._open: Copy | None = None

    def write(self, product: Product, columns: Columns) -> None:
        """Send some samples, and begin a new COPY where they belong to another product."""
        data = pack(columns, product, with_order=False)
        self._wait()
        if self._product is not product:
            self.close()
            statement = _copy_into(_table(product), product, extra=())
            self._copy = self._connection.cursor().copy(statement)
            self._open, self._product = self._copy.__enter__(), product
            self._open.write(HEADER)
        assert self._open is not None
        self._under_way = self._thread.submit(self._open.write, data)

    def close(self) -> None:
        """End the COPY."""
        self._wait()
        if self._open is None or self._copy is None:
            return
        copy, opened = self._copy, self._open
        self._copy = self._open = self._product = None
        opened.write(TRAILER)
        copy.__exit__(None, None, None)

    def abandon(self) -> None:
        """Give up after an error: the transaction is lost, and so is what was sent."""
        copy, self._copy, self._open, self._product = self._copy, None, None, None
        with suppress(psycopg.Error, AbandonedError):
            self._wait()
        if copy is not None:
            with suppress(psycopg.Error, AbandonedError):
                copy.__exit__(AbandonedError, AbandonedError(), None)

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()


class AbandonedError(Exception):
    """Ends a COPY whose transaction is lost."""


def taken_instants(
    connection: Connection, product: Product, instants: Collection[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return those instants (device id, milliseconds since 1970) of which a row is stored."""
    ordered = sorted(instants)
    times_ms = [at_ms for _, at_ms in ordered]
    query = sql.SQL(_queries["taken_instants"]).format(table=_table(product))
    rows = connection.execute(
        query,
        {
            "device_ids": [device_id for device_id, _ in ordered],
            "times_ms": times_ms,
            "first_ms": min(times_ms),
            "last_ms": max(times_ms),
        },
    )
    return {(row[0], row[1]) for row in rows}


def merge_samples(
    connection: Connection, product: Product, samples: Columns, *, flag: int | None = None
) -> None:
    """Write samples of which some are stored: what a stored instant lacks is filled in, nothing
    is overwritten, and of two values for one metric the earlier one stays. `flag` is what new rows
    say in `_flags`."""
    columns = _columns(product)
    connection.execute(
        sql.SQL(
            "create temporary table {} on commit drop as"
            " select device_id, measured_at, {}, 0 as _order from {} limit 0"
        ).format(_TEMPORARY, sql.SQL(", ").join(columns), _table(product))
    )
    data = HEADER + pack(samples, product, with_order=True) + TRAILER
    with connection.cursor().copy(_copy_into(_TEMPORARY, product, extra=("_order",))) as copy:
        copy.write(data)
    select = _first_values if has_repeats(samples) else _all_values
    fill = sql.SQL(", ").join(
        sql.SQL("{0} = coalesce(stored.{0}, excluded.{0})").format(column) for column in columns
    )
    lacks = sql.SQL(" or ").join(
        sql.SQL("(stored.{0} is null and excluded.{0} is not null)").format(column)
        for column in columns
    )
    connection.execute(
        sql.SQL(
            "insert into {} as stored (device_id, measured_at, {}, _flags) {}"
            " on conflict (device_id, measured_at) do update set {} where {}"
        ).format(
            _table(product),
            sql.SQL(", ").join(columns),
            select(columns, flag),
            fill,
            lacks,
        )
    )
    connection.execute(sql.SQL("drop table {}").format(_TEMPORARY))


def save_streams(connection: Connection, advances: Advances) -> None:
    moved = advances.has_moved
    if not moved.any():
        return
    connection.execute(
        _queries["save_streams"],
        {
            "device_ids": _Integers(advances.device_ids[moved]),
            "boots": _Integers(advances.boots[moved]),
            "seqs": _Integers(advances.stored[moved]),
        },
    )


def save_progress(connection: Connection, spans: DeviceSpans, *, now: datetime) -> dict[int, int]:
    """Note what a batch brought of each device, and how far its history has no gap.

    Returns
    -------
    dict
        Devices that brought samples behind what was stored before, and how far that was, in
        milliseconds since 1970.
    """
    if not len(spans.device_ids):
        return {}
    rows = connection.execute(
        _queries["save_progress"],
        {
            "device_ids": _Integers(spans.device_ids),
            "firsts_ms": _Integers(spans.oldest_ms),
            "throughs_ms": _Integers(spans.through_ms),
            "never_ms": NEVER_MS,
            "samples": _Integers(spans.samples),
            "now": now,
        },
    )
    return dict(rows.fetchall())


def lock_progress(connection: Connection, device_ids: Integers) -> None:
    """Keep other writers from advancing these devices until the transaction ends."""
    connection.execute(_queries["lock_progress"], {"device_ids": _Integers(device_ids)})


def newest_ms(connection: Connection, product: str) -> int:
    """Return the newest sample of a product that is stored without a gap, milliseconds since 1970."""
    row = connection.execute(_queries["newest_of_product"], {"product": product}).fetchone()
    return NEVER_MS if row is None or row[0] is None else int(row[0])


def save_late(connection: Connection, late_ms: Mapping[int, int]) -> None:
    """Note up to where the samples of some devices came too late."""
    if late_ms:
        connection.execute(
            _queries["save_late"],
            {"device_ids": list(late_ms), "lates_ms": list(late_ms.values())},
        )


def add_dead_letters(connection: Connection, refused: Sequence[Refused]) -> None:
    if not refused:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            _queries["add_dead_letter"],
            [
                {
                    "device_name": letter.device_name,
                    "topic": letter.topic,
                    "payload": letter.payload,
                    "reason": letter.reason.value,
                    "detail": letter.detail,
                    "received_at": letter.received_at,
                }
                for letter in refused
            ],
        )


def load_streams(connection: Connection, keys: Sequence[StreamKey]) -> dict[StreamKey, Stream]:
    rows = connection.execute(
        _queries["load_streams"],
        {"device_ids": [key[0] for key in keys], "boots": [key[1] for key in keys]},
    ).fetchall()
    return {(row[0], row[1]): Stream(stored=row[2]) for row in rows}


def load_products(connection: Connection) -> dict[str, tuple[int, Product]]:
    """Return revision and records by name."""
    rows = connection.execute(_queries["load_products"]).fetchall()
    return {row[0]: (row[1], product_from_json(row[2])) for row in rows}


def load_devices(connection: Connection, names: Sequence[str]) -> tuple[Device, ...]:
    """Return the devices of these names that are in service."""
    rows = connection.execute(_queries["load_devices"], {"names": list(names)}).fetchall()
    return tuple(Device(id=r[0], name=r[1], shard=r[2], product=intern(r[3])) for r in rows)


def load_device_changes(
    connection: Connection, seen_to: str | None
) -> tuple[Sequence[tuple[str, int]], str]:
    """Return name and shard of the devices that have changed, and where to go on next time."""
    rows = connection.execute(_queries["load_device_changes"], {"seen_to": seen_to}).fetchall()
    return [(row[1], row[2]) for row in rows if row[1] is not None], rows[0][0]


def list_dead_letters(
    connection: Connection,
    *,
    reason: str | None,
    device: str | None,
    with_replayed: bool,
    limit: int,
) -> tuple[DeadLetterRow, ...]:
    values = {"reason": reason, "device": device, "with_replayed": with_replayed, "limit": limit}
    with connection.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
        return tuple(cursor.execute(_queries["list_dead_letters"], values))


def show_dead_letter(connection: Connection, letter_id: int) -> DeadLetter | None:
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(_queries["show_dead_letter"], {"id": letter_id}).fetchone()


def lock_dead_letters(
    connection: Connection,
    *,
    ids: Sequence[int] | None,
    reason: str | None,
    after: int,
    limit: int,
) -> tuple[WaitingLetter, ...]:
    values = {
        "ids": None if ids is None else list(ids),
        "reason": reason,
        "after": after,
        "limit": limit,
    }
    with connection.cursor(row_factory=class_row(WaitingLetter)) as cursor:
        return tuple(cursor.execute(_queries["lock_dead_letters"], values))


def mark_replayed(connection: Connection, letter_id: int, *, result: str, now: datetime) -> None:
    connection.execute(_queries["mark_replayed"], {"id": letter_id, "result": result, "now": now})


def mark_refused_again(connection: Connection, letter_id: int, *, result: str) -> None:
    connection.execute(_queries["mark_refused_again"], {"id": letter_id, "result": result})


def _all_values(columns: Sequence[sql.Identifier], flag: int | None) -> sql.Composed:
    """Sorted, so that two processes never wait for each other crosswise."""
    return sql.SQL("select device_id, measured_at, {}, {} from {} order by 1, 2").format(
        sql.SQL(", ").join(columns), sql.Literal(flag), _TEMPORARY
    )


def _first_values(columns: Sequence[sql.Identifier], flag: int | None) -> sql.Composed:
    """Melt several samples of one instant into one row, each metric's first value kept."""
    firsts = sql.SQL(", ").join(
        sql.SQL("(array_agg({0} order by _order) filter (where {0} is not null))[1]").format(column)
        for column in columns
    )
    return sql.SQL(
        "select device_id, measured_at, {}, {} from {} group by 1, 2 order by 1, 2"
    ).format(firsts, sql.Literal(flag), _TEMPORARY)


def _copy_into(table: sql.Identifier, product: Product, *, extra: Sequence[str]) -> sql.Composed:
    names = ("device_id", "measured_at", *(metric.name for metric in product.metrics), *extra)
    return sql.SQL("copy {} ({}) from stdin (format binary)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, names))
    )


def _columns(product: Product) -> list[sql.Identifier]:
    return [sql.Identifier(metric.name) for metric in product.metrics]


def _table(product: Product) -> sql.Identifier:
    return sql.Identifier("telemetry", product.name)
