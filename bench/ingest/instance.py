"""An installation of the bench's own: database, broker, gateway and ingest, wiped at its start."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench.ingest.link import Access, connect, connect_lasting
from bench.ingest.records import Setup
from bench.ingest.shapes import device_names, sheet_toml
from core.clock import monotonic_s, pause, wall_now
from core.endpoints import broker_dir, database_url, mqtt_endpoint, runtime_paths, service_password
from core.errors import RetryableError
from core.line import forget_data, handed_on, only_runner, start_servers
from core.pool import Pool, make_pool
from core.runtime import service as runtime
from core.runtime.progress import console_progress
from core.settings import Settings
from core.supervisor import Supervisor, forecare
from gateway import service as gateway
from gateway.broker import ingest_user, let_user_in, sync_broker
from gateway.passwords import hash_password
from gateway.records import BrokerUser, DeviceDraft

LINKS = 8
"""Connections over which the generator publishes; one more hears the answers."""
_TOPICS = ("write fc/+/+/telemetry", "write fc/+/+/birth", "read fc/+/+/stored")
_READY_S = 30.0
_CONNECTED = '"event":"broker.connected"'
_REGISTER_AT_ONCE = 5000


class BenchProcessError(RetryableError):
    """A process of the bench did not come up."""


@dataclass(slots=True, kw_only=True)
class Instance:
    """A running installation, without ingest until `ingesting`."""

    settings: Settings
    pool: Pool
    servers: runtime.Endpoints
    gateway_pid: int
    registered: int = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """What a child process needs to find this installation, whatever the caller's own is."""
        return _environment(self.settings)

    @property
    def counter(self) -> Path:
        return self.settings.runtime_path / "bench-counter"

    def setup(self) -> Setup:
        """Return what the load generator needs to connect."""
        endpoint = mqtt_endpoint(self.settings, _user(0))
        self.counter.write_bytes(bytes(8))
        return Setup(
            host=endpoint.host,
            port=endpoint.port,
            users=tuple(
                (_user(i), service_password(self.settings, _user(i))) for i in range(LINKS + 1)
            ),
            counter=str(self.counter),
        )

    def register(self, product: str, *, metrics: int, devices: int, known: int = 0) -> None:
        """Register a product, and its devices beyond those that are known already."""
        gateway.register_product(
            self.pool,
            toml_text=sheet_toml(product, metrics),
            source=f"{product}.toml",
            now=wall_now(),
        )
        names = device_names(product, devices)[known:]
        for start in range(0, len(names), _REGISTER_AT_ONCE):
            some = names[start : start + _REGISTER_AT_ONCE]
            drafts = [DeviceDraft(name=name, serial=name) for name in some]
            gateway.add_devices(self.pool, product=product, drafts=drafts, now=wall_now())
            self.registered += len(some)
        sync_broker(self.pool, self.settings)

    @contextlib.contextmanager
    def ingesting(self, *, parts: int = 1) -> Iterator[Sequence[int]]:
        """Run ingest, in so many processes; yield their numbers once all have subscribed."""
        folder = self.settings.runtime_path / "log"
        supervisor = Supervisor(folder)
        names = [f"ingest-{part}" for part in range(parts)]
        try:
            for part, name in enumerate(names):
                (folder / f"{name}.log").unlink(missing_ok=True)
                shards = {**self.environment, "FORECARE_INGEST_SHARDS": f"{part}/{parts}"}
                supervisor.start(forecare(name, "ingest", "run", **shards))
            for name in names:
                _await_words(folder / f"{name}.log", _CONNECTED)
            yield tuple(supervisor.pids().values())
        finally:
            supervisor.stop()

    @contextlib.contextmanager
    def bare_subscriber(self) -> Iterator[int]:
        """Run the bare subscriber in ingest's place; yield its number once it has subscribed."""
        self.counter.write_bytes(bytes(8))
        command = [sys.executable, "-m", "bench.ingest.bare", str(self.counter)]
        with child(command, environment=self.environment) as process:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise BenchProcessError("the bare subscriber did not come up")
            yield process.pid


@contextlib.contextmanager
def own_instance(settings: Settings, name: str, *, console: Console) -> Iterator[Instance]:
    """Start an installation from nothing; stop it at the end and remove its data, up to 20 GB. Its
    logs stay."""
    paths = runtime_paths(settings).instance(name)
    own = replace(
        settings,
        runtime_dir=str(paths.root),
        database_url="",
        mqtt_url="",
        broker_dir="",
        secret_key="",
        failpoint="",
    )
    supervisor = Supervisor(own.runtime_path / "log")
    with only_runner(own), handed_on(own):
        os.environ.update(_environment(own))  # `handed_on` puts back what was there
        try:
            forget_data(own)
            _let_generator_in(own)
            start_servers(own, progress=console_progress(console))
            servers = runtime.endpoints(runtime_paths(own))
            assert servers is not None
            pool = make_pool(database_url(own), name="bench", size_max=4)
            try:
                instance = Instance(settings=own, pool=pool, servers=servers, gateway_pid=0)
                program = forecare("gateway", "gateway", "run", **instance.environment)
                supervisor.start(program)
                instance.gateway_pid = supervisor.pids()["gateway"]
                yield instance
            finally:
                pool.close()
        finally:
            supervisor.stop()
            forget_data(own)


def peer_user() -> str:
    """Return the broker user of other software that is compared."""
    return "forecare.bench.peer"


def keep_session(instance: Instance) -> None:
    """Subscribe for a peer before it starts, with a session of its own from nothing: what is
    published while it starts or is down waits for it, as a careful user would have set it up."""
    forget_user(instance, peer_user())
    connect_lasting(_access(instance, peer_user()), "fc/+/+/telemetry")


def forget_part(instance: Instance, part: int) -> None:
    """Let the broker forget the session of an ingest process that exists no more: it would collect
    the messages of its devices for ever."""
    forget_user(instance, ingest_user(part))


def forget_user(instance: Instance, user: str) -> None:
    sock, _ = connect(_access(instance, user))
    sock.close()


def _access(instance: Instance, user: str) -> Access:
    endpoint = mqtt_endpoint(instance.settings, user)
    return Access(
        host=endpoint.host, port=endpoint.port, user=endpoint.user, password=endpoint.password
    )


@contextlib.contextmanager
def child(
    command: Sequence[str], *, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a helper process of the bench with pipes to it; it ends with the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


def _environment(settings: Settings) -> dict[str, str]:
    elsewhere = (
        "DATABASE_URL",
        "MQTT_URL",
        "BROKER_DIR",
        "SECRET_KEY",
        "INGEST_SHARDS",
        "FAILPOINT",
    )
    cleared = {f"FORECARE_{name}": "" for name in elsewhere}
    cleared["FORECARE_INGEST_SHARDS"] = "0/1"
    return cleared | {"FORECARE_RUNTIME_DIR": str(settings.runtime_path)}


def _let_generator_in(settings: Settings) -> None:
    """Only this installation's broker knows the generator, who may speak for every device."""
    folder = broker_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    users: dict[str, Sequence[str]] = {_user(number): _TOPICS for number in range(LINKS + 1)}
    users[peer_user()] = ("read fc/+/+/telemetry",)
    for name, topics in users.items():
        password_hash = hash_password(service_password(settings, name))
        let_user_in(folder, BrokerUser(name=name, password_hash=password_hash), topics=topics)


def _user(number: int) -> str:
    return f"forecare.bench.{number}"


def _await_words(log: Path, words: str) -> None:
    deadline_s = monotonic_s() + _READY_S
    while monotonic_s() < deadline_s:
        with contextlib.suppress(FileNotFoundError):
            if words in log.read_text(errors="replace"):
                return
        pause(0.02)
    raise BenchProcessError(
        f"{log.stem} did not subscribe within {_READY_S:.0f} s", hint=f"its log is {log}"
    )
