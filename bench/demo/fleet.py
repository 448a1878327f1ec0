"""The simulated fleet as a child process: starts it, reads its progress, reads its record at the end."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bench.demo.count import Failure
from core.errors import PermanentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to simulate, and where its people and devices find the line."""

    devices: int
    days: int
    seed: int
    api_url: str
    inbox: Path
    state: Path
    email: str
    password: str
    is_live: bool
    ahead: int
    """Failures more that begin in the history and lie ahead of its end."""
    firmware_key: Path
    """Public key with which the devices check firmware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The simulator's own record of what it broke and of what was confirmed to its devices."""

    failures: tuple[Failure, ...]
    confirmed_by_device: dict[str, int]


@dataclass(slots=True)
class Fleet:
    """The running simulator. A simulator that dies is started again and goes on from its own state."""

    order: Order
    log_file: Path
    lines: SimpleQueue[dict[str, Any]] = field(default_factory=SimpleQueue)
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            command_of(self.order),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log_file.open("ab"),
            env={**os.environ, "SIMULATE_PASSWORD": self.order.password},
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=[self._process], daemon=True).start()

    def poll(self) -> int | None:
        return self._process.poll() if self._process else None

    def revive(self) -> None:
        """Start it again after it was killed; its spool and its plan are on disk."""
        self.restarts += 1
        self.start()

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def news(self) -> list[dict[str, Any]]:
        """Return the progress lines since the last call."""
        found: list[dict[str, Any]] = []
        while True:
            try:
                found.append(self.lines.get_nowait())
            except Empty:
                return found

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            try:
                self.lines.put(json.loads(raw))
            except ValueError:
                continue


def read_truth(state: Path) -> Truth:
    """Read the simulator's record.

    Raises
    ------
    PermanentError
        If the simulator has left none.
    """
    file = state / "truth.json"
    if not file.exists():
        raise PermanentError(f"the simulator left no record at {file}", hint="see its log")
    record = json.loads(file.read_text(encoding="utf-8"))
    failures = tuple(
        Failure(
            device=item["device"],
            failure_mode=item["failure_mode"],
            onset_at=datetime.fromisoformat(item["onset_at"]),
            fails_at=datetime.fromisoformat(item["fails_at"]),
            is_ahead=item["is_ahead"],
        )
        for item in record["failures"]
    )
    return Truth(
        failures=failures,
        confirmed_by_device={
            device: count["confirmed"] for device, count in record["samples"].items()
        },
    )


def command_of(order: Order) -> list[str]:
    command = [sys.executable, "-m", "core.cli", "simulate", "--progress", "json"]
    command += [
        "--devices",
        str(order.devices),
        "--days",
        str(order.days),
        "--seed",
        str(order.seed),
        "--ahead",
        str(order.ahead),
    ]
    command += ["--api", order.api_url, "--email", order.email]
    command += ["--state", str(order.state), "--inbox", str(order.inbox)]
    command += ["--firmware-key", str(order.firmware_key)]
    return command + (["--live"] if order.is_live else [])
