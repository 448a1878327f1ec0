"""`forecare device command`, `commands`, `cancel`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import click
import orjson

from core.clock import pause, wall_now
from core.errors import ConflictError, InvalidError
from core.pool import Pool
from core.terminal import printable, show_table
from core.units import parse_duration
from gateway.device_commands import service
from gateway.device_commands.life_cycle import FINAL
from gateway.device_commands.records import Command, CommandDraft
from gateway.pairs import parse_pairs
from gateway.terminal import OPERATOR, open_pool, shown

_LOOK_EVERY_S = 0.3
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("command")
@click.argument("device")
@click.argument("name", metavar="COMMAND")
@click.option("--arg", "args", multiple=True, metavar="KEY=VALUE", help="An argument; repeatable.")
@click.option(
    "--deadline",
    default="10 min",
    show_default=True,
    help="After so long the device is not told any more. Units: s, min, h, d.",
)
@click.option("--wait", is_flag=True, help="Wait for the outcome; exit code 0 only when done.")
@click.option("--id", "command_id", default="", help="An id of your own: the same twice is one.")
@_json
def give(
    device: str,
    name: str,
    args: Sequence[str],
    deadline: str,
    wait: bool,
    command_id: str,
    as_json: bool,
) -> None:
    """Tell DEVICE to do COMMAND once: forecare device command hp-1 identify --arg seconds=30.

    A connected device is told within a second, any other one when it connects before the deadline.
    The command is sent again until the device acknowledges it, and the device does it once.
    """
    now = wall_now()
    draft = CommandDraft(
        id=command_id or service.new_command_id(),
        device=device,
        name=name,
        args=parse_pairs(args),
        deadline_at=now + _duration(deadline),
        actor=OPERATOR,
    )
    with open_pool() as pool:
        found = service.give_command(pool, draft, now=now)
        if wait:
            found = _wait(pool, found)
    _print(found, as_json=as_json)
    if wait and found.state != "done":
        raise SystemExit(1)


@click.command("commands")
@click.argument("device")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@_json
def list_commands(device: str, limit: int, as_json: bool) -> None:
    """List what DEVICE was told to do, newest first."""
    with open_pool() as pool:
        found = service.commands(pool, device=device, limit=limit)
    if as_json:
        click.echo(orjson.dumps([asdict(one) for one in found]).decode())
        return
    if not found:
        click.echo(f"{device} was told nothing yet; `forecare device command {device} COMMAND`")
        return
    rows = [
        (
            one.id,
            f"{one.name} {shown(one.args) if one.args else ''}".strip(),
            one.state,
            one.reason or (shown(one.result) if one.result is not None else ""),
            f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC",
            one.actor,
        )
        for one in found
    ]
    show_table(("id", "command", "state", "result", "given", "by"), rows)


@click.command("cancel")
@click.argument("device")
@click.argument("command_id", metavar="ID")
@_json
def cancel(device: str, command_id: str, as_json: bool) -> None:
    """Take a command of DEVICE back that has not been sent yet."""
    with open_pool() as pool:
        found = service.cancel_command(pool, device=device, command_id=command_id, now=wall_now())
    _print(found, as_json=as_json)


def _wait(pool: Pool, given: Command) -> Command:
    """Look until it is over. The gateway ends every command at its deadline, if it runs."""
    until = given.deadline_at + timedelta(seconds=30)
    while True:
        found = service.command(pool, device=given.device, command_id=given.id)
        if found.state in FINAL:
            return found
        if wall_now() > until:
            raise ConflictError(
                f"command {given.id} is {found.state}, though its deadline has passed",
                hint="does `forecare gateway run` (or `forecare serve`) run?",
            )
        pause(_LOOK_EVERY_S)


def _print(found: Command, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(asdict(found)).decode())
        return
    why = f": {found.reason}" if found.reason else ""
    click.echo(f"{found.id} {found.name} is {found.state}{why}")
    if found.result is not None:
        click.echo(printable(shown(found.result)))


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"--deadline: {error}", hint='write "10 min" or "2 h"') from error
