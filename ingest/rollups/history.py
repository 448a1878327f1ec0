"""Reads a metric over any span in a limited number of steps: from samples, hours or days."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from psycopg import sql
from psycopg.rows import class_row

from core.errors import InvalidError
from core.pool import Connection
from core.product import Product
from core.sql import Queries
from ingest.rollups.plan import DAY, HOUR, floor_to
from ingest.rollups.store import DAYS, HOURS, gone_before, rollup_exists

POINTS_MAX = 4000
ROWS_READ_MAX = 250_000
"""Samples that `auto` reads at most for one answer; beyond it takes rollups."""
_queries = Queries("ingest")
_MILLISECOND = timedelta(milliseconds=1)


class Source(StrEnum):
    AUTO = "auto"
    RAW = "raw"
    HOUR = "hour"
    DAY = "day"


_STEP = {Source.HOUR: HOUR, Source.DAY: DAY}
_TABLE = {Source.HOUR: HOURS, Source.DAY: DAYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was measured within one step; a step without a value is left out."""

    at: datetime
    """Start of the step."""
    low: float
    mean: float
    high: float
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    resolution: Source
    """What it was read from, never `auto`."""
    step: timedelta
    steps: list[Step]


def history(  # noqa: PLR0913 - whose, what, from when, until when, how fine
    connection: Connection,
    product: Product,
    device_id: int,
    *,
    metric: str,
    begin: datetime,
    end: datetime,
    resolution: Source = Source.AUTO,
    points: int = 800,
) -> History:
    """Return a metric in at most about `points` steps.

    Parameters
    ----------
    connection : Connection
    product : Product
    device_id : int
        A device of the product.
    metric : str
    begin, end : datetime
        The end is not included.
    resolution : Source
        What to read. A step is never shorter than an hour or a day of what is read.
    points : int
        From 2 to `POINTS_MAX`.

    Raises
    ------
    InvalidError
        If the product has no such metric; its name never reaches the database then.
    """
    if metric not in {m.name for m in product.metrics}:
        raise InvalidError(
            f'{product.name} has no metric "{metric}"',
            hint=f"it has: {', '.join(m.name for m in product.metrics)}",
        )
    rolled_through, gone = _state(connection, device_id)
    source = resolution
    if source is Source.AUTO:
        source = choose(product, begin=begin, end=end, points=points, gone=gone)
    step = step_of(source, product, begin=begin, end=end, points=points)
    values = {"device_id": device_id, "begin": begin, "end": end, "step": step,
              "limit": POINTS_MAX}  # fmt: skip
    names = {"metric": sql.Identifier(metric), "product": sql.Identifier(product.name)}
    if source is Source.RAW or not rollup_exists(connection, _TABLE[source], product):
        query = sql.SQL(_queries["history_raw"]).format(**names)
    else:
        query = sql.SQL(_queries["history_rolled"]).format(
            rollup=sql.Identifier(_TABLE[source], product.name),
            low=sql.Identifier(f"{metric}_min"),
            mean=sql.Identifier(f"{metric}_mean"),
            high=sql.Identifier(f"{metric}_max"),
            count=sql.Identifier(f"{metric}_count"),
            **names,
        )
        values["begin"] = floor_to(begin, _STEP[source])
        values["rolled_at"] = floor_to(rolled_through, _STEP[source]) if rolled_through else begin
    with connection.cursor(row_factory=class_row(Step)) as cursor:
        steps = cursor.execute(query, values).fetchall()
    return History(resolution=source, step=step, steps=steps)


def choose(
    product: Product,
    *,
    begin: datetime,
    end: datetime,
    points: int,
    gone: dict[str, datetime],
) -> Source:
    """Choose the finest source that still has the span and is quick enough to read. Pure."""
    span = end - begin
    wanted = span / points
    if span / product.interval <= ROWS_READ_MAX and wanted < DAY and _has(gone, "raw", begin):
        return Source.RAW
    if wanted < DAY and _has(gone, "hourly", begin):
        return Source.HOUR
    return Source.DAY


def step_of(
    source: Source, product: Product, *, begin: datetime, end: datetime, points: int
) -> timedelta:
    """Return the length of a step: as short as `points` and the source allow. Pure."""
    wanted = (end - begin) / points
    if source is Source.RAW:
        return max(ceil_duration(wanted, _MILLISECOND), product.interval, _MILLISECOND)
    return ceil_duration(wanted, _STEP[source])


def ceil_duration(duration: timedelta, unit: timedelta) -> timedelta:
    """Return the shortest multiple of a unit that is not shorter, at least one of it."""
    return max(unit, -(-duration // unit) * unit)


def _has(gone: dict[str, datetime], kind: str, begin: datetime) -> bool:
    return kind not in gone or begin >= gone[kind]


def _state(connection: Connection, device_id: int) -> tuple[datetime | None, dict[str, datetime]]:
    row = connection.execute(_queries["rolled_through"], {"device_id": device_id}).fetchone()
    if row is None:
        return None, {}
    return row[0], gone_before(connection, row[1])
