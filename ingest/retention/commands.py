"""`forecare retention`: what is kept, and what would go."""

from collections.abc import Sequence
from dataclasses import asdict

import click
import orjson

from core.clock import wall_now
from core.endpoints import database_url
from core.errors import NotFoundError
from core.pool import Connection, connect
from core.settings import load_settings
from core.terminal import show_table
from core.units import format_duration
from ingest.retention import service
from ingest.retention.policy import Held
from ingest.retention.service import Line
from ingest.rollups.store import rolled_products

_HELD = {
    Held.POLICY: "",
    Held.FOR_EVER: "",
    Held.NO_DATA: "no data",
    Held.NOT_SUMMED_UP: "held: not summed up yet (forecare ingest roll)",
    Held.NOT_SCORED: "held: not read by the scorer yet (forecare anomaly run)",
    Held.LATE_MARK: "held: late samples not dealt with yet",
    Held.BY_SCORER: "the scorer lets it go, a chunk of which no product keeps any row (forecare anomaly run)",
    Held.FINER_KEPT: "held: what it is summed up from is still there",
}
_COLUMNS = (
    "product",
    "kind",
    "keeps",
    "stored since",
    "stored",
    "to go",
    "from",
    "to",
    "why not more",
)


@click.group()
def retention() -> None:
    """How long samples, rollups, scored windows and dead letters are kept, and what would go.

    \b
    A product sheet says it in [retention]; `forecare ingest roll` does it once an hour. Samples go in
    whole chunks of their table, so they stay up to one chunk longer than they have to: a week, or a day
    where samples come more often than every 30 seconds. They age by the event time of their product's
    stream, and never go before they were summed up and scored. Scored windows, with the paths of
    degradation, are let go by `forecare anomaly run`.
    """


@retention.command("show")
@click.argument("product", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def retention_show(product: str | None, as_json: bool) -> None:
    """Show what is kept of every product (or of PRODUCT), and what would go now."""
    with connect(database_url(load_settings()), name="retention", autocommit=True) as connection:
        _check(connection, product)
        lines = service.plan(connection, now=wall_now(), product=product)
    _show(lines, as_json=as_json)


@retention.command("apply")
@click.argument("product", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would go: rows, bytes, from and to.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def retention_apply(product: str | None, dry_run: bool, as_json: bool) -> None:
    """Let go what is due of every product (or of PRODUCT), and say what that was."""
    now = wall_now()
    with connect(database_url(load_settings()), name="retention", autocommit=True) as connection:
        _check(connection, product)
        if dry_run:
            found = service.plan(connection, now=now, product=product)
            lines = tuple(line for line in found if line.rows or line.chunks)
        else:
            lines = service.apply(connection, now=now, product=product)
            service.forget_streams(connection, now=now)
            if moved := service.move_to_columns(connection, now=now):
                click.echo(f"{moved} chunks moved to the columnstore", err=as_json)
    if not lines and not as_json:
        click.echo("nothing is to go")
        return
    _show(lines, as_json=as_json)
    if not as_json:
        click.echo("nothing was touched (--dry-run)" if dry_run else "gone")


def _show(lines: Sequence[Line], *, as_json: bool) -> None:
    if as_json:
        for line in lines:
            click.echo(orjson.dumps(asdict(line), default=_plain).decode())
        return
    show_table(_COLUMNS, [_cells(line) for line in lines])


def _cells(line: Line) -> tuple[str, ...]:
    going = f"{line.rows:,} rows, {_size(line.bytes)}" if line.rows or line.chunks else ""
    return (
        line.product,
        line.kind,
        "for ever" if line.keep is None else format_duration(line.keep),
        f"{line.oldest_at:%Y-%m-%d}" if line.oldest_at else "",
        "" if line.stored_bytes is None else _size(line.stored_bytes),
        going,
        f"{line.from_at:%Y-%m-%d %H:%M}" if line.from_at else "",
        f"{line.through_at:%Y-%m-%d %H:%M}" if line.through_at else "",
        _HELD[line.held],
    )


def _size(size: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 10_000 or unit == "GB":
            return f"{size:,} {unit}"
        size //= 1000
    raise AssertionError


def _plain(value: object) -> object:
    """Durations as seconds."""
    return value.total_seconds() if hasattr(value, "total_seconds") else str(value)


def _check(connection: Connection, product: str | None) -> None:
    if product is None:
        return
    known = {row.product.name for row in rolled_products(connection)}
    if product not in known:
        raise NotFoundError(
            f'there is no product "{product}"', hint="`forecare product list` shows them"
        )
