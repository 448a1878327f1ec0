"""`forecare product`, `forecare device`, `forecare broker`, `forecare gateway`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from core.clock import wall_now
from core.endpoints import broker_dir, database_url, device_mqtt_url
from core.errors import InvalidError, NotFoundError, RetryableError
from core.pool import Pool, make_pool
from core.runtime.service import BrokerPorts
from core.settings import Settings, load_settings
from core.terminal import show_table
from gateway import service
from gateway.broker import sync_broker
from gateway.broker import write_broker_files as write_files
from gateway.ca import service as authority
from gateway.ca.commands import ask_passphrase
from gateway.claims.commands import (
    device_hand_over,
    device_label,
    device_owners,
    device_transfer,
)
from gateway.device_commands import commands as device_commands
from gateway.device_import.commands import device_import
from gateway.first_contact.commands import device_reset, product_key
from gateway.records import (
    DeviceCredential,
    DeviceDraft,
    DeviceRow,
    OwnerDraft,
    ProductRow,
    SiteDraft,
)
from gateway.sheet import parse_sheet, sheet_path
from gateway.sparkplug.commands import speaks_for
from gateway.twin.commands import device_config, product_config
from gateway.worker import run as run_gateway


@click.group()
def product() -> None:
    """Describe what you sell: one sheet per product."""


@product.command("add")
@click.argument("sheet")
@click.option("--check", is_flag=True, help="Only say whether the sheet is sound.")
def product_add(sheet: str, check: bool) -> None:
    """Register the product that SHEET describes, or bring it up to date.

    SHEET is a TOML file (docs/reference/product-sheet.md), or the name of one that ships with
    Forecare, such as heat_pump. A metric may be added later; none may be dropped.
    """
    file = Path(sheet)
    if file.suffix != ".toml" and not file.exists():
        file = sheet_path(sheet)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{sheet} cannot be read: {error}", hint="give a TOML file") from error
    if check:
        found = parse_sheet(text, source=sheet)
        click.echo(
            f"{sheet} is sound: {len(found.metrics)} metrics, {len(found.failure_modes)} failure modes"
        )
        return
    with _pool() as (pool, _):
        done = service.register_product(pool, toml_text=text, source=sheet, now=wall_now())
    if done.is_new:
        click.echo(f"registered {done.name}; its samples go to telemetry.{done.name}")
    elif done.added_metrics:
        click.echo(f"{done.name} gained {', '.join(done.added_metrics)} (revision {done.revision})")
    else:
        click.echo(f"{done.name} is up to date (revision {done.revision})")


@product.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def product_list(as_json: bool) -> None:
    """List the registered products."""
    with _pool() as (pool, _):
        rows = service.products(pool)
    if as_json:
        _echo_json(rows)
        return
    columns = (
        "product",
        "title",
        "manufacturer",
        "metrics",
        "failure modes",
        "devices",
        "revision",
    )
    show_table(columns, [_product_cells(row) for row in rows])


@product.command("show")
@click.argument("name")
def product_show(name: str) -> None:
    """Print the sheet of a product as it was registered."""
    with _pool() as (pool, _):
        click.echo(service.product_toml(pool, name=name), nl=False)


@click.group()
def device() -> None:
    """Let devices in, shut them out, configure them, and tell them to do something."""


@device.command("add")
@click.argument("name")
@click.option("--product", "product_name", required=True, help="Name of a registered product.")
@click.option("--serial", default="", help="Serial number. Default: the name.")
@click.option("--lot", default="", help="Production lot.")
@click.option("--firmware", default="", help="Firmware version at delivery.")
@click.option(
    "--delivered", type=click.DateTime(["%Y-%m-%d"]), help="Day of delivery; starts the warranty."
)
@click.option("--owner-email", default="", help="Who is told when it needs care.")
@click.option("--owner-name", default="", help="How the owner is addressed.")
@click.option("--owner-phone", default="")
@click.option("--locale", default="en", show_default=True, help="The owner's language.")
@click.option(
    "--timezone", default="UTC", show_default=True, help="The owner's and the site's time zone."
)
@click.option("--address", default="", help="Street and number of the site.")
@click.option("--city", default="", help="City of the site.")
@click.option("--json", "as_json", is_flag=True, help="Print the credential as JSON.")
def device_add(
    name: str,
    product_name: str,
    serial: str,
    lot: str,
    firmware: str,
    delivered: object,
    owner_email: str,
    owner_name: str,
    owner_phone: str,
    locale: str,
    timezone: str,
    address: str,
    city: str,
    as_json: bool,
) -> None:
    """Let the device NAME in and print its credential.

    NAME becomes its MQTT user name and client id. The password is shown this once and kept nowhere;
    `forecare device rotate NAME` makes a new one.
    """
    if owner_name and not owner_email:
        raise InvalidError(
            "an owner needs an e-mail address", hint="add --owner-email ada@example.org"
        )
    owner = OwnerDraft(
        name=owner_name or owner_email,
        email=owner_email,
        phone=owner_phone,
        locale=locale,
        timezone=timezone,
    )
    site = SiteDraft(address=address, city=city, timezone=timezone)
    draft = DeviceDraft(
        name=name,
        serial=serial or name,
        lot=lot,
        firmware=firmware,
        delivered_at=_utc(delivered),
        owner=owner if owner_email else None,
        site=site if address or city or owner_email else None,
    )
    with _pool() as (pool, settings):
        (credential,) = service.add_devices(
            pool, product=product_name, drafts=[draft], now=wall_now()
        )
        _sync(pool, settings)
    _show_credential(settings, credential, as_json=as_json)


@device.command("list")
@click.option("--product", "product_name", default=None, help="Only devices of this product.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def device_list(product_name: str | None, as_json: bool) -> None:
    """List the devices.

    Connected and reporting are two facts. A device is connected while its session with the broker
    lasts, if it sends birth messages. It is reporting while samples of it arrive, at least one within
    the `silent_after` of its product's sheet.
    """
    now = wall_now()
    with _pool() as (pool, _):
        rows = service.devices(pool, product=product_name)
    if as_json:
        for row in rows:
            found = asdict(row) | {"is_reporting": row.is_reporting(now)}
            click.echo(orjson.dumps(found).decode())
        return
    if not rows:
        click.echo("no devices yet; `forecare device add NAME --product PRODUCT` lets one in")
        return
    columns = ("device", "product", "owner", "connected", "reporting", "last sample", "samples")
    show_table(columns, [_device_cells(row, now) for row in rows])


@device.command("revoke")
@click.argument("name")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the passphrase of the authority's key, where the device has certificates.",
)
def device_revoke(name: str, passphrase_file: Path | None) -> None:
    """Shut the device NAME out, at once: its password and its certificates; what it has sent stays."""
    now = wall_now()
    with _pool() as (pool, settings):
        service.revoke_device(pool, name=name, now=now)
        _sync(pool, settings)
    folder = authority.open_folder(settings, passphrase=ask_passphrase(passphrase_file))
    if any(one.name == name and one.is_valid(now) for one in folder.issued()):
        _, is_told = authority.revoke(settings, folder, name, now=now)
        if not is_told:
            click.echo("note: the broker has to read its list of revoked certificates", err=True)
    click.echo(f"{name} can connect no more")


@device.command("rotate")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the credential as JSON.")
def device_rotate(name: str, as_json: bool) -> None:
    """Give the device NAME a new password; the old one is worth nothing any more."""
    with _pool() as (pool, settings):
        credential = service.rotate_credential(pool, name=name, now=wall_now())
        _sync(pool, settings)
    _show_credential(settings, credential, as_json=as_json)


product.add_command(product_config)
product.add_command(product_key)
for _command in (
    device_import,
    device_reset,
    device_label,
    device_hand_over,
    device_transfer,
    device_owners,
    device_config,
    device_commands.give,
    device_commands.list_commands,
    device_commands.cancel,
    speaks_for,
):
    device.add_command(_command)


@click.group()
def broker() -> None:
    """The files that Mosquitto reads."""


@broker.command("write")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--port", default=1883, show_default=True, help="Port to listen on.")
@click.option("--mqtts-port", type=int, help="Port for devices with a certificate (forecare ca).")
@click.option("--tls-port", type=int, help="Port for devices with a password over TLS.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--run-as", default="", help="User that a broker started as root steps down to.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which the broker keeps its sessions and queues. Default: DIRECTORY.",
)
def broker_write(
    directory: Path | None,
    port: int,
    mqtts_port: int | None,
    tls_port: int | None,
    host: str,
    run_as: str,
    data: Path | None,
) -> None:
    """Write mosquitto.conf, the access list and the password file into DIRECTORY.

    The embedded broker gets its files by itself; this is for a broker of your own. Devices that are
    in the password file stay in it.
    """
    target = (directory or broker_dir(load_settings())).absolute()
    ports = BrokerPorts(mqtt=port, mqtts=mqtts_port, mqtt_tls=tls_port)
    write_files(target, ports, host=host, run_as=run_as, data=data.absolute() if data else None)
    click.echo(f"wrote {target}/mosquitto.conf, acl and passwords")


@broker.command("sync")
def broker_sync() -> None:
    """Bring the password file up to date with the registry and tell the broker."""
    with _pool() as (pool, settings):
        told = sync_broker(pool, settings)
    click.echo("the broker has read it" if told else "written; send the broker a SIGHUP")


@click.group()
def gateway() -> None:
    """Sessions of devices: who is there, and what they are told."""


@gateway.command("run")
def gateway_run() -> None:
    """Keep presence and the broker's password file up to date, and talk with devices, until stopped."""
    sys.exit(run_gateway(load_settings()))


@contextmanager
def _pool() -> Iterator[tuple[Pool, Settings]]:
    settings = load_settings()
    pool = make_pool(database_url(settings), name="cli", size_max=1)
    try:
        yield pool, settings
    finally:
        pool.close()


def _sync(pool: Pool, settings: Settings) -> None:
    if not sync_broker(pool, settings):
        click.echo(
            "note: the broker was not told; it is when `forecare gateway run` finds it, or on SIGHUP",
            err=True,
        )


def _show_credential(settings: Settings, credential: DeviceCredential, *, as_json: bool) -> None:
    try:
        address = device_mqtt_url(settings)
    except RetryableError:
        address = "mqtt://HOST:1883"
    if as_json:
        click.echo(orjson.dumps(asdict(credential) | {"mqtt_url": address}).decode())
        return
    host, _, port = address.removeprefix("mqtt://").rpartition(":")
    topic = f"fc/{credential.shard}/{credential.name}/telemetry"
    click.echo(f"""\
broker    {address}
user      {credential.user}   (client id and device name are the same)
password  {credential.password}   (shown this once)
topic     {topic}

try it:
  mosquitto_pub -V 5 -q 1 -h {host} -p {port} -i {credential.name} -u {credential.user} \\
    -P '{credential.password}' -t {topic} -m '{{"METRIC": 1.0}}'""")


def _product_cells(row: ProductRow) -> tuple[str, ...]:
    numbers = (row.metrics, row.failure_modes, row.devices, row.revision)
    return (row.name, row.title, row.manufacturer, *map(str, numbers))


def _device_cells(row: DeviceRow, now: datetime) -> tuple[str, ...]:
    connected = {True: "yes", False: "no", None: "never said"}[row.is_connected]
    reporting = "yes" if row.is_reporting(now) else "no"
    return (
        row.name,
        row.product,
        row.owner_email or "–",
        "revoked" if row.revoked_at else connected,
        reporting if row.samples else "never",
        f"{row.measured_through:%Y-%m-%d %H:%M:%S} UTC" if row.measured_through else "–",
        f"{row.samples:,}",
    )


def _utc(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def _echo_json(rows: Sequence[ProductRow]) -> None:
    for row in rows:
        click.echo(orjson.dumps(asdict(row)).decode())
