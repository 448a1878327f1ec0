"""`forecare ingest` and `forecare dead-letters`."""

import signal
import sys
import threading
from dataclasses import asdict
from datetime import UTC, datetime

import click
import orjson

from core.clock import monotonic_s, wall_now
from core.errors import InvalidError
from core.settings import load_settings
from core.terminal import printable, show_table
from gateway.terminal import open_pool
from ingest import service
from ingest.records import Refusal
from ingest.rollups.worker import RollWorker
from ingest.sparkplug.worker import SparkplugWorker
from ingest.store import DeadLetterRow
from ingest.worker import run as run_ingest

_REASON = click.Choice([reason.value for reason in Refusal])


@click.group()
def ingest() -> None:
    """From the broker into the database."""


@ingest.command("run")
def ingest_run() -> None:
    """Check, store and confirm the telemetry of all devices, until stopped.

    FORECARE_INGEST_SHARDS=1/4 takes the second quarter of the devices: start four such processes. The
    first of them also listens to Sparkplug B (spBv1.0/#).
    """
    sys.exit(run_ingest(load_settings(), companion=SparkplugWorker))


@ingest.command("roll")
@click.option("--once", is_flag=True, help="Do what there is to do, then end.")
@click.option(
    "--again-since",
    "since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Sum up everything measured since this instant (UTC) again; needs --product.",
)
@click.option("--product", help="The product of --again-since.")
def ingest_roll(once: bool, since: datetime | None, product: str | None) -> None:
    """Keep hourly and daily sums of all metrics up to date, late data included, until stopped.

    \b
    telemetry_hour.PRODUCT and telemetry_day.PRODUCT hold a row per device and hour or UTC day, with
    the lowest, mean and highest value of each metric and how many there were. It also lets go what
    the products' [retention] does not keep. It may be killed at any moment, and several may run.
    """
    if (since is None) != (product is None):
        raise InvalidError(
            "--again-since and --product belong together",
            hint="forecare ingest roll --once --product heat_pump --again-since 2026-01-31",
        )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker = RollWorker(load_settings(), stop)
    if since is not None and product is not None:
        devices = worker.roll_again(product, since=since.replace(tzinfo=UTC))
        click.echo(f"{devices} devices of {product} are to be summed up again")
    if once:
        worker.run_once()
    else:
        worker.run()


@click.group()
def dead_letters() -> None:
    """Messages that were refused, with their reason; nothing is thrown away."""


@dead_letters.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--reason", type=_REASON, help="Only letters refused for this reason.")
@click.option("--device", help="Only letters of this device.")
@click.option("--replayed", is_flag=True, help="Also those that have been stored since.")
@click.option("--limit", default=100, show_default=True, help="At most so many, the newest first.")
def dead_letters_list(
    as_json: bool, reason: str | None, device: str | None, replayed: bool, limit: int
) -> None:
    """List the dead letters, the newest first."""
    with open_pool() as pool:
        rows = service.dead_letters(
            pool, reason=reason, device=device, with_replayed=replayed, limit=limit
        )
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(asdict(row)).decode())
        return
    if not rows:
        click.echo("no dead letters")
        return
    columns = ("id", "received", "device", "reason", "detail", "times", "replay")
    show_table(columns, [_cells(row) for row in rows])


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID", type=int)
def dead_letters_show(letter_id: int) -> None:
    """Print one dead letter with its payload."""
    with open_pool() as pool:
        letter = service.dead_letter(pool, letter_id=letter_id)
    for name, value in asdict(letter).items():
        if name != "payload":
            click.echo(f"{name:13} {'–' if value is None else value}")
    click.echo(f"{'payload':13} {len(letter.payload)} bytes")
    # Escaped: a payload must not write control sequences to somebody's terminal.
    click.echo(printable(letter.payload[:4000].decode(errors="backslashreplace")))


@dead_letters.command("replay")
@click.argument("ids", metavar="[ID]...", type=int, nargs=-1)
@click.option("--reason", type=_REASON, help="All letters refused for this reason.")
@click.option("--all", "every", is_flag=True, help="All letters.")
def dead_letters_replay(ids: tuple[int, ...], reason: str | None, every: bool) -> None:
    """Put dead letters through today's door, after a sheet was mended for instance.

    Safe to repeat: a letter is stored once.
    """
    if bool(ids) + bool(reason) + every != 1:
        raise InvalidError(
            "it is not said which letters", hint="give their IDs, or --reason REASON, or --all"
        )
    with open_pool() as pool:
        done = service.replay(
            pool, ids=list(ids) or None, reason=reason, now=wall_now(), now_s=monotonic_s()
        )
    click.echo(f"{done.stored} stored, {done.refused} refused again")


def _cells(row: DeadLetterRow) -> tuple[str, ...]:
    return (
        str(row.id),
        f"{row.received_at:%Y-%m-%d %H:%M:%S}",
        row.device_name,
        row.reason,
        row.detail,
        str(row.times),
        row.replay_result or "",
    )
