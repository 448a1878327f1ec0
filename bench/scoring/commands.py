"""`forecare bench scoring`: how many samples a second are scored, and against what."""

from pathlib import Path

import click
import orjson
from rich.console import Console

from bench.ingest.history import RESULTS
from bench.scoring.report import keep, show
from bench.scoring.run import FULL, PARTS, QUICK, run_scoring
from core.settings import load_settings


@click.command()
@click.option("--quick", is_flag=True, help="Smaller fleets and one year, in a few minutes.")
@click.option(
    "--only",
    "part",
    type=click.Choice(PARTS),
    default=None,
    help="Only the one part.  [default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    default=RESULTS,
    help="Folder of the kept results.  [default: bench/results]",
)
def scoring(*, quick: bool, part: str | None, as_json: bool, folder: Path) -> None:
    """Measure what scoring a fleet costs, from stored samples to stored windows and forecasts.

    10,000 devices with eight metrics, learned and a little worn here and there, are scored by the code that
    `forecare anomaly run` uses, on a TimescaleDB of its own that is filled from nothing. In the same run:
    the same samples without a database, EWMA and CUSUM in bare numpy over the same arrays, river's half-space trees over
    the same rows (installed on demand below the runtime folder), and fleets of 100 to 100,000 devices.

    And training: `forecare model train` in a process of its own on 500 devices with two years of hourly windows, as scoring would
    have left them; its time, and the most memory that it has at once.

    Processor time counts, of the scorer and of all processes of the database, and everything is kept on
    one core, so what else the machine does hardly shows. The result is kept below bench/results;
    docs/explanation/scoring-speed.md shows the newest.
    """
    found = run_scoring(
        load_settings(),
        QUICK if quick else FULL,
        parts=PARTS if part is None else (part,),
        console=Console(stderr=True),
    )
    if part != "following":
        keep(found, folder)
    if as_json:
        click.echo(orjson.dumps(found).decode())
    else:
        show(found)
