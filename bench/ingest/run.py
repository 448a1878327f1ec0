"""`forecare bench ingest` from beginning to end: what is measured, in which order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console

from bench.ingest.columnstore import measure_columnstore
from bench.ingest.driver import Driver, generator
from bench.ingest.figures import middle
from bench.ingest.instance import Instance, own_instance
from bench.ingest.machine import machine_facts, versions
from bench.ingest.measure import (
    Batch,
    Timeline,
    limits_of,
    line_of,
    messages_to_measure,
    run_line,
    shape_json,
)
from bench.ingest.peers.compare import compare
from bench.ingest.scale import ScaleOrder, measure_scale
from bench.ingest.shapes import DEVICES, SHAPES, Shape, device_names
from bench.ingest.storage import STORED_PRODUCT, measure_heap
from core.clock import monotonic_s, wall_now
from core.settings import Settings

_INSTANCE = "bench-ingest"
_DAYS_MS = 5 * 24 * 3600 * 1000
_PEERS_BOOTS = 1000
_PEERS_LATER_MS = 2 * 24 * 3600 * 1000
"""So much later begin the times of the peers' messages: other rows may lie in the table."""


PARTS = ("shapes", "storage", "scale", "peers")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOrder:
    """What to measure."""

    parts: frozenset[str]
    seconds: float
    """How long each measured run is to keep the line busy."""
    repeats: int
    latency_s: float
    scale: ScaleOrder = field(default_factory=ScaleOrder)
    peers: Sequence[str] = ()
    """Names of the peers to run; empty: all."""
    devices: int = DEVICES
    is_quick: bool = False
    messages_max: int = 0
    """Bound of messages in a run; 0: none but the machine's."""


QUICK = BenchOrder(
    parts=frozenset({"shapes", "storage"}), seconds=7.0, repeats=1, latency_s=6.0, is_quick=True
)
FULL = BenchOrder(
    parts=frozenset({"shapes", "storage", "scale"}), seconds=12.0, repeats=3, latency_s=15.0
)


def run_bench(settings: Settings, order: BenchOrder, *, console: Console) -> dict[str, Any]:
    """Measure everything that is ordered; return the JSON object, parts not ordered left empty."""
    started_s, started_at = monotonic_s(), wall_now()
    result: dict[str, Any] = {
        "at": started_at.isoformat(timespec="seconds"),
        "is_quick": order.is_quick,
        "parts": sorted(order.parts),
        "shapes": {},
        "latency_ms": {},
        "bytes_per_value": {},
        "scale": [],
        "peers": [],
    }
    with own_instance(settings, _INSTANCE, console=console) as instance:
        result["versions"] = versions(instance)
        result["machine"] = machine_facts(instance.settings.runtime_path)
        if "shapes" in order.parts:
            result |= _measure_shapes(instance, order, console=console)
        if "storage" in order.parts:
            result["bytes_per_value"] = _measure_storage(instance, order, started_at)
        if "peers" in order.parts:
            result["peers"] = _measure_peers(instance, settings, order, console=console)
    if "scale" in order.parts:
        result["scale"] = measure_scale(settings, order.scale, console=console)
    result["seconds"] = round(monotonic_s() - started_s, 1)
    return result


def _measure_shapes(instance: Instance, order: BenchOrder, *, console: Console) -> dict[str, Any]:
    for product, metrics in sorted({(shape.product, shape.metrics) for shape in SHAPES}):
        instance.register(product, metrics=metrics, devices=order.devices)
    with generator(instance) as driver:
        timeline = Timeline(int(wall_now().timestamp() * 1000))
        bench = _Bench(instance, driver, timeline, order, console)
        shapes = {shape.name: bench.shape(shape) for shape in SHAPES}
        half = shapes[SHAPES[0].name]["messages_per_s"] / 2
        return {"shapes": shapes, "latency_ms": bench.latency(SHAPES[0], half)}


def _measure_storage(instance: Instance, order: BenchOrder, now: datetime) -> dict[str, Any]:
    instance.register(STORED_PRODUCT, metrics=10, devices=0)
    heap = measure_heap(instance.pool, first_ms=int(now.timestamp() * 1000) - _DAYS_MS)
    size: dict[str, Any] = {"heap": round(heap, 2), "columnstore": None}
    if order.is_quick:
        return size | {"columnstore_reason": "not measured in a quick run"}
    room = measure_columnstore(instance.settings.runtime_path / "cache" / "community")
    if room.columnstore is not None:
        size["columnstore"] = round(room.columnstore, 2)
    return size | {"columnstore_reason": room.reason, "columnstore_versions": room.versions}


def _measure_peers(
    instance: Instance, settings: Settings, order: BenchOrder, *, console: Console
) -> list[dict[str, Any]]:
    shape = SHAPES[0]
    if "shapes" not in order.parts:
        instance.register(shape.product, metrics=shape.metrics, devices=order.devices)
    now_ms = int(wall_now().timestamp() * 1000)
    with generator(instance) as driver:
        return compare(
            instance,
            driver,
            Timeline(now_ms + _PEERS_LATER_MS, boots=_PEERS_BOOTS),
            cache=settings.runtime_path / "peers",
            names=order.peers,
            console=console,
        )


class _Bench:
    """The measurements of one run, one after the other."""

    def __init__(
        self,
        instance: Instance,
        driver: Driver,
        timeline: Timeline,
        order: BenchOrder,
        console: Console,
    ) -> None:
        self.instance = instance
        self.driver = driver
        self.timeline = timeline
        self.order = order
        self.console = console

    def shape(self, shape: Shape) -> dict[str, Any]:
        """Measure a shape as often as ordered; return its medians."""
        found = [self._once(shape, number) for number in range(self.order.repeats)]
        return merge(found)

    def latency(self, shape: Shape, rate: float) -> dict[str, float]:
        """Measure from publish to `stored` while messages come evenly at a rate."""
        with self.console.status(f"latency at {rate:,.0f} messages/s"):
            messages = max(self.order.devices, int(rate * self.order.latency_s))
            batch = self._batch(shape, messages)
            self.driver.build(batch.build)
            with self.instance.ingesting() as receivers:
                self.driver.let_all_be_born()
                ran = run_line(self.driver, batch, receivers=receivers, rate=rate)
        self.console.print(f"latency: {dict(ran.sent.latency_ms)} ms", highlight=False)
        return {**ran.sent.latency_ms, "messages_per_s": round(rate)}

    def _once(self, shape: Shape, number: int) -> dict[str, Any]:
        with self.console.status(f"{shape.name}, run {number + 1} of {self.order.repeats}"):
            with self.instance.ingesting() as receivers:
                warm = self._batch(shape, shape.warm_up)
                self.driver.build(warm.build)
                self.driver.let_all_be_born()
                warmed = run_line(self.driver, warm, receivers=receivers)
                messages = messages_to_measure(
                    shape, warmed, seconds=self.order.seconds, devices=self.order.devices
                )
                batch = self._batch(shape, messages)
                self.driver.build(batch.build)
                ran = run_line(self.driver, batch, receivers=receivers)
            line = line_of(self.instance, batch, ran)
            limits = limits_of(self.instance, self.driver, batch, line)
        found = shape_json(shape, line, limits)
        self.console.print(
            f"{shape.name}: {found['messages_per_s']:,} messages/s,"
            f" {found['ingest_cpu_us_per_message']} µs of ingest a message, lost {found['lost']}",
            highlight=False,
        )
        return found

    def _batch(self, shape: Shape, messages: int) -> Batch:
        most = self.order.messages_max
        devices = device_names(shape.product, self.order.devices)
        return self.timeline.batch(
            shape, min(messages, most) if most else messages, devices=devices
        )


def merge(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of every figure over repeated measurements; of losses the sum. Pure."""
    merged: dict[str, Any] = {key: middle([one[key] for one in found]) for key in found[0]}
    for key in ("lost", "unconfirmed"):
        merged[key] = sum(one[key] for one in found)
    merged["ingest_rss_mib_max"] = max(one["ingest_rss_mib_max"] for one in found)
    merged["runs"] = len(found)
    return merged
