"""One Mosquitto: started with the files that another package writes, reloaded, stopped."""

import os
import resource
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM

from core.runtime.account import Account
from core.runtime.errors import NotRunningError, ServerStartError, ServerStopError
from core.runtime.logs import log_size, log_tail
from core.runtime.paths import RuntimePaths
from core.runtime.ports import answers
from core.runtime.processes import OwnProcesses, StopStep, is_alive


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPorts:
    """Where a broker listens. The two of TLS count only once it has a certificate."""

    mqtt: int
    mqtts: int | None = None
    """TLS, and the client's certificate says who it is."""
    mqtt_tls: int | None = None
    """TLS, and a password says who the client is."""


BrokerFiles = Callable[[Path, BrokerPorts], None]
CONFIG_NAME = "mosquitto.conf"

# Each connection is a file; without this the broker refuses them at 1,024, without a log line.
_OPEN_FILES = 65_536
_START_SECONDS = 10.0
_POLL_SECONDS = 0.02
_STOP_STEPS = (
    StopStep(signal=SIGTERM, wait_seconds=15),  # saves its queues
    StopStep(signal=SIGKILL, wait_seconds=5),
)
# The shell puts the broker into the background and says its pid, so that no parent of ours is
# left to reap it, and the server outlives the command that started it.
_LAUNCH = 'ulimit -S -n "$1"; log=$2; shift 2; "$@" >>"$log" 2>&1 </dev/null & echo $!'


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosquitto:
    """The broker of one instance; its working folder is the broker folder, which tells it ours."""

    paths: RuntimePaths
    account: Account

    @property
    def processes(self) -> OwnProcesses:
        return OwnProcesses(folder=self.paths.broker, command="mosquitto", account=self.account)

    @property
    def config(self) -> Path:
        return self.paths.broker / CONFIG_NAME

    def pid(self) -> int | None:
        """Return the broker's pid if it lives; it needs no pid file to be found."""
        return next(iter(self.processes.pids()), None)

    def start(self, *, port: int) -> bool:
        """Start with the files that lie in the broker folder; False if the port was taken.

        Raises
        ------
        ServerStartError
            If the broker refuses for any other reason; the message ends with its log.
        """
        self.take_over_files()
        log = self.paths.mosquitto_log
        before = log_size(log)
        pid = self._launch()
        deadline = time.monotonic() + _START_SECONDS
        while is_alive(pid) and time.monotonic() < deadline:
            if answers(port) and is_alive(pid):
                return True
            time.sleep(_POLL_SECONDS)
        told = log_tail(log, since=before)
        self.processes.stop(pid, _STOP_STEPS)
        if "Address already in use" in told:
            return False
        raise ServerStartError(
            f"Mosquitto did not start: {told.strip() or 'it does not answer'}",
            hint=f"the log is {log}, the configuration {self.config}",
        )

    def stop(self) -> None:
        """Stop the broker; nothing to stop is fine."""
        for pid in self.processes.pids():
            if not self.processes.stop(pid, _STOP_STEPS):
                raise ServerStopError(f"Mosquitto (process {pid}) does not stop")

    def reload(self) -> None:
        """Let the broker read its files again.

        Raises
        ------
        NotRunningError
            If there is no broker of ours to tell.
        """
        self.take_over_files()
        pid = self.pid()
        if pid is None or not self.processes.signal(pid, SIGHUP):
            raise NotRunningError("the broker is not running", hint="forecare runtime up")

    def take_over_files(self) -> None:
        """Give what root wrote to the broker's account, and hide it from everybody else.

        Mosquitto complains about password files that belong to others. The folder belongs to an
        unprivileged account, so links are not followed.
        """
        for file in self.paths.broker.iterdir():
            with suppress(OSError):
                handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    self._take_over(handle)
                finally:
                    os.close(handle)

    def _take_over(self, handle: int) -> None:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            return
        if os.geteuid() == 0 and facts.st_uid != self.account.uid:
            os.fchown(handle, self.account.uid, self.account.gid)
        wanted = (stat.S_IMODE(facts.st_mode) | 0o600) & ~0o007
        if stat.S_IMODE(facts.st_mode) != wanted:
            os.fchmod(handle, wanted)

    def _launch(self) -> int:
        program = self.paths.software / "usr/sbin/mosquitto"
        limit, wished = _open_files()
        words: list[str | Path] = [
            "sh",
            str(limit),
            self.paths.mosquitto_log,
            program,
            "-c",
            self.config,
        ]
        result = self.account.run(
            ["/bin/sh", "-c", _LAUNCH, *words],
            cwd=self.paths.broker,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        )
        if result.returncode or not result.stdout.strip().isdecimal():
            raise ServerStartError(f"Mosquitto cannot be started: {result.stderr.strip()}")
        pid = int(result.stdout)
        if wished > limit:
            with suppress(OSError, ValueError):  # root alone may lift a hard limit
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (wished, wished))
        return pid


def _open_files() -> tuple[int, int]:
    """Return the limit that anybody may set, and the one that is wished for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    return reachable, _OPEN_FILES if os.geteuid() == 0 else reachable
