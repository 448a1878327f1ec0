"""Streams in which everything happens that happens to devices: drawn from a seed."""

import random
from dataclasses import dataclass, replace

import numpy as np

from anomaly.records import Samples, ServiceEvent
from tests.unit.anomaly.bench import (
    BEARING,
    COLUMNS,
    DAY_US,
    START_US,
    WINDING,
    Wear,
    drift,
    make_samples,
    with_metric,
)

DAYS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    samples: Samples
    services: tuple[ServiceEvent, ...]
    cuts: tuple[int, ...]
    """Instants up to which it is scored, the last one its end."""


def make_scene(seed: int) -> Scene:
    dice = random.Random(seed)
    wear = None
    if dice.random() < 0.5:
        begins = dice.uniform(7, 12)
        fails = begins + dice.uniform(2, 12)
        wear = Wear(from_day=begins, fails_day=fails, moves=dice.choice([BEARING, WINDING]))
    samples = make_samples(seed, days=DAYS, wear=wear)
    for _ in range(dice.choice([0, 0, 1, 2])):
        samples = _bad_sensor(samples, dice, seed)
    samples = _gaps(samples, dice)
    if dice.random() < 0.15:
        samples = with_metric(samples, "load_pct", 0.0, from_day=dice.uniform(8, 15))
    if dice.random() < 0.15:
        code = float(dice.choice([21, 31, 90, 5]))
        samples = with_metric(samples, "fault_code", code, from_day=dice.uniform(3, 18))
    end = int(samples.at_us[-1])
    cuts = {START_US + round(dice.uniform(0, DAYS) * DAY_US) for _ in range(dice.choice([0, 2, 6]))}
    return Scene(
        samples=samples,
        services=tuple(_service(dice, number) for number in range(dice.choice([0, 0, 1, 2]))),
        cuts=(*sorted(cut for cut in cuts if cut < end), end),
    )


def _bad_sensor(samples: Samples, dice: random.Random, seed: int) -> Samples:
    metric = dice.choice(["vibration", "bearing_c", "power_w", "load_pct", "ambient_c"])
    day = dice.uniform(7, 17)
    kind = dice.choice(["missing", "stuck", "drifting", "patchy"])
    if kind == "missing":
        return with_metric(samples, metric, float("nan"), from_day=day)
    if kind == "stuck":
        return with_metric(samples, metric, 50.0, from_day=day)
    if kind == "drifting":
        moved = drift(samples, from_day=day, per_day=dice.choice([0.2, 2, 20]))
        return with_metric(samples, metric, moved, from_day=day)
    values = samples.values.copy()
    holes = np.random.default_rng(seed).random(len(values)) < 0.35
    values[holes, COLUMNS[metric]] = np.nan
    return replace(samples, values=values)


def _gaps(samples: Samples, dice: random.Random) -> Samples:
    day = (samples.at_us - START_US) / DAY_US
    kept = np.ones(len(day), dtype=np.bool_)
    for _ in range(dice.choice([0, 1, 3])):
        begins = dice.uniform(6, DAYS - 1)
        kept &= (day <= begins) | (day >= begins + dice.choice([0.05, 1, 4]))
    return Samples(at_us=samples.at_us[kept], values=samples.values[kept])


def _service(dice: random.Random, number: int) -> ServiceEvent:
    mode = dice.choice(["bearing_wear", "winding_fault"])
    return ServiceEvent(
        finding_id=number,
        failure_mode=mode,
        component={"bearing_wear": "bearing", "winding_fault": "motor"}[mode],
        verdict=dice.choice(
            ["confirmed", "incipient", "other_fault", "no_fault_found", "not_inspected"]
        ),
        found_us=START_US + round(dice.uniform(4, DAYS - 1) * DAY_US),
    )
