"""Measures: the scorer alone, the scorer with its database, and the bare arithmetic of the same arrays."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from psycopg import sql

from anomaly import service, store
from anomaly.binary import Big, Column, Real, copy_rows
from anomaly.fleet_scorer import Survey, conclude
from anomaly.precedent.service import Precedents
from anomaly.records import FleetSamples, IntArray
from anomaly.state_store import Crowd, DeviceProgress, add_crowd, read_layout
from anomaly.training.live import Voices
from bench.ingest.instance import Instance
from bench.ingest.processes import tree_cpu_s, tree_pids
from bench.ingest.rows import device_ids, queries
from bench.ingest.shapes import device_names
from bench.scoring.bare import ewma_and_cusum
from bench.scoring.fleet import BEGINS_US, MINUTE_US, Fleet, sheet_toml
from core.clock import monotonic_s, process_s, wall_now
from core.pool import Connection
from gateway import service as gateway
from gateway.records import DeviceDraft
from ingest.records import DeviceSpans
from ingest.store import save_progress

_REGISTER_AT_ONCE = 5_000
_ROWS_AT_ONCE = 200_000
METRICS = 8
"""Of the product, besides the fault code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was done, and the processor time that it took: what else the machine does hardly counts."""

    samples: int
    scorer_s: float
    database_s: float = 0.0
    """Of all processes of the server."""
    wall_s: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            samples=self.samples + other.samples,
            scorer_s=self.scorer_s + other.scorer_s,
            database_s=self.database_s + other.database_s,
            wall_s=self.wall_s + other.wall_s,
        )

    @property
    def us(self) -> float:
        """Processor time per sample, microseconds."""
        return 1e6 * (self.scorer_s + self.database_s) / self.samples

    @property
    def per_s(self) -> float:
        """Samples per second of one core."""
        return 1e6 / self.us


def through_us(minutes: int) -> int:
    """Instant of a stretch's last sample."""
    return BEGINS_US + (minutes - 1) * MINUTE_US


# --- without a database ---------------------------------------------------------------------------


def measure_alone(fleet: Fleet, minutes: int, *, repeats: int) -> tuple[Cost, Cost]:
    """Score a fleet's stretch from arrays, and run the bare arithmetic over the same values.

    Both are taken in turn and the quickest of each counts: what else the machine does only adds.
    """
    table = fleet.table(0, minutes)
    samples = fleet.samples(table, 0)
    bare = np.ascontiguousarray(table[:METRICS].transpose(1, 2, 0)).astype(np.float64)
    scoring = partial(_score_alone, fleet, samples, minutes)
    fleet.states()  # learned before anything is measured
    both = [(_timed(scoring), _timed(partial(ewma_and_cusum, bare))) for _ in range(repeats)]
    number = fleet.devices * minutes
    return (
        Cost(samples=number, scorer_s=min(ours for ours, _ in both)),
        Cost(samples=number, scorer_s=min(theirs for _, theirs in both)),
    )


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    began_s = process_s()
    work()
    return process_s() - began_s


def _score_alone(fleet: Fleet, samples: FleetSamples, minutes: int) -> None:
    """Take turns as the service does, so that as much is in memory at once."""
    states = fleet.states()
    size = max(1, min(service.DEVICES_PER_TURN, service.SAMPLES_PER_TURN // minutes))
    for first in range(0, fleet.devices, size):
        last = min(fleet.devices, first + size)
        rows = slice(first * minutes, last * minutes)
        survey = Survey(
            yard=fleet.yard,
            states=states.of(range(first, last)),
            samples=FleetSamples(
                owner=samples.owner[rows] - first,
                at_us=samples.at_us[rows],
                values=samples.values[rows],
            ),
            through_us=np.full(last - first, through_us(minutes)),
        )
        conclude(survey, {})


# --- with a database ------------------------------------------------------------------------------


def let_in(instance: Instance, fleet: Fleet) -> IntArray:
    """Register a fleet whose devices have been learned; return the devices' numbers."""
    _register(instance, fleet)
    ids = device_ids(instance.pool, fleet.name, device_names(fleet.name, fleet.devices))
    with instance.pool.connection() as connection:
        _let_begin(connection, fleet, ids)
    return ids


def bring(instance: Instance, fleet: Fleet, ids: IntArray, *, first: int, minutes: int) -> None:
    """Store a stretch of a fleet's samples in the order in which they would come."""
    block = max(1, _ROWS_AT_ONCE // fleet.devices)
    for begin in range(first, first + minutes, block):
        with instance.pool.connection() as connection:
            _store(connection, fleet, ids, begin, min(block, first + minutes - begin))
    with instance.pool.connection() as connection:
        save_progress(
            connection,
            DeviceSpans(
                device_ids=np.sort(ids),
                oldest_ms=np.full(len(ids), (BEGINS_US + first * MINUTE_US) // 1000),
                through_ms=np.full(len(ids), through_us(first + minutes) // 1000),
                samples=np.full(len(ids), minutes),
            ),
            now=wall_now(),
        )
    with instance.pool.connection() as connection:
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier("telemetry", fleet.name)))


def _register(instance: Instance, fleet: Fleet) -> None:
    gateway.register_product(
        instance.pool,
        toml_text=sheet_toml(fleet.name),
        source=f"{fleet.name}.toml",
        now=wall_now(),
    )
    names = device_names(fleet.name, fleet.devices)
    for start in range(0, len(names), _REGISTER_AT_ONCE):
        some = names[start : start + _REGISTER_AT_ONCE]
        drafts = [DeviceDraft(name=name, serial=name) for name in some]
        gateway.add_devices(instance.pool, product=fleet.name, drafts=drafts, now=wall_now())


def _let_begin(connection: Connection, fleet: Fleet, ids: IntArray) -> None:
    found = connection.execute(queries["scoring_product"], {"name": fleet.name}).fetchone()
    assert found is not None
    row: int = found[0]
    store.add_baseline(
        connection,
        product_id=row,
        baseline=fleet.baseline,
        from_us=BEGINS_US - fleet.learning_minutes * MINUTE_US,
        through_us=BEGINS_US,
        now=wall_now(),
    )
    baseline = store.read_baseline(connection, product_id=row)
    assert baseline is not None
    crowd = Crowd(
        baseline_id=baseline.id,
        progress=[
            DeviceProgress(device_id=i, first_us=BEGINS_US, through_us=BEGINS_US)
            for i in ids.tolist()
        ],
        states=fleet.states(),
    )
    add_crowd(connection, read_layout(connection, product_id=row, layout=fleet.layout), crowd)


def _store(connection: Connection, fleet: Fleet, ids: IntArray, first: int, minutes: int) -> None:
    table = fleet.table(first, minutes).reshape(len(fleet.product.metrics), -1)
    at_us = np.repeat(BEGINS_US + (first + np.arange(minutes)) * MINUTE_US, len(ids))
    columns: list[Column] = [
        Big(values=np.tile(ids, minutes)),
        Big(values=at_us, is_instant=True),
        *(Real(values=values) for values in table),
    ]
    names = ("device_id", "measured_at", *(m.name for m in fleet.product.metrics))
    into = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier("telemetry", fleet.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor().copy(into) as copy:
        copy.write(copy_rows(columns, rows=len(at_us)))


@dataclass(frozen=True, slots=True)
class Known:
    """What a scorer that goes on keeps from turn to turn."""

    voices: Voices = field(default_factory=Voices)
    precedents: Precedents = field(default_factory=Precedents)


def score_stored(instance: Instance, fleet: Fleet, known: Known) -> Cost:
    """Score everything that is stored and not scored yet, turn after turn, each committed."""
    with instance.pool.connection() as connection:
        rows = store.read_products(connection)
    row = next(r for r in rows if r.product.name == fleet.name)
    gc.collect()
    server = instance.servers.postgres_pid or 0
    database_s = tree_cpu_s(server)  # itself takes some time, which is not the scorer's
    began_s, own_s = monotonic_s(), process_s()
    samples = 0
    looked_at: dict[int, int] = {}
    while due := _due(instance, row, looked_at):
        while due:
            devices = service.next_devices(row.product, due)
            with instance.pool.connection() as connection:
                done = service.score_devices(
                    connection,
                    row,
                    devices,
                    now=wall_now(),
                    looked_at=looked_at,
                    voices=known.voices,
                    precedents=known.precedents,
                )
            samples += done.samples
    own_s, wall_s = process_s() - own_s, monotonic_s() - began_s
    return Cost(
        samples=samples,
        scorer_s=own_s,
        database_s=tree_cpu_s(server) - database_s,
        wall_s=wall_s,
    )


def _due(
    instance: Instance, row: store.ProductRow, looked_at: dict[int, int]
) -> list[DeviceProgress]:
    with instance.pool.connection() as connection:
        return service.read_due(connection, row, looked_at=looked_at)


@contextlib.contextmanager
def on_one_core(instance: Instance) -> Iterator[None]:
    """Keep this process and the database on the same core."""
    before = os.sched_getaffinity(0)
    core = {max(before)}
    pids = [0, *tree_pids(instance.servers.postgres_pid or 0)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, core)
    try:
        yield
    finally:
        for pid in [0, *tree_pids(instance.servers.postgres_pid or 0)]:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, before)
