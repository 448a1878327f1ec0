"""Writes an export as Parquet, one row group after the other. Apart, since its library is a large one."""

from collections.abc import Sequence
from datetime import datetime
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.pool import Connection
from ingest.export import store
from ingest.export.request import Column, Request
from ingest.export.service import OnDevice
from ingest.export.store import Block, ExportedDevice

_ROW_GROUP_BYTES = 8 << 20
_ROW_GROUP_ROWS_MAX = 100_000
_TYPES = {"f4": pa.float32(), "f8": pa.float64(), "i4": pa.int32()}


def write_parquet(  # noqa: PLR0913 - what, where, and for whom
    connection: Connection,
    request: Request,
    devices: Sequence[ExportedDevice],
    target: IO[bytes],
    *,
    now: datetime,
    on_device: OnDevice = lambda _: None,
) -> int:
    """Write a Parquet file whose fields know their unit and title; returns the number of rows."""
    columns = request.columns
    schema = _schema(request, now)
    rows_max = _rows_per_group(columns)
    rows = 0
    waiting: list[Block] = []
    waiting_rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for number, device in enumerate(devices, start=1):
            for block in store.blocks(connection, request, device, rows_max=rows_max):
                waiting.append(block)
                waiting_rows += len(block.times_us)
                rows += len(block.times_us)
                if waiting_rows >= rows_max:
                    writer.write_table(_table(waiting, columns, schema))
                    waiting, waiting_rows = [], 0
            on_device(number)
        if waiting:
            writer.write_table(_table(waiting, columns, schema))
    return rows


def _rows_per_group(columns: Sequence[Column]) -> int:
    width = 16 + sum(int(column.kind[1:]) for column in columns)
    return max(1000, min(_ROW_GROUP_ROWS_MAX, _ROW_GROUP_BYTES // width))


def _schema(request: Request, now: datetime) -> pa.Schema:
    fields = [
        pa.field("device", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field(request.time, pa.timestamp("us", tz="UTC"), nullable=False),
        *(
            pa.field(
                column.name,
                _TYPES[column.kind],
                metadata={"unit": column.unit, "title": column.title},
            )
            for column in request.columns
        ),
    ]
    about = {
        "product": request.product.name,
        "title": request.product.title,
        "manufacturer": request.product.manufacturer,
        "resolution": request.resolution.value,
        "exported_at": now.isoformat(),
    }
    return pa.schema(fields, metadata=about)


def _table(blocks: Sequence[Block], columns: Sequence[Column], schema: pa.Schema) -> pa.Table:
    names = list(dict.fromkeys(block.device for block in blocks))
    places = {name: place for place, name in enumerate(names)}
    indices = np.concatenate(
        [np.full(len(block.times_us), places[block.device], np.int32) for block in blocks]
    )
    arrays = [
        pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names, pa.string())),
        pa.array(np.concatenate([block.times_us for block in blocks]), pa.int64()).cast(
            pa.timestamp("us", tz="UTC")
        ),
    ]
    for column in columns:
        values = np.concatenate([block.values[column.name] for block in blocks])
        # NaN stands for a missing value; none is stored.
        arrays.append(pa.array(values, _TYPES[column.kind], from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=schema)
