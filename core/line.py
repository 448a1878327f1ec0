"""Brings the whole line up: servers, schema, and the list of processes that make the platform.

The same list stands in docker-compose.yml, one service a process; a test compares them.
"""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from core.clock import monotonic_s
from core.endpoints import database_url, runtime_paths
from core.errors import ConflictError, ForecareError
from core.log import get_logger
from core.migrations import migrate
from core.pool import assert_durable, connect
from core.runtime import service as runtime
from core.runtime.hooks import broker_files_hook
from core.runtime.ports import free_port, holder, is_free
from core.runtime.progress import SILENT, Progress
from core.settings import Settings
from core.supervisor import Program, forecare

log = get_logger("line")

_LOOK_EVERY_S = 0.5

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gateway", ("gateway", "run")),
    ("ingest", ("ingest", "run")),
    ("rollups", ("ingest", "roll")),
    ("anomaly", ("anomaly", "run")),
    ("maintenance", ("maintenance", "run")),
    ("notify", ("maintenance", "notify")),
    ("api", ("api", "run")),
)
"""Name and arguments of every process of the platform, upstream first."""


class LineTakenError(ConflictError):
    """Another process runs this installation's stages already."""


@contextlib.contextmanager
def only_runner(settings: Settings) -> Iterator[None]:
    """Make sure that one process alone starts and stops this installation's stages.

    The lock is the kernel's: it ends with the process, however that ends.

    Raises
    ------
    LineTakenError
        If somebody else holds it.
    """
    file = settings.runtime_path / "line.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise LineTakenError(
                f"{lock.read().strip() or 'another process'} runs this installation already",
                hint="stop that one first, or give this one a place of its own: FORECARE_RUNTIME_DIR=…",
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} ({' '.join(sys.argv[1:2]) or 'forecare'})")
        lock.flush()
        yield


def require_free_port(settings: Settings) -> None:
    """Refuse to start when the pages could not be shown.

    Raises
    ------
    ConflictError
        If somebody else listens on the port.
    """
    if not is_free(settings.port):
        by = holder(settings.port)
        raise ConflictError(
            f"port {settings.port} is taken{f' by {by}' if by else ''}, so the pages cannot be shown there",
            hint=f"stop that program, or choose another port: FORECARE_HTTP_PORT={free_port()}",
        )


def start_servers(settings: Settings, *, progress: Progress) -> None:
    """Start what the settings do not bring from outside, and bring the schema up to date."""
    if _is_embedded(settings):
        runtime.up(runtime_paths(settings), progress=progress, broker_files=broker_files_hook())
    url = database_url(settings)
    progress.note("bringing the database schema up to date")
    migrate(url)
    with connect(url, name="start") as connection:
        assert_durable(connection)


class ServerWatch:
    """Brings an embedded server back that has died; `tick` is called several times a second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_look_s = 0.0

    def tick(self) -> None:
        """Look after the servers, at most twice a second."""
        now = monotonic_s()
        if not _is_embedded(self._settings) or now < self._next_look_s:
            return
        self._next_look_s = now + _LOOK_EVERY_S
        paths = runtime_paths(self._settings)
        if runtime.endpoints(paths) is not None:
            return
        log.warning("servers.died")
        try:
            runtime.up(paths, progress=SILENT, broker_files=broker_files_hook())
        except ForecareError as error:
            log.exception("servers.start_failed", reason=str(error))
            return
        log.info("servers.revived")


def stop_servers(settings: Settings) -> None:
    """Stop the embedded servers of this installation, if it has any."""
    if _is_embedded(settings):
        runtime.down(runtime_paths(settings))


def forget_data(settings: Settings, *folders: Path) -> None:
    """Stop the embedded servers and remove their data, and these folders with them."""
    stop_servers(settings)
    paths = runtime_paths(settings)
    for folder in (paths.postgres, paths.broker, *folders):
        shutil.rmtree(folder, ignore_errors=True)
    paths.state.unlink(missing_ok=True)


@contextlib.contextmanager
def handed_on(settings: Settings) -> Iterator[None]:
    """Let every child process that is started meanwhile load these very settings."""
    before = dict(os.environ)
    os.environ["FORECARE_RUNTIME_DIR"] = str(settings.runtime_path)
    os.environ["FORECARE_HTTP_PORT"] = settings.http_port
    os.environ["FORECARE_INBOX_DIR"] = settings.inbox_dir
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def stage_programs(settings: Settings) -> tuple[Program, ...]:
    """Return the processes of the platform, the mail sink included where no mail server is set."""
    environment: dict[str, str] = {}
    programs: list[Program] = []
    if not settings.smtp_url:
        port = free_port()
        inbox = settings.inbox_dir or str(settings.runtime_path / "inbox")
        environment = {"FORECARE_SMTP_URL": f"smtp://127.0.0.1:{port}", "FORECARE_INBOX_DIR": inbox}
        programs.append(forecare("inbox", "inbox", "run", "--port", str(port), "--dir", inbox))
    programs += [forecare(name, *arguments, **environment) for name, arguments in STAGES]
    return tuple(programs)


def _is_embedded(settings: Settings) -> bool:
    return not (settings.database_url and settings.mqtt_url)
