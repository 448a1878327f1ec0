"""`forecare device config` and `forecare product config`."""

from collections.abc import Sequence
from dataclasses import asdict

import click
import orjson

from core.clock import wall_now
from core.terminal import show_table
from gateway.pairs import parse_pairs, without
from gateway.terminal import OPERATOR, open_pool, shown
from gateway.twin import service
from gateway.twin.records import Configuration, ProductConfiguration

_AGREEMENT = {
    "same": "as wanted",
    "taken": "confirmed",
    "waiting": "not confirmed yet",
    "differs": "differs",
    "only_reported": "only reported",
}

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_expect = click.option(
    "--expect",
    type=click.IntRange(min=0),
    help="Change it only if this is its version: somebody else may have been first.",
)


@click.group("config")
def device_config() -> None:
    """What a device is to have, and what it has.

    A device that is connected is told within a second, any other one after its next connect.
    """


@device_config.command("show")
@click.argument("name")
@_json
def device_show(name: str, as_json: bool) -> None:
    """Show every setting of the device NAME as wanted and as reported."""
    with open_pool() as pool:
        _print_device(service.configuration(pool, name=name), as_json=as_json)


@device_config.command("set")
@click.argument("name")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE…")
@_expect
@_json
def device_set(name: str, pairs: Sequence[str], expect: int | None, as_json: bool) -> None:
    """Set values for the device NAME: target_c=21.5 mode=eco heating.curve=2.

    VALUE is JSON (21.5, true, "text", [1, 2]) or else a text. Dots lead into a document. What is set
    here goes over what is set for the product and over the defaults of its sheet.
    """
    _change_device(name, parse_pairs(pairs), expect, as_json=as_json)


@device_config.command("unset")
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@_expect
@_json
def device_unset(name: str, keys: Sequence[str], expect: int | None, as_json: bool) -> None:
    """Give keys of the device NAME back to its product."""
    _change_device(name, without(keys), expect, as_json=as_json)


@device_config.command("history")
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@_json
def device_history(name: str, limit: int, as_json: bool) -> None:
    """Show who changed what of the device NAME, newest first."""
    with open_pool() as pool:
        changes = service.changes(pool, name=name, limit=limit)
    if as_json:
        click.echo(orjson.dumps([asdict(change) for change in changes]).decode())
        return
    if not changes:
        click.echo(f"nobody has set anything for {name}")
        return
    rows = [
        (
            f"{change.changed_at:%Y-%m-%d %H:%M:%S} UTC",
            change.actor,
            "product" if change.is_of_product else "device",
            str(change.version),
            shown(change.patch),
        )
        for change in changes
    ]
    show_table(("when", "who", "for the", "version", "change"), rows)


@click.group("config")
def product_config() -> None:
    """What all devices of a product are to have."""


@product_config.command("show")
@click.argument("product")
@_json
def product_show(product: str, as_json: bool) -> None:
    """Show the defaults of the sheet of PRODUCT and what is set over them."""
    with open_pool() as pool:
        _print_product(service.product_configuration(pool, product=product), as_json=as_json)


@product_config.command("set")
@click.argument("product")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE…")
@_expect
@_json
def product_set(product: str, pairs: Sequence[str], expect: int | None, as_json: bool) -> None:
    """Set values for all devices of PRODUCT; what is set for one device stays above them."""
    _change_product(product, parse_pairs(pairs), expect, as_json=as_json)


@product_config.command("unset")
@click.argument("product")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@_expect
@_json
def product_unset(product: str, keys: Sequence[str], expect: int | None, as_json: bool) -> None:
    """Give keys of PRODUCT back to its sheet."""
    _change_product(product, without(keys), expect, as_json=as_json)


def _change_device(
    name: str, patch: dict[str, object], expect: int | None, *, as_json: bool
) -> None:
    with open_pool() as pool:
        found = service.change_configuration(
            pool, name=name, patch=patch, actor=OPERATOR, now=wall_now(), expected_version=expect
        )
    _print_device(found, as_json=as_json)


def _change_product(
    product: str, patch: dict[str, object], expect: int | None, *, as_json: bool
) -> None:
    with open_pool() as pool:
        found = service.change_product_configuration(
            pool,
            product=product,
            patch=patch,
            actor=OPERATOR,
            now=wall_now(),
            expected_version=expect,
        )
    _print_product(found, as_json=as_json)


def _print_device(found: Configuration, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(asdict(found) | {"is_confirmed": found.is_confirmed}).decode())
        return
    click.echo(f"{found.device} is to have version {found.version}, has {found.reported_version}")
    if found.differs_at:
        click.echo(f"differs since {found.differs_at:%Y-%m-%d %H:%M:%S} UTC")
    if not found.entries:
        click.echo("nothing is set and nothing reported")
        return
    rows = [
        (
            entry.key,
            "–" if entry.agreement == "only_reported" else shown(entry.desired),
            shown(entry.reported) if entry.key in found.reported else "–",
            _AGREEMENT[entry.agreement],
            "device" if entry.key in found.own else "product",
        )
        for entry in found.entries
    ]
    show_table(("setting", "wanted", "reported", "", "set for the"), rows)


def _print_product(found: ProductConfiguration, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(asdict(found)).decode())
        return
    click.echo(
        f"{found.product}: version {found.version}, {found.differing:,} devices have something else"
    )
    keys = sorted(found.defaults.keys() | found.desired.keys())
    rows = [
        (
            key,
            shown(found.defaults[key]) if key in found.defaults else "–",
            shown(found.desired[key]) if key in found.desired else "–",
        )
        for key in keys
    ]
    show_table(("setting", "default of the sheet", "set for the product"), rows)
