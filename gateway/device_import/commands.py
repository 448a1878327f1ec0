"""`forecare device import`."""

from pathlib import Path

import click

from core.clock import wall_now
from core.errors import NotFoundError
from core.runtime.progress import console_progress
from core.settings import load_settings
from gateway.broker import sync_broker
from gateway.device_import.service import import_devices, raise_faults
from gateway.device_import.table import read_devices, template
from gateway.terminal import open_pool

_BYTES_MAX = 100_000_000


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--product", help="Name of a registered product.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("credentials.csv"),
    show_default=True,
    help="Where the credentials go: a file that only you can read, never one that exists.",
)
@click.option(
    "--first-contact",
    is_flag=True,
    help="Make no credentials: the devices come for them (`forecare product key`).",
)
@click.option("--check", is_flag=True, help="Only say what is wrong in the file.")
@click.option("--template", "show_template", is_flag=True, help="Print a header and an example.")
def device_import(
    file: Path | None,
    product: str | None,
    output: Path,
    first_contact: bool,
    check: bool,
    show_template: bool,
) -> None:
    """Let all devices of a CSV file in: all of them or none.

    \b
    forecare device import --template > devices.csv
    forecare device import devices.csv --product heat_pump

    Every fault is shown with its line, its column and what to do about it. Rows that are registered
    already with the same values are skipped, so the same file may be run again with more lines.
    """
    if show_template:
        click.echo(template(), nl=False)
        return
    if file is None or (product is None and not check):
        raise click.UsageError("give a FILE and --product (or --template for an example)")
    rows, faults = read_devices(_text(file), source=str(file))
    raise_faults(faults, source=str(file))
    if check:
        click.echo(f"{file} is sound: {len(rows):,} devices")
        return
    assert product is not None
    with open_pool() as pool:
        with console_progress().task("letting devices in", total=len(rows)) as task:
            done = import_devices(
                pool,
                rows,
                product=product,
                source=str(file),
                output=None if first_contact else output,
                now=wall_now(),
                on_row=task.done,
            )
        is_told = sync_broker(pool, load_settings()) if done.added else True
    click.echo(f"devices let in: {done.added:,}; there already: {len(done.skipped):,}")
    if done.added and not first_contact:
        click.echo(f"their credentials: {output}   (the only copy of the passwords)")
    if not is_told:
        click.echo(
            "note: the broker hears of it from `forecare gateway run`, or on SIGHUP", err=True
        )


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _BYTES_MAX:
            raise NotFoundError(f"{file} has more than {_BYTES_MAX:,} bytes", hint="split it")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(
            f"{file} cannot be read: {error}", hint="give a CSV file in UTF-8"
        ) from error
