"""Reads what has been stored, to be held against the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.pool import Connection
from core.sql import Queries

queries = Queries("bench")

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the probes' table."""

    device: int
    number: int
    level: int
    measured_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    device: int
    """-1: of a device that is none of ours."""
    digest: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What ingest was given more than once, and has not stored twice."""

    rows: int
    letters: int


def read_rows(connection: Connection, names: dict[str, int]) -> Iterator[Row]:
    """Yield all rows; devices are given by their place in the list of names."""
    places = _places(connection, names)
    with connection.cursor(name="chaos_rows") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        for device_id, number, level, measured_ms in cursor.execute(queries["chaos_rows"]):
            yield Row(
                device=places.get(device_id, -1),
                number=-1 if number is None else number,
                level=level,
                measured_ms=measured_ms,
            )


def read_letters(connection: Connection, names: dict[str, int]) -> Iterator[Letter]:
    for name, digest, reason, _ in connection.execute(queries["chaos_letters"]):
        yield Letter(device=names.get(name, -1), digest=bytes(digest), reason=reason or "")


def read_repeats(connection: Connection) -> Repeats:
    row = connection.execute(queries["chaos_repeats"]).fetchone()
    assert row is not None
    return Repeats(rows=int(row[0]), letters=int(row[1]))


def _places(connection: Connection, names: dict[str, int]) -> dict[int, int]:
    rows = connection.execute(queries["chaos_devices"]).fetchall()
    return {device_id: names[name] for device_id, name in rows if name in names}
