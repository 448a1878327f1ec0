"""Streams of a simulated fleet's years, and the truth about them, for `forecare evaluate fleet`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import msgspec
import numpy as np

from anomaly.backtest.track import Stream
from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray, Samples, ServiceEvent
from core.product import Product
from firmware_sim.long_run import STEP_S, LongRun, LongUnit
from firmware_sim.machine import Machine
from gateway.sheet import shipped_sheet

_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happens to one device."""

    machine: Machine
    unit: LongUnit

    def wear(self, mode: str, at_us: IntArray) -> FloatArray:
        """Wear of a part at some instants, 0 as new to about 1 failed."""
        return self.machine.wear(self.machine.model.mode(mode), at_us // _US)


def sheet_of(product: str) -> Product:
    """Return the shipped sheet at the pace at which the fleet's years are simulated."""
    return msgspec.structs.replace(shipped_sheet(product), interval=timedelta(seconds=STEP_S))


def streams_of(run: LongRun, product: Product) -> list[tuple[Stream, Truth]]:
    """Return the streams of a product's devices, and the truth about each."""
    found = []
    for unit, machine in zip(run.units, run.machines, strict=True):
        if unit.product != product.name:
            continue
        stream = Stream(
            device=unit.name,
            begins_us=unit.delivered_s * _US,
            first_us=run.start_s * _US,
            until_us=run.end_s * _US - 1,
            samples=partial(_samples, machine, product, run.end_s),
            findings=_findings(machine, product, run.end_s),
            traits={"lot": unit.lot, "firmware": unit.firmware, "site": unit.site},
        )
        found.append((stream, Truth(machine=machine, unit=unit)))
    return found


def wear_history(catalog: Catalog, history: History, truth: Truth) -> History:
    """Return the same history with the true wear in the place of all that was measured.

    It is what the best possible forecaster would know: the state of every part, not its future.
    """
    wear = np.stack([truth.wear(mode, history.at_us) for mode in catalog.modes], axis=1)
    return History(
        device=history.device, begins_us=history.begins_us, until_us=history.until_us,
        at_us=history.at_us, values=np.full((len(wear), len(catalog.metrics)), np.nan),
        health=1 - wear, service_us=history.service_us,
        service_component=history.service_component, failure_us=history.failure_us,
        failure_mode=history.failure_mode, traits=history.traits,
    )  # fmt: skip


def _samples(
    machine: Machine, product: Product, end_s: int, from_us: int, until_us: int
) -> Samples:
    start_s = max(from_us // _US // STEP_S * STEP_S - STEP_S, machine.start_s)
    stop_s = min(-(-until_us // _US // STEP_S) * STEP_S + STEP_S, end_s)
    if stop_s <= start_s:
        return Samples(
            at_us=np.empty(0, dtype=np.int64), values=np.empty((0, len(product.metrics)))
        )
    block = machine.block(start_s, stop_s)
    values = np.stack([block.metrics[metric.name] for metric in product.metrics], axis=1)
    samples = Samples(
        at_us=block.measured_at_ms[block.is_sent] * 1000, values=values[block.is_sent]
    )
    return samples.between(from_us, until_us)


def _findings(machine: Machine, product: Product, end_s: int) -> Sequence[ServiceEvent]:
    return [
        ServiceEvent(
            finding_id=number,
            failure_mode=failure.mode,
            component=product.failure_mode(failure.mode).component,
            verdict="confirmed",
            found_us=failure.repaired_s * _US,
        )
        for number, failure in enumerate(machine.failures, start=1)
        if failure.repaired_s is not None and failure.repaired_s < end_s
    ]
