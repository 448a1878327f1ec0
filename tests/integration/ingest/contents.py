"""What ingest has stored of the small product `kettle`, to be compared or wiped."""

from typing import Any

from core.pool import Pool

_PROGRESS = "device_id, first_measured_at, measured_through"


def everything(pool: Pool, *, with_counts: bool = False) -> list[list[Any]]:
    """Return samples, streams, progress and dead letters; `with_counts`: repetitions show in them."""
    progress = f"{_PROGRESS}, samples" if with_counts else _PROGRESS
    queries = (
        "select * from telemetry.kettle order by device_id, measured_at",
        "select * from ingest.stream order by device_id, boot",
        f"select {progress} from ingest.progress order by 1",
        "select device_name, payload, reason from ingest.dead_letter order by 1, 2",
    )
    with pool.connection() as connection:
        return [connection.execute(query).fetchall() for query in queries]


def clear(pool: Pool) -> None:
    with pool.connection() as connection:
        connection.execute(
            "truncate telemetry.kettle, ingest.stream, ingest.progress, ingest.dead_letter"
        )
