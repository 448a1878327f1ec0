"""Who fails of what and when, whose sensor lies, whose line goes down: drawn once from the seed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from firmware_sim.model import Mode, Model

DAY_S = 86_400
HOUR_S = 3600
_ONSET_MIN_DAYS = 9.5
"""Of a run of 60 days: what is normal is learned in the first 10."""
_AHEAD_ONSET_DAYS = (22.0, 12.0)
"""Before the end of a run of 60 days."""
_AHEAD_FAILS_DAYS = (4.0, 20.0)
"""After it."""
SensorFaultKind = Literal["drift", "stuck", "dropout", "gap"]
_SENSOR_FAULTS: tuple[SensorFaultKind, ...] = (
    "drift",
    "stuck",
    "dropout",
    "gap",
    "drift",
    "stuck",
    "dropout",
)


@dataclass(slots=True, kw_only=True)
class Failure:
    """One injected failure. `repaired_s` is the one field that the course of events changes."""

    device: int
    """Place of the device in the fleet."""
    mode: str
    onset_s: int
    fails_s: int
    """When the part fails if nobody comes, epoch seconds."""
    repaired_s: int | None = None
    is_ahead: bool = False
    """Begins in the history and fails after its end."""
    shape: float = 1.0
    """Exponent of the way to the failure: above 1, most of the wear comes late."""
    strength: float = 1.0
    """Wear at which this very part fails: parts are not all alike."""

    @property
    def has_been_prevented(self) -> bool:
        return self.repaired_s is not None and self.repaired_s < self.fails_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFault:
    """A fault of the measurement alone; the machine is well."""

    device: int
    kind: SensorFaultKind
    metric: str
    """Empty for a gap: then all metrics are missing."""
    start_s: int
    end_s: int
    size: float = 0.0
    """Drift: how far it has gone at the end, in the metric's unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """No way to the broker; the samples wait in the spool."""

    device: int
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    failures: tuple[Failure, ...]
    sensor_faults: tuple[SensorFault, ...]
    outages: tuple[Outage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    """What every draw needs."""

    models: Sequence[Model]
    rng: np.random.Generator
    start_s: int
    days: float


def make_plan(
    models: Sequence[Model], *, start_s: int, days: float, seed: int, ahead: int = 0
) -> Plan:
    """Draw the course of events for a fleet whose device `i` is a `models[i]`.

    40 devices and 60 days give 20 failures on at most 17 devices, 2 of them sudden, and 7 sensor
    faults on other devices; other sizes are in proportion. Nothing wears visibly before day 10.
    `ahead` more failures, on devices to which nothing else happens, come last in `failures`; all the
    rest is the same with and without them.
    """
    rng = np.random.default_rng([seed, 4])
    share = len(models) / 40 * days / 60
    count = min(round(20 * share), round(0.5 * len(models)))
    sudden = round(count / 10)
    draw = _Draw(models=models, rng=rng, start_s=start_s, days=days)
    failures = _failures(draw, count=count, sudden=sudden)
    failing = {failure.device for failure in failures}
    well = [i for i in range(len(models)) if i not in failing]
    sensor_faults = _sensor_faults(draw, well, count=round(7 * share))
    outages = _outages(draw)
    untouched = sorted(set(well) - {fault.device for fault in sensor_faults})
    draw = replace(draw, rng=np.random.default_rng([seed, 5]))
    return Plan(
        failures=(*failures, *_failures_ahead(draw, untouched, count=ahead)),
        sensor_faults=sensor_faults,
        outages=outages,
    )


def _failures(draw: _Draw, *, count: int, sudden: int) -> tuple[Failure, ...]:
    """Spread the failures over the days, first by time, then by device, then by mode."""
    if count == 0:
        return ()
    models, rng, start_s, days = draw.models, draw.rng, draw.start_s, draw.days
    scale = min(1.0, days / 60)
    devices = _failing_devices(models, rng, count=count)
    first, last = 24 * scale, 57.5 / 60 * days
    edges = np.linspace(first, last, count - sudden + 1)
    moments = [float(rng.uniform(a, b)) for a, b in pairwise(edges)]
    turn: dict[str, int] = {}
    made: list[Failure] = []
    for moment in moments:
        # A second failure of a device only after the first one has long been over.
        device = next(
            i
            for i in devices
            if all(
                f.device != i or f.fails_s + 3 * DAY_S < start_s + (moment - 15 * scale) * DAY_S
                for f in made
            )
        )
        devices.remove(device)
        modes = [mode for mode in models[device].modes if mode.kind == "gradual"]
        name = models[device].name
        turn[name] = turn.get(name, int(rng.integers(len(modes)))) + 1
        mode = modes[turn[name] % len(modes)]
        before = max((f.fails_s for f in made if f.device == device), default=0)
        life = rng.uniform(18, 34) * scale
        onset = max(moment - life, _ONSET_MIN_DAYS * scale, (before - start_s) / DAY_S + 1)
        made.append(
            Failure(
                device=device,
                mode=mode.name,
                onset_s=start_s + int(onset * DAY_S),
                fails_s=start_s + int(moment * DAY_S),
            )
        )
    for turn_of_sudden in range(sudden):
        low, high = (14, 22) if turn_of_sudden == 0 else (26, 54)
        at_s = start_s + int(rng.uniform(low, high) * days / 60 * DAY_S)
        device = devices.pop()
        mode = _sudden_mode(models[device])
        made.append(Failure(device=device, mode=mode.name, onset_s=at_s, fails_s=at_s))
    return tuple(sorted(made, key=lambda failure: failure.fails_s))


def _failures_ahead(draw: _Draw, untouched: Sequence[int], *, count: int) -> tuple[Failure, ...]:
    """Spread wear over the end: the first one has begun early and fails soon, the last one neither."""
    devices = [int(i) for i in draw.rng.permutation(np.asarray(untouched, dtype=np.int64))][:count]
    if not devices:
        return ()
    scale = min(1.0, draw.days / 60)
    onsets = np.linspace(*_AHEAD_ONSET_DAYS, len(devices) + 1)
    fails = np.linspace(*_AHEAD_FAILS_DAYS, len(devices) + 1)
    made = []
    for turn, device in enumerate(devices):
        modes = [mode for mode in draw.models[device].modes if mode.kind == "gradual"]
        mode = modes[(turn + int(draw.rng.integers(len(modes)))) % len(modes)]
        onset = draw.days - scale * float(draw.rng.uniform(onsets[turn + 1], onsets[turn]))
        moment = draw.days + scale * float(draw.rng.uniform(fails[turn], fails[turn + 1]))
        made.append(
            Failure(
                device=device,
                mode=mode.name,
                onset_s=draw.start_s + int(onset * DAY_S),
                fails_s=draw.start_s + int(moment * DAY_S),
                is_ahead=True,
            )
        )
    return tuple(made)


def _sudden_mode(model: Model) -> Mode:
    return next(mode for mode in model.modes if mode.kind == "sudden")


def _failing_devices(models: Sequence[Model], rng: np.random.Generator, *, count: int) -> list[int]:
    """Choose devices in turns of the products' shares; the first few of them come a second time."""
    distinct = min(count, max(1, int(0.44 * len(models))))
    order = [int(i) for i in rng.permutation(len(models))]
    chosen = order[:distinct]
    again = chosen[: count - distinct]
    # The sudden ones are taken from the end, so the repeats stand before the last two.
    return [*chosen[:-2], *again, *chosen[-2:]]


def _sensor_faults(draw: _Draw, well: Sequence[int], *, count: int) -> tuple[SensorFault, ...]:
    models, rng, start_s, days = draw.models, draw.rng, draw.start_s, draw.days
    made = []
    devices = [int(i) for i in rng.permutation(np.asarray(well, dtype=np.int64))]
    for turn, device in zip(range(count), devices, strict=False):
        kind = _SENSOR_FAULTS[turn % len(_SENSOR_FAULTS)]
        mode = models[device].modes[int(rng.integers(len(models[device].modes) - 1))]
        metric = list(mode.deviations)[int(rng.integers(len(mode.deviations)))]
        begin = start_s + int(rng.uniform(0.22, 0.7) * days * DAY_S)
        lasts = {
            "drift": rng.uniform(10, 16) * days / 60 * DAY_S,
            "stuck": rng.uniform(1.5, 4) * DAY_S,
            "dropout": rng.uniform(4, 40) * HOUR_S,
            "gap": rng.uniform(2, 9) * HOUR_S,
        }[kind]
        made.append(
            SensorFault(
                device=device,
                kind=kind,
                metric="" if kind == "gap" else metric,
                start_s=begin,
                end_s=begin + int(lasts),
                size=1.1 * mode.deviations[metric] if kind == "drift" else 0.0,
            )
        )
    return tuple(made)


def _outages(draw: _Draw) -> tuple[Outage, ...]:
    """Every fourth device once in a month, for at most five hours."""
    devices, rng, start_s, days = len(draw.models), draw.rng, draw.start_s, draw.days
    count = round(devices / 4 * days / 30)
    made = []
    for _ in range(count):
        begin = start_s + int(rng.uniform(0.03, 0.97) * days * DAY_S)
        made.append(
            Outage(
                device=int(rng.integers(devices)),
                start_s=begin,
                end_s=begin + int(rng.uniform(0.5, 5) * HOUR_S),
            )
        )
    return tuple(made)
