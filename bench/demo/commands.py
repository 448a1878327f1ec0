"""`forecare demo`: the whole line with a simulated fleet."""

import click
import orjson
from rich.console import Console

from bench.demo.run import DemoOrder, run_demo
from core.settings import load_settings


@click.command()
@click.option(
    "--once", is_flag=True, help="Simulate until all injected failures are over, then stop."
)
@click.option(
    "--json", "as_json", is_flag=True, help="With --once: print the counts as one JSON object."
)
@click.option("--devices", default=40, show_default=True, help="Devices in the simulated fleet.")
@click.option("--days", default=60, show_default=True, help="Days of history to simulate.")
@click.option("--seed", default=7, show_default=True, help="Seed of everything random.")
@click.option("--fresh", is_flag=True, help="Forget the data of the last demo first.")
def demo(once: bool, as_json: bool, devices: int, days: int, seed: int, fresh: bool) -> None:
    """Run the whole line with a simulated fleet.

    Starts TimescaleDB, Mosquitto and every stage, lets a simulated fleet deliver its history
    through the broker, and shows fleet, tickets and messages in the browser while it happens.
    Simulated owners answer their mail, simulated technicians repair and record what they found.
    In the middle of it a firmware campaign stops itself, because its image does not install, and
    another one goes through (page "Updates").
    Afterwards the devices go on live, one sample a minute. A few parts are wearing then, and the
    owners of all but one leave it to you to book the visit, through the link in their mail. Ctrl-C
    stops everything; the next start goes on from the same data. `forecare simulate` beside it brings
    another fleet.

    With --once the demo runs on data of its own, beside the data of an interactive demo, and starts
    from nothing each time. What is counted comes from the database and from the simulator's own
    record of what it broke.
    """
    order = DemoOrder(devices=devices, days=days, seed=seed, is_once=once, is_fresh=fresh or once)
    counts = run_demo(load_settings(), order, console=Console(stderr=True))
    if counts is not None:
        click.echo(orjson.dumps(counts).decode() if as_json else _table(counts))


def _table(counts: dict[str, object]) -> str:
    return "\n".join(f"{name.replace('_', ' '):20} {value}" for name, value in counts.items())
