"""Connections to TimescaleDB: sessions whose commits are durable, or none at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from core.errors import PermanentError, RetryableError

Connection = psycopg.Connection[TupleRow]
Pool = ConnectionPool[Connection]


class DatabaseAwayError(RetryableError):
    """The database cannot be reached just now."""


class UnsafeDatabaseError(PermanentError):
    """The server would confirm a commit that it may forget."""


def make_pool(database_url: str, *, name: str, size_max: int = 4) -> Pool:
    """Open a pool whose sessions run in UTC; it fills itself again when the database comes back."""
    return ConnectionPool(
        database_url,
        kwargs={"application_name": f"forecare {name}", "options": "-c timezone=UTC"},
        min_size=1,
        max_size=size_max,
        timeout=10.0,
        reconnect_timeout=float("inf"),
        check=ConnectionPool.check_connection,
        open=True,
        name=name,
    )


@contextmanager
def connect(database_url: str, *, name: str, **options: Any) -> Iterator[Connection]:
    """Open one connection for a single job.

    Raises
    ------
    DatabaseAwayError
        If the server does not answer.
    """
    try:
        connection = psycopg.connect(
            database_url,
            application_name=f"forecare {name}",
            options="-c timezone=UTC",
            connect_timeout=10,
            **options,
        )
    except psycopg.OperationalError as error:
        raise DatabaseAwayError(
            f"the database does not answer: {str(error).strip()}",
            hint="`forecare runtime status` shows the embedded one; else look at FORECARE_DATABASE_URL",
        ) from error
    with connection:
        yield connection


def assert_durable(connection: Connection) -> None:
    """Refuse a server that may lose what it has confirmed.

    Raises
    ------
    UnsafeDatabaseError
        If fsync, full_page_writes or synchronous_commit is off.
    """
    row = connection.execute(
        "select current_setting('fsync'), current_setting('full_page_writes'),"
        " current_setting('synchronous_commit')"
    ).fetchone()
    for name, value in zip(
        ("fsync", "full_page_writes", "synchronous_commit"), row or (), strict=True
    ):
        if value == "off":
            raise UnsafeDatabaseError(
                f"the database runs with {name} = off, so a confirmed sample could be lost",
                hint=f"set {name} = on in postgresql.conf and restart the server",
            )
