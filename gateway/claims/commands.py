"""`forecare device label`, `hand-over`, `transfer` and `owners`."""

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import orjson

from core.clock import wall_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.settings import load_settings
from core.terminal import show_table
from gateway.claims import service
from gateway.claims.codes import shown_code
from gateway.claims.labels import Label, claim_url, labels_html, labels_svg, qr_png
from gateway.records import OwnerDraft
from gateway.terminal import OPERATOR, open_pool

_LABELS_MAX = 10_000


@click.command("label")
@click.argument("names", nargs=-1)
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='CSV file with a column "name", as for `forecare device import`.',
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="labels.html (to print), .svg, or .png (the QR code of one device). Default: text.",
)
def device_label(names: tuple[str, ...], file: Path | None, output: Path | None) -> None:
    """Make labels for devices: name, serial number, and the code with which the owner takes the device.

    \b
    forecare device label hp-0001 --output label.svg
    forecare device label --from devices.csv --output labels.html

    The QR code leads to FORECARE_PUBLIC_URL/claim/CODE. Whoever has the code can claim the device, once:
    keep the file as you would a key. Printing again gives the same code.
    """
    wanted = [*names, *(_names(file) if file else ())]
    if not wanted:
        raise click.UsageError("give NAMES, or --from FILE")
    if len(wanted) > _LABELS_MAX:
        raise InvalidError(f"{len(wanted):,} labels", hint=f"at most {_LABELS_MAX:,} at once")
    settings = load_settings()
    now = wall_now()
    with open_pool() as pool:
        codes = [service.label_code(pool, settings.key, name=name, now=now) for name in wanted]
    labels = [Label(claim=c, url=claim_url(settings.base_url, c.code)) for c in codes]
    if output is None:
        for label in labels:
            click.echo(f"{label.claim.device}  {shown_code(label.claim.code)}  {label.url}")
        return
    _write(output, _drawn(labels, output.suffix.lower()))
    click.echo(f"{output}: {len(labels):,} label{'s' if len(labels) > 1 else ''}")


@click.command("hand-over")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def device_hand_over(name: str, as_json: bool) -> None:
    """Make a code with which the next owner takes the device NAME; codes before it are void.

    Until somebody uses it the device stays with its owner. The owner can do the same on the device's page.
    """
    settings = load_settings()
    with open_pool() as pool:
        made = service.hand_over(pool, settings.key, name=name, owner_id=None, now=wall_now())
    url = claim_url(settings.base_url, made.code)
    if as_json:
        click.echo(
            orjson.dumps({"device": name, "code": shown_code(made.code), "url": url}).decode()
        )
        return
    click.echo(f"code  {shown_code(made.code)}\npage  {url}")


@click.command("transfer")
@click.argument("name")
@click.option("--to", "email", required=True, help="E-mail address of the new owner.")
@click.option("--name", "owner_name", default="", help="How the new owner is addressed.")
@click.option("--timezone", default="UTC", show_default=True)
def device_transfer(name: str, email: str, owner_name: str, timezone: str) -> None:
    """Give the device NAME to another owner at once.

    The former owner sees nothing of it from then on, and the new one nothing of the former: no address, no
    closed tickets, no links in old messages. Prefer `hand-over` where the new owner can enter a code.
    """
    if "@" not in email:
        raise InvalidError(f"{email!r} is no e-mail address", hint="give one like ada@example.org")
    to = OwnerDraft(name=owner_name or email, email=email, timezone=timezone)
    with open_pool() as pool:
        service.transfer(pool, name=name, to=to, actor=OPERATOR, now=wall_now())
    click.echo(f"{name} belongs to {email}")


@click.command("owners")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def device_owners(name: str, as_json: bool) -> None:
    """Show whose the device NAME was, and since when."""
    with open_pool() as pool:
        rows = service.ownerships(pool, name=name)
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(asdict(row)).decode())
        return
    cells = [
        (
            row.owner,
            row.email,
            row.how,
            f"{row.began_at:%Y-%m-%d}",
            f"{row.ended_at:%Y-%m-%d}" if row.ended_at else "–",
        )
        for row in rows
    ]
    show_table(("owner", "e-mail", "how", "from", "until"), cells)


def _names(file: Path) -> Sequence[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if "name" not in (rows.fieldnames or ()):
                raise InvalidError(f'{file} has no column "name"', hint="see --template")
            return [row["name"].strip() for row in rows if (row["name"] or "").strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotFoundError(f"{file} cannot be read: {error}", hint="give a CSV file") from error


def _drawn(labels: Sequence[Label], kind: str) -> bytes:
    if kind == ".html":
        return labels_html(labels).encode()
    if kind == ".svg":
        return labels_svg(labels).encode()
    if kind == ".png" and len(labels) == 1:
        return qr_png(labels[0].url)
    raise InvalidError(
        f"a label cannot be written as {kind or 'that'!r}",
        hint="name the file .html or .svg, or .png for one device",
    )


def _write(file: Path, content: bytes) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(f"{file} exists", hint="name another one with --output") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
