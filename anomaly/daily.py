"""Claims the daily looks at a product: each job looks once at each day of its stream. Never commits.

Everything is judged anew from what is stored, so findings that come late count at the next look, and
days that were skipped (a replay, a worker that was away) are not made up for.
"""

from datetime import UTC, datetime
from typing import Literal

from anomaly.evidence import instant
from anomaly.fleet import store as fleet
from anomaly.store import ProductRow
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")

Job = Literal["rules", "precedents", "drift", "retention"]


def claim_day(
    connection: Connection, row: ProductRow, *, job: Job, now: datetime
) -> datetime | None:
    """Return the end of the day that is to be looked at now; None if that has been done, or is being done.

    The row of the look stays locked until the transaction ends that writes what it saw. A crash in
    between leaves the look before, and it is taken again. While the day of the product's newest sample
    has been looked at, nothing else is read.
    """
    values = {"product_id": row.id, "job": job, "now": now}
    found = connection.execute(_queries["daily_look"], values).fetchone()
    done = found[0] if found else None
    if done is not None and day_of(instant(row.newest_us)) <= done:
        return None
    through = watermark(connection, row)
    if through is None or (done is not None and through <= done):
        return None
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
