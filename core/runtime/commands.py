"""`forecare runtime …`: the embedded TimescaleDB and Mosquitto by hand."""

import json
import sys

import click
from rich.console import Console

from core.errors import PermanentError
from core.runtime import doctor as doctor_checks
from core.runtime import service
from core.runtime.doctor import Finding, Grade
from core.runtime.hooks import broker_files_hook
from core.runtime.progress import console_progress
from core.runtime.service import Endpoints, RuntimePaths, RuntimeStatus, ServerStatus

_STYLES = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


@click.group()
def runtime() -> None:
    """The embedded TimescaleDB and Mosquitto: real servers in the project's own folder.

    They need no Docker, no root and no installation on the machine: Debian's own packages are
    downloaded with the machine's apt, checked against Debian's signature and unpacked into
    `.runtime`. Both servers listen on 127.0.0.1 only.

    \b
    forecare runtime up       install if needed, start, say where they are
    forecare runtime status   what runs where
    forecare runtime doctor   why something does not work, and how to mend it
    forecare runtime down     stop; all data stay

    Another place for everything: FORECARE_RUNTIME_DIR. Servers of your own instead of these:
    FORECARE_DATABASE_URL and FORECARE_MQTT_URL.
    """


@runtime.command()
@click.option("--again", is_flag=True, help="Unpack anew even if everything seems to be there.")
def install(*, again: bool) -> None:
    """Download and unpack the servers, without starting them.

    Takes 15 to 30 seconds and about 250 MB. Running it twice does nothing the second time; after
    an interruption it begins again, with the packages that are already in ~/.cache/forecare.
    """
    paths = RuntimePaths.of()
    if again and service.status(paths).is_any_running:
        raise PermanentError("the servers are running", hint="forecare runtime down")
    stamp = service.install(paths, progress=console_progress(), again=again)
    versions = ", ".join(f"{name} {version}" for name, version in stamp.versions().items())
    click.echo(f"{versions}\nin {paths.software}")


@runtime.command()
def up() -> None:
    """Start whatever is not running; install and create it first where needed.

    The ports are chosen once and remembered. Ask for fixed ones with FORECARE_PG_PORT and
    FORECARE_MQTT_PORT. After a crash this is also the way to get everything back: what a killed
    server left behind is recognised and cleared.
    """
    found = service.up(
        RuntimePaths.of(), broker_files=broker_files_hook(), progress=console_progress()
    )
    for line in _shown(found):
        click.echo(line)


@runtime.command()
def down() -> None:
    """Stop both servers, cleanly; all data stay for the next `up`."""
    service.down(RuntimePaths.of(), progress=console_progress())
    click.echo("stopped")


@runtime.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object for programs.")
def status(*, as_json: bool) -> None:
    """Say what is installed, what runs and where. Exit code 0: both run; 3: not."""
    found = service.status(RuntimePaths.of())
    click.echo(json.dumps(_as_json(found)) if as_json else "\n".join(_lines(found)))
    sys.exit(0 if found.is_up else 3)


@runtime.command()
@click.option("--json", "as_json", is_flag=True, help="Write a JSON list of findings for programs.")
def doctor(*, as_json: bool) -> None:
    """Examine the machine and the installation, and say how to mend what is wrong.

    Changes nothing. Exit code 0: nothing fails (there may be warnings); 1: something fails.
    """
    findings = doctor_checks.examine(RuntimePaths.of())
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        _print_findings(findings)
    sys.exit(1 if any(finding.grade is Grade.FAIL for finding in findings) else 0)


def _shown(found: Endpoints) -> list[str]:
    secretless = found.database_url.split("@", 1)[1]
    return [
        f"TimescaleDB  postgresql://forecare:***@{secretless}  (process {found.postgres_pid})",
        f"Mosquitto    {found.mqtt_url}  (process {found.mosquitto_pid})",
    ]


def _lines(found: RuntimeStatus) -> list[str]:
    stamp = found.installed
    versions = stamp.versions().items() if stamp else ()
    lines = [f"place        {found.root}"]
    if found.relocated_from is not None:
        lines.append(
            f"             (instead of {found.relocated_from}, which {found.account} cannot enter)"
        )
    lines.append(f"account      {found.account}")
    installed = ", ".join(f"{name} {version}" for name, version in versions)
    lines.append(f"installed    {installed or 'no: forecare runtime install'}")
    lines.append(f"TimescaleDB  {_server(found.postgres)}")
    lines.append(f"Mosquitto    {_server(found.mosquitto)}")
    return lines


def _server(server: ServerStatus) -> str:
    if server.is_running:
        return f"running on 127.0.0.1:{server.port}, process {server.pid}"
    return "stopped: forecare runtime up"


def _as_json(found: RuntimeStatus) -> dict[str, object]:
    servers = {"timescaledb": found.postgres, "mosquitto": found.mosquitto}
    return {
        "is_up": found.is_up,
        "root": str(found.root),
        "relocated_from": str(found.relocated_from) if found.relocated_from else None,
        "account": found.account,
        "versions": found.installed.versions() if found.installed else None,
        **{name: {"pid": server.pid, "port": server.port} for name, server in servers.items()},
    }


def _print_findings(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        style = _STYLES[finding.grade]
        console.print(f"[{style}]{finding.grade.value:4}[/] ", end="")
        console.print(f"{finding.subject}: {finding.text}", markup=False, soft_wrap=True)
        if finding.mend:
            console.print(f"       → {finding.mend}", markup=False, soft_wrap=True)
