"""Runs the SQL of firmware images: the only writer of gateway.firmware and its chunks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from core.pool import Connection
from core.sql import Queries
from gateway.firmware.image import Firmware

_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A version that a device has run, as its birth messages said."""

    version: str
    boot: int
    since: datetime
    """Wall time."""
    runs_since: datetime | None
    """Event time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionUse:
    version: str
    devices: int


def insert_firmware(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    *,
    product_id: int,
    version: str,
    size_bytes: int,
    chunk_bytes: int,
    sha256: bytes,
    signature: bytes,
    public_key: bytes,
    notes: str,
    by: str,
    now: datetime,
) -> int | None:
    """Write an image's row; None when this version of the product exists."""
    row = connection.execute(
        _queries["insert_firmware"],
        {
            "product_id": product_id,
            "version": version,
            "size_bytes": size_bytes,
            "chunk_bytes": chunk_bytes,
            "sha256": sha256,
            "signature": signature,
            "public_key": public_key,
            "notes": notes,
            "by": by,
            "now": now,
        },
    ).fetchone()
    return int(row[0]) if row else None


def insert_chunks(connection: Connection, firmware_id: int, chunks: Iterable[bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            _queries["insert_firmware_chunk"],
            (
                {"firmware_id": firmware_id, "chunk": number, "data": data}
                for number, data in enumerate(chunks)
            ),
        )


def list_firmware(
    connection: Connection,
    *,
    product: str | None = None,
    version: str | None = None,
    firmware_id: int | None = None,
    limit: int,
) -> tuple[Firmware, ...]:
    with connection.cursor(row_factory=class_row(Firmware)) as cursor:
        return tuple(
            cursor.execute(
                _queries["list_firmware"],
                {"product": product, "version": version, "id": firmware_id, "limit": limit},
            )
        )


def newest_key(connection: Connection, product_id: int) -> tuple[bytes, str] | None:
    """Return the public key of the product's newest image and that image's version."""
    row = connection.execute(_queries["newest_firmware_key"], {"product_id": product_id}).fetchone()
    return (bytes(row[0]), str(row[1])) if row else None


def read_chunks(
    connection: Connection, firmware_id: int, *, first: int, count: int
) -> Sequence[tuple[int, bytes]]:
    rows = connection.execute(
        _queries["firmware_chunks"], {"firmware_id": firmware_id, "first": first, "count": count}
    ).fetchall()
    return [(int(number), bytes(data)) for number, data in rows]


def device_versions(connection: Connection, name: str, *, limit: int) -> tuple[VersionRow, ...]:
    with connection.cursor(row_factory=class_row(VersionRow)) as cursor:
        return tuple(cursor.execute(_queries["device_versions"], {"name": name, "limit": limit}))


def versions_in_use(connection: Connection, product: str) -> tuple[VersionUse, ...]:
    with connection.cursor(row_factory=class_row(VersionUse)) as cursor:
        return tuple(cursor.execute(_queries["versions_in_use"], {"product": product}))
