"""`forecare backtest`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import click
import orjson
import psycopg
from rich.console import Console
from rich.progress import Progress

from anomaly import store
from anomaly.backtest.change import Change, parse_changes
from anomaly.backtest.run import replay
from anomaly.backtest.source import Source, open_source
from anomaly.backtest.track import Track
from anomaly.backtest.verdict import Question, answer
from anomaly.backtest.words import as_object, lines, rows_of
from anomaly.evidence import instant
from anomaly.judge.shown import COLUMNS
from core.clock import monotonic_s
from core.endpoints import database_url
from core.errors import InvalidError, NotFoundError
from core.options import Instant
from core.pool import Connection, connect
from core.product import Product
from core.settings import load_settings
from core.terminal import show_table
from core.tickets import find_decider
from core.units import format_duration, parse_duration


def _seeds(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:  # noqa: ARG001
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise InvalidError(
            f"--seeds {value!r} are no whole numbers", hint="for instance --seeds 0,1,2"
        ) from None


def _duration(ctx: click.Context, parameter: click.Parameter, value: str) -> timedelta:  # noqa: ARG001
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InvalidError(f"--useful {error}", hint="for instance --useful 30d") from None


def _changes(
    ctx: click.Context,  # noqa: ARG001
    parameter: click.Parameter,  # noqa: ARG001
    value: Sequence[str],
) -> Change | None:
    return parse_changes(value)


@click.command()
@click.argument("product")
@click.option("--from", "begin", type=Instant(), help="Judge forecasts from here on; what was before is"
              " history.  [default: the first sample]")  # fmt: skip
@click.option(
    "--to", "end", type=Instant(), help="Replay up to here.  [default: the newest sample]"
)
@click.option("--what-if", "change", metavar="KEY=VALUE", multiple=True, callback=_changes,
              help="Say what a change would have done: threshold=0.2, confirm=3, of=4, cooldown=2d,"
              " cost_of_visit=120, cost_of_failure=900; several are one change.")  # fmt: skip
@click.option("--useful", default="30d", show_default=True, metavar="DURATION", callback=_duration,
              help="Longest useful warning: an alert that opens earlier before a failure is false.")  # fmt: skip
@click.option("--seeds", default="0", show_default=True, callback=_seeds,
              help="Of the draws of devices behind the intervals (the first), and of alarms at random"
              " (one each), with commas between.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
def backtest(
    product: str,
    begin: datetime | None,
    end: datetime | None,
    change: Change | None,
    useful: timedelta,
    seeds: tuple[int, ...],
    as_json: bool,
) -> None:
    """Say how good the forecasts for PRODUCT's devices were, by replaying what is stored.

    Every device's samples go once more, from the first one on, through the scorer that serves live devices, with
    the baseline that it began with. What came later is not used: no later sample, finding or baseline.
    Forecasts after --from go through what opens tickets live, and the tickets are laid beside the failures that
    devices reported and technicians found.

    \b
    forecare backtest heat_pump
    forecare backtest heat_pump --from 2026-02-01 --to 2026-04-01
    forecare backtest heat_pump --what-if threshold=0.2 --what-if confirm=3
    forecare backtest heat_pump --json | tail -1 > backtest.json

    A ticket is right when it opens early enough for the lead time that the sheet wants, and not earlier than
    --useful before the failure. Beside the forecasts stand rules that look at no sensor, on the same rows:
    always on, random, calendar, age, persistence. The last three learn from what was before --from.
    Nothing is written.
    """
    began = monotonic_s()
    decider = find_decider()
    with connect(database_url(load_settings()), name="backtest") as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        row = _product(connection, product)
        check_useful(row.product, useful)
        question = _question(row, begin=begin, end=end, useful=useful, seeds=seeds, change=change)
        source = open_source(
            connection, row, until_us=question.until_us, learned_before_us=question.from_us
        )
        connection.rollback()
        _check(source, question)
        if change is not None:  # refused before the long part
            change.of_policy(decider.live, forecast_every=row.product.forecast_every)
        tracks = _replay_shown(source)
    found = answer(source.catalog, tracks, question, decider)
    if not found.rows_claimed:
        raise _nothing_claimed(source, question)
    seconds = monotonic_s() - began
    if as_json:
        click.echo(orjson.dumps(as_object(found, question, seconds=seconds)).decode())
        return
    show_table(COLUMNS, rows_of(found))
    for line in lines(found, question, left_out=source.left_out, seconds=seconds):
        click.echo(line)


def _product(connection: Connection, name: str) -> store.ProductRow:
    rows = {row.product.name: row for row in store.read_products(connection)}
    if name not in rows:
        raise NotFoundError(
            f"there is no product {name!r} with data",
            hint=f"products with data: {', '.join(sorted(rows)) or 'none'}",
        )
    return rows[name]


def _question(
    row: store.ProductRow,
    *,
    begin: datetime | None,
    end: datetime | None,
    useful: timedelta,
    seeds: tuple[int, ...],
    change: Change | None,
) -> Question:
    if begin is not None and end is not None and end <= begin:
        raise InvalidError(
            f"--to {end:%Y-%m-%dT%H:%MZ} is not after --from {begin:%Y-%m-%dT%H:%MZ}",
            hint="--to is the later one",
        )
    from_us = row.first_us - 1 if begin is None else store.to_us(begin)
    until_us = row.newest_us if end is None else min(store.to_us(end), row.newest_us)
    if from_us >= row.newest_us or until_us < row.first_us:
        raise NotFoundError(
            f"{row.product.name} has no data in that time",
            hint=f"its data reach from {_day(row.first_us)} to {_day(row.newest_us)}",
        )
    return Question(
        from_us=from_us,
        until_us=until_us,
        useful_hours=useful / timedelta(hours=1),
        seeds=seeds,
        change=change,
    )


def _check(source: Source, question: Question) -> None:
    """Refuse before the long part what can come to nothing."""
    name = source.catalog.product.name
    if not any(mode.evidence for mode in source.catalog.product.failure_modes):
        raise InvalidError(
            f"no failure mode of {name} can be foreseen: its sheet names no evidence",
            hint="give a [[failure_mode]] of the sheet its evidence metrics",
        )
    if not source.members:
        raise NotFoundError(
            f"no device of {name} can be replayed: the first samples of all {source.left_out} were let go",
            hint="`forecare retention show` says how long samples are kept",
        )
    if not any(member.stream.until_us > question.from_us for member in source.members):
        raise NotFoundError(
            f"no device of {name} whose first samples are still there sent anything after"
            f" {_day(question.from_us)}",
            hint="an earlier --from, or `forecare retention show`",
        )


def check_useful(product: Product, useful: timedelta) -> None:
    """Refuse a longest warning that is no longer than the shortest: nothing could ever be right."""
    late = [
        f"{mode.name} ({format_duration(mode.lead_time)})"
        for mode in product.failure_modes
        if mode.evidence and mode.lead_time >= useful
    ]
    if late:
        raise InvalidError(
            f"--useful {format_duration(useful)}: the sheet wants a warning at least as early for {', '.join(late)},"
            " so no alert could be right",
            hint="give more than the longest lead_time of the sheet, for instance --useful 30d",
        )


def _nothing_claimed(source: Source, question: Question) -> InvalidError:
    known_us = min(member.normal.known_us for member in source.members)
    learning = source.catalog.product.learning
    reason = f"every device needs {learning.days} days to be learned"
    if any(member.normal.baseline is not None for member in source.members):
        reason += f", and the product itself was known from {_day(known_us)}"
    return InvalidError(
        f"nothing was forecast for {source.catalog.product.name} from {_day(question.from_us)}"
        f" to {_day(question.until_us)}: {reason}",
        hint="choose a later --to",
    )


def _replay_shown(source: Source) -> list[Track]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"replaying {source.catalog.product.name}", total=len(source.members))
        tracks = []
        for track in replay(source):
            tracks.append(track)
            bar.advance(task)
    return tracks


def _day(at_us: int) -> str:
    return f"{instant(at_us):%Y-%m-%d %H:%M} UTC"
