"""`forecare bench`: how fast, how cheap, and close to which limit."""

from dataclasses import replace
from pathlib import Path

import click
import orjson
from rich.console import Console

from bench.ingest.history import HISTORY_COLUMNS, RESULTS, history_rows, keep, results
from bench.ingest.report import page_part, show
from bench.ingest.run import FULL, PARTS, QUICK, run_bench
from bench.scoring.commands import scoring
from core.errors import InvalidError
from core.settings import load_settings
from core.terminal import show_table

_FOLDER = click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    default=RESULTS,
    help="Folder of the kept results.  [default: bench/results]",
)


@click.group()
def bench() -> None:
    """Measure the platform on this machine, on servers of its own."""


bench.add_command(scoring)


@bench.command()
@click.option("--quick", is_flag=True, help="The three shapes and the size, in under 90 seconds.")
@click.option("--peers", is_flag=True, help="Run other software under the same generator too.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    help="Only this part; may be given several times.",
)
@click.option("--peer", "names", multiple=True, help="With --peers: only this one.")
@click.option(
    "--rows-max",
    default=100_000_000,
    show_default=True,
    help="Fill the table up to so many rows (100 million take about 15 GB and ten minutes).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@_FOLDER
def ingest(
    quick: bool,
    peers: bool,
    parts: tuple[str, ...],
    names: tuple[str, ...],
    rows_max: int,
    as_json: bool,
    folder: Path,
) -> None:
    """Measure the way from publish to committed row, and what limits it.

    Starts a TimescaleDB and a Mosquitto of its own, from nothing, and the real gateway and ingest
    processes. 2,000 devices send unique messages at QoS 1 as fast as they are taken. In the same run
    the limits are measured on the same messages: a bare subscriber that only acknowledges them, and
    a bare COPY of their rows. Everything shares this machine's cores; stop what else runs.

    \b
    shapes    three kinds of messages with their limits, and the time from publish to committed
    storage   bytes that a stored value takes
    scale     100 to 200,000 devices, 1 to 100 million rows, one ingest process against two
    peers     tutorial scripts, Node-RED and Pathway, installed on demand below the runtime folder

    Without options everything but the peers is measured; the result is kept (`forecare bench
    history`), and docs/explanation/ingest-speed.md shows the newest.
    """
    if quick and parts:
        raise InvalidError("--quick and --part do not go together", hint="give one of them")
    order = QUICK if quick else FULL
    wanted = frozenset(parts) or order.parts
    if peers or names:
        wanted |= {"peers"}
    few = tuple(rows for rows in order.scale.rows if rows <= rows_max)
    order = replace(order, parts=wanted, peers=names, scale=replace(order.scale, rows=few))
    found = run_bench(load_settings(), order, console=Console(stderr=True))
    keep(found, folder)
    if as_json:
        click.echo(orjson.dumps(found).decode())
    else:
        show(found)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="All results, one JSON object a line.")
@click.option("--markdown", is_flag=True, help="The tables of docs/explanation/ingest-speed.md.")
@_FOLDER
def history(as_json: bool, markdown: bool, folder: Path) -> None:
    """Show what was measured before, the oldest first."""
    kept = results(folder)
    if markdown:
        click.echo(page_part(kept), nl=False)
    elif as_json:
        for result in kept:
            click.echo(orjson.dumps(result).decode())
    else:
        show_table(HISTORY_COLUMNS, history_rows(kept))
