"""Packs samples into PostgreSQL's binary COPY format, a whole block at a time. Pure.

A row is a fixed pattern of lengths and values for all samples with the same metrics, so a block is
one structured array: about a microsecond a row instead of ten.
"""

from collections.abc import Sequence

import numpy as np

from core.product import Product
from ingest.records import Columns

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH_MS = 946_684_800_000  # PostgreSQL counts microseconds from 2000-01-01


def pack(blocks: Sequence[Columns], product: Product, *, with_order: bool) -> bytes:
    """Return the COPY data of all blocks of a product.

    Parameters
    ----------
    blocks : sequence of Columns
    product : Product
        Its metrics, in order, are the columns after device_id and measured_at.
    with_order : bool
        Whether a last column says where in the batch the sample came from.
    """
    parts = [_rows(block, product, with_order=with_order) for block in blocks]
    return b"".join((HEADER, *parts, TRAILER))


def _rows(block: Columns, product: Product, *, with_order: bool) -> bytes:
    place = {name: i for i, name in enumerate(block.metrics)}
    fields: list[tuple[str, str]] = [
        ("columns", ">i2"),
        ("device_bytes", ">i4"),
        ("device", ">i8"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
    ]
    for i, metric in enumerate(product.metrics):
        fields.append((f"bytes_{i}", ">i4"))
        if metric.name in place:
            fields.append((f"value_{i}", ">f8" if metric.precise else ">f4"))
    if with_order:
        fields += [("order_bytes", ">i4"), ("order", ">i4")]
    rows = np.empty(len(block.times_ms), dtype=fields)
    rows["columns"] = 2 + len(product.metrics) + with_order
    rows["device_bytes"] = rows["time_bytes"] = 8
    rows["device"] = block.device_ids
    rows["time"] = (block.times_ms - _EPOCH_MS) * 1000
    for i, metric in enumerate(product.metrics):
        if metric.name in place:
            rows[f"bytes_{i}"] = 8 if metric.precise else 4
            rows[f"value_{i}"] = block.values[:, place[metric.name]]
        else:
            rows[f"bytes_{i}"] = -1  # null
    if with_order:
        rows["order_bytes"] = 4
        rows["order"] = block.order
    return rows.tobytes()


def has_repeats(blocks: Sequence[Columns]) -> bool:
    """Tell whether two samples share device and instant."""
    keys = np.concatenate([np.column_stack((block.device_ids, block.times_ms)) for block in blocks])
    return len(np.unique(keys, axis=0)) < len(keys)
