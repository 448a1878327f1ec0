"""What a manufacturer sells, as every stage sees it: the records behind a product sheet. Pure.

`gateway.sheet` reads them out of a TOML file with errors that name line and remedy; the registry
stores them as JSON in `gateway.product.sheet`; every other package reads that row back with
`product_from_json`.
"""

from datetime import timedelta
from typing import Literal

import msgspec

Direction = Literal["up", "down", "both"]
MetricKind = Literal["measure", "code"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A named measured quantity of a product with one canonical unit."""

    name: str
    title: str
    unit: str
    low: float
    """Smallest possible value; a sample below it is refused at the door."""
    high: float
    precise: bool = False
    """Stored as double precision (counters), else as real."""
    depends_on: tuple[str, ...] = ()
    """Operating conditions that explain it: names of other metrics (load, ambient, mode)."""
    show: bool = False
    """Shown to the owner among the live facts."""
    kind: MetricKind = "measure"
    """`code`: its values are codes of events (alarms, errors), 0 for none; they are counted, never averaged."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One metric that moves away from its expected value while a part wears out."""

    metric: str
    direction: Direction = "both"
    failed_at: float | None = None
    """Deviation from the expected value, in the metric's unit and greater than 0, at which the part
    counts as failed. None: learned from the noise of healthy devices."""


class KitPart(msgspec.Struct, frozen=True, kw_only=True):
    part: str
    title: str
    quantity: int = 1
    price: float = 0.0


class FailureMode(msgspec.Struct, frozen=True, kw_only=True):
    """How a component fails."""

    name: str
    title: str
    component: str
    evidence: tuple[Evidence, ...]
    agree: int = 1
    """How many evidence metrics must agree before it counts as a fault and not as a bad sensor."""
    fault_codes: tuple[int, ...] = ()
    """Values of the product's fault metric with which the device itself reports this failure."""
    cost_of_failure: float
    cost_of_visit: float
    lead_time: timedelta
    """Warning that the owner and the scheduler want before the failure."""
    duration: timedelta = timedelta(hours=1)
    skills: tuple[str, ...] = ()
    kit: tuple[KitPart, ...] = ()
    checklist: tuple[str, ...] = ()
    plain: str = ""
    """What is happening, in an owner's words: "The fan bearing is wearing out"."""
    until_then: str = ""
    """What the owner may go on doing until somebody comes."""
    stop_if: str = ""
    """When the owner should switch the device off."""
    remedy: tuple[str, ...] = ()
    """Steps with which the owner can cure it without a visit; empty: a technician is needed."""
    false_alarms_per_year: float | None = None
    """Of one device: needless alerts that this failure mode's rule may raise, greater than 0. None: an
    even share of the product's."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Samples say something about wear only while this holds: `metric` is above `above`."""

    metric: str
    above: float


SettingType = Literal["number", "integer", "flag", "text", "choice"]
SettingValue = bool | int | float | str


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a device takes: one of its configuration, or an argument of a command."""

    name: str
    title: str
    type: SettingType
    unit: str = ""
    low: float | None = None
    """Smallest value of a number."""
    high: float | None = None
    choices: tuple[str, ...] = ()
    """What a choice may be."""
    default: SettingValue | None = None
    """What every device of the product shall have; None: what its firmware brings."""


class DeviceCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a device can be told to do."""

    name: str
    title: str
    args: tuple[Setting, ...] = ()


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long rows are kept; None: for ever. Telemetry ages by event time, dead letters by wall time."""

    raw: timedelta | None = None
    """Samples, at least `history_max`."""
    hourly: timedelta | None = None
    """Hourly rollups, at least as long as samples."""
    daily: timedelta | None = None
    """Daily rollups, at least as long as hourly ones."""
    windows: timedelta | None = None
    """What scoring made of samples and learning reads, at least as long as samples."""
    dead_letters: timedelta | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """So much within a time: a bucket that holds `amount` and fills anew in `per`."""

    amount: float
    per: timedelta

    @property
    def text(self) -> str:
        return f"{self.amount:g} per {self.per / timedelta(seconds=1):g} s"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be sent; all allowances of a kind hold at once. No sane device meets them: they are there
    for one that sends in a loop. Catching up is free: two months in two minutes stays below."""

    device_messages: tuple[Allowance, ...] = (
        Allowance(amount=200, per=timedelta(seconds=1)),
        Allowance(amount=3000, per=timedelta(minutes=1)),
    )
    device_values: tuple[Allowance, ...] = (
        Allowance(amount=300_000, per=timedelta(seconds=1)),
        Allowance(amount=6_000_000, per=timedelta(minutes=1)),
    )
    manufacturer_messages: tuple[Allowance, ...] = (
        Allowance(amount=3_000_000, per=timedelta(minutes=1)),
    )
    manufacturer_values: tuple[Allowance, ...] = (
        Allowance(amount=120_000_000, per=timedelta(minutes=1)),
    )


class Product(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    manufacturer: str
    interval: timedelta
    """Expected time between two samples of a device."""
    window: timedelta
    """Samples are summed up over windows of this length before they are scored."""
    learning: timedelta
    """How long a device (and at first the product) is watched to learn what is normal."""
    forecast_every: timedelta
    """How often, in event time, every failure mode of a device gets a forecast."""
    late_after: timedelta
    """Data later than this behind the stream raises no live alert; also bounds how long a silent
    device holds up the product's watermark."""
    history_max: timedelta
    """How far back a device may deliver history; older samples are refused."""
    future_max: timedelta = timedelta(minutes=10)
    silent_after: timedelta = timedelta(hours=1)
    """Without a sample for this long a device is no longer *reporting*."""
    false_alarms_per_year: float = 1.0
    """Of one device that is compared with its own past, greater than 0: alerts that nobody needed."""
    currency: str = "EUR"
    warranty: timedelta = timedelta(days=730)
    fault_metric: str | None = None
    running: Running | None = None
    metrics: tuple[Metric, ...]
    failure_modes: tuple[FailureMode, ...]
    settings: tuple[Setting, ...] = ()
    """What can be configured; empty: whatever the firmware understands."""
    commands: tuple[DeviceCommand, ...] = ()
    """What its devices can be told to do; empty: whatever the firmware understands."""
    retention: Retention = Retention()
    """A sheet that was registered before there was any keeps everything."""
    limits: Limits = Limits()

    def metric(self, name: str) -> Metric:
        """Return the metric of that name; KeyError when the sheet has none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def failure_mode(self, name: str) -> FailureMode:
        """Return the failure mode of that name; KeyError when the sheet has none."""
        for mode in self.failure_modes:
            if mode.name == name:
                return mode
        raise KeyError(name)

    def false_alarms_allowed(self, mode: FailureMode) -> float:
        """Return the budget of a failure mode's rule, false alarms per device-year."""
        if mode.false_alarms_per_year is not None:
            return mode.false_alarms_per_year
        rules = sum(1 for other in self.failure_modes if other.evidence)
        return self.false_alarms_per_year / max(rules, 1)


def time_window(product: Product, *, now_ms: int) -> tuple[int, int]:
    """Return the oldest and the newest time that the clocks of a product's devices may show now.

    A device whose clock shows another one does not know the time.
    """
    return (
        now_ms - product.history_max // timedelta(milliseconds=1),
        now_ms + product.future_max // timedelta(milliseconds=1),
    )


def product_to_json(product: Product) -> str:
    return msgspec.json.encode(product).decode()


def product_from_json(value: object) -> Product:
    """Build a product from the `sheet` column (already decoded by psycopg) or from JSON text."""
    if isinstance(value, str | bytes):
        return msgspec.json.decode(value, type=Product)
    return msgspec.convert(value, Product, str_keys=True)
