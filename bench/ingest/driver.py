"""Drives the load generator, and watches what the processes cost meanwhile."""

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bench.ingest.instance import BenchProcessError, Instance, child
from bench.ingest.processes import cpu_s, rss_bytes, tree_cpu_s
from bench.ingest.records import Answer, Birth, Build, Event, Order, Run, Sent
from core.clock import monotonic_s

_SAMPLE_S = 0.1
_BUILD_S_MAX = 300.0
_READ_BYTES = 1 << 16
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run took of the machine, in its measured part."""

    seconds: float
    cpu_s: Mapping[str, float]
    """By role: ingest (or who receives in its place), broker, database, gateway, generator."""
    rss_bytes_max: int
    """Of the receiving processes together, over the whole run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    sent: Sent
    cost: Cost


class Driver:
    """Talks to one load generator. Not for use by two threads."""

    def __init__(self, instance: Instance, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._instance = instance
        self._process = process
        self._in = process.stdin
        self._out = process.stdout.fileno()
        self._read = b""

    def build(self, order: Build) -> None:
        self._tell(order)
        self._await("built")

    def let_all_be_born(self) -> None:
        self._tell(Birth())
        self._await("born")

    def run(self, order: Run, *, receivers: Sequence[int]) -> Ran:
        """Let the generator send what it has built.

        Parameters
        ----------
        order : Run
        receivers : sequence of int
            Processes that receive: their time and memory are watched.
        """
        self._tell(order)
        started_s = monotonic_s()
        before, since_s = self._cpu(receivers), started_s
        after, until_s = before, started_s
        memory = 0
        while True:
            memory = max(memory, sum(rss_bytes(pid) for pid in receivers))
            answer = self._listen(_SAMPLE_S)
            if answer is None:
                continue
            if isinstance(answer, Sent):
                break
            if answer.name == "warm":
                before, since_s = self._cpu(receivers), monotonic_s()
            elif answer.name == "sent":
                after, until_s = self._cpu(receivers), monotonic_s()
        if until_s <= since_s:
            after, until_s = self._cpu(receivers), monotonic_s()
        used = {role: after[role] - before[role] for role in before}
        cost = Cost(seconds=until_s - since_s, cpu_s=used, rss_bytes_max=memory)
        return Ran(sent=answer, cost=cost)

    def _cpu(self, receivers: Sequence[int]) -> dict[str, float]:
        servers = self._instance.servers
        return {
            "ingest": sum(cpu_s(pid) for pid in receivers),
            "broker": cpu_s(servers.mosquitto_pid or 0),
            "database": tree_cpu_s(servers.postgres_pid or 0),
            "gateway": cpu_s(self._instance.gateway_pid),
            "generator": cpu_s(self._process.pid),
        }

    def _tell(self, order: Order | msgspec.Struct) -> None:
        self._in.write(_encoder.encode(order) + b"\n")
        self._in.flush()

    def _await(self, name: str) -> None:
        deadline_s = monotonic_s() + _BUILD_S_MAX
        answer = None
        while answer is None and monotonic_s() < deadline_s:
            answer = self._listen(_SAMPLE_S)
        if not isinstance(answer, Event) or answer.name != name:
            raise BenchProcessError(f"the load generator did not say {name!r}: {answer}")

    def _listen(self, timeout_s: float) -> Answer | None:
        if b"\n" not in self._read:
            readable, _, _ = select.select([self._out], [], [], timeout_s)
            if not readable:
                return None
            read = os.read(self._out, _READ_BYTES)
            if not read:
                raise BenchProcessError(
                    f"the load generator ended with code {self._process.wait()}",
                    hint="its message stands above",
                )
            self._read += read
        line, newline, rest = self._read.partition(b"\n")
        if not newline:
            return None
        self._read = rest
        return _decoder.decode(line)


@contextlib.contextmanager
def generator(instance: Instance) -> Iterator[Driver]:
    """Run a load generator against an installation."""
    command = [sys.executable, "-m", "bench.ingest.generator"]
    setup = instance.setup()
    with child(command, environment=instance.environment) as process:
        driver = Driver(instance, process)
        driver._tell(setup)  # noqa: SLF001 - the first line is no order
        driver._await("ready")  # noqa: SLF001
        yield driver
