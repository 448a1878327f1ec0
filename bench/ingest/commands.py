"""`forecare bench`: how fast, how cheap, and close to which limit."""

import click
import orjson
from rich.console import Console

from bench.ingest.report import show
from bench.ingest.run import FULL, QUICK, run_bench
from core.settings import load_settings


@click.group()
def bench() -> None:
    """Measure the platform on this machine, on servers of its own."""


@bench.command()
@click.option("--quick", is_flag=True, help="The three shapes alone, in under 90 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
def ingest(quick: bool, as_json: bool) -> None:
    """Measure the way from publish to committed row, and what limits it.

    Starts a TimescaleDB and a Mosquitto of its own, from nothing, and the real gateway and ingest
    processes. 2,000 devices send unique messages at QoS 1 as fast as they are taken. In the same run
    the limits are measured on the same messages: a bare subscriber that only acknowledges them, and
    a bare COPY of their rows. Everything shares this machine's cores; stop what else runs.
    """
    console = Console(stderr=True)
    found = run_bench(load_settings(), QUICK if quick else FULL, console=console)
    if as_json:
        click.echo(orjson.dumps(found).decode())
    else:
        show(found)
