"""Claims the daily looks at a product: each job looks once at each day of its stream. Never commits.

Everything is judged anew from what is stored, so findings that come late count at the next look, and
days that were skipped (a replay, a worker that was away) are not made up for.
"""

from datetime import UTC, datetime
from typing import Literal, get_args

from anomaly.evidence import instant
from anomaly.fleet import store as fleet
from anomaly.store import ProductRow
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")

Job = Literal["groups", "rules", "precedents", "drift", "retention"]
JOBS: tuple[Job, ...] = get_args(Job)


def jobs_due(connection: Connection, row: ProductRow) -> frozenset[Job]:
    """Return the jobs that have a day to look at: one small query, at every turn.

    While the day of the product's newest sample has been looked at by all, nothing else is read.
    """
    rows = connection.execute(_queries["daily_looks"], {"product_id": row.id}).fetchall()
    done: dict[Job, datetime | None] = {**dict.fromkeys(JOBS), **dict(rows)}
    newest = day_of(instant(row.newest_us))
    if all(at is not None and newest <= at for at in done.values()):
        return frozenset()
    through = watermark(connection, row)
    if through is None:
        return frozenset()
    return frozenset(job for job, at in done.items() if at is None or at < through)


def claim_day(
    connection: Connection, row: ProductRow, *, job: Job, now: datetime
) -> datetime | None:
    """Return the end of the day that is to be looked at now; None if that has been done, or is being done.

    The row of the look stays locked until the transaction ends that writes what it saw. A crash in
    between leaves the look before, and it is taken again.
    """
    through = watermark(connection, row)
    if through is None:
        return None
    values = {"product_id": row.id, "job": job, "now": now}
    connection.execute(_queries["make_daily_look"], values)
    claimed = connection.execute(_queries["claim_daily_look"], values).fetchone()
    if claimed is None or (claimed[0] is not None and through <= claimed[0]):
        return None
    return through


def watermark(connection: Connection, row: ProductRow) -> datetime | None:
    """Return the end of the newest day that a product's devices have been scored through; None: none was."""
    reached = fleet.watermark(connection, product_id=row.id, late_after=row.product.late_after)
    return None if reached is None else day_of(reached)


def wait_for_look(connection: Connection, *, product_id: int, job: Job, now: datetime) -> None:
    """Let no look go on until the transaction ends: somebody changes by hand what it would write."""
    values = {"product_id": product_id, "job": job, "now": now}
    connection.execute(_queries["make_daily_look"], values)
    connection.execute(_queries["lock_daily_look"], values)


def keep_day(
    connection: Connection, *, product_id: int, job: Job, through: datetime, now: datetime
) -> None:
    values = {"product_id": product_id, "job": job, "through": through, "now": now}
    connection.execute(_queries["keep_daily_look"], values)


def day_of(at: datetime) -> datetime:
    """Return the end of the newest whole day, in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
