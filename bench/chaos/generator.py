"""The process of the devices as the harness sees it: commands in, news out."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import orjson

from bench.chaos.load import Order
from core.errors import PermanentError


@dataclass(slots=True)
class Generator:
    """Started again after a kill it goes on from the ledger."""

    order: Order
    folder: Path
    progress: dict[str, int] = field(default_factory=dict)
    """The newest counts."""
    back_after_s: dict[int, float] = field(default_factory=dict)
    """Seconds from a mark to the confirmation of a message sent after it."""
    carried: Counter[str] = field(default_factory=Counter)
    """Messages sent twice, and sent before an older one, by all processes so far."""
    _process: subprocess.Popen[bytes] | None = None
    _lines: SimpleQueue[dict[str, Any]] = field(default_factory=SimpleQueue)
    _marks: int = 0

    def start(self) -> None:
        file = self.folder / "order.json"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds passwords
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.encode(self.order))
        with (self.folder / "load.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.chaos.load", str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
            )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def kill(self) -> None:
        """Take the power from all devices."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._close()
            self.progress = {}

    def stop(self) -> None:
        if self._process is None:
            return
        self._close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def take_news(self) -> None:
        """Take in what it has said.

        Raises
        ------
        PermanentError
            If it has ended by itself.
        """
        while True:
            try:
                line = self._lines.get_nowait()
            except Empty:
                break
            if line.pop("event") == "back":
                self.back_after_s[line["mark"]] = line["after_s"]
            else:
                for name in ("doubled", "ahead"):
                    self.carried[name] += line[name] - self.progress.get(name, 0)
                self.progress = line
        if self._process is not None and self._process.poll() is not None:
            raise PermanentError(
                f"the load generator ended with code {self._process.returncode}",
                hint=f"see {self.folder / 'load.log'}",
            )

    def mark(self) -> int:
        """Ask when a message that is sent from now on is confirmed."""
        self._marks += 1
        self._say({"do": "mark", "number": self._marks})
        return self._marks

    def storm(self, *, is_on: bool) -> None:
        """Let devices that lose their connection come back at once, or with jitter again."""
        self._say({"do": "storm", "is_on": is_on})

    def quiet(self) -> None:
        """Make no more messages; send on what is not confirmed."""
        self._say({"do": "quiet"})

    def send_escorts(self) -> None:
        """Send all messages that have no number once more."""
        self._say({"do": "escorts"})

    def _say(self, command: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(command) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()
            self.take_news()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if process is self._process:
                    self._lines.put(orjson.loads(line))
