"""A small product and fleets of it, made of arrays: what the tests of scoring are done on."""

from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec
import numpy as np

from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, summarise
from anomaly.records import FloatArray, Output, Samples, ServiceEvent
from anomaly.scorer import advance, read_from_us
from anomaly.state import DeviceState, first_state, state_from_json, state_to_json
from anomaly.yardstick import Yardstick
from core.product import Evidence, FailureMode, Metric, Product, Running

STEP_US = 300_000_000
DAY_US = 86_400_000_000
START_US = 1_760_000_400_000_000 // 3_600_000_000 * 3_600_000_000
PER_DAY = DAY_US // STEP_US


def _mode(name: str, component: str, evidence: tuple[Evidence, ...], code: int) -> FailureMode:
    return FailureMode(
        name=name,
        title=name.replace("_", " ").capitalize(),
        component=component,
        evidence=evidence,
        agree=2,
        fault_codes=(code,),
        cost_of_failure=1000,
        cost_of_visit=100,
        lead_time=timedelta(days=7),
    )


PUMP = Product(
    name="test_pump",
    title="Test pump",
    manufacturer="Testers",
    interval=timedelta(minutes=5),
    window=timedelta(hours=1),
    learning=timedelta(days=6),
    forecast_every=timedelta(hours=6),
    late_after=timedelta(hours=12),
    history_max=timedelta(days=400),
    fault_metric="fault_code",
    running=Running(metric="load_pct", above=1),
    metrics=(
        Metric(name="load_pct", title="Load", unit="%", low=0, high=100),
        Metric(name="ambient_c", title="Ambient temperature", unit="°C", low=-50, high=60),
        Metric(
            name="vibration", title="Vibration", unit="mm/s", low=0, high=50,
            depends_on=("load_pct",),
        ),
        Metric(
            name="bearing_c", title="Bearing temperature", unit="°C", low=-50, high=200,
            depends_on=("load_pct", "ambient_c"),
        ),
        Metric(
            name="power_w", title="Power", unit="W", low=0, high=9000, depends_on=("load_pct",)
        ),
        Metric(name="fault_code", title="Fault", unit="", low=0, high=999),
    ),
    failure_modes=(
        _mode(
            "bearing_wear", "bearing",
            (
                Evidence(metric="vibration", direction="up", failed_at=4.0),
                Evidence(metric="bearing_c", direction="up", failed_at=20.0),
            ), 21,
        ),
        _mode(
            "winding_fault", "motor",
            (
                Evidence(metric="bearing_c", direction="up", failed_at=15.0),
                Evidence(metric="power_w", direction="up", failed_at=300.0),
            ), 31,
        ),
        _mode("board_fault", "board", (), 90),
    ),
)  # fmt: skip
LAYOUT = Layout(PUMP)
COLUMNS = LAYOUT.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """A fault that grows in a straight line, and what it moves."""

    from_day: float
    fails_day: float
    moves: tuple[tuple[str, float], ...]


BEARING = (("vibration", 4.0), ("bearing_c", 20.0))
WINDING = (("bearing_c", 15.0), ("power_w", 300.0))


def make_samples(seed: int, *, days: float, wear: Wear | None = None) -> Samples:
    """Make one device's telemetry: load over the day, noise, an offset of its own."""
    rng = np.random.default_rng(seed)
    number = round(days * PER_DAY)
    at_us = START_US + STEP_US * np.arange(number) + 1_000 * rng.integers(0, 900, number)
    day = np.arange(number) / PER_DAY
    load = np.clip(50 + 30 * np.sin(2 * np.pi * day) + rng.normal(0, 8, number), 0, 100)
    load[(day % 1) > 0.9] = 0
    ambient = 12 + 5 * np.sin(2 * np.pi * day + 1) - 0.1 * day + rng.normal(0, 0.2, number)
    running = load > 1
    values = np.zeros((number, len(PUMP.metrics)))
    values[:, COLUMNS["load_pct"]] = load
    values[:, COLUMNS["ambient_c"]] = ambient
    healthy = {
        "vibration": 0.8 + 0.01 * load + 0.1 * rng.normal() + rng.normal(0, 0.2, number),
        "bearing_c": 20
        + 0.9 * ambient
        + 0.002 * load**2
        + rng.normal()
        + rng.normal(0, 0.6, number),
        "power_w": 200 + 9 * load + 15 * rng.normal() + rng.normal(0, 12, number),
    }
    for name, value in healthy.items():
        values[:, COLUMNS[name]] = np.where(running, value, 0.0)
    if wear is not None:
        grown = np.clip((day - wear.from_day) / (wear.fails_day - wear.from_day), 0, None)
        for name, size in wear.moves:
            values[:, COLUMNS[name]] += np.where(running, size * grown, 0.0)
        failed = day >= wear.fails_day
        values[failed, COLUMNS["fault_code"]] = 21
        values[failed, COLUMNS["load_pct"]] = 0
    return Samples(at_us=at_us, values=values)


def with_metric(
    samples: Samples, metric: str, values: FloatArray | float, *, from_day: float
) -> Samples:
    """Change one metric from a day on; a number is set, an array of the same length added."""
    changed = samples.values.copy()
    late = samples.at_us >= START_US + round(from_day * DAY_US)
    column = COLUMNS[metric]
    if isinstance(values, float):
        changed[late, column] = values
    else:
        changed[late, column] += values[late]
    return replace(samples, values=changed)


def drift(samples: Samples, *, from_day: float, per_day: float) -> FloatArray:
    day = (samples.at_us - START_US) / DAY_US
    running = samples.values[:, COLUMNS["load_pct"]] > 1
    return np.where(running, np.maximum(day - from_day, 0) * per_day, 0.0)


def learned_baseline(fleet: list[Samples]) -> Baseline:
    until = START_US + 6 * DAY_US
    learning = [samples.between(0, until) for samples in fleet]
    ranges = learned_ranges(LAYOUT, learning)
    return fit_baseline(
        LAYOUT, [summarise(LAYOUT, s, ranges=ranges) for s in learning], ranges=ranges
    )


BASELINE = learned_baseline([make_samples(1000 + i, days=6) for i in range(8)])
YARD = Yardstick(LAYOUT, BASELINE)


def begin(yard: Yardstick = YARD, *, first_us: int = START_US) -> DeviceState:
    product = yard.layout.product
    return first_state(
        first_us=first_us,
        window_us=yard.layout.window_us,
        learning_us=product.learning // timedelta(microseconds=1),
    )


def score(
    samples: Samples,
    *,
    yard: Yardstick = YARD,
    services: tuple[ServiceEvent, ...] = (),
    cuts: tuple[int, ...] = (),
) -> Output:
    """Score a whole stream, cut at some instants; the state goes through JSON at every cut."""
    state = begin(yard, first_us=int(samples.at_us[0]))
    whole = Output()
    for through_us in (*sorted(cuts), int(samples.at_us[-1])):
        if through_us <= state.through_us:
            continue
        from_us = read_from_us(yard, state, through_us=through_us)
        part = samples.between(from_us, through_us + 1)
        output = advance(yard, state, part, through_us=through_us, services=services)
        state = state_from_json(msgspec.json.decode(state_to_json(state)))
        for name in Output.__slots__:
            getattr(whole, name).extend(getattr(output, name))
    return whole
