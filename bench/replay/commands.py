"""`forecare replay`: a real recording through the same line."""

from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from bench.replay.run import Report, run_replay
from core.settings import load_settings
from core.terminal import table_console


@click.command()
@click.argument("directory", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option("--own", is_flag=True, help="Use a database of its own, started from nothing.")
def replay(directory: Path, as_json: bool, own: bool) -> None:
    """Play the recordings in DIRECTORY through the line, as fast as it takes them.

    Every recording becomes a device; its samples go through the broker with their own time stamps.
    The layout of the files says which product they are of; its sheet comes with Forecare. Labels in
    the files are never sent. Prints what was sent, stored, detected and ticketed.

    Stages and servers that are not running are started, and stopped again afterwards. Playing the
    same recording again changes nothing.
    """
    console = Console(stderr=True)
    report = run_replay(load_settings(), directory.resolve(), console=console, is_own=own)
    if as_json:
        click.echo(orjson.dumps(report.as_json()).decode())
    else:
        table_console().print(_table(report))


def _table(report: Report) -> Table:
    table = Table(
        title=f"{report.product}: {len(report.rows)} recordings in {report.seconds:.0f} s"
    )
    for title in ("recording", "rows", "confirmed", "stored", "refused", "detections", "tickets"):
        table.add_column(title, justify="left" if title == "recording" else "right")
    table.add_column("first ticket")
    for row in report.rows:
        first = f"{row.ticketed_at:%Y-%m-%d %H:%M:%S}" if row.ticketed_at else "–"
        numbers = (row.sent, row.confirmed, row.stored, row.refused, row.detections, row.tickets)
        table.add_row(row.recording, *(str(number) for number in numbers), first)
    return table
