"""Reads, for the demo's final count, what the line has stored. Writes nothing."""

from dataclasses import dataclass

from psycopg import sql

from bench.demo.count import Opened
from core.pool import Connection
from core.sql import Queries

queries = Queries("bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Rows of the telemetry tables."""

    samples_by_device: dict[str, int]

    @property
    def samples(self) -> int:
        return sum(self.samples_by_device.values())


def read_stored(connection: Connection) -> Stored:
    """Count the stored samples of every device, from the tables themselves."""
    counts: dict[str, int] = {}
    for (product,) in connection.execute(queries["products"]).fetchall():
        query = sql.SQL(queries["samples_by_device"]).format(
            table=sql.Identifier("telemetry", product)
        )
        counts |= dict(connection.execute(query).fetchall())
    return Stored(samples_by_device=counts)


def read_tickets(connection: Connection) -> list[Opened]:
    rows = connection.execute(queries["tickets"]).fetchall()
    return [Opened(device=d, failure_mode=m, opened_at=at) for d, m, at in rows]


def read_notifications_sent(connection: Connection) -> int:
    (count,) = connection.execute(queries["notifications_sent"]).fetchone() or (0,)
    return int(count)


def read_tickets_open_twice(connection: Connection) -> int:
    """Count pairs of tickets for one fault: one failure mode of one device at overlapping times."""
    (count,) = connection.execute(queries["tickets_open_twice"]).fetchone() or (0,)
    return int(count)
