"""Runs every peer, and Forecare, under the same generator; kills each half-way to see what it loses."""

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from rich.console import Console

from bench.ingest.driver import Driver, Ran
from bench.ingest.figures import rate_of, ratio
from bench.ingest.instance import Instance, forget_part, keep_session, peer_user
from bench.ingest.measure import Batch, Timeline
from bench.ingest.peers.recipes import (
    Access,
    NoPeerError,
    Peer,
    forget_state,
    install,
    peers,
)
from bench.ingest.processes import tree_pids
from bench.ingest.records import Run
from bench.ingest.rows import queries
from bench.ingest.shapes import DEVICES, SHAPES, device_names
from core.clock import monotonic_s, pause
from core.endpoints import database_url, mqtt_endpoint

SHAPE = SHAPES[0]
_POLL_S = 0.5
_WARM_UP = 0.25
_PATIENCE_S = 20.0
_SETTLED_S = 8.0
"""Without a new row for so long after a restart, nothing more will come."""
_OURS = "Forecare"
_OUR_MESSAGES, _OUR_AHEAD = 400_000, 80_000
_KILL_SHARE = 0.3
_COUNTER = struct.Struct("<q")
_PEER_TABLE = sql.Identifier("peer_samples")


@dataclass(slots=True, kw_only=True)
class _Runner:
    """Something that consumes the telemetry and can be killed."""

    name: str
    version: str
    form: Literal["native", "flat"]
    messages: int
    ahead_max: int
    table: sql.Identifier
    start: Callable[[], contextlib.AbstractContextManager[Sequence[int]]]


def compare(  # noqa: PLR0913 - what a comparison needs, by keyword
    instance: Instance,
    driver: Driver,
    timeline: Timeline,
    *,
    cache: Path,
    names: Sequence[str],
    console: Console,
) -> list[dict[str, Any]]:
    """Measure Forecare and the peers; a peer that cannot run is reported with its reason."""
    cache.mkdir(parents=True, exist_ok=True)
    comparison = _Comparison(instance, driver, timeline, console)
    found = [comparison.row(_forecare(instance))]
    forget_part(instance, 0)
    for peer in peers(cache):
        if names and not any(name.lower() in peer.name.lower() for name in names):
            continue
        forget_state(cache)
        try:
            versions = install(cache, node=peer.library == "node-red")
            runner = _peer_runner(instance, peer, cache, versions)
            found.append(comparison.row(runner))
        except NoPeerError as error:
            console.print(f"{peer.name}: {error}", highlight=False, markup=False)
            found.append({"name": peer.name, "version": "", "reason": str(error)})
    ours = found[0]["messages_per_s"]
    return [{**row, "forecare_ratio": ratio(ours, row.get("messages_per_s") or 0)} for row in found]


class _Comparison:
    def __init__(
        self, instance: Instance, driver: Driver, timeline: Timeline, console: Console
    ) -> None:
        self._instance = instance
        self._driver = driver
        self._timeline = timeline
        self._console = console

    def row(self, runner: _Runner) -> dict[str, Any]:
        """Measure one: first its rate, then what a kill costs."""
        with self._console.status(runner.name):
            ran = self._rate(runner)
            acknowledged, lost = self._kill(runner)
        measured = ran.sent.measured or ran.sent.done or 1
        row = {
            "name": runner.name,
            "version": runner.version,
            "messages_per_s": round(rate_of(ran.sent)),
            "cpu_us_per_message": round(1e6 * ran.cost.cpu_s["ingest"] / measured, 1),
            "rss_mib_max": round(ran.cost.rss_bytes_max / 2**20, 1),
            "messages": ran.sent.done,
            "acknowledged_when_killed": acknowledged,
            "lost_when_killed": lost,
            "reason": "",
        }
        self._console.print(
            f"{runner.name}: {row['messages_per_s']:,} messages/s, killed half-way it lost"
            f" {lost:,} of {acknowledged:,}",
            highlight=False,
        )
        return row

    def _rate(self, runner: _Runner) -> Ran:
        batch = self._build(runner)
        with runner.start() as pids, self._counting(runner, batch):
            return self._driver.run(self._order(runner), receivers=pids)

    def _kill(self, runner: _Runner) -> tuple[int, int]:
        """Kill it with SIGKILL when a part is stored, start it again, wait until nothing more comes."""
        batch = self._build(runner)
        order = self._order(runner)
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(contextlib.ExitStack())
            pids = process.enter_context(runner.start())
            stack.enter_context(self._counting(runner, batch))
            is_over = threading.Event()

            def strike() -> None:
                enough = batch.build.messages * _KILL_SHARE
                while _count(self._instance, runner, batch) < enough:
                    if is_over.wait(0.05):
                        return
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.close()
                process.enter_context(runner.start())
                is_over.wait()  # a child ends with the thread that has started it

            thread = threading.Thread(target=strike, daemon=True)
            thread.start()
            try:
                sent = self._driver.run(order, receivers=()).sent
                self._settle(runner, batch)
            finally:
                is_over.set()
            thread.join(timeout=_PATIENCE_S)
        stored = _count(self._instance, runner, batch, is_distinct=True)
        return sent.acknowledged, max(0, sent.acknowledged - stored)

    def _settle(self, runner: _Runner, batch: Batch) -> None:
        before, since_s = -1, monotonic_s()
        while monotonic_s() - since_s < _SETTLED_S:
            now = _count(self._instance, runner, batch)
            if now != before:
                before, since_s = now, monotonic_s()
            pause(_POLL_S)

    def _build(self, runner: _Runner) -> Batch:
        batch = self._timeline.batch(
            SHAPE,
            runner.messages // DEVICES * DEVICES,
            devices=device_names(SHAPE.product),
            form=runner.form,
        )
        self._driver.build(batch.build)
        return batch

    def _order(self, runner: _Runner) -> Run:
        return Run(
            follow="counter",
            ahead_max=runner.ahead_max,
            warm_up=_WARM_UP,
            patience_s=_PATIENCE_S,
        )

    @contextlib.contextmanager
    def _counting(self, runner: _Runner, batch: Batch) -> Iterator[None]:
        """Count the rows in the table now and then, and let the generator know."""
        stop = threading.Event()
        self._instance.counter.write_bytes(bytes(8))

        def count() -> None:
            with self._instance.counter.open("r+b", buffering=0) as file:
                while not stop.wait(_POLL_S):
                    file.seek(0)
                    file.write(_COUNTER.pack(_count(self._instance, runner, batch)))

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _count(instance: Instance, runner: _Runner, batch: Batch, *, is_distinct: bool = False) -> int:
    is_ours = runner.name == _OURS
    name = "peers_count_ours" if is_ours else "peers_count"
    text = sql.SQL(queries[f"{name}_distinct" if is_distinct and not is_ours else name])
    span = {"from_ms": batch.build.first_ms, "until_ms": batch.until_ms}
    with instance.pool.connection() as connection:
        row = connection.execute(text.format(table=runner.table), span).fetchone()
    assert row is not None
    return int(row[0])


def _forecare(instance: Instance) -> _Runner:
    return _Runner(
        name=_OURS,
        version="",
        form="native",
        messages=_OUR_MESSAGES,
        ahead_max=_OUR_AHEAD,
        table=sql.Identifier("telemetry", SHAPE.product),
        start=instance.ingesting,
    )


def _peer_runner(
    instance: Instance, peer: Peer, cache: Path, versions: Mapping[str, str]
) -> _Runner:
    endpoint = mqtt_endpoint(instance.settings, peer_user())
    access = Access(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password,
        database_url=database_url(instance.settings),
    )
    keep_session(instance)
    with psycopg.connect(access.database_url) as connection:
        for query in ("peers_drop", "peers_table", "peers_hypertable"):
            connection.execute(queries[query])
    command = peer.command(cache, access)
    environment = {**os.environ, **access.environment(), **peer.environment}
    log = cache / "peer.log"

    @contextlib.contextmanager
    def start() -> Iterator[Sequence[int]]:
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command,
                cwd=cache,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        pause(1.0)
        if process.poll() is not None:
            raise NoPeerError(f"it ended at once with code {process.returncode}: see {log}")
        try:
            yield tree_pids(process.pid)
        finally:
            for pid in reversed(tree_pids(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    return _Runner(
        name=peer.name,
        version=f"{peer.library} {versions[peer.library]}",
        form="flat",
        messages=peer.messages,
        ahead_max=peer.ahead_max,
        table=_PEER_TABLE,
        start=start,
    )
