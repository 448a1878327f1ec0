"""A broker that lets everybody in (a device's rights are tested elsewhere), and the small platform."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.runtime import service as runtime
from tests.integration.firmware_sim.platform import Platform, Storer


@dataclass
class OpenBroker:
    """A real Mosquitto of the test's own, which the test may stop and start again."""

    program: Path
    config: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("Mosquitto did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def open_broker(tmp_path: Path, runtime_paths: runtime.RuntimePaths) -> Iterator[OpenBroker]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        "persistence false\nset_tcp_nodelay true\n"
    )
    config.chmod(0o644)
    broker = OpenBroker(
        program=runtime_paths.software / "usr/sbin/mosquitto", config=config, port=port
    )
    broker.start()
    yield broker
    if broker.process is not None:
        broker.kill()


@pytest.fixture
def storer(open_broker: OpenBroker) -> Iterator[Storer]:
    storer = Storer(host="127.0.0.1", port=open_broker.port)
    yield storer
    storer.close()


@pytest.fixture
def platform(storer: Storer, open_broker: OpenBroker, tmp_path: Path) -> Iterator[Platform]:
    inbox = tmp_path / "inbox"
    for folder in ("new", "cur", "tmp"):
        (inbox / folder).mkdir(parents=True)
    platform = Platform(storer=storer, inbox=inbox, mqtt_url=f"mqtt://127.0.0.1:{open_broker.port}")
    platform.start()
    yield platform
    platform.stop()
