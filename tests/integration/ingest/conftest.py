"""An ingest process as it runs in earnest, and devices that talk to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.clock import wall_now
from core.endpoints import mqtt_endpoint
from core.pool import Pool
from core.settings import Settings, variable_of
from gateway import service
from gateway.broker import SPARKPLUG_USER, ingest_user, sync_broker
from gateway.records import DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device
from tests.integration.gateway.sheets import SMALL

NOW_MS = 60_000 * (int(wall_now().timestamp()) // 60)
"""The start of this minute: samples of the tests lie before it."""


@dataclass
class Ingest:
    """Starts and kills ingest processes."""

    settings: Settings
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, failpoint: str = "", shards: str = "0/1") -> subprocess.Popen[bytes]:
        return self.start_command("ingest", "run", failpoint=failpoint, shards=shards)

    def start_command(
        self, *arguments: str, failpoint: str = "", shards: str = "0/1"
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", *arguments],
            env=self.environment(failpoint=failpoint, shards=shards),
        )
        self.processes.append(process)
        return process

    def run_command(self, *arguments: str) -> str:
        """Run a command that must succeed; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "core.cli", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def environment(self, *, failpoint: str = "", shards: str = "0/1") -> dict[str, str]:
        given = {
            "runtime_dir": self.settings.runtime_dir,
            "database_url": self.settings.database_url,
            "mqtt_url": self.settings.mqtt_url,
            "broker_dir": self.settings.broker_dir,
            "ingest_shards": shards,
            "failpoint": failpoint,
        }
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FORECARE_")}
        return environment | {variable_of(name): value for name, value in given.items() if value}

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=60)


@pytest.fixture
def ingest(runtime_settings: Settings) -> Iterator[Ingest]:
    for part in range(2):
        forget_session(runtime_settings, ingest_user(part))
    forget_session(runtime_settings, SPARKPLUG_USER)
    ingest = Ingest(runtime_settings)
    yield ingest
    for process in ingest.processes:
        process.kill()
        process.wait()


def forget_session(settings: Settings, user: str) -> None:
    """End the session that an earlier test has left in the broker."""
    endpoint = mqtt_endpoint(settings, user)
    with Device(endpoint.host, endpoint.port, endpoint.user, endpoint.password):
        pass


@pytest.fixture
def kettles(pool: Pool, runtime_settings: Settings, broker: object) -> Sequence[DeviceCredential]:
    """Two devices of one product that may connect."""
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"kettle-{i}", serial=f"K{i}") for i in range(2)]
    credentials = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    sync_broker(pool, runtime_settings)
    return credentials


@pytest.fixture
def rows(pool: Pool) -> Callable[..., list[Any]]:
    def run(query: str, *values: Any) -> list[Any]:
        with pool.connection() as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[call-overload]

    return run


def until(found: Callable[[], bool], *, what: str, timeout_s: float = 120) -> None:
    """Wait for something that another process does."""
    ends_s = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < ends_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def message(seq: int, *, boot: int = 1, samples: int = 1, **more: Any) -> dict[str, Any]:
    """A message of one device: sample i of message n lies i minutes after n hours."""
    start = NOW_MS - 30 * 24 * 3_600_000 + seq * 3_600_000
    return {
        "boot": boot,
        "seq": seq,
        "samples": [
            [start + i * 60_000, {"water_c": 20.5 + seq % 50, "power_w": i}] for i in range(samples)
        ],
        **more,
    }
