"""`forecare device speaks-for`."""

import click

from core.clock import wall_now
from gateway.sparkplug import service
from gateway.terminal import open_pool


@click.command("speaks-for")
@click.argument("node")
@click.argument("device")
@click.option("--no-longer", is_flag=True, help="Take the permission back.")
def speaks_for(node: str, device: str, no_longer: bool) -> None:
    """Let the Sparkplug edge node NODE send the samples of DEVICE, which stands behind it.

    \b
    forecare device speaks-for line-4 pump-17

    Both are registered devices. NODE's messages spBv1.0/GROUP/DDATA/NODE/DEVICE are then stored as
    DEVICE's; without this they are kept as dead letters. One node at most speaks for a device.
    """
    with open_pool() as pool:
        if no_longer:
            service.let_speak_no_longer(pool, node=node, device=device)
            click.echo(f"{node} speaks for {device} no longer")
        else:
            service.let_speak(pool, node=node, device=device, now=wall_now())
            click.echo(f"{node} speaks for {device}")
