"""`forecare maintenance …` and `forecare inbox …`."""

from pathlib import Path
from threading import Event

import click

from core.clock import wall_now
from core.endpoints import database_url
from core.errors import InvalidError
from core.log import get_logger
from core.pool import connect, make_pool
from core.settings import load_settings
from maintenance import inbox as sink
from maintenance import inbox_reader, notifier, store, worker
from maintenance.mail import parse_smtp_url
from maintenance.outbox import sender_of

log = get_logger("maintenance")


@click.group()
def maintenance() -> None:
    """From forecasts to visits: decide, open tickets, tell owners.

    \b
    Two processes, each can be stopped and started at any time:
      forecare maintenance run      reads new forecasts and opens, joins or clears tickets
      forecare maintenance notify   sends the messages that this queues
    """


@maintenance.command()
def run() -> None:
    """Decide about new forecasts until stopped (SIGTERM or Ctrl-C)."""
    settings = load_settings()
    stop = Event()
    notifier.stop_on_signals(stop)
    pool = make_pool(database_url(settings), name="maintenance", size_max=2)
    log.info("maintenance.started")
    try:
        worker.run(pool, sender=sender_of(settings), clock=wall_now, stop=stop)
    finally:
        pool.close()
    log.info("maintenance.stopped")


@maintenance.command()
@click.option(
    "--stalled-after",
    type=click.FloatRange(1, 600),
    default=notifier.STALLED_AFTER_S,
    show_default=True,
    help="Seconds of silence after which the messages of another notify process are taken over.",
)
@click.option(
    "--retry-at-most",
    type=click.FloatRange(1, 3600),
    default=notifier.RETRY_S_MAX,
    show_default=True,
    help="Longest pause between two attempts at a message, seconds; the pauses double from one second.",
)
def notify(stalled_after: float, retry_at_most: float) -> None:
    """Send queued messages to owners until stopped.

    The mail server is FORECARE_SMTP_URL. While it is not set, messages are kept and go out as soon
    as this is started with one.
    """
    settings = load_settings()
    stop = Event()
    notifier.stop_on_signals(stop)
    server = parse_smtp_url(settings.smtp_url) if settings.smtp_url else None
    log.info("notify.started", server=f"{server.host}:{server.port}" if server else None)
    notifier.run(
        database_url(settings),
        server=server,
        mail_from=settings.mail_from,
        stalled_after_s=stalled_after,
        retry_s_max=retry_at_most,
        clock=wall_now,
        stop=stop,
    )
    log.info("notify.stopped")


@maintenance.command()
def status() -> None:
    """Show how far forecasts are decided, and how many tickets and messages there are."""
    with connect(database_url(load_settings()), name="status") as connection:
        row = connection.execute(store.queries["status"]).fetchone()
        names = (
            "devices",
            "devices behind",
            "decided through",
            "decisions",
            "technicians",
            "open alerts",
        )
        for name, value in zip(names, row or (), strict=True):
            click.echo(f"{name:18} {value if value is not None else '–'}")
        for state, kind, count in connection.execute(store.queries["ticket_counts"]):
            click.echo(f"{'tickets':18} {count} {kind}, {state}")
        for state, count in connection.execute(store.queries["notification_counts"]):
            click.echo(f"{'messages':18} {count} {state}")
        for verdict, count in connection.execute(store.queries["finding_counts"]):
            click.echo(f"{'findings':18} {count} {verdict}")


@click.group()
def inbox() -> None:
    """A mail server on this machine that keeps every message, to try things out.

    \b
    forecare inbox run --port 2525 --dir /tmp/inbox
    FORECARE_SMTP_URL=smtp://127.0.0.1:2525 forecare maintenance notify
    forecare inbox list --dir /tmp/inbox
    """


@inbox.command("run")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Port to listen on.")
@click.option("--host", default=sink.HOST, show_default=True, help="Address to listen on.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Folder of the Maildir.")
def run_inbox(port: int, host: str, directory: Path | None) -> None:
    """Take mail until stopped; nothing leaves this machine."""
    stop = Event()
    notifier.stop_on_signals(stop)
    sink.run(host=host, port=port, directory=_inbox_directory(directory), stop=stop)


@inbox.command("list")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Folder of the Maildir.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_inbox(directory: Path | None, limit: int) -> None:
    """List the newest messages, newest first."""
    for head in inbox_reader.list_messages(_inbox_directory(directory), count_max=limit):
        at = head.received_at.isoformat(timespec="seconds")
        click.echo(f"{at}  {head.recipient:32}  {head.subject}")


def _inbox_directory(given: Path | None) -> Path:
    if given is not None:
        return given
    settings = load_settings()
    if not settings.inbox_dir:
        raise InvalidError("no inbox folder is given", hint="add --dir, or set FORECARE_INBOX_DIR")
    return Path(settings.inbox_dir)
