"""Runs the SQL of limits: the only writer of ingest.allowance and ingest.breach. Never commits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries

_queries = Queries("ingest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """An episode in which a sender was over a limit."""

    id: int
    subject: str
    """device or manufacturer"""
    name: str | None
    counts: str
    allowed: str
    began_at: datetime
    last_at: datetime
    resets_at: datetime
    messages: int
    """Withheld; one that comes again counts again."""
    metric_values: int
    letters: int
    """Kept as dead letters, because they had no number."""
    unkept: int
    """Had no number, and were more than is kept of one device in a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBreach:
    """What one batch adds to an episode."""

    subject: str
    subject_id: int
    counts: str
    allowed: str
    resets_at: datetime
    messages: int
    metric_values: int
    letters: int = 0
    unkept: int = 0


def allowances(connection: Connection, subject: str) -> dict[tuple[int, str], str]:
    """Return what was set by hand, by subject and what is counted."""
    rows = connection.execute(_queries["allowances"], {"subject": subject}).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def manufacturers(connection: Connection) -> dict[str, int]:
    """Return whose each product is."""
    rows = connection.execute(_queries["manufacturers"]).fetchall()
    return {row[2]: row[0] for row in rows}


def find_subject(connection: Connection, subject: str, name: str) -> int | None:
    row = connection.execute(_queries[f"find_{subject}"], {"name": name}).fetchone()
    return int(row[0]) if row else None


def sheets_of(connection: Connection, subject: str, subject_id: int) -> list[Product]:
    query = "device_sheet" if subject == "device" else "manufacturer_sheets"
    values = {f"{subject}_id": subject_id}
    return [product_from_json(row[0]) for row in connection.execute(_queries[query], values)]


def own_allowances(connection: Connection, subject: str, subject_id: int) -> dict[str, str]:
    values = {"subject": subject, "subject_id": subject_id}
    return dict(connection.execute(_queries["own_allowances"], values).fetchall())


def set_allowance(connection: Connection, values: Mapping[str, object]) -> None:
    connection.execute(_queries["set_allowance"], values)


def unset_allowance(connection: Connection, values: Mapping[str, object]) -> bool:
    return connection.execute(_queries["unset_allowance"], values).fetchone() is not None


def save_breach(connection: Connection, breach: NewBreach, *, now: datetime) -> None:
    values = {
        "subject": breach.subject,
        "subject_id": breach.subject_id,
        "counts": breach.counts,
        "allowed": breach.allowed,
        "resets_at": breach.resets_at,
        "messages": breach.messages,
        "metric_values": breach.metric_values,
        "letters": breach.letters,
        "unkept": breach.unkept,
        "now": now,
    }
    if connection.execute(_queries["continue_breach"], values).fetchone() is None:
        connection.execute(_queries["begin_breach"], values)


def letters_kept(connection: Connection, device_name: str, *, now: datetime) -> int:
    """Return how many letters of a device were kept within a day because of a limit."""
    values = {"device_name": device_name, "now": now}
    row = connection.execute(_queries["letters_kept"], values).fetchone()
    assert row is not None
    return int(row[0])


def breaches(connection: Connection, *, device: str | None, limit: int) -> tuple[Breach, ...]:
    with connection.cursor(row_factory=class_row(Breach)) as cursor:
        return tuple(cursor.execute(_queries["breaches"], {"device": device, "limit": limit}))
