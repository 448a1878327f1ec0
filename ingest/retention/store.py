"""Runs the SQL of retention: drops chunks of telemetry*, old dead letters and late marks. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql
from psycopg.rows import class_row

from core.pool import Connection
from core.product import Product
from core.sql import Queries
from ingest.retention.policy import Chunk, Holds

_queries = Queries("ingest")
SCHEMAS = {"raw": "telemetry", "hourly": "telemetry_hour", "daily": "telemetry_day"}
_TIME = {"raw": "measured_at", "hourly": "starts_at", "daily": "starts_at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Dead letters that are to go."""

    rows: int
    bytes: int
    begins_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How far a product has been scored, and its oldest window."""

    newest_at: datetime | None
    oldest_at: datetime | None


def is_community(connection: Connection) -> bool:
    row = connection.execute(_queries["is_community"]).fetchone()
    return bool(row and row[0])


def holds(connection: Connection, product_id: int, *, window: timedelta) -> Holds:
    values = {"product_id": product_id, "window": window}
    with connection.cursor(row_factory=class_row(Holds)) as cursor:
        found = cursor.execute(_queries["retention_holds"], values).fetchone()
    assert found is not None
    return found


def windows(connection: Connection, product_id: int) -> Scored:
    with connection.cursor(row_factory=class_row(Scored)) as cursor:
        found = cursor.execute(_queries["windows_kept"], {"product_id": product_id}).fetchone()
    assert found is not None
    return found


def chunks(connection: Connection, product: Product, kind: str) -> tuple[Chunk, ...]:
    """Return the chunks of a table, the oldest first; none when there is no such table yet."""
    relation = _relation(product, kind).as_string(connection)
    exists = connection.execute(_queries["rollup_exists"], {"relation": relation}).fetchone()
    if not (exists and exists[0]):
        return ()
    values = {"relation": relation, "schema": SCHEMAS[kind], "table": product.name}
    with connection.cursor(row_factory=class_row(Chunk)) as cursor:
        return tuple(cursor.execute(_queries["chunks"], values))


def count_rows(connection: Connection, product: Product, kind: str, chunks: Sequence[Chunk]) -> int:
    """Count the rows of some chunks, one after the other."""
    query = sql.SQL(_queries["count_rows"]).format(
        relation=_relation(product, kind), time=sql.Identifier(_TIME[kind])
    )
    total = 0
    for chunk in chunks:
        span = {"begins_at": chunk.begins_at, "ends_at": chunk.ends_at}
        row = connection.execute(query, span).fetchone()
        total += row[0] if row else 0
    return total


def note_dropped(
    connection: Connection, product_id: int, kind: str, *, before: datetime, now: datetime
) -> None:
    """Remember before when rows are gone; first in the transaction that drops them."""
    connection.execute(
        _queries["note_dropped"],
        {"product_id": product_id, "kind": kind, "before": before, "now": now},
    )


def drop_chunks(connection: Connection, product: Product, kind: str, *, before: datetime) -> None:
    """Drop the chunks of a table that end before an instant."""
    relation = _relation(product, kind).as_string(connection)
    connection.execute(_queries["drop_chunks"], {"relation": relation, "before": before})


def letters_to_go(connection: Connection, product_id: int | None, *, before: datetime) -> Letters:
    values = {"product_id": product_id, "before": before}
    with connection.cursor(row_factory=class_row(Letters)) as cursor:
        found = cursor.execute(_queries["letters_to_go"], values).fetchone()
    assert found is not None
    return found


def delete_letters(
    connection: Connection, product_id: int | None, *, before: datetime, limit: int
) -> int:
    values = {"product_id": product_id, "before": before, "limit": limit}
    return connection.execute(_queries["delete_letters"], values).rowcount


def delete_ledgers(connection: Connection, *, shifted: datetime, breaches: datetime) -> None:
    """Forget which messages of wrong clocks were stored, and who met a limit, before these instants."""
    connection.execute(_queries["delete_shifted"], {"before": shifted})
    connection.execute(_queries["delete_breaches"], {"before": breaches})


def delete_marks(connection: Connection, *, old: datetime) -> int:
    return connection.execute(_queries["delete_marks"], {"old": old}).rowcount


def see_streams(connection: Connection, *, now: datetime) -> None:
    """Note which streams have gone on since they were last looked at."""
    connection.execute(_queries["see_streams"], {"now": now})


def delete_streams(connection: Connection, product_id: int, *, before: datetime, limit: int) -> int:
    """Forget streams of boots that are long past; returns how many that were."""
    values = {"product_id": product_id, "before": before, "limit": limit}
    old = connection.execute(_queries["old_streams"], values).fetchall()
    if not old:
        return 0
    keys = {"device_ids": [row[0] for row in old], "boots": [row[1] for row in old]}
    return connection.execute(_queries["delete_streams"], keys).rowcount


def switch_columnstore_on(connection: Connection, product: Product) -> None:
    values = {"schema": SCHEMAS["raw"], "table": product.name}
    row = connection.execute(_queries["columnstore_is_on"], values).fetchone()
    if row and row[0]:
        return
    connection.execute(
        sql.SQL(_queries["switch_columnstore_on"]).format(relation=_relation(product, "raw"))
    )


def compress(connection: Connection, chunk: Chunk) -> None:
    connection.execute(_queries["compress_chunk"], {"chunk": chunk.name})


def _relation(product: Product, kind: str) -> sql.Identifier:
    return sql.Identifier(SCHEMAS[kind], product.name)
