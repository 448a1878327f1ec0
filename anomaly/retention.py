"""Lets go what no product keeps any more, and what models remembered that no longer speak. Never commits.

Windows and paths go by whole chunks, by event time. The tables are shared by all products, so a chunk goes when it is older than this product keeps, and when no
other product has rows in it that it keeps. What training and backtests read of a product is never shorter
than what its sheet says, only longer, by up to a chunk or by what others keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anomaly.daily import claim_day, keep_day
from anomaly.store import ProductRow
from anomaly.training.store import forget_silent_memories
from core.failpoint import failpoint
from core.pool import Connection
from core.product import product_from_json
from core.sql import Queries

_queries = Queries("anomaly")
_TABLES = ("window", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeper:
    """Another product, and before when its rows may go."""

    product_id: int
    before: datetime | None
    """None: it keeps all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What one look let go."""

    chunks: int = 0
    memories: int = 0
    """Devices of which a model remembered something."""


def let_go(connection: Connection, row: ProductRow, *, now: datetime) -> Gone:
    """Drop what is of no use any more, once for each day of the product's stream; the caller commits.

    A model that no longer speaks is forgotten here and not when it falls silent: a scorer that has asked it just before
    may write once more. Put back, it goes on from what is still there, or makes its estimates anew; both say the same.
    """
    through = claim_day(connection, row, job="retention", now=now)
    if through is None:
        return Gone()
    keep_day(connection, product_id=row.id, job="retention", through=through, now=now)
    memories = forget_silent_memories(
        connection, product_id=row.id, modes=[mode.name for mode in row.product.failure_modes]
    )
    before = before_when(row.product.retention.windows, newest=through, now=now)
    chunks = 0 if before is None else _drop_chunks(connection, row, before=before, now=now)
    failpoint("anomaly.before_retention_commit")
    return Gone(chunks=chunks, memories=memories)


def _drop_chunks(
    connection: Connection, row: ProductRow, *, before: datetime, now: datetime
) -> int:
    keepers = _read_keepers(connection, row, now=now)
    return sum(_drop(connection, table, before=before, keepers=keepers) for table in _TABLES)


def before_when(
    keep: timedelta | None, *, newest: datetime | None, now: datetime
) -> datetime | None:
    """Return before when rows may go; None: none may. A clock that is ahead makes nothing old. Pure."""
    if keep is None or newest is None:
        return None
    return min(newest, now) - keep


def _read_keepers(connection: Connection, row: ProductRow, *, now: datetime) -> list[_Keeper]:
    found = connection.execute(_queries["window_keepers"], {"product_id": row.id}).fetchall()
    return [
        _Keeper(
            product_id=product_id,
            before=before_when(product_from_json(sheet).retention.windows, newest=newest, now=now),
        )
        for product_id, sheet, newest in found
    ]


def _drop(
    connection: Connection, table: str, *, before: datetime, keepers: Sequence[_Keeper]
) -> int:
    gone = 0
    values = {"table": table, "before": before}
    for begins_at, ends_at in connection.execute(_queries["old_chunks"], values).fetchall():
        span = {"begins_at": begins_at, "ends_at": ends_at}
        still = [k.product_id for k in keepers if k.before is None or k.before < ends_at]
        if any(_has(connection, table, product_id, span) for product_id in still):
            continue
        connection.execute(_queries["drop_chunk"], span | {"relation": f"anomaly.{table}"})
        gone += 1
    return gone


def _has(connection: Connection, table: str, product_id: int, span: dict[str, datetime]) -> bool:
    values = span | {"product_id": product_id}
    row = connection.execute(_queries[f"has_{table}"], values).fetchone()
    return bool(row and row[0])
