"""`forecare chaos`: breaks everything and counts what was lost."""

import sys

import click
import orjson
from rich.console import Console

from bench.chaos.plan import TRAITS, parse_faults
from bench.chaos.run import ChaosOrder, run_chaos
from bench.chaos.show import tables
from core.settings import load_settings
from core.terminal import table_console

_FAULTS = "\n".join(f"  {fault.value:22} {trait.about}" for fault, trait in TRAITS.items())
_HELP = f"""Break everything that can break, and count what was lost.

Starts an installation of its own, from nothing, beside yours: TimescaleDB, Mosquitto, gateway and
ingest. Devices send to it through its broker and keep each message until the platform has said
`stored`; a ledger on disk says what was attempted, acknowledged and confirmed. Meanwhile servers
and stages are killed, lines are cut and slowed, the disk runs full. In the end the ledger is held
against the database.

The plan and all payloads follow from the seed. When a fault takes longer than planned, the rest
waits: nothing is left out.

\b
Exit code 0: nothing was lost, nothing stands there twice, everything has struck as planned.
Exit code 1: something was lost, or the run has not tested what it was planned to.

\b
Faults:
{_FAULTS}
"""


@click.command(help=_HELP)
@click.option(
    "--minutes", default=5.0, show_default=True, help="How long to go on breaking things."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the plan and of all payloads.")
@click.option(
    "--devices",
    default=2000,
    show_default=True,
    type=click.IntRange(1, 50_000),
    help="Devices, each with a connection of its own.",
)
@click.option(
    "--rate",
    default=500.0,
    show_default=True,
    type=click.FloatRange(1, 20_000),
    help="Messages a second that all devices make together.",
)
@click.option("--faults", default="", help="Only these, separated by commas. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
def chaos(minutes: float, seed: int, devices: int, rate: float, faults: str, as_json: bool) -> None:
    order = ChaosOrder(
        seed=seed,
        minutes=minutes,
        devices=devices,
        messages_per_s=rate,
        faults=parse_faults(faults),
    )
    console = Console(stderr=True)
    outcome = run_chaos(load_settings(), order, console=console)
    if outcome is None:
        sys.exit(130)
    if as_json:
        click.echo(orjson.dumps(outcome.report).decode())
    else:
        for table in tables(outcome.report):
            table_console().print(table)
    for missed in outcome.verdict.goals_missed:
        click.secho(f"goal missed: {missed}", fg="yellow", err=True)
    for failure in outcome.verdict.failures:
        click.secho(f"FAILED: {failure}", fg="red", err=True)
    sys.exit(0 if outcome.verdict.is_passed else 1)
