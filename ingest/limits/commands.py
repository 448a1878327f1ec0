"""`forecare limits`: how much devices and manufacturers may send."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import click
import orjson

from core.clock import wall_now
from core.errors import InvalidError
from core.terminal import show_table
from gateway.terminal import open_pool
from ingest.limits import service
from ingest.limits.service import Counts, Subject

_COUNTS = click.Choice(service.COUNTS)


def _whom(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--manufacturer", help="Name of a manufacturer.")(command)
    return click.option("--device", help="Name of a device.")(command)


@click.group()
def limits() -> None:
    """How much devices and manufacturers may send.

    A product sheet sets them ([limits], docs/reference/product-sheet.md) and has generous defaults, which
    only a device meets that sends in a loop. What is more is not stored and not confirmed: the device is
    told which limit it has met and when to send again. Nobody is disconnected, nobody else is slowed.
    """


@limits.command("show")
@_whom
def limits_show(device: str | None, manufacturer: str | None) -> None:
    """Show what holds for a device or a manufacturer."""
    subject, name = _subject(device, manufacturer)
    with open_pool() as pool:
        found = service.limits_of(pool, subject=subject, name=name)
    show_table(("counts", "allowed", "from"), [(one.counts, one.text, one.source) for one in found])


@limits.command("set")
@click.argument("counts", type=_COUNTS)
@click.argument("allowed")
@_whom
def limits_set(counts: str, allowed: str, device: str | None, manufacturer: str | None) -> None:
    """Let another limit hold for one device or manufacturer.

    \b
    forecare limits set messages "20 per 1 s, 300 per 60 s" --device hp-007-0001
    """
    subject, name = _subject(device, manufacturer)
    with open_pool() as pool:
        service.set_limit(
            pool,
            subject=subject,
            name=name,
            counts=cast(Counts, counts),
            text=allowed,
            by="command line",
            now=wall_now(),
        )
    click.echo(f"{name}: {allowed} {counts}; ingest follows within seconds")


@limits.command("unset")
@click.argument("counts", type=_COUNTS)
@_whom
def limits_unset(counts: str, device: str | None, manufacturer: str | None) -> None:
    """Let the product sheet hold again."""
    subject, name = _subject(device, manufacturer)
    with open_pool() as pool:
        was_set = service.unset_limit(pool, subject=subject, name=name, counts=cast(Counts, counts))
    click.echo("the product sheet holds again" if was_set else "nothing else was set")


@limits.command("breaches")
@click.option("--device", help="Only of this device.")
@click.option("--limit", default=100, show_default=True, help="At most so many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def limits_breaches(device: str | None, limit: int, as_json: bool) -> None:
    """List who has met a limit."""
    with open_pool() as pool:
        found = service.breaches(pool, device=device, limit=limit)
    if as_json:
        for breach in found:
            click.echo(orjson.dumps(asdict(breach)).decode())
        return
    if not found:
        click.echo("nobody has met a limit")
        return
    columns = ("who", "counts", "allowed", "began", "until", "withheld", "kept as letters")
    show_table(columns, [_cells(breach) for breach in found])


def _cells(breach: Any) -> tuple[str, ...]:
    return (
        breach.name or "–",
        breach.counts,
        breach.allowed,
        f"{breach.began_at:%Y-%m-%d %H:%M:%S}",
        f"{breach.resets_at:%H:%M:%S}",
        f"{breach.messages:,}",
        f"{breach.letters:,}" + (f" (+{breach.unkept:,} not kept)" if breach.unkept else ""),
    )


def _subject(device: str | None, manufacturer: str | None) -> tuple[Subject, str]:
    if bool(device) == bool(manufacturer):
        raise InvalidError("it is not said whose limit", hint="give --device or --manufacturer")
    if device:
        return "device", device
    return "manufacturer", str(manufacturer)
