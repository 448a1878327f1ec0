"""What grows with the work: more devices, more rows, more processes. Every point is a ratio.

A machine drifts by more than what is looked for here. So a second installation that stays small runs
beside the one that grows, and is measured just before and just after every point.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.ingest.driver import Driver, Ran, generator
from bench.ingest.figures import rate_of, ratio
from bench.ingest.instance import Instance, forget_part, own_instance
from bench.ingest.measure import Timeline, line_of, run_line
from bench.ingest.rows import copy_block, device_ids, rows_of
from bench.ingest.shapes import DEVICES, SHAPES, device_names
from core.clock import wall_now
from core.settings import Settings

SHAPE = SHAPES[0]
_HISTORY = replace(SHAPE, step_ms=60_000)
_BLOCK_ROWS = 100_000
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOrder:
    """How far to grow."""

    devices: Sequence[int] = (100, 2_000, 20_000, 200_000)
    rows: Sequence[int] = (1_000_000, 10_000_000, 100_000_000)
    messages: int = 200_000
    parts: int = 2


@dataclass(slots=True, kw_only=True)
class _Side:
    """An installation with its generator and its ingest."""

    instance: Instance
    driver: Driver
    timeline: Timeline
    receivers: Sequence[int]

    def measure(self, *, messages: int, devices: Sequence[str] = ()) -> tuple[Ran, int]:
        """Return a run, and the rows that it lost."""
        batch = self.timeline.batch(SHAPE, messages, devices=devices)
        self.driver.build(batch.build)
        ran = run_line(self.driver, batch, receivers=self.receivers)
        return ran, line_of(self.instance, batch, ran).lost


def measure_scale(
    settings: Settings, order: ScaleOrder, *, console: Console
) -> list[dict[str, Any]]:
    """Measure all points; each is one object of the result's `scale`."""
    with (
        _side(settings, "bench-base", console=console) as base,
        own_instance(settings, "bench-grown", console=console) as instance,
        generator(instance) as driver,
    ):
        points = _Points(base, order, console)
        timeline = _timeline()
        instance.register(SHAPE.product, metrics=SHAPE.metrics, devices=order.devices[0])
        with instance.ingesting() as receivers:
            grown = _Side(instance=instance, driver=driver, timeline=timeline, receivers=receivers)
            points.devices(grown)
            points.rows(grown)
        with instance.ingesting(parts=order.parts) as receivers:
            grown.receivers = receivers
            points.parts(grown)
        for part in range(1, order.parts):
            forget_part(instance, part)
    return points.found


class _Points:
    def __init__(self, base: _Side, order: ScaleOrder, console: Console) -> None:
        self._base = base
        self._order = order
        self._console = console
        self.found: list[dict[str, Any]] = []

    def devices(self, grown: _Side) -> None:
        """More devices are registered, of which 2,000 send; then all of them send."""
        known = self._order.devices[0]
        for count in self._order.devices:
            grown.instance.register(
                SHAPE.product, metrics=SHAPE.metrics, devices=count, known=known
            )
            known = count
            senders = device_names(SHAPE.product, min(count, DEVICES))
            self._point(grown, senders, what="registered_devices", amount=count)
            if count > DEVICES:
                everybody = device_names(SHAPE.product, count)
                self._point(grown, everybody, what="registered_devices", amount=count)

    def rows(self, grown: _Side) -> None:
        """More rows lie in the table; the newest come on top."""
        senders = device_names(SHAPE.product, min(self._order.devices[-1], DEVICES))
        stored = 0
        for count in self._order.rows:
            _prefill(
                grown.instance, senders, from_row=stored, until_row=count, console=self._console
            )
            stored = count
            self._point(grown, senders, what="rows_stored", amount=count)

    def parts(self, grown: _Side) -> None:
        senders = device_names(SHAPE.product, min(self._order.devices[-1], DEVICES))
        self._point(grown, senders, what="ingest_processes", amount=self._order.parts)

    def _point(self, grown: _Side, senders: Sequence[str], *, what: str, amount: int) -> None:
        messages = max(self._order.messages, len(senders))
        with self._console.status(f"{what} {amount:,}, {len(senders):,} send"):
            before, _ = self._base.measure(messages=self._order.messages)
            ran, lost = grown.measure(messages=messages, devices=senders)
            after, _ = self._base.measure(messages=self._order.messages)
        rate = rate_of(ran.sent)
        base = (rate_of(before.sent) + rate_of(after.sent)) / 2
        point = {
            "what": what,
            "amount": amount,
            "senders": len(senders),
            "messages_per_s": round(rate),
            "base_messages_per_s": round(base),
            "ratio": ratio(rate, base),
            "ingest_cpu_us_per_message": _cpu_us(ran),
            "base_cpu_us_per_message": _cpu_us(before),
            "ingest_rss_mib_max": round(ran.cost.rss_bytes_max / 2**20, 1),
            "lost": lost,
        }
        self.found.append(point)
        self._console.print(
            f"{what} {amount:,} ({len(senders):,} send): {rate:,.0f} messages/s,"
            f" {point['ratio']} of the small installation beside it",
            highlight=False,
        )


@contextlib.contextmanager
def _side(settings: Settings, name: str, *, console: Console) -> Iterator[_Side]:
    with own_instance(settings, name, console=console) as instance:
        instance.register(SHAPE.product, metrics=SHAPE.metrics, devices=DEVICES)
        with generator(instance) as driver, instance.ingesting() as receivers:
            yield _Side(instance=instance, driver=driver, timeline=_timeline(), receivers=receivers)


def _timeline() -> Timeline:
    return Timeline(int(wall_now().timestamp() * 1000))


def _prefill(
    instance: Instance, names: Sequence[str], *, from_row: int, until_row: int, console: Console
) -> None:
    """Fill the table with history: the devices' minutes before anything that the bench sends."""
    ids = device_ids(instance.pool, SHAPE.product, names)
    table = sql.Identifier("telemetry", SHAPE.product)
    minutes = max(1, min(_BLOCK_ROWS, until_row - from_row) // len(ids))
    block_rows = minutes * len(ids)
    columns = (TextColumn("filling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    newest_ms = int(wall_now().timestamp() * 1000) - 6 * _DAY_MS
    minute = _HISTORY.step_ms
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
        instance.pool.connection() as connection,
    ):
        task = bar.add_task("filling", total=until_row, completed=from_row)
        for start in range(from_row, until_row, block_rows):
            first_ms = newest_ms - (start // len(ids) + minutes) * minute
            rows = rows_of(_HISTORY, device_ids=ids, messages=block_rows, first_ms=first_ms)
            copy_block(connection, table, SHAPE.metrics, rows)
            connection.commit()
            bar.advance(task, block_rows)


def _cpu_us(ran: Ran) -> float:
    return round(1e6 * ran.cost.cpu_s["ingest"] / (ran.sent.measured or 1), 2)
