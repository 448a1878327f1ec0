"""Packs samples into PostgreSQL's binary forms, a whole batch at a time. Pure.

A row of COPY's binary format is a fixed pattern of lengths and values, so a batch is one structured
array. A metric that a sample does not have is a length of -1 and no value: where there are such,
the bytes of their values are cut out of the finished array.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.product import Product
from ingest.records import Columns, Integers

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH_MS = 946_684_800_000  # PostgreSQL counts microseconds from 2000-01-01
_NULL = -1
_INT8_OID = 20
_ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">i8")])


def pack(columns: Columns, product: Product, *, with_order: bool) -> bytes:
    """Return the rows of a product's samples, to stand between HEADER and TRAILER.

    Parameters
    ----------
    columns : Columns
    product : Product
        Its metrics, in order, are the columns after device_id and measured_at.
    with_order : bool
        Whether a last column says where in the batch the sample came from.
    """
    precise = tuple(metric.precise for metric in product.metrics)
    template, row_type, value_places = _pattern(precise, with_order=with_order)
    rows = np.frombuffer(bytearray(template) * len(columns), dtype=row_type)
    rows["device"] = columns.device_ids
    rows["time"] = (columns.times_ms - _EPOCH_MS) * 1000
    for i in range(len(precise)):
        rows[f"value_{i}"] = columns.values[:, i]
    if with_order:
        rows["order"] = columns.order
    if not np.isnan(columns.values.min(initial=0.0)):
        return rows.tobytes()
    absent = np.isnan(columns.values)
    keep = np.ones((len(rows), rows.itemsize), dtype=bool)
    for i, (start, end) in enumerate(value_places):
        rows[f"bytes_{i}"][absent[:, i]] = _NULL
        keep[:, start:end] = ~absent[:, i, None]
    data = rows.view(np.uint8).reshape(keep.shape)
    return data[keep].tobytes()


def pack_integers(values: Integers) -> bytes:
    """Return the binary form of a bigint[]: a tenth of what writing it as text costs."""
    head = np.array([1, 0, _INT8_OID, len(values), 1], dtype=">i4").tobytes()
    elements = np.empty(len(values), dtype=_ELEMENT)
    elements["bytes"] = 8
    elements["value"] = values
    return head + elements.tobytes()


def has_repeats(columns: Columns) -> bool:
    """Tell whether two samples share device and instant."""
    order = np.lexsort((columns.times_ms, columns.device_ids))
    devices, times = columns.device_ids[order], columns.times_ms[order]
    return bool(((devices[1:] == devices[:-1]) & (times[1:] == times[:-1])).any())


@lru_cache(maxsize=256)
def _pattern(
    precise: tuple[bool, ...], *, with_order: bool
) -> tuple[bytes, np.dtype[np.void], tuple[tuple[int, int], ...]]:
    """Return a row with all its lengths filled in, its type, and where the bytes of each value lie."""
    fields: list[tuple[str, str]] = [
        ("columns", ">i2"),
        ("device_bytes", ">i4"),
        ("device", ">i8"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
    ]
    for i, is_precise in enumerate(precise):
        fields += [(f"bytes_{i}", ">i4"), (f"value_{i}", ">f8" if is_precise else ">f4")]
    if with_order:
        fields += [("order_bytes", ">i4"), ("order", ">i4")]
    row: NDArray[np.void] = np.zeros(1, dtype=fields)
    row["columns"] = 2 + len(precise) + with_order
    row["device_bytes"] = row["time_bytes"] = 8
    for i, is_precise in enumerate(precise):
        row[f"bytes_{i}"] = 8 if is_precise else 4
    if with_order:
        row["order_bytes"] = 4
    known: Any = row.dtype.fields
    places = []
    for i in range(len(precise)):
        kind, start = known[f"value_{i}"]
        places.append((start, start + kind.itemsize))
    return row.tobytes(), row.dtype, tuple(places)
