"""One PostgreSQL with TimescaleDB: made, started, stopped, and brought back after a crash."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from subprocess import CompletedProcess

from core.runtime.account import Account
from core.runtime.disk import full_disk, tells_full_disk
from core.runtime.errors import (
    BrokenInstallError,
    DataVersionError,
    ServerStartError,
    ServerStopError,
)
from core.runtime.logs import log_size, log_tail
from core.runtime.packages import POSTGRES_MAJOR
from core.runtime.paths import RuntimePaths
from core.runtime.ports import LOOPBACK
from core.runtime.processes import OwnProcesses, StopStep, wait_until_gone
from core.runtime.progress import SILENT, Progress
from core.runtime.state import State
from core.runtime.unpack import has_own_time_zones

USER = "forecare"
DATABASE = "forecare"
_CONFIG_NAME = "forecare.conf"
_CONFIG = """\
# Written at every start by the embedded runtime; changes are lost. Yours go into postgresql.conf,
# below the line that includes this file.
listen_addresses = '{host}'
port = {port}
# No Unix socket: its path may be too long (107 bytes), and its lock file would be a second one to
# go stale.
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
# The Apache edition's built-in job only fails, and the scheduler blocks CREATE DATABASE … TEMPLATE.
timescaledb.max_background_workers = 0
jit = off
max_connections = 60
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_worker_processes = 8
max_locks_per_transaction = 128
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
min_wal_size = 128MB
checkpoint_timeout = 15min
wal_compression = lz4
fsync = on
full_page_writes = on
synchronous_commit = on
timezone = '{zone}'
log_timezone = '{zone}'
log_line_prefix = '%m [%p] %q%u@%d '
"""
_START_SECONDS = 120  # crash recovery of 2 GB of WAL included
_STOP_STEPS = (
    StopStep(signal=SIGINT, wait_seconds=60),  # fast: roll back, checkpoint, end
    StopStep(signal=SIGQUIT, wait_seconds=10),  # immediate: recovery at the next start
)
_ORPHANS_END_ALONE_SECONDS = 3.0
_ORPHAN_STEPS = (
    StopStep(signal=SIGQUIT, wait_seconds=5),
    StopStep(signal=SIGKILL, wait_seconds=5),  # without a postmaster there is nothing to spare
)
_PORT_WORDS = ("could not bind", "could not create any TCP")
_HOST_ZONE = Path("/usr/share/zoneinfo/UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """The PostgreSQL of one instance; nothing is remembered here, all of it is on the disk."""

    paths: RuntimePaths
    account: Account

    @property
    def processes(self) -> OwnProcesses:
        return OwnProcesses(folder=self.paths.data, command="postgres", account=self.account)

    def pid(self) -> int | None:
        """Return the postmaster's pid if it lives and is ours."""
        try:
            pid = int((self.paths.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if self.processes.owns(pid) else None

    def exists(self) -> bool:
        return (self.paths.data / "PG_VERSION").exists()

    def create(self, *, password: str) -> None:
        """Make the data folder as a whole; what an interrupted attempt left is swept away.

        Save the password before: it exists nowhere else.
        """
        draft = self.paths.postgres / "data.draft"
        self._sweep(draft)
        self._link_time_zones()
        draft.mkdir(mode=0o700)
        if not self.account.is_current:
            os.chown(draft, self.account.uid, self.account.gid)
        result = self._initdb(draft, password=password)
        if result.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            self._raise_start_error("cannot create the database", result.stderr)
        with (draft / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude_if_exists '{_CONFIG_NAME}'\n")
        draft.rename(self.paths.data)

    def require_same_version(self) -> None:
        """Refuse data of another major version before PostgreSQL does it less kindly."""
        major = (self.paths.data / "PG_VERSION").read_text().strip()
        if major != POSTGRES_MAJOR:
            raise DataVersionError(
                f"{self.paths.data} was made by PostgreSQL {major}; this is {POSTGRES_MAJOR}",
                hint="dump it with the old version (pg_dump) and restore it, or move it away",
            )

    def set_password(self, password: str) -> None:
        """Set a lost password anew, without any connection: the server must be down."""
        self.clear_leftovers()
        self._configure(port=5432)
        single = ["--single", "-D", str(self.paths.data), "postgres"]
        result = self._run("postgres", *single, input_text=_password_sql(password))
        if result.returncode or "ERROR" in result.stderr:
            self._raise_start_error("cannot set the lost password anew", result.stderr)

    def start(self, *, port: int) -> bool:
        """Start on a port; False if the port turned out to be taken.

        Raises
        ------
        ServerStartError
            If PostgreSQL refuses for any other reason; the message ends with its log.
        """
        self._link_time_zones()
        self._configure(port=port)
        log = self.paths.postgres_log
        before = log_size(log)
        words: list[str | Path] = [
            "-w",
            "-t",
            str(_START_SECONDS),
            "-D",
            self.paths.data,
            "-l",
            log,
            "start",
        ]
        with self._sole_use() as handle:
            result = self._run("pg_ctl", *words, pass_fds=[handle])
        if result.returncode == 0:
            return True
        told = log_tail(log, since=before)
        if any(words in told for words in _PORT_WORDS):
            return False
        self._raise_start_error("PostgreSQL did not start", told or result.stderr)
        raise AssertionError  # pragma: no cover

    def clear_leftovers(self, *, progress: Progress = SILENT) -> None:
        """End the orphans of a killed postmaster, then remove its stale lock file.

        Never the other way round: the lock file guards the shared memory that an orphan still
        writes to, and two servers on one folder destroy it.

        Raises
        ------
        ServerStopError
            If an orphan does not end.
        """
        if orphans := self.processes.pids():
            progress.note(f"waiting for {len(orphans)} processes that a killed PostgreSQL left")
        deadline = time.monotonic() + _ORPHANS_END_ALONE_SECONDS
        while (orphans := self.processes.pids()) and time.monotonic() < deadline:
            wait_until_gone(orphans[0], 0.1)
        for orphan in self.processes.pids():
            self.processes.stop(orphan, _ORPHAN_STEPS)
        if left := self.processes.pids():
            raise ServerStopError(f"PostgreSQL processes {left} still use {self.paths.data}")
        with self._sole_use():
            (self.paths.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop the server and whatever is left of it; nothing to stop is fine."""
        pid = self.pid()
        if pid is not None and not self.processes.stop(pid, _STOP_STEPS):
            raise ServerStopError(f"PostgreSQL (process {pid}) does not stop")
        self.clear_leftovers()

    def prepare_database(self, *, port: int, password: str) -> None:
        """Create the database and bring the extension to the version that is installed."""
        names = self._query(
            "SELECT datname FROM pg_database", port=port, password=password, database="postgres"
        )
        if DATABASE not in names.split():
            statement = f'CREATE DATABASE "{DATABASE}"'
            self._query(statement, port=port, password=password, database="postgres")
        for statement in (
            "CREATE EXTENSION IF NOT EXISTS timescaledb",
            "ALTER EXTENSION timescaledb UPDATE",
        ):
            self._query(statement, port=port, password=password, database=DATABASE)

    @contextmanager
    def _sole_use(self) -> Iterator[int]:
        """Lock the data folder, for as long as any process lives that was given the handle.

        The servers inherit the handle, and with it the lock. Another container on the same folder
        sees neither our pids nor our shared memory, but it does meet this lock.
        """
        handle = os.open(self.paths.postgres / "in-use", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not self.account.is_current:
                os.fchown(handle, self.account.uid, self.account.gid)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield handle
        except BlockingIOError as error:
            raise ServerStartError(
                f"{self.paths.data} is in use by a PostgreSQL that cannot be seen from here",
                hint="stop it where it runs (another container?), or use a folder of your own:"
                " FORECARE_RUNTIME_DIR",
            ) from error
        finally:
            os.close(handle)

    def _query(self, statement: str, *, port: int, password: str, database: str) -> str:
        where = ["-h", LOOPBACK, "-p", str(port), "-U", USER, "-d", database]
        quiet = ["-X", "-q", "-t", "-A", "-w", "-v", "ON_ERROR_STOP=1"]
        secret = {"PGPASSWORD": password, "PGOPTIONS": "-c client_min_messages=error"}
        result = self._run("psql", *quiet, *where, "-c", statement, extra=secret)
        if result.returncode:
            self._raise_start_error("the new database cannot be prepared", result.stderr)
        return result.stdout.strip()

    def _sweep(self, draft: Path) -> None:
        """Remove a draft, after the initdb that an interrupted command left at work in it."""
        for command in ("initdb", "postgres"):
            orphans = OwnProcesses(folder=draft, command=command, account=self.account)
            for pid in orphans.pids():
                orphans.stop(pid, _ORPHAN_STEPS[-1:])
        shutil.rmtree(draft, ignore_errors=True)

    def _initdb(self, draft: Path, *, password: str) -> CompletedProcess[str]:
        secret = self.paths.postgres / "password"
        secret.unlink(missing_ok=True)
        handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                if not self.account.is_current:
                    os.fchown(file.fileno(), self.account.uid, self.account.gid)
                file.write(password)
            options = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            options += ["--encoding=UTF8", "--data-checksums", "--auth=scram-sha-256"]
            options += [f"--pwfile={secret}", "--no-instructions", "-U", USER, "-D", str(draft)]
            return self._run("initdb", *options, cwd=draft)
        finally:
            secret.unlink(missing_ok=True)

    def _configure(self, *, port: int) -> None:
        file = self.paths.data / _CONFIG_NAME
        file.unlink(missing_ok=True)
        file.write_text(_CONFIG.format(host=LOOPBACK, port=port, zone=self._zone()))
        file.chmod(0o644)

    def _zone(self) -> str:
        ours = has_own_time_zones(self.paths.software)
        zone = self.paths.postgres / "zoneinfo/UTC" if ours else _HOST_ZONE
        return "UTC" if zone.exists() else "GMT"  # GMT is the one that needs no file

    def _link_time_zones(self) -> None:
        """Keep ../zoneinfo of the data folder, where the patched server looks (unpack.py)."""
        link = self.paths.postgres / "zoneinfo"
        zones = self.paths.software / "usr/share/zoneinfo"
        if link.is_symlink() and link.readlink() == zones:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(zones)

    def _run(
        self,
        program: str,
        *words: str | Path,
        cwd: Path | None = None,
        input_text: str | None = None,
        extra: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> CompletedProcess[str]:
        folder = self.paths.software / f"usr/lib/postgresql/{POSTGRES_MAJOR}/bin"
        environment = {"PATH": f"{folder}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        try:
            return self.account.run(
                [folder / program, *words],
                # The data folder: the patched server finds the time zones relative to it.
                cwd=cwd or self.paths.data,
                environment={**environment, **(extra or {})},
                input_text=input_text,
                pass_fds=pass_fds,
            )
        except PermissionError as error:
            raise BrokenInstallError(
                f"{self.account.name} may not run {folder / program}",
                hint="let others enter the folders above it, or choose another place with"
                " FORECARE_RUNTIME_DIR; a disk mounted noexec cannot be used",
            ) from error

    def _raise_start_error(self, what: str, told: str) -> None:
        if tells_full_disk(told):
            raise full_disk(self.paths.data, purpose=what)
        raise ServerStartError(
            f"{what}: {told.strip()[-1500:]}",
            hint=f"the log is {self.paths.postgres_log}; `forecare runtime doctor` looks further",
        )


def with_password(state: State) -> State:
    """Draw a password; save the result before anything is made with it."""
    return replace(state, password=secrets.token_urlsafe(24))


def database_url(state: State) -> str:
    return f"postgresql://{USER}:{state.password}@{LOOPBACK}:{state.postgres_port}/{DATABASE}"


def _password_sql(password: str) -> str:
    assert "'" not in password  # token_urlsafe has letters, digits, - and _
    return f"ALTER ROLE {USER} PASSWORD '{password}';\n"
