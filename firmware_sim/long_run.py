"""Years of a fleet whose every parameter is drawn anew from a seed: what forecasts are judged on. Pure.

Nothing here follows the product sheets closely: how noisy meters are, how far they move when a part
fails, how long parts live, how long before its failure a part begins to show it and along which
curve. Some devices never fail. Nobody looks at a forecast: a part runs until it fails and is replaced
some days later, so the end of every life is known.

>>> run = make_long_run(devices=3, days=400, seed=5, start_s=1_735_689_600)
>>> block = run.machines[0].block(run.start_s, run.start_s + 86_400)
>>> len(block.at_s)
288
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from firmware_sim.heat_pump import HEAT_PUMP
from firmware_sim.machine import Machine
from firmware_sim.model import Meter, Mode, Model, Site
from firmware_sim.noise import key_of
from firmware_sim.plan import DAY_S, HOUR_S, Failure, SensorFault, SensorFaultKind
from firmware_sim.water_pump import WATER_PUMP

STEP_S = 300
_YEAR_S = 365.25 * DAY_S
HEALTHY_SHARE = 0.25
_AGE_YEARS_MAX = 3.0
_LIFE_YEARS = (3.0, 8.0)
"""Scale of the lives of a kind of part, between these."""
_LIFE_SHAPE = (1.8, 4.0)
_SUDDEN_YEARS = 60.0
_WARNING_DAYS = (30.0, 75.0)
"""Median time between the first sign of a kind of part and its failure, between these."""
_WARNING_DAYS_MAX = 200.0
_REPAIR_DAYS = (0.5, 5.0)
_SENSOR_FAULTS_PER_YEAR = 0.12
_SENSOR_SHARES: Mapping[SensorFaultKind, float] = {
    "drift": 0.3, "stuck": 0.25, "dropout": 0.25, "gap": 0.2,
}  # fmt: skip
_LOTS = ("A1", "A2", "B1", "B2", "C1")
_FIRMWARE = ("4.1.0", "4.2.1", "4.3.0")
_CITIES = 12
MODELS = {model.name: model for model in (HEAT_PUMP, WATER_PUMP)}


class Spread:
    """How much parts of one kind differ: standard deviations of logarithms."""

    WARNING = 0.45
    """Of the time between the first sign and the failure."""
    WARNING_DAYS_MIN = 9.0
    SHAPE = 0.15
    STRENGTH = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class LongUnit:
    name: str
    product: str
    lot: str
    firmware: str
    site: str
    delivered_s: int
    is_healthy: bool
    """No part of it ever fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How a kind of part lives."""

    mode: Mode
    life_years: float
    """Scale of the Weibull distribution of its lives."""
    life_shape: float
    warning_days: float
    """Median time between the first sign and the failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    seed: int
    start_s: int
    end_s: int
    units: tuple[LongUnit, ...]
    machines: tuple[Machine, ...]
    """`machines[i]` belongs to `units[i]`; its failures and sensor faults are the truth."""
    models: Mapping[str, Model]
    """The products as this seed has drawn them."""
    habits: Mapping[str, tuple[Habit, ...]]
    """How each kind of part of each product lives."""
    later: tuple[Mapping[str, int], ...]
    """When the parts of `machines[i]` fail next, epoch seconds by mode, of which the run shows no sign yet.
    Of a healthy device none does."""


def make_long_run(
    *,
    devices: int,
    days: float,
    seed: int,
    start_s: int,
    products: Sequence[str] = ("heat_pump", "water_pump"),
) -> LongRun:
    """Draw a fleet and its years.

    Parameters
    ----------
    devices : int
        Number of devices, shared evenly between the products.
    days : float
        Length of the run.
    start_s : int
        Begin of the run, epoch seconds on a whole hour.
    """
    models = {name: _draw_model(MODELS[name], seed) for name in products}
    habits = {name: _draw_habits(model, seed) for name, model in models.items()}
    end_s = start_s + int(days * DAY_S)
    units, machines, later = [], [], []
    for place in range(devices):
        name = products[place % len(products)]
        rng = np.random.default_rng([seed, 11, place])
        unit = _draw_unit(name, place, rng, seed=seed, start_s=start_s)
        lives = () if unit.is_healthy else habits[name]
        drawn, beyond = _lives(lives, unit, place, rng, end_s)
        failures = [failure for failure in drawn if failure.fails_s > start_s]
        units.append(unit)
        later.append(beyond)
        machines.append(
            Machine(
                name=unit.name,
                model=models[name],
                site=_site(unit.site, rng),
                key=key_of(seed, "long", place),
                start_s=start_s,
                failures=sorted(failures, key=lambda failure: failure.fails_s),
                sensor_faults=_sensor_faults(models[name], place, rng, start_s, end_s),
                step_s=STEP_S,
            )
        )
    return LongRun(
        seed=seed, start_s=start_s, end_s=end_s, units=tuple(units), machines=tuple(machines),
        models=models, habits=habits, later=tuple(later),
    )  # fmt: skip


def _draw_model(model: Model, seed: int) -> Model:
    rng = np.random.default_rng([seed, 12, key_of(model.name)])
    meters = tuple(_draw_meter(meter, rng) for meter in model.meters)
    modes = tuple(
        replace(
            mode,
            effect_power=mode.effect_power * float(rng.uniform(0.8, 1.25)),
            deviations={k: v * float(rng.uniform(0.8, 1.3)) for k, v in mode.deviations.items()},
        )
        for mode in model.modes
    )
    return replace(model, meters=meters, modes=modes)


def _draw_meter(meter: Meter, rng: np.random.Generator) -> Meter:
    noise, wander, offset, gain = (float(v) for v in rng.uniform(0.75, 1.35, 4))
    return replace(
        meter, noise=meter.noise * noise, wander=meter.wander * wander,
        offset=meter.offset * offset, gain=meter.gain * gain,
    )  # fmt: skip


def _draw_habits(model: Model, seed: int) -> tuple[Habit, ...]:
    rng = np.random.default_rng([seed, 13, key_of(model.name)])
    return tuple(
        Habit(
            mode=mode,
            life_years=float(rng.uniform(*_LIFE_YEARS))
            if mode.kind == "gradual"
            else _SUDDEN_YEARS,
            life_shape=float(rng.uniform(*_LIFE_SHAPE)) if mode.kind == "gradual" else 1.0,
            warning_days=float(rng.uniform(*_WARNING_DAYS)),
        )
        for mode in model.modes
    )


def _draw_unit(
    product: str, place: int, rng: np.random.Generator, *, seed: int, start_s: int
) -> LongUnit:
    short = "".join(word[0] for word in product.split("_"))
    return LongUnit(
        name=f"{short}-{seed:03d}-{place + 1:04d}",
        product=product,
        lot=_LOTS[int(rng.integers(len(_LOTS)))],
        firmware=_FIRMWARE[int(rng.integers(len(_FIRMWARE)))],
        site=f"city-{int(rng.integers(_CITIES)):02d}",
        delivered_s=start_s - int(rng.uniform(0, _AGE_YEARS_MAX) * _YEAR_S),
        is_healthy=bool(rng.random() < HEALTHY_SHARE),
    )


def _lives(
    habits: Sequence[Habit],
    unit: LongUnit,
    place: int,
    rng: np.random.Generator,
    end_s: int,
) -> tuple[list[Failure], dict[str, int]]:
    """Let every part of a device live, fail and be replaced, from its delivery to the end.

    Returns
    -------
    list of Failure and dict of str to int
        Those that show before the end, and when each part fails next, epoch seconds by mode.
    """
    failures, later = [], {}
    for habit in habits:
        new_s = unit.delivered_s
        while True:
            life_s = habit.life_years * _YEAR_S * float(rng.weibull(habit.life_shape))
            fails_s = new_s + int(max(life_s, 40 * DAY_S))
            median = habit.warning_days * DAY_S
            warning = median * float(np.exp(Spread.WARNING * rng.standard_normal()))
            low_s, high_s = (days * DAY_S for days in (Spread.WARNING_DAYS_MIN, _WARNING_DAYS_MAX))
            onset_s = max(fails_s - int(min(max(warning, low_s), high_s)), new_s + DAY_S)
            repaired_s = fails_s + int(rng.uniform(*_REPAIR_DAYS) * DAY_S)
            if onset_s >= end_s:
                later[habit.mode.name] = fails_s
                break
            failures.append(
                Failure(
                    device=place,
                    mode=habit.mode.name,
                    onset_s=onset_s if habit.mode.kind == "gradual" else fails_s,
                    fails_s=fails_s,
                    repaired_s=repaired_s,
                    shape=float(np.exp(Spread.SHAPE * rng.standard_normal())),
                    strength=float(np.exp(Spread.STRENGTH * rng.standard_normal())),
                )
            )
            new_s = repaired_s
    return failures, later


def _site(name: str, rng: np.random.Generator) -> Site:
    return Site(
        latitude=float(46 + key_of("latitude", name) % 120 / 10),
        utc_offset_s=HOUR_S * int(rng.integers(0, 3)),
        weather_key=key_of("weather", name),
    )


def _sensor_faults(
    model: Model, place: int, rng: np.random.Generator, start_s: int, end_s: int
) -> tuple[SensorFault, ...]:
    number = int(rng.poisson(_SENSOR_FAULTS_PER_YEAR * (end_s - start_s) / _YEAR_S))
    kinds = list(_SENSOR_SHARES)
    metrics = sorted({name for mode in model.modes for name in mode.deviations})
    made = []
    for _ in range(number):
        kind = kinds[int(rng.choice(len(kinds), p=list(_SENSOR_SHARES.values())))]
        metric = metrics[int(rng.integers(len(metrics)))]
        begin = start_s + int(rng.uniform(0.05, 0.98) * (end_s - start_s))
        lasts_s = {
            "drift": rng.uniform(10, 60) * DAY_S,
            "stuck": rng.uniform(1, 20) * DAY_S,
            "dropout": rng.uniform(4, 200) * HOUR_S,
            "gap": rng.uniform(2, 100) * HOUR_S,
        }[kind]
        sizes = [abs(m.deviations[metric]) for m in model.modes if metric in m.deviations]
        sign = 1.0 if rng.random() < 0.5 else -1.0
        made.append(
            SensorFault(
                device=place,
                kind=kind,
                metric="" if kind == "gap" else metric,
                start_s=begin,
                end_s=begin + int(lasts_s),
                size=sign * float(rng.uniform(0.4, 1.2)) * max(sizes) if kind == "drift" else 0.0,
            )
        )
    return tuple(made)
