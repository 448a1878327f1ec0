"""Runs the SQL of the rollups: the only writer of telemetry_hour.*, telemetry_day.* and their
bookkeeping in ingest.*. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql
from psycopg.rows import class_row

from core.pool import Connection
from core.product import Metric, Product, product_from_json
from core.sql import Queries
from ingest.rollups.late import Stretch
from ingest.rollups.plan import Claim, Mark, Rolled, Span

_queries = Queries("ingest")
HOURS, DAYS = "telemetry_hour", "telemetry_day"
CHUNKS = {HOURS: timedelta(days=30), DAYS: timedelta(days=360)}
"""Length of a chunk of the rollup tables: 720 and 360 rows a device."""
_WHAT = {HOURS: "hour", DAYS: "UTC day"}
PARTS = ("min", "mean", "max", "count")
"""Columns of each metric: `<metric>_min` and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledProduct:
    id: int
    revision: int
    product: Product


def rolled_products(connection: Connection) -> tuple[RolledProduct, ...]:
    rows = connection.execute(_queries["rolled_products"]).fetchall()
    return tuple(
        RolledProduct(id=row[0], revision=row[1], product=product_from_json(row[2])) for row in rows
    )


def ensure_rollups(connection: Connection, product: Product) -> None:
    """Make the two tables of a product, or add the columns of the metrics that it has gained."""
    connection.execute(_queries["lock_shapes"])
    for schema in (HOURS, DAYS):
        table = sql.Identifier(schema, product.name)
        relation = f"{schema}.{product.name}"
        if not rollup_exists(connection, schema, product):
            connection.execute(
                sql.SQL(
                    "create table {} (device_id bigint not null, starts_at timestamptz not null,"
                    " samples integer not null, primary key (device_id, starts_at))"
                ).format(table)
            )
            connection.execute(
                _queries["make_rollup_hypertable"],
                {"relation": relation, "chunk": CHUNKS[schema]},
            )
        _comment(connection, sql.SQL("table {}").format(table),
                 f"{product.title}: one row per device and {_WHAT[schema]} with samples, summed up"
                 f" from telemetry.{product.name}")  # fmt: skip
        _comment(connection, sql.SQL("column {}.starts_at").format(table),
                 f"start of the {_WHAT[schema]}, UTC")  # fmt: skip
        for metric in product.metrics:
            _add_columns(connection, table, metric)


def rollup_exists(connection: Connection, schema: str, product: Product) -> bool:
    relation = sql.Identifier(schema, product.name).as_string(connection)
    row = connection.execute(_queries["rollup_exists"], {"relation": relation}).fetchone()
    return bool(row and row[0])


def hold_dropped(connection: Connection) -> None:
    """Keep retention out of this transaction; must be its first statement."""
    connection.execute(_queries["hold_dropped"])


def gone_before(connection: Connection, product_id: int) -> dict[str, datetime]:
    """Return per kind before when retention has dropped rows."""
    rows = connection.execute(_queries["gone_before"], {"product_id": product_id}).fetchall()
    return dict(rows)


def due_rollups(
    connection: Connection, product_id: int, *, refreshed_before: datetime, limit: int
) -> list[int]:
    """Return devices that have news, those furthest behind first."""
    values = {"product_id": product_id, "refreshed_before": refreshed_before, "limit": limit}
    return [row[0] for row in connection.execute(_queries["due_rollups"], values)]


def begin_rollups(connection: Connection, device_ids: Sequence[int], *, now: datetime) -> None:
    connection.execute(_queries["begin_rollups"], {"device_ids": list(device_ids), "now": now})


def claim_rollups(connection: Connection, device_ids: Sequence[int]) -> tuple[Claim, ...]:
    """Lock devices that nobody else rolls just now."""
    with connection.cursor(row_factory=class_row(Claim)) as cursor:
        return tuple(cursor.execute(_queries["claim_rollups"], {"device_ids": list(device_ids)}))


def roll_hours(
    connection: Connection, product: Product, spans: Sequence[Span], *, is_complete: bool = True
) -> None:
    """Sum up hours from the samples.

    `is_complete` False: some of their samples have been dropped, so only hours that were never
    summed up are added.
    """
    aggregates = [
        expression
        for metric in product.metrics
        for expression in (
            sql.SQL("min(t.{})").format(sql.Identifier(metric.name)),
            sql.SQL("avg(t.{})").format(sql.Identifier(metric.name)),
            sql.SQL("max(t.{})").format(sql.Identifier(metric.name)),
            sql.SQL("count(t.{})").format(sql.Identifier(metric.name)),
        )
    ]
    _roll(connection, product, spans, "roll_hours" if is_complete else "add_hours", aggregates)


def roll_days(connection: Connection, product: Product, spans: Sequence[Span]) -> None:
    """Sum up UTC days from their hours."""
    aggregates = []
    for metric in product.metrics:
        low, mean, high, count = (sql.Identifier("h", f"{metric.name}_{part}") for part in PARTS)
        aggregates += [
            sql.SQL("min({})").format(low),
            sql.SQL("sum({0}::float8 * {1}) / nullif(sum({1}), 0)").format(mean, count),
            sql.SQL("max({})").format(high),
            sql.SQL("sum({})").format(count),
        ]
    _roll(connection, product, spans, "roll_days", aggregates)


def save_rollups(connection: Connection, rolled: Sequence[Rolled], *, now: datetime) -> None:
    connection.execute(
        _queries["save_rollups"],
        {
            "device_ids": [row.device_id for row in rolled],
            "throughs": [row.rolled_through for row in rolled],
            "samples": [row.samples for row in rolled],
            "now": now,
        },
    )


def add_late_marks(connection: Connection, stretches: Sequence[Stretch], *, now: datetime) -> None:
    """Note stretches that changed behind newer samples, in the transaction that stores them.

    After `save_progress`: the order of the marks' ids hangs on the locks that it takes.
    """
    if not stretches:
        return
    connection.execute(
        _queries["add_late_marks"],
        {
            "device_ids": [stretch.device_id for stretch in stretches],
            "froms_ms": [stretch.from_ms for stretch in stretches],
            "throughs_ms": [stretch.through_ms for stretch in stretches],
            "now": now,
        },
    )


def marked_rollups(connection: Connection, product_id: int, *, limit: int) -> list[int]:
    values = {"product_id": product_id, "limit": limit}
    return [row[0] for row in connection.execute(_queries["marked_rollups"], values)]


def late_marks(
    connection: Connection, device_ids: Sequence[int], *, limit: int
) -> tuple[Mark, ...]:
    values = {"device_ids": list(device_ids), "limit": limit}
    with connection.cursor(row_factory=class_row(Mark)) as cursor:
        return tuple(cursor.execute(_queries["late_marks"], values))


def save_marks(connection: Connection, marks: Sequence[Mark]) -> None:
    """Remember the newest mark of each device."""
    newest = {mark.device_id: mark.id for mark in sorted(marks, key=lambda m: m.id)}
    connection.execute(
        _queries["save_marks"],
        {"device_ids": list(newest), "mark_ids": list(newest.values())},
    )


def roll_again_since(connection: Connection, product_id: int, *, since: datetime) -> int:
    values = {"product_id": product_id, "since": since}
    return connection.execute(_queries["roll_again_since"], values).rowcount


def _roll(
    connection: Connection,
    product: Product,
    spans: Sequence[Span],
    query: str,
    aggregates: Sequence[sql.Composable],
) -> None:
    if not spans:
        return
    targets = [
        sql.Identifier(f"{metric.name}_{part}") for metric in product.metrics for part in PARTS
    ]
    connection.execute(
        sql.SQL(_queries[query]).format(
            hours=sql.Identifier(HOURS, product.name),
            days=sql.Identifier(DAYS, product.name),
            samples=sql.Identifier("telemetry", product.name),
            targets=sql.SQL(", ").join(targets),
            aggregates=sql.SQL(", ").join(aggregates),
            updates=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(t) for t in targets),
        ),
        {
            "device_ids": [span.device_id for span in spans],
            "begins": [span.begins_at for span in spans],
            "ends": [span.ends_at for span in spans],
            "first": min(span.begins_at for span in spans),
            "last": max(span.ends_at for span in spans),
        },
    )


def _add_columns(connection: Connection, table: sql.Identifier, metric: Metric) -> None:
    value = sql.SQL("double precision" if metric.precise else "real")
    kinds = {"min": value, "mean": value, "max": value, "count": sql.SQL("integer")}
    meanings = {
        "min": f"lowest value, {metric.unit}",
        "mean": f"mean of the values, {metric.unit}",
        "max": f"highest value, {metric.unit}",
        "count": "number of values",
    }
    for part in PARTS:
        column = sql.Identifier(f"{metric.name}_{part}")
        connection.execute(
            sql.SQL("alter table {} add column if not exists {} {}").format(
                table, column, kinds[part]
            )
        )
        _comment(connection, sql.SQL("column {}.{}").format(table, column),
                 f"{metric.title}: {meanings[part]}".rstrip(", "))  # fmt: skip


def _comment(connection: Connection, what: sql.Composed, text: str) -> None:
    connection.execute(sql.SQL("comment on {} is {}").format(what, text))
