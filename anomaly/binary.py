"""Lays rows out in PostgreSQL's binary forms, a whole table of them at a time. Pure.

A row of binary COPY whose fields have fixed widths is a fixed pattern of bytes, so many rows are one
structured array: hardly any time per row, where text costs microseconds per value.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.records import FloatArray, IntArray
from core.units import EPOCH

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
POSTGRES_EPOCH_US = round((datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
_OIDS = {">f4": 700, ">f8": 701}


@dataclass(frozen=True, slots=True, kw_only=True)
class Big:
    """A column of bigint, or of instants as microseconds since 1970 when `is_instant`."""

    values: IntArray
    is_instant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """A column of real."""

    values: NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Floats:
    """A column of arrays, all of one length: real[], or double precision[]; (n, length)."""

    values: FloatArray
    is_double: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """A column with the same value in every row, in its binary form; None is null."""

    value: bytes | None


Column = Big | Real | Floats | Same


def copy_rows(columns: Sequence[Column], *, rows: int) -> bytes:
    """Lay out rows for `copy … from stdin (format binary)`."""
    return COPY_HEADER + row_block(columns, rows=rows) + COPY_TRAILER


def row_block(columns: Sequence[Column], *, rows: int) -> bytes:
    """Lay out rows as a part of what `copy_rows` gives: several parts go between one header and one trailer."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [("count", ">i2")]
    for place, column in enumerate(columns):
        fields += _fields(str(place), column)
    table = np.zeros(rows, dtype=np.dtype(fields))
    table["count"] = len(columns)
    for place, column in enumerate(columns):
        _fill(table, str(place), column)
    return table.tobytes()


def _fields(name: str, column: Column) -> list[tuple[str, str] | tuple[str, str, tuple[int, ...]]]:
    if isinstance(column, Big):
        return [(f"{name} size", ">i4"), (name, ">i8")]
    if isinstance(column, Real):
        return [(f"{name} size", ">i4"), (name, ">f4")]
    if isinstance(column, Same):
        return [(f"{name} size", ">i4"), (name, f"V{len(column.value or b'')}")]
    length = column.values.shape[1]
    head = 5 if length else 3
    kind = ">f8" if column.is_double else ">f4"
    item = [("size", ">i4"), ("value", kind)]
    return [
        (f"{name} size", ">i4"),
        (f"{name} head", ">i4", (head,)),
        (name, item, (length,)),  # type: ignore[list-item]
    ]


def _fill(table: NDArray[np.void], name: str, column: Column) -> None:
    if isinstance(column, Big):
        table[f"{name} size"] = 8
        shift = POSTGRES_EPOCH_US if column.is_instant else 0
        table[name] = column.values - shift
    elif isinstance(column, Real):
        table[f"{name} size"] = 4
        table[name] = column.values
    elif isinstance(column, Same):
        table[f"{name} size"] = -1 if column.value is None else len(column.value)
        if column.value:
            table[name] = np.frombuffer(column.value, dtype=f"V{len(column.value)}")
    else:
        length = column.values.shape[1]
        kind, width = (">f8", 8) if column.is_double else (">f4", 4)
        # Dimensions, whether there are nulls, the type; then length and lower bound of the one dimension.
        head = (1, 0, _OIDS[kind], length, 1) if length else (0, 0, _OIDS[kind])
        table[f"{name} size"] = 4 * len(head) + (4 + width) * length
        table[f"{name} head"] = head
        table[name]["size"] = width
        table[name]["value"] = column.values


def text(value: str) -> Same:
    return Same(value=value.encode())


def real(value: float | None) -> Same:
    return Same(value=None if value is None else struct.pack(">f", value))


def big(value: int | None) -> Same:
    return Same(value=None if value is None else struct.pack(">q", value))


def instant_us(at_us: int) -> Same:
    return Same(value=struct.pack(">q", at_us - POSTGRES_EPOCH_US))


def jsonb(value: bytes) -> Same:
    """Of JSON text; the first byte is the version of the form."""
    return Same(value=b"\x01" + value)
