"""Bytes that a stored value takes on the disk: ten metrics a minute, indexes included."""

import numpy as np
from psycopg import sql

from bench.ingest.rows import batches, copy_block, queries, rows_of
from bench.ingest.shapes import Shape
from core.pool import Pool

_DEVICES = 240
_MINUTES = 1440
_ROWS_PER_COMMIT = 2400
STORED_PRODUCT = "bench_stored"


def measure_heap(pool: Pool, *, first_ms: int) -> float:
    """Store a day of 240 devices in the order in which it would arrive, and weigh the table."""
    shape = Shape(
        name="storage",
        product=STORED_PRODUCT,
        metrics=10,
        samples=1,
        step_ms=60_000,
        warm_up=0,
        ahead_max=0,
    )
    table = sql.Identifier("telemetry", STORED_PRODUCT)
    ids = np.arange(1_000_000, 1_000_000 + _DEVICES)
    rows = rows_of(shape, device_ids=ids, messages=_DEVICES * _MINUTES, first_ms=first_ms)
    with pool.connection() as connection:
        for _, block in batches(rows, _ROWS_PER_COMMIT):
            copy_block(connection, table, shape.metrics, block)
            connection.commit()
        relation = {"relation": f"telemetry.{STORED_PRODUCT}"}
        size = connection.execute(queries["ingest_table_bytes"], relation).fetchone()
    assert size is not None
    return float(size[0]) / (len(rows) * shape.metrics)
