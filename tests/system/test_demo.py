"""The demo without a person, with everything killed in the middle: nothing lost, nothing twice."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from queue import Empty, Queue

import pytest

from bench.demo.count import Failure, Opened, judge
from bench.demo.fleet import read_truth
from bench.demo.store import read_tickets, read_tickets_open_twice
from core.pool import Connection, connect
from core.runtime import service as runtime
from core.runtime.hooks import broker_files_hook
from core.settings import PROJECT_ROOT
from tests.system.processes import kill, kill_with_children, stage_pids

_DAYS = 30
_DAY = re.compile(r"simulated day\s+([\d.]+)")
_COMMAND = ["make", "demo", f"ARGS=--once --json --devices 12 --days {_DAYS} --seed 11"]


class _Demo:
    """A running `make demo`, with its lines as they come."""

    def __init__(self, log: Path) -> None:
        self.process = subprocess.Popen(
            _COMMAND,
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As from a person's terminal: a make within a make says where it is, on standard output.
            env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))},
        )
        self.lines: Queue[str] = Queue()
        self._log = log
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for_day(self, day: float, *, seconds: float = 240) -> None:
        while True:
            try:
                line = self.lines.get(timeout=seconds)
            except Empty:
                pytest.fail(f"no news before day {day}:\n{self.said()}")
            found = _DAY.search(line)
            if found and float(found[1]) >= day:
                return

    def said(self) -> str:
        return self._log.read_text()[-3000:]

    def finish(self) -> str:
        assert self.process.stdout is not None
        output = self.process.stdout.read()
        self.process.wait(timeout=120)
        self._thread.join()
        self.process.stdout.close()
        return output

    def stop(self) -> None:
        """End it, if it still runs because a test has failed; it stops all that it started."""
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.process.terminate()
            self.finish()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self._log.open("w") as log:
            for line in self.process.stderr:
                log.write(line)
                log.flush()
                self.lines.put(line)
        self.process.stderr.close()


@pytest.fixture
def paths(runtime_paths: runtime.RuntimePaths) -> runtime.RuntimePaths:
    return runtime_paths.instance("demo-once")


@pytest.fixture
def demo(paths: runtime.RuntimePaths, tmp_path: Path) -> Iterator[_Demo]:
    demo = _Demo(tmp_path / "demo.log")
    yield demo
    demo.stop()
    runtime.down(paths)


@pytest.mark.begins_early
@pytest.mark.timeout(600)
def test_kills_in_the_middle_lose_nothing_and_open_no_second_ticket(
    demo: _Demo, paths: runtime.RuntimePaths
) -> None:
    demo.wait_for_day(10)
    _kill_stage("ingest run", paths)
    demo.wait_for_day(12)
    _kill_stage("gateway run", paths)
    demo.wait_for_day(13)
    broker = runtime.status(paths).mosquitto.pid
    assert broker is not None
    kill(broker)
    demo.wait_for_day(16)
    postgres = runtime.status(paths).postgres.pid
    assert postgres is not None
    kill_with_children(postgres)
    demo.wait_for_day(19)
    _kill_stage("anomaly run", paths)
    _kill_stage("maintenance run", paths)
    demo.wait_for_day(22)
    _kill_stage("maintenance notify", paths)
    output = demo.finish()

    assert demo.process.returncode == 0, demo.said()
    counts = json.loads(output.splitlines()[-1])
    assert counts["lost"] == 0
    assert counts["samples_stored"] > 12 * _DAYS * 1440 * 0.9
    assert counts["tickets"] >= 1
    assert counts["notifications_sent"] >= counts["tickets"]
    assert counts["campaigns_stopped"] == 1  # the image that no device can install
    assert 1 <= counts["campaign_installed"] <= counts["campaign_devices"]
    _assert_one_ticket_per_fault(paths)


def _kill_stage(words: str, paths: runtime.RuntimePaths) -> None:
    pids = stage_pids(words, runtime_dir=paths.root)
    assert pids, f"no process runs {words!r}"
    for pid in pids:
        kill(pid)


def _assert_one_ticket_per_fault(paths: runtime.RuntimePaths) -> None:
    endpoints = runtime.up(paths, broker_files=broker_files_hook())
    with connect(endpoints.database_url, name="test") as connection:
        tickets = read_tickets(connection)
        assert read_tickets_open_twice(connection) == 0
        early = _closed_without_a_fault(connection)
    # A visit that came too early and found nothing leaves the fault to a ticket of its own.
    kept = [t for t in tickets if (t.device, t.failure_mode, t.opened_at) not in early]
    for failure in read_truth(paths.root / "fleet").failures:
        assert len([t for t in kept if _belongs(t, failure)]) <= 1, failure
    assert len(early) <= 2


def _closed_without_a_fault(connection: Connection) -> set[tuple[str, str, datetime]]:
    rows = connection.execute(
        "select d.name, t.failure_mode, t.opened_at from maintenance.ticket t"
        " join gateway.device d on d.id = t.device_id where t.close_reason = 'no_fault_found'"
    )
    return {(row[0], row[1], row[2]) for row in rows}


def _belongs(ticket: Opened, failure: Failure) -> bool:
    return judge([failure], [ticket]).false_tickets == 0
