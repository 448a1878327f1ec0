"""Streams of a simulated fleet's years, and the truth about them, for `forecare evaluate fleet`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import msgspec
import numpy as np

from anomaly.backtest.track import Stream, Track
from anomaly.learn.history import Catalog
from anomaly.records import FloatArray, IntArray, Samples, ServiceEvent
from core.product import Product
from firmware_sim.long_run import STEP_S, LongRun, LongUnit
from firmware_sim.machine import Machine
from gateway.sheet import shipped_sheet

_US = 1_000_000
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happens to one device."""

    machine: Machine
    unit: LongUnit
    later: Mapping[str, int]
    """When parts fail next, epoch seconds by mode, that show no sign before the end of the run."""

    def left_hours(self, mode: str, at_us: IntArray) -> FloatArray:
        """Time from some instants to the next failure of a part, also beyond the end; infinite if it never fails."""
        fails_s = [f.fails_s for f in self.machine.failures if f.mode == mode]
        fails_s += [self.later[mode]] if mode in self.later else []
        following = np.array([*sorted(fails_s), np.inf])
        at_s = at_us / _US
        left_s = following[np.searchsorted(following, at_s, side="right")] - at_s
        return np.asarray(left_s / _HOUR_S)

    def wear(self, mode: str, at_us: IntArray) -> FloatArray:
        """Wear of a part at some instants, 0 as new to about 1 failed."""
        return self.machine.wear(self.machine.model.mode(mode), at_us // _US)


def sheet_of(product: str) -> Product:
    """Return the shipped sheet at the pace at which the fleet's years are simulated."""
    return msgspec.structs.replace(shipped_sheet(product), interval=timedelta(seconds=STEP_S))


def streams_of(run: LongRun, product: Product) -> list[tuple[Stream, Truth]]:
    """Return the streams of a product's devices, and the truth about each."""
    found = []
    for unit, machine, later in zip(run.units, run.machines, run.later, strict=True):
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
        found.append((stream, Truth(machine=machine, unit=unit, later=later)))
    return found


def with_truth(catalog: Catalog, track: Track, truth: Truth) -> Track:
    """Put the simulator's failures in the place of those that were reported."""
    failures = [
        (failure.fails_s * _US, catalog.modes.index(failure.mode))
        for failure in truth.machine.failures
        if failure.fails_s * _US <= track.history.until_us
    ]
    columns = np.array(sorted(failures), dtype=np.int64).reshape(-1, 2)
    history = replace(track.history, failure_us=columns[:, 0], failure_mode=columns[:, 1])
    return replace(track, history=history)


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
