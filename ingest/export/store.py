"""Runs the SQL of the export: reads telemetry*, one device at a time. Writes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.rows import class_row

from core.pool import Connection
from core.sql import Queries
from core.units import EPOCH
from ingest.export.request import SCHEMA, Column, Request, harmless

_queries = Queries("ingest")
_BINARY_HEADER_BYTES = 19
_BINARY_TRAILER_BYTES = 2
_POSTGRES_EPOCH_US = round((datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
_SQL_TYPE = {"f4": "real", "f8": "double precision", "i4": "integer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDevice:
    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some rows of one device, the oldest first."""

    device: str
    times_us: NDArray[np.int64]
    """Microseconds since 1970."""
    values: dict[str, NDArray[np.generic]]
    """By column; NaN where there is none."""


def exported_devices(
    connection: Connection, product: str, names: Sequence[str] | None
) -> list[ExportedDevice]:
    values = {"product": product, "names": None if names is None else list(names)}
    with connection.cursor(row_factory=class_row(ExportedDevice)) as cursor:
        return cursor.execute(_queries["exported_devices"], values).fetchall()


def has_table(connection: Connection, request: Request) -> bool:
    relation = _relation(request).as_string(connection)
    row = connection.execute(_queries["rollup_exists"], {"relation": relation}).fetchone()
    return bool(row and row[0])


def csv_rows(
    connection: Connection, request: Request, device: ExportedDevice
) -> Iterator[memoryview]:
    """Yield the lines of a device as PostgreSQL writes them."""
    columns = [sql.Identifier(column.name) for column in request.columns]
    query = sql.SQL(_queries["export_csv"]).format(
        device=sql.Literal(harmless(device.name)), columns=sql.SQL(", ").join(columns),
        **_from_where(request, device),
    )  # fmt: skip
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for part in copy:
            yield memoryview(part)


def blocks(
    connection: Connection, request: Request, device: ExportedDevice, *, rows_max: int
) -> Iterator[Block]:
    """Yield the rows of a device as arrays of at most `rows_max`."""
    columns = request.columns
    query = sql.SQL(_queries["export_binary"]).format(
        columns=sql.SQL(", ").join(map(_never_null, columns)), **_from_where(request, device)
    )
    layout = [("fields", ">i2"), ("time_size", ">i4"), ("time", ">i8")]
    for column in columns:
        layout += [(f"{column.name} size", ">i4"), (column.name, f">{column.kind}")]
    record = np.dtype(layout)
    pending = bytearray()
    begins = _BINARY_HEADER_BYTES
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for part in copy:
            pending += part
            number = (len(pending) - begins - _BINARY_TRAILER_BYTES) // record.itemsize
            if number >= rows_max:
                yield _block(device, columns, pending, record, number=number, begins=begins)
                pending = pending[begins + number * record.itemsize :]
                begins = 0
    number = (len(pending) - begins - _BINARY_TRAILER_BYTES) // record.itemsize
    if number > 0:
        yield _block(device, columns, pending, record, number=number, begins=begins)


def _block(  # noqa: PLR0913 - bytes and how they are laid out
    device: ExportedDevice,
    columns: Sequence[Column],
    data: bytearray,
    record: np.dtype[np.void],
    *,
    number: int,
    begins: int,
) -> Block:
    rows = np.frombuffer(bytes(data), dtype=record, count=number, offset=begins)
    return Block(
        device=device.name,
        times_us=rows["time"].astype(np.int64) + _POSTGRES_EPOCH_US,
        values={column.name: rows[column.name].astype(column.kind) for column in columns},
    )


def _never_null(column: Column) -> sql.Composed:
    nothing = "0" if column.kind == "i4" else "'NaN'"
    return sql.SQL("coalesce({}, {}::{})").format(
        sql.Identifier(column.name), sql.SQL(nothing), sql.SQL(_SQL_TYPE[column.kind])
    )


def _from_where(request: Request, device: ExportedDevice) -> dict[str, sql.Composable]:
    """COPY takes no parameters, so values are written into the statement, quoted."""
    chosen = [column for column in request.columns if column.name != "samples"]
    return {
        "relation": _relation(request),
        "time": sql.Identifier(request.time),
        "device_id": sql.Literal(device.id),
        "begin": sql.Literal(request.begin),
        "end": sql.Literal(request.end),
        "any_value": sql.SQL(" or ").join(
            sql.SQL("{} is not null").format(sql.Identifier(column.name)) for column in chosen
        ),
    }


def _relation(request: Request) -> sql.Identifier:
    return sql.Identifier(SCHEMA[request.resolution], request.product.name)
