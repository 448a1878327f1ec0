"""One shape measured: the line, then its two limits, close together because machines drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql

from bench.ingest.driver import Driver, Ran
from bench.ingest.figures import lost_rows, messages_for, per_second, rate_of, ratio
from bench.ingest.instance import Instance
from bench.ingest.records import Build, Run
from bench.ingest.rows import copy_limit, device_ids, queries, rows_of
from bench.ingest.shapes import Shape, device_names

WARM_UP = 0.25
"""Share of a run's messages before measuring begins."""
MESSAGES_MAX = 600_000
_SIZE_MAX = 400 << 20
_CATCH_UP_BYTES = 175
"""About what a sample of ten metrics takes in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was sent in one run, so that it can be found in the table."""

    build: Build
    shape: Shape

    @property
    def until_ms(self) -> int:
        numbers = -(-self.build.messages // len(self.build.devices))
        return self.build.first_ms + numbers * self.shape.samples * self.shape.step_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the line did with one run."""

    messages: int
    messages_per_s: float
    lost: int
    rows: int
    unconfirmed: int
    rows_per_commit: float
    cpu_us: dict[str, float]
    """Processor time per message, by role."""
    rss_mib_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    receive_messages_per_s: float
    receive_cpu_us: float
    copy_values_per_s: float


class Timeline:
    """Hands out boots and time stamps, so that no two runs of an installation meet. Times lie in the
    past, less than a week: neither late nor from the future for any check."""

    def __init__(self, now_ms: int, *, boots: int = 0) -> None:
        self._next_ms = now_ms - _HISTORY_MS
        self._boot = boots

    def batch(
        self,
        shape: Shape,
        messages: int,
        *,
        devices: Sequence[str] = (),
        form: Literal["native", "flat"] = "native",
    ) -> Batch:
        devices = devices or device_names(shape.product)
        self._boot += 1
        build = Build(
            shape=shape.name,
            devices=tuple(devices),
            messages=messages,
            boot=self._boot,
            first_ms=self._next_ms,
            form=form,
        )
        batch = Batch(build=build, shape=shape)
        self._next_ms = batch.until_ms + shape.step_ms
        return batch


_HISTORY_MS = 5 * 24 * 3600 * 1000


def run_line(
    driver: Driver,
    batch: Batch,
    *,
    receivers: Sequence[int],
    rate: float = 0.0,
) -> Ran:
    """Send a batch that is built through the running line."""
    order = Run(follow="stored", ahead_max=batch.shape.ahead_max, warm_up=WARM_UP, rate=rate)
    return driver.run(order, receivers=receivers)


def messages_to_measure(shape: Shape, warm: Ran, *, seconds: float, devices: int) -> int:
    """Return how many messages fill the wanted time, judged by the warm-up run."""
    rate = per_second(warm.sent.done, warm.sent.seconds)
    size = 140 if shape.samples == 1 else _CATCH_UP_BYTES * shape.samples
    at_most = min(MESSAGES_MAX, _SIZE_MAX // size)
    return messages_for(rate, seconds=seconds, devices=devices, at_most=at_most)


def line_of(instance: Instance, batch: Batch, ran: Ran) -> Line:
    """Hold what was sent and confirmed against the table."""
    sent, cost = ran.sent, ran.cost
    stored = _stored(instance, batch)
    measured = sent.measured or 1
    rows = sum(stored.values())
    return Line(
        messages=sent.done,
        messages_per_s=rate_of(sent),
        lost=lost_rows(sent.confirmed, stored, samples=batch.shape.samples),
        rows=rows,
        unconfirmed=sent.acknowledged - sent.done,
        rows_per_commit=rows / max(1, _transactions(instance, batch)),
        cpu_us={role: 1e6 * used / measured for role, used in cost.cpu_s.items()},
        rss_mib_max=cost.rss_bytes_max / 2**20,
    )


def limits_of(instance: Instance, driver: Driver, batch: Batch, line: Line) -> Limits:
    """Measure what the same messages and rows allow at most."""
    shape, build = batch.shape, batch.build
    order = Run(follow="counter", ahead_max=shape.ahead_max, warm_up=WARM_UP)
    with instance.bare_subscriber() as pid:
        bare = driver.run(order, receivers=[pid])
    ids = device_ids(instance.pool, shape.product, build.devices)
    rows = rows_of(shape, device_ids=ids, messages=build.messages, first_ms=build.first_ms)
    size = max(1, round(line.rows_per_commit))
    copied = copy_limit(instance.pool, shape, rows, batch=size, warm_up=WARM_UP)
    return Limits(
        receive_messages_per_s=rate_of(bare.sent),
        receive_cpu_us=1e6 * bare.cost.cpu_s["ingest"] / (bare.sent.measured or 1),
        copy_values_per_s=copied,
    )


def shape_json(shape: Shape, line: Line, limits: Limits) -> dict[str, float | int | None]:
    """Return the figures of one measurement under the names of the JSON object. Pure."""
    values_per_s = line.messages_per_s * shape.values
    return {
        "messages_per_s": round(line.messages_per_s),
        "values_per_s": round(values_per_s),
        "receive_limit_messages_per_s": round(limits.receive_messages_per_s),
        "copy_limit_values_per_s": round(limits.copy_values_per_s),
        "ratio_receive": ratio(line.messages_per_s, limits.receive_messages_per_s),
        "ratio_copy": ratio(values_per_s, limits.copy_values_per_s),
        "ingest_cpu_us_per_message": round(line.cpu_us["ingest"], 2),
        "receive_cpu_us_per_message": round(limits.receive_cpu_us, 2),
        "broker_cpu_us_per_message": round(line.cpu_us["broker"], 2),
        "database_cpu_us_per_message": round(line.cpu_us["database"], 2),
        "gateway_cpu_us_per_message": round(line.cpu_us["gateway"], 2),
        "generator_cpu_us_per_message": round(line.cpu_us["generator"], 2),
        "ingest_rss_mib_max": round(line.rss_mib_max, 1),
        "rows_per_commit": round(line.rows_per_commit),
        "messages": line.messages,
        "unconfirmed": line.unconfirmed,
        "lost": line.lost,
    }


def _stored(instance: Instance, batch: Batch) -> dict[str, int]:
    return {row[0]: row[1] for row in _about(instance, batch, "ingest_stored")}


def _transactions(instance: Instance, batch: Batch) -> int:
    return int(_about(instance, batch, "ingest_transactions")[0][0])


def _about(instance: Instance, batch: Batch, query: str) -> list[tuple[Any, ...]]:
    text = sql.SQL(queries[query]).format(table=sql.Identifier("telemetry", batch.shape.product))
    span = {"from_ms": batch.build.first_ms, "until_ms": batch.until_ms}
    with instance.pool.connection() as connection:
        return connection.execute(text, span).fetchall()
