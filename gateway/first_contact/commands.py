"""`forecare product key` and `forecare device reset`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
import orjson

from core.clock import wall_now
from core.endpoints import runtime_paths
from core.runtime.state import load_state
from core.settings import load_settings
from core.terminal import show_table
from gateway.broker import sync_broker
from gateway.first_contact import service
from gateway.first_contact.service import KeyRow, NewKey
from gateway.terminal import open_pool


@click.command("key")
@click.argument("product")
@click.option("--new", "is_new", is_flag=True, help="Make a key; those before stay in force.")
@click.option("--rotate", is_flag=True, help="Make a key and end those before.")
@click.option("--revoke", is_flag=True, help="End all keys of the product.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --rotate or --revoke: the day (UTC) on which the former keys end. Default: now.",
)
@click.option(
    "--allow",
    type=click.Choice(["new", "known-serials"]),
    default="known-serials",
    show_default=True,
    help="Which devices the key lets in: any, or those of `forecare device import --first-contact`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def product_key(
    product: str,
    is_new: bool,
    rotate: bool,
    revoke: bool,
    until: datetime | None,
    allow: str,
    as_json: bool,
) -> None:
    """Show, make or end the keys with which devices of PRODUCT come for their credential.

    A key and its secret go into the firmware of every device of the product. At its first contact a
    device shows them with its serial number, and gets a credential of its own
    (docs/how-to/provisioning.md). The secret is shown this once and kept nowhere. Ending a key shuts no
    device out that has its credential already.

    \b
    forecare product key heat_pump --new --allow known-serials
    forecare product key heat_pump --rotate --until 2027-01-31
    """
    if is_new + rotate + revoke > 1:
        raise click.UsageError("--new, --rotate and --revoke exclude each other")
    now = wall_now()
    ended: Sequence[str] = ()
    made: NewKey | None = None
    with open_pool() as pool:
        if rotate or revoke:
            ends_at = until.replace(tzinfo=UTC) if until else now
            ended = service.end_product_keys(pool, product=product, ends_at=ends_at, now=now)
        if is_new or rotate:
            made = service.add_product_key(
                pool, product=product, allows=allow.replace("-", "_"), now=now
            )
        rows = service.product_keys(pool, product=product)
    if as_json:
        click.echo(
            orjson.dumps(
                {
                    "made": asdict(made) if made else None,
                    "ended": list(ended),
                    "keys": [asdict(row) for row in rows],
                }
            ).decode()
        )
        return
    if made:
        click.echo(f"key     {made.key}\nsecret  {made.secret}   (shown this once)\n{_where()}")
    elif not rows:
        click.echo(f"{product} has no key; `forecare product key {product} --new` makes one")
    if rows:
        show_table(
            ("key", "lets in", "made", "in force", "devices"), [_cells(row, now) for row in rows]
        )


@click.command("reset")
@click.argument("name")
def device_reset(name: str) -> None:
    """Let the device NAME come for a new credential, after its memory or its board was replaced.

    Its present credential ends at once. Until it has come again, whoever knows the product's secret and
    this serial number could come in its place: do it when the device is about to be switched on.
    """
    settings = load_settings()
    with open_pool() as pool:
        service.reset_device(pool, name=name)
        sync_broker(pool, settings)
    click.echo(f"{name} may come for a new credential")


def _where() -> str:
    settings = load_settings()
    port = settings.provision_port or load_state(runtime_paths(settings).state).provision_port
    place = (
        f"{settings.provision_host}:{port}"
        if port
        else "the gateway, whose port is chosen when it starts: `forecare gateway run`"
    )
    return f"devices come to {place}"


def _cells(row: KeyRow, now: datetime) -> tuple[str, ...]:
    in_force = "yes"
    if row.ends_at is not None:
        in_force = f"until {row.ends_at:%Y-%m-%d %H:%M} UTC" if row.ends_at > now else "no"
    return (
        row.key,
        row.allows.replace("_", " "),
        f"{row.created_at:%Y-%m-%d}",
        in_force,
        str(row.devices),
    )
