"""`forecare export`."""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from core.clock import wall_now
from core.endpoints import database_url
from core.errors import InvalidError, NotFoundError
from core.options import Instant
from core.pool import Connection, connect
from core.runtime.progress import SILENT, console_progress
from core.settings import load_settings
from ingest.export import service
from ingest.export.request import Request, Resolution, make_request
from ingest.export.target import STANDARD_OUTPUT, open_target
from ingest.rollups.store import rolled_products

_STOPPED = 130


@click.command()
@click.argument("product")
@click.option(
    "--device", "devices", multiple=True, metavar="NAME", help="Only this one; repeatable."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Only this one; repeatable."
)
@click.option("--from", "begin", type=Instant(), help="From here on; without a zone it is UTC.")
@click.option("--to", "end", type=Instant(), help="Up to here, itself not included.")
@click.option(
    "--resolution",
    type=click.Choice([r.value for r in Resolution]),
    default=Resolution.RAW.value,
    show_default=True,
    help="Samples, or lowest, mean, highest and count per hour or UTC day.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet"]),
    help="Default: by the ending of --output, else csv.",
)
@click.option(
    "--output",
    default=STANDARD_OUTPUT,
    metavar="FILE",
    help="A file, or - for standard output (default).",
)
def export(
    product: str,
    devices: tuple[str, ...],
    metrics: tuple[str, ...],
    begin: datetime | None,
    end: datetime | None,
    resolution: str,
    kind: str | None,
    output: str,
) -> None:
    """Write the samples of PRODUCT's devices, or what was summed up from them, as CSV or Parquet.

    \b
    forecare export heat_pump --output heat_pump.csv
    forecare export heat_pump --resolution day --format parquet --output days.parquet
    forecare export heat_pump --device hp-0001 --metric outlet_c --from 2026-01-01 | head

    A row per device and instant, by device and time, time stamps in UTC, units in the heading (CSV) or
    in the fields' metadata (Parquet). The memory it takes does not depend on how much there is. A file
    appears when it is whole; Ctrl-C leaves none.
    """
    kind = kind or ("parquet" if output.endswith(".parquet") else "csv")
    if kind == "parquet" and output == STANDARD_OUTPUT and sys.stdout.isatty():
        raise InvalidError(
            "Parquet is nothing for a terminal", hint="add --output FILE, or redirect the output"
        )
    url = database_url(load_settings())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with connect(url, name="export", autocommit=True) as connection:
            request = make_request(
                _product(connection, product),
                metrics=metrics,
                resolution=Resolution(resolution),
                begin=begin,
                end=end,
            )
            _export(connection, request, devices or None, kind=kind, output=output)
    except BrokenPipeError:
        # Somebody has seen enough, such as `head`. Python must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        where = "" if output == STANDARD_OUTPUT else f"; {output} was not touched"
        click.echo(f"stopped{where}", err=True)
        sys.exit(_STOPPED)


def _export(
    connection: Connection,
    request: Request,
    names: tuple[str, ...] | None,
    *,
    kind: str,
    output: str,
) -> None:
    found = service.devices_of(connection, request, names)
    progress = console_progress() if sys.stderr.isatty() else SILENT
    label = f"exporting {request.product.name}, device by device"
    with progress.task(label, total=len(found)) as task, open_target(output) as target:
        if kind == "parquet":
            from ingest.export.parquet import write_parquet  # noqa: PLC0415 - a large library

            write_parquet(connection, request, found, target, now=wall_now(), on_device=task.done)
        else:
            for block in service.stream_csv(connection, request, found, on_device=task.done):
                target.write(block)
    if output != STANDARD_OUTPUT:
        size = Path(output).stat().st_size
        click.echo(f"{output}: {len(found)} devices, {size / 1e6:.1f} MB", err=True)


def _product(connection: Connection, name: str) -> Any:
    for row in rolled_products(connection):
        if row.product.name == name:
            return row.product
    raise NotFoundError(f'there is no product "{name}"', hint="`forecare product list` shows them")
