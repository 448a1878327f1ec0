"""What the bench sends: shapes of messages, their values, and the product sheets for them. Pure.

Load generator and copy limit make the same rows from here: message k of device d has the same time
stamps and values in both.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

DEVICES = 2000
POOL = 4093
"""Different samples, of which every message takes others: a prime, so that no pattern repeats."""
_SEED = 20261124
_METRICS: tuple[tuple[str, str, float, float, int], ...] = (
    # name, unit, lowest, highest, decimals: as a heat pump's controller would send them
    ("outlet_c", "°C", 25, 60, 2),
    ("power_w", "W", 300, 4200, 1),
    ("flow_l_min", "l/min", 5, 40, 2),
    ("inlet_c", "°C", 20, 55, 2),
    ("ambient_c", "°C", -20, 38, 2),
    ("compressor_hz", "Hz", 0, 120, 1),
    ("discharge_c", "°C", 30, 120, 2),
    ("evaporating_c", "°C", -30, 20, 2),
    ("fan_current_a", "A", 0, 3, 3),
    ("fan_vibration_mm_s", "mm/s", 0, 6, 3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of message."""

    name: str
    product: str
    metrics: int
    samples: int
    """Samples in a message."""
    step_ms: int
    """From one sample of a device to the next."""
    warm_up: int
    """Messages that tell how many the measured run takes."""
    ahead_max: int
    """Messages published and not yet confirmed, in all: enough that ingest never waits, and few
    enough for the broker's queue limits."""

    @property
    def values(self) -> int:
        return self.metrics * self.samples


SHAPES: tuple[Shape, ...] = (
    Shape(
        name="one_sample_3",
        product="bench_three",
        metrics=3,
        samples=1,
        step_ms=1000,
        warm_up=40_000,
        ahead_max=40_000,
    ),
    Shape(
        name="one_sample_10",
        product="bench_ten",
        metrics=10,
        samples=1,
        step_ms=1000,
        warm_up=30_000,
        ahead_max=40_000,
    ),
    Shape(
        name="catch_up",
        product="bench_ten",
        metrics=10,
        samples=60,
        step_ms=60_000,
        warm_up=1_000,
        ahead_max=2_000,
    ),
)


def shape_named(name: str) -> Shape:
    return next(shape for shape in SHAPES if shape.name == name)


def metric_names(count: int) -> tuple[str, ...]:
    return tuple(name for name, *_ in _METRICS[:count])


def device_names(product: str, count: int = DEVICES) -> list[str]:
    return [f"{product}-{number:06}" for number in range(count)]


@cache
def value_pool(metrics: int) -> Sequence[tuple[float, ...]]:
    """Return samples as numbers, the same in every process."""
    source = random.Random(_SEED)  # noqa: S311 - no secret
    return [
        tuple(
            round(source.uniform(low, high), decimals)
            for _, _, low, high, decimals in _METRICS[:metrics]
        )
        for _ in range(POOL)
    ]


@cache
def text_pool(metrics: int) -> Sequence[bytes]:
    """Return the same samples as JSON objects."""
    names = metric_names(metrics)
    return [
        b"{%b}"
        % b",".join(
            b'"%b":%b' % (n.encode(), repr(v).encode()) for n, v in zip(names, row, strict=True)
        )
        for row in value_pool(metrics)
    ]


def pool_index(device: int, sample: int) -> int:
    """Return which sample of the pool a device sends as its sample of that number."""
    return (device * 31 + sample) % POOL


def payload(shape: Shape, *, device: int, number: int, boot: int, first_ms: int) -> bytes:
    """Return message `number` (from 0) of a device in one run."""
    texts = text_pool(shape.metrics)
    first = number * shape.samples
    samples = b",".join(
        [
            b"[%d,%b]" % (first_ms + s * shape.step_ms, texts[pool_index(device, s)])
            for s in range(first, first + shape.samples)
        ]
    )
    return b'{"boot":%d,"seq":%d,"low":0,"samples":[%b]}' % (boot, number, samples)


def flat_payload(shape: Shape, *, name: str, device: int, number: int, first_ms: int) -> bytes:
    """Return the same sample as other software likes it: one object, the device's name inside."""
    values = text_pool(shape.metrics)[pool_index(device, number)]
    at_ms = first_ms + number * shape.step_ms
    return b'{"device":"%b","ts":%d,%b' % (name.encode(), at_ms, values[1:])


def sheet_toml(product: str, metrics: int) -> str:
    """Return the sheet of a product of the bench.

    Its limits are checked like any product's, and so wide that the generator never meets them.
    """
    wide = '"1000000000 per 1 s"'
    lines = [
        "[product]",
        f'name = "{product}"',
        f'title = "Bench product with {metrics} metrics"',
        'manufacturer = "Bench"',
        'interval = "1 min"',
        'window = "1 h"',
        'learning = "10 d"',
        'forecast_every = "6 h"',
        'late_after = "30 d"',
        'history_max = "400 d"',
        "[limits]",
        f"device_messages = {wide}",
        f"device_values = {wide}",
        f"manufacturer_messages = {wide}",
        f"manufacturer_values = {wide}",
    ]
    for name, unit, low, high, _ in _METRICS[:metrics]:
        lines += [
            "[[metric]]",
            f'name = "{name}"',
            f'title = "{name}"',
            f'unit = "{unit}"',
            f"range = [{low}, {high}]",
        ]
    lines += [
        "[[failure_mode]]",
        'name = "wear"',
        'title = "Wear"',
        'component = "fan"',
        "cost_of_failure = 100",
        "cost_of_visit = 20",
        'lead_time = "7 d"',
        "[[failure_mode.evidence]]",
        f'metric = "{_METRICS[0][0]}"',
        'direction = "up"',
    ]
    return "\n".join(lines) + "\n"
