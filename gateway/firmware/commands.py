"""`forecare firmware`: signing keys and images."""

import os
import stat
from dataclasses import asdict
from pathlib import Path

import click
import orjson

from core.clock import wall_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.terminal import show_table
from gateway.firmware import image as images
from gateway.firmware import service
from gateway.firmware.image import Firmware
from gateway.firmware.service import FirmwareDraft
from gateway.terminal import open_pool

_KEY_BYTES_MAX = 16_384


@click.group()
def firmware() -> None:
    """Firmware images: signed once, never changed, brought to devices by campaigns."""


@firmware.group("key")
def firmware_key() -> None:
    """The Ed25519 key with which images are signed."""


@firmware_key.command("init")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def key_init(file: Path) -> None:
    """Make a signing key: FILE (keep it offline) and FILE.pub (goes into every device).

    Whoever holds FILE can make every device run anything. Forecare itself needs it only while
    `forecare firmware add --key FILE` signs; a signature made elsewhere is as good.
    """
    if file.exists():
        raise ConflictError(
            f"{file} exists", hint="choose another name; a lost key cannot be made again"
        )
    pem = images.new_key()
    public_key = images.read_private_key(pem, source=str(file)).public_key().public_bytes_raw()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(pem)
    public = file.with_name(f"{file.name}.pub")
    public.write_text(images.public_pem(public_key), encoding="ascii")
    click.echo(f"""\
{file}      the private key, readable by you alone: keep it offline
{public}  the public key {images.key_name(public_key)}, for your devices""")


@firmware.command("add")
@click.argument("product")
@click.argument("version")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Private key; signs here and now.",
)
@click.option(
    "--signature",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Detached signature made elsewhere (64 bytes, base64 or hex).",
)
@click.option(
    "--public-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Public key that the detached signature belongs to.",
)
@click.option("--notes", default="", help="What is new, for the people who start campaigns.")
@click.option("--new-key", is_flag=True, help="Take it although the image before had another key.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def firmware_add(
    product: str,
    version: str,
    file: Path,
    key: Path | None,
    signature: Path | None,
    public_key: Path | None,
    notes: str,
    new_key: bool,
    as_json: bool,
) -> None:
    """Keep FILE as VERSION of PRODUCT, signed.

    VERSION is what devices say in their birth message once they run it. Give --key, or --signature
    with --public-key. At most 64 MiB. Adding the same file again changes nothing.
    """
    image = _read(file, images.IMAGE_BYTES_MAX + 1)
    if key is not None:
        _warn_of_open_key(key)
        private = images.read_private_key(_read(key, _KEY_BYTES_MAX), source=str(key))
        signed = images.sign(private, product=product, version=version, image=image)
        public = private.public_key().public_bytes_raw()
    elif signature is not None and public_key is not None:
        signed = images.read_signature(_read(signature, _KEY_BYTES_MAX))
        public = images.read_public_key(_read(public_key, _KEY_BYTES_MAX), source=str(public_key))
    else:
        raise InvalidError(
            "the image is not signed",
            hint="give --key FILE (`forecare firmware key init FILE` makes one),"
            " or --signature FILE with --public-key FILE",
        )
    draft = FirmwareDraft(
        product=product,
        version=version,
        image=image,
        signature=signed,
        public_key=public,
        notes=notes,
        is_new_key_wanted=new_key,
    )
    with open_pool() as pool:
        kept = service.add_firmware(pool, draft, by="command line", now=wall_now())
    if as_json:
        click.echo(orjson.dumps(_shown(kept)).decode())
        return
    click.echo(
        f"{kept.product} {kept.version}: {kept.size_bytes:,} bytes in {kept.chunks:,} pieces,"
        f" sha256 {kept.sha256.hex()[:16]}…, key {kept.key_name}\n"
        f"bring it to devices: forecare campaign create --product {product} --version {version}"
    )


@firmware.command("list")
@click.option("--product", default=None, help="Only images of this product.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def firmware_list(product: str | None, as_json: bool) -> None:
    """List the images, the newest of each product first."""
    with open_pool() as pool:
        rows = service.firmware_list(pool, product=product)
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(_shown(row)).decode())
        return
    if not rows:
        click.echo("no image yet; `forecare firmware add PRODUCT VERSION FILE --key KEY` adds one")
        return
    columns = ("product", "version", "bytes", "sha256", "key", "added", "notes")
    show_table(columns, [_cells(row) for row in rows])


@firmware.command("show")
@click.argument("product")
@click.argument("version")
def firmware_show(product: str, version: str) -> None:
    """Print everything about one image, as JSON, and who runs what of the product."""
    with open_pool() as pool:
        found = _shown(service.firmware(pool, product=product, version=version))
        in_use = service.versions_in_use(pool, product=product)
    found["devices_by_version"] = {use.version: use.devices for use in in_use}
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def _read(file: Path, size_max: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size_max)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error}", hint="give a file") from error


def _warn_of_open_key(key: Path) -> None:
    if key.exists() and key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        click.echo(f"note: others can read {key}; `chmod 600 {key}` changes that", err=True)


def _shown(row: Firmware) -> dict[str, object]:
    binary = {name: getattr(row, name).hex() for name in ("sha256", "signature", "public_key")}
    return asdict(row) | binary | {"chunks": row.chunks}


def _cells(row: Firmware) -> tuple[str, ...]:
    return (
        row.product,
        row.version,
        f"{row.size_bytes:,}",
        row.sha256.hex()[:16],
        row.key_name,
        f"{row.created_at:%Y-%m-%d %H:%M} UTC",
        row.notes,
    )
