"""The copy limit: bare binary COPY of the very rows of a run into an identical hypertable."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from psycopg import sql

from bench.ingest.figures import per_second
from bench.ingest.shapes import POOL, Shape, metric_names, value_pool
from core.clock import monotonic_s
from core.pool import Connection, Pool
from core.sql import Queries

queries = Queries("bench")

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH_2000_MS = 946_684_800_000
_SCHEMA = "bench"
_Block = npt.NDArray[np.void]


def rows_of(
    shape: Shape, *, device_ids: npt.NDArray[np.int64], messages: int, first_ms: int
) -> _Block:
    """Return the rows of a run in COPY's binary form, in the order in which they are sent.

    Parameters
    ----------
    shape : Shape
    device_ids : ndarray of int64, shape (n_devices,)
    messages : int
    first_ms : int
        Time of every device's first sample, milliseconds since 1970.

    Returns
    -------
    ndarray of void, shape (messages * shape.samples,)
    """
    message = np.repeat(np.arange(messages), shape.samples)
    within = np.tile(np.arange(shape.samples), messages)
    device = message % len(device_ids)
    sample = message // len(device_ids) * shape.samples + within
    rows = np.zeros(len(message), dtype=row_type(shape.metrics))
    rows["fields"] = 2 + shape.metrics
    rows["id_bytes"] = rows["at_bytes"] = 8
    rows["id"] = device_ids[device]
    rows["at"] = (first_ms + sample * shape.step_ms - _EPOCH_2000_MS) * 1000
    values = np.array(value_pool(shape.metrics), dtype=np.float32)
    rows["values"]["bytes"] = 4
    rows["values"]["value"] = values[(device * 31 + sample) % POOL]
    return rows


def row_type(metrics: int) -> np.dtype[np.void]:
    """Return a row of COPY's binary form: a length in front of each value, all big-endian."""
    value = [("bytes", ">i4"), ("value", ">f4")]
    return np.dtype(
        [
            ("fields", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("at_bytes", ">i4"),
            ("at", ">i8"),
            ("values", value, (metrics,)),
        ]
    )


def device_ids(pool: Pool, product: str, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the numbers of devices, in the order of the names."""
    with pool.connection() as connection:
        found: Mapping[str, int] = dict(
            connection.execute(queries["ingest_device_ids"], {"product": product}).fetchall()
        )
    return np.array([found[name] for name in names], dtype=np.int64)


def copy_limit(pool: Pool, shape: Shape, rows: _Block, *, batch: int, warm_up: float) -> float:
    """Copy rows into an empty hypertable like the product's, a COMMIT a batch; return values/s."""
    table = sql.Identifier(_SCHEMA, shape.product)
    with pool.connection() as connection:
        _make_table(connection, shape.product, table)
    warm_rows = int(len(rows) * warm_up)
    measured_s = 0.0
    measured_rows = 0
    with pool.connection() as connection:
        for start, block in batches(rows, batch):
            began_s = monotonic_s()
            copy_block(connection, table, shape.metrics, block)
            connection.commit()
            if start >= warm_rows:
                measured_s += monotonic_s() - began_s
                measured_rows += len(block)
        connection.execute(sql.SQL("drop table {}").format(table))
    return per_second(measured_rows * shape.metrics, measured_s)


def copy_block(connection: Connection, table: sql.Identifier, metrics: int, block: _Block) -> None:
    names = ("device_id", "measured_at", *metric_names(metrics))
    into = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor().copy(into) as copy:
        copy.write(_HEADER + block.tobytes() + _TRAILER)


def batches(rows: _Block, size: int) -> Iterator[tuple[int, _Block]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _make_table(connection: Connection, product: str, table: sql.Identifier) -> None:
    chunk = connection.execute(queries["ingest_chunk_interval"], {"table": product}).fetchone()
    assert chunk is not None
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(_SCHEMA)))
    connection.execute(sql.SQL("drop table if exists {}").format(table))
    connection.execute(
        sql.SQL("create table {} (like {} including all)").format(
            table, sql.Identifier("telemetry", product)
        )
    )
    connection.execute(
        queries["ingest_create_hypertable"],
        {"relation": f"{_SCHEMA}.{product}", "chunk": chunk[0]},
    )
