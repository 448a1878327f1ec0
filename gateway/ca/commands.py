"""`forecare ca …`: certificates instead of passwords, for devices on foreign nets."""

import os
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import click
import orjson

from core.clock import wall_now
from core.endpoints import runtime_paths
from core.errors import ConflictError, InvalidError
from core.runtime.state import load_state
from core.settings import Settings, load_settings
from core.terminal import show_table
from gateway.broker import TRUSTED
from gateway.ca import service
from gateway.ca.folder import CaFolder, DeviceFiles, Issued, Passphrase

_passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the passphrase of the authority's key. Default: you are asked, if it has one.",
)


@click.group()
def ca() -> None:
    """Certificates for devices and for the broker, from an authority of your own.

    \b
    forecare ca init                      make the authority
    forecare ca server broker.example.org make the broker's certificate; the broker speaks TLS from now on
    forecare ca device hp-0001            make a device's certificate
    forecare ca revoke hp-0001            void it and end its session

    A device with a certificate needs no password: the name in the certificate is its user name, client id
    and device name. Everything lies in FORECARE_CA_DIR, for your eyes alone (docs/how-to/tls.md).
    """


@ca.command("init")
@click.option("--passphrase", is_flag=True, help="Lock the key: you are asked for a passphrase.")
@_passphrase_file
def ca_init(passphrase: bool, passphrase_file: Path | None) -> None:
    """Make the authority. Its key signs every certificate: who has it can be any device."""
    settings = load_settings()
    folder = service.open_folder(settings, passphrase=_nothing)
    if folder.generations():
        raise ConflictError(
            f"there is an authority in {folder.root}",
            hint="`forecare ca rotate` makes its successor",
        )
    folder.begin(passphrase=_chosen(passphrase, passphrase_file), now=wall_now())
    click.echo(f"made an authority in {folder.root}; keep a copy of that folder in a safe place")
    click.echo("next: forecare ca server HOST…")


@ca.command("server")
@click.argument("names", nargs=-1, required=True)
@_passphrase_file
def ca_server(names: tuple[str, ...], passphrase_file: Path | None) -> None:
    """Make the broker's certificate for host NAMES or addresses under which devices reach it.

    The embedded broker starts anew with it and takes TLS from then on; sessions stay.
    """
    settings = load_settings()
    folder = _folder(settings, passphrase_file)
    issued = folder.issue_server(names, now=wall_now())
    is_restarted = service.restart_with_tls(settings, folder)
    click.echo(f"made a certificate for {', '.join(names)}, good until {issued.ends_at:%Y-%m-%d}")
    _say_where(settings, is_restarted=is_restarted)


@ca.command("device")
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True)
@click.option(
    "--csr",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Signing request (PEM) of a key that the device made itself and keeps.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files. Default: NAME in the current folder.",
)
@_passphrase_file
def ca_device(
    name: str, days: int, csr: Path | None, output: Path | None, passphrase_file: Path | None
) -> None:
    """Make a certificate for the device NAME: device.crt, device.key and ca.crt.

    For a renewal do the same again: the old certificate stays good until it ends, or until
    `forecare ca revoke NAME --keep-newest`.
    """
    folder = _folder(load_settings(), passphrase_file)
    target = output or Path(name)
    _require_absent(target)
    files = folder.issue_device(
        name,
        request=csr.read_bytes() if csr else None,
        valid_for=timedelta(days=days),
        now=wall_now(),
    )
    _write_files(target, files)
    click.echo(f"{target}/ holds what {name} needs, good until {files.issued.ends_at:%Y-%m-%d}")


@ca.command("revoke")
@click.argument("name")
@click.option("--serial", help="Only the certificate with this serial number (`forecare ca list`).")
@click.option("--keep-newest", is_flag=True, help="All but the newest: after a renewal.")
@click.option(
    "--broker",
    "place",
    help="HOST:PORT where a broker of your own takes certificates. Default: the embedded one.",
)
@_passphrase_file
def ca_revoke(
    name: str,
    serial: str | None,
    keep_newest: bool,
    place: str | None,
    passphrase_file: Path | None,
) -> None:
    """Void the certificates of the device NAME and end its session, at once."""
    settings = load_settings()
    revoked, is_told = service.revoke(
        settings,
        _folder(settings, passphrase_file),
        name,
        now=wall_now(),
        serial=serial,
        keep_newest=keep_newest,
        address=_address(place) if place else None,
    )
    click.echo(f"void: {', '.join(one.serial for one in revoked)}")
    if not is_told and not place:
        click.echo(
            "note: copy ca.crt and devices.crl to the broker and restart it (or let it read them again,"
            " and use --broker); a session that is open lives until then",
            err=True,
        )


@ca.command("rotate")
@click.option(
    "--passphrase", is_flag=True, help="Lock the new key: you are asked for a passphrase."
)
@_passphrase_file
def ca_rotate(passphrase: bool, passphrase_file: Path | None) -> None:
    """Make the authority's successor. Both count until `forecare ca retire`.

    New certificates come from the new one. The old one vouches for it, so that devices which trust the
    old one alone still accept the broker: make the broker's certificate anew, then renew the devices.
    """
    settings = load_settings()
    folder = _folder(settings, passphrase_file)
    folder.begin(passphrase=_chosen(passphrase, None), now=wall_now())
    is_restarted = service.restart_with_tls(settings, folder)
    click.echo(f"authorities in force: {', '.join(map(str, folder.generations()))}")
    _say_where(settings, is_restarted=is_restarted)


@ca.command("retire")
@click.argument("generation", type=int)
@_passphrase_file
def ca_retire(generation: int, passphrase_file: Path | None) -> None:
    """Trust the authority GENERATION no more; devices that were not renewed are out."""
    settings = load_settings()
    folder = _folder(settings, passphrase_file)
    folder.retire(generation, now=wall_now())
    is_restarted = service.restart_with_tls(settings, folder)
    click.echo(f"authorities in force: {', '.join(map(str, folder.generations()))}")
    _say_where(settings, is_restarted=is_restarted)


@ca.command("list")
@click.option(
    "--ending-within", "days", type=click.IntRange(min=0), help="Only what ends within DAYS."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ca_list(days: int | None, as_json: bool) -> None:
    """List what was issued."""
    now = wall_now()
    folder = service.open_folder(load_settings(), passphrase=_nothing)
    rows = folder.issued()
    if days is not None:
        until = now + timedelta(days=days)
        rows = tuple(row for row in rows if row.is_valid(now) and row.ends_at <= until)
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(asdict(row) | {"is_valid": row.is_valid(now)}).decode())
        return
    columns = ("name", "kind", "state", "ends", "authority", "serial")
    show_table(columns, [_cells(row, now) for row in rows])


def _cells(row: Issued, now: datetime) -> tuple[str, ...]:
    state = "revoked" if row.revoked_at else "valid" if row.is_valid(now) else "ended"
    return (row.name, row.kind, state, f"{row.ends_at:%Y-%m-%d}", str(row.authority), row.serial)


def _folder(settings: Settings, passphrase_file: Path | None) -> CaFolder:
    return service.open_folder(settings, passphrase=ask_passphrase(passphrase_file))


def ask_passphrase(file: Path | None) -> Passphrase:
    """Return what asks for a passphrase, once."""
    known: list[str] = []

    def ask() -> str:
        if not known:
            known.append(
                file.read_text(encoding="utf-8").strip()
                if file
                else click.prompt("Passphrase of the authority's key", hide_input=True, err=True)
            )
        return known[0]

    return ask


def _address(text: str) -> service.Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidError(f"{text!r} is no address", hint="write HOST:PORT, such as broker:8883")
    return service.Address(host=host, port=int(port))


def _nothing() -> str:
    return ""


def _chosen(is_wished: bool, file: Path | None) -> str:
    if file:
        return file.read_text(encoding="utf-8").strip()
    if not is_wished:
        return ""
    text: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return text


def _require_absent(target: Path) -> None:
    if (target / "device.key").exists() or (target / "device.crt").exists():
        raise ConflictError(
            f"{target} holds a device's certificate", hint="name another folder with --output"
        )


def _write_files(target: Path, files: DeviceFiles) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    contents = {"device.crt": files.certificate, TRUSTED: files.trusted}
    if files.key is not None:
        contents["device.key"] = files.key
    for name, content in contents.items():
        handle = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)


def _say_where(settings: Settings, *, is_restarted: bool) -> None:
    if not is_restarted:
        click.echo(
            f"the broker's files lie in {settings.broker_dir or 'its folder'}; it takes them when it"
            " starts (`forecare broker write` with --mqtts-port and --tls-port for one of your own)"
        )
        return
    state = load_state(runtime_paths(settings).state)
    click.echo(f"the broker takes certificates on port {state.mqtts_port}")
    click.echo(f"and passwords over TLS on port {state.mqtt_tls_port}")
