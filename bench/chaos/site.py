"""The installation that is broken: its servers, its stages, and the proxies between them.

An instance of its own beside the person's; everything on it is removed at the start.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGSTOP
from urllib.parse import urlsplit

from bench.chaos.disk import SmallDisk
from bench.chaos.inflight import InFlightWatch
from bench.chaos.proxy import Proxy
from core.clock import monotonic_s
from core.endpoints import database_url, mqtt_url, runtime_paths
from core.line import forget_data, handed_on, only_runner, start_servers, stop_servers
from core.runtime import service as runtime
from core.runtime.hooks import broker_files_hook
from core.runtime.mosquitto import Mosquitto
from core.runtime.postgres import Postgres
from core.runtime.processes import wait_until_gone
from core.runtime.progress import Progress
from core.settings import Settings
from core.supervisor import Program, Supervisor, forecare

INSTANCE = "chaos"
_STABLE_AFTER_S = 1.0
"""Killed again and again it was not ingest's own doing: it is started at once."""
_GONE_S = 10.0
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A stage that has ended."""

    stage: str
    at_s: float
    code: int | None


class Site:
    """Servers, stages and proxies of one run. `tick` keeps the stages alive."""

    def __init__(self, settings: Settings, *, supervisor: Supervisor, rng: Random) -> None:
        self.settings = settings
        self.paths = runtime_paths(settings)
        self.supervisor = supervisor
        self.database_url = database_url(settings)
        self.mqtt_url = mqtt_url(settings)
        self.watch = InFlightWatch()
        self.database_proxy = Proxy(_port(self.database_url), rng=rng)
        self.broker_proxy = Proxy(_port(self.mqtt_url), rng=rng, observer=self.watch)
        self.deaths: list[Death] = []
        self.expected_kills = 0
        """Deaths of ingest that we have brought about."""
        self.ingest_rss_mib_max = 0.0
        self._account = self.paths.account()
        supervisor.on_event = self._on_event

    @property
    def ingest_pid(self) -> int | None:
        return self.supervisor.pids().get("ingest")

    def start_stages(self) -> None:
        own = {"FORECARE_DATABASE_URL": self.database_url, "FORECARE_MQTT_URL": self.mqtt_url}
        self.supervisor.start(forecare("gateway", "gateway", "run", **own))
        self.supervisor.start(self._ingest())

    def tick(self) -> None:
        self.supervisor.watch()
        pid = self.ingest_pid
        if pid is not None:
            self.ingest_rss_mib_max = max(self.ingest_rss_mib_max, _rss_mib_max(pid))

    def stop(self) -> None:
        self.supervisor.stop()
        self.database_proxy.stop()
        self.broker_proxy.stop()

    def kill_ingest(self) -> bool:
        """Kill ingest; tell whether there was one."""
        pid = self.ingest_pid
        if pid is None:
            return False
        self.expected_kills += 1
        os.kill(pid, SIGKILL)
        return True

    def arm_ingest(self, failpoint: str) -> None:
        """Let ingest die at a fail point from its next start on; an empty text: not any more."""
        self.supervisor.replace(self._ingest(failpoint))

    def kill_broker(self, *, with_data: bool) -> bool:
        """Kill the broker, and remove what it has saved; tell whether there was one."""
        broker = Mosquitto(paths=self.paths, account=self._account)
        pid = broker.pid()
        if pid is None:
            return False
        broker.processes.signal(pid, SIGKILL)
        wait_until_gone(pid, _GONE_S)
        if with_data:
            for file in self.paths.broker.glob("mosquitto.db*"):
                file.unlink()
        return True

    def kill_database(self) -> int:
        """Kill PostgreSQL and all its children; return how many processes that were."""
        postgres = Postgres(paths=self.paths, account=self._account)
        processes, postmaster = postgres.processes, postgres.pid()
        if postmaster is None:
            return 0
        # Stopped, it cannot tell its children to end in good order, and they do not miss it.
        processes.signal(postmaster, SIGSTOP)
        killed = 0
        while children := [pid for pid in processes.pids() if pid != postmaster]:
            killed += sum(processes.signal(pid, SIGKILL) for pid in children)
            for pid in children:
                wait_until_gone(pid, _GONE_S)
        killed += processes.signal(postmaster, SIGKILL)
        wait_until_gone(postmaster, _GONE_S)
        return killed

    def is_database_up(self) -> bool:
        return Postgres(paths=self.paths, account=self._account).pid() is not None

    def revive_servers(self) -> float:
        """Start the servers that are down, as the platform does; return when they were up."""
        runtime.up(self.paths, broker_files=broker_files_hook())
        return monotonic_s()

    def _ingest(self, failpoint: str = "") -> Program:
        url = urlsplit(self.database_url)
        through = url._replace(
            netloc=f"{url.netloc.rpartition(':')[0]}:{self.database_proxy.port}"
        ).geturl()
        return forecare(
            "ingest",
            "ingest",
            "run",
            FORECARE_DATABASE_URL=through,
            FORECARE_MQTT_URL=f"mqtt://127.0.0.1:{self.broker_proxy.port}",
            FORECARE_FAILPOINT=failpoint,
            FORECARE_INGEST_SHARDS="0/1",
        )

    def _on_event(self, name: str, event: str) -> None:
        if event == "died":
            code = self.supervisor.exit_code(name)
            self.deaths.append(Death(stage=name, at_s=monotonic_s(), code=code))


@contextlib.contextmanager
def running_site(
    settings: Settings,
    *,
    seed: int,
    wants_small_disk: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> Iterator[tuple[Site, SmallDisk | None, str]]:
    """Bring up an installation of its own, from nothing; stop and remove all of it at the end.

    Yields
    ------
    tuple
        The site, its small disk if there is one, and why there is none.
    """
    root = runtime_paths(settings).instance(INSTANCE).root
    own = replace(
        settings,
        runtime_dir=str(root),
        database_url="",
        mqtt_url="",
        broker_dir="",
        ingest_shards="0/1",
        failpoint="",
    )
    disk = SmallDisk(runtime_paths(own).postgres)
    supervisor = Supervisor(root / "log", stable_after_s=_STABLE_AFTER_S)
    with handed_on(own), only_runner(own), contextlib.ExitStack() as stack:
        _forget(own, disk)
        stack.callback(_forget_disk, own, disk)
        why_not = disk.mount() if wants_small_disk else ""
        say("starting TimescaleDB and Mosquitto, from nothing")
        start_servers(own, progress=progress)
        site = Site(own, supervisor=supervisor, rng=Random(seed))  # noqa: S311 - jitter
        stack.callback(site.stop)
        yield site, (disk if disk.is_mounted else None), why_not


def _forget(settings: Settings, disk: SmallDisk) -> None:
    """Remove what the last run has left, however that ended."""
    if disk.is_mounted:
        disk.relieve()
    forget_data(settings, settings.runtime_path / "log", settings.runtime_path / "load")
    disk.unmount()


def _forget_disk(settings: Settings, disk: SmallDisk) -> None:
    """Stop the servers; the logs stay for who wants to know."""
    if disk.is_mounted:
        disk.relieve()
    stop_servers(settings)
    if disk.is_mounted:
        disk.unmount()
        runtime_paths(settings).state.unlink(missing_ok=True)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _rss_mib_max(pid: int) -> float:
    """Return the most memory that a process has had, MiB; 0 when it is gone."""
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0
    peaks = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(next(peaks, "0")) / _KIB_PER_MIB
