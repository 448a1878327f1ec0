"""Brings the rollups of a product up to date, in short transactions.

Each transaction sees one state of the database (repeatable read): the samples, how far they come,
and the late marks. So everything it has not seen is committed later, and is either newer than the
hour in which it ends, or under a mark that it has not seen either. A crash leaves nothing or all of
it; two workers at the same device fail one of them, which tries again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg import IsolationLevel

from core.failpoint import failpoint
from core.pool import Connection
from core.product import Product
from ingest.rollups import store
from ingest.rollups.plan import (
    DAY,
    HOUR,
    Span,
    batched,
    days_of,
    plan_rollups,
    spans_of,
    split_at,
)
from ingest.rollups.store import RolledProduct

DEVICES_PER_TURN = 50
MARKS_PER_TURN = 2000
REFRESH_EVERY = timedelta(minutes=15)
"""An hour that is not complete is summed up this often at most, and whole when it is complete."""
_DUE_MAX = 10_000
_DATABASE_OPTIONS = "-c timezone=UTC -c statement_timeout=300s -c lock_timeout=10s -c work_mem=32MB"


def open_connection(database_url: str) -> Connection:
    """Open a connection whose transactions each see one state of the database, as all below need."""
    connection = psycopg.connect(
        database_url,
        application_name="forecare rollups",
        options=_DATABASE_OPTIONS,
        connect_timeout=10,
        autocommit=True,
    )
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    return connection


def marked_devices(connection: Connection, row: RolledProduct) -> list[list[int]]:
    """Return the devices with late marks, in lists for one transaction each. Commits."""
    with connection.transaction():
        device_ids = store.marked_rollups(connection, row.id, limit=_DUE_MAX)
    return list(batched(device_ids, DEVICES_PER_TURN))


def roll_late(connection: Connection, row: RolledProduct, device_ids: Sequence[int]) -> int:
    """Sum up hours under late marks again; returns the number of marks dealt with. Commits."""
    with connection.transaction():
        store.hold_dropped(connection)
        claims = store.claim_rollups(connection, device_ids)
        marks = store.late_marks(connection, [c.device_id for c in claims], limit=MARKS_PER_TURN)
        if marks:
            _write(connection, row, spans_of(marks))
            store.save_marks(connection, marks)
            failpoint("roll.before_commit")
    if marks:
        failpoint("roll.after_commit")
    return len(marks)


def due_devices(
    connection: Connection, row: RolledProduct, *, now: datetime, refresh: timedelta
) -> list[list[int]]:
    """Return the devices with news, in lists for one transaction each. Commits."""
    with connection.transaction():
        device_ids = store.due_rollups(
            connection, row.id, refreshed_before=now - refresh, limit=_DUE_MAX
        )
    return list(batched(device_ids, DEVICES_PER_TURN))


def roll_devices(
    connection: Connection, row: RolledProduct, device_ids: Sequence[int], *, now: datetime
) -> int:
    """Sum up what is new of some devices; returns how many were not held by another worker. Commits."""
    with connection.transaction():
        store.begin_rollups(connection, device_ids, now=now)
    with connection.transaction():
        store.hold_dropped(connection)
        claims = store.claim_rollups(connection, device_ids)
        if claims:
            plan = plan_rollups(claims, interval=row.product.interval)
            _write(connection, row, plan.spans)
            store.save_rollups(connection, plan.rolled, now=now)
            failpoint("roll.before_commit")
    if claims:
        failpoint("roll.after_commit")
    return len(claims)


def ensure(connection: Connection, product: Product) -> None:
    """Bring the two tables of a product into the shape of its sheet. Commits."""
    with connection.transaction():
        store.ensure_rollups(connection, product)


def _write(connection: Connection, row: RolledProduct, spans: Sequence[Span]) -> None:
    gone = store.gone_before(connection, row.id)
    partial, whole = split_at(spans, gone.get("raw"), step=HOUR)
    store.roll_hours(connection, row.product, partial, is_complete=False)
    store.roll_hours(connection, row.product, whole)
    failpoint("roll.hours_written")
    _, days = split_at(days_of(spans), gone.get("hourly"), step=DAY)
    store.roll_days(connection, row.product, days)
