"""`forecare migrate` and `forecare serve`."""

import click

from core.endpoints import database_url
from core.line import (
    ServerWatch,
    only_runner,
    require_free_port,
    stage_programs,
    start_servers,
    stop_servers,
)
from core.migrations import migrate as run_migrations
from core.runtime.progress import console_progress
from core.settings import Settings, load_settings
from core.supervisor import Supervisor, run_until_signal


@click.command()
def migrate() -> None:
    """Bring the database schema up to date; safe to run again at any time."""
    applied = run_migrations(database_url(load_settings()))
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"the schema is up to date ({len(applied)} steps applied)")


@click.command()
@click.option("--keep-servers", is_flag=True, help="Leave the database and the broker running.")
def serve(keep_servers: bool) -> None:
    """Run the whole platform on this machine until Ctrl-C.

    Starts the embedded TimescaleDB and Mosquitto (unless FORECARE_DATABASE_URL and
    FORECARE_MQTT_URL name others), brings the schema up to date and runs every stage as a process
    of its own. A stage that dies is started again. Logs go to `log/` in the runtime folder.
    """
    settings = load_settings()
    supervisor = Supervisor(
        settings.runtime_path / "log", on_event=lambda name, event: click.echo(f"{name} {event}")
    )
    with only_runner(settings):
        require_free_port(settings)
        _serve(settings, supervisor, keep_servers=keep_servers)


def _serve(settings: Settings, supervisor: Supervisor, *, keep_servers: bool) -> None:
    try:
        start_servers(settings, progress=console_progress())
        for program in stage_programs(settings):
            supervisor.start(program)
        click.secho(f"Forecare runs on {settings.base_url} (Ctrl-C stops it)", bold=True)
        watch = ServerWatch(settings)
        run_until_signal(supervisor, on_tick=watch.tick)
    finally:
        click.echo("stopping …")
        supervisor.stop()
        if not keep_servers:
            stop_servers(settings)
