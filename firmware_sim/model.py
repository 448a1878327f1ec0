"""What a simulated product is made of: its meters, its failure modes, its physics. Pure records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from firmware_sim.noise import FloatArray, IntArray
from firmware_sim.wear import Law, linear

Values: TypeAlias = dict[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One measured metric and how well the device measures it, in the metric's unit."""

    name: str
    decimals: int
    """Resolution: values are rounded to so many decimals."""
    noise: float
    """Standard deviation from sample to sample."""
    wander: float = 0.0
    """Standard deviation of slow changes that no condition explains."""
    offset: float = 0.0
    """Standard deviation of the offset between one device and the next."""
    gain: float = 0.0
    """Relative standard deviation of the gain between one device and the next."""
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to fail, and what it does to the meters."""

    name: str
    component: str
    fault_code: int
    kind: Literal["gradual", "sudden"] = "gradual"
    law: Law = linear
    by_running_hours: bool = False
    """Wears only while the machine runs."""
    effect_power: float = 1.0
    """The meters show wear to this power: above 1, a leak is hidden at first."""
    deviations: Mapping[str, float]
    """Signed change of each evidence metric at wear 1: what the sheet calls `failed_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a device stands, as far as physics cares."""

    latitude: float
    utc_offset_s: int
    weather_key: int
    """Devices in the same city share their weather."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Conditions and healthy values at a row of instants."""

    values: Values
    running: FloatArray
    """1 while the machine runs, else 0."""
    load: FloatArray
    """0 to 1."""


class Operate(Protocol):
    """Device key, site, instants in epoch seconds and the offset of the set point to healthy values
    without noise."""

    def __call__(
        self, key: int, site: Site, at_s: IntArray, *, offset: FloatArray | float = 0.0
    ) -> Operation: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Something that can be configured on the device."""

    name: str
    default: float
    low: float
    high: float
    is_whole: bool = False


REPORT_EVERY = Setting(name="report_every_min", default=1, low=1, high=30, is_whole=True)
"""Minutes between two samples that are sent; every product has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A product as the simulator knows it."""

    name: str
    meters: tuple[Meter, ...]
    modes: tuple[Mode, ...]
    operate: Operate
    stop: Callable[[Values, FloatArray], None]
    """Put the values of a stopped machine where the mask is 0 (power, speed, flow, …)."""
    running_metric: str
    offset: Setting
    """Moves the set point of the controller."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        return (REPORT_EVERY, self.offset)

    def mode(self, name: str) -> Mode:
        return next(mode for mode in self.modes if mode.name == name)

    def meter(self, name: str) -> Meter:
        return next(meter for meter in self.meters if meter.name == name)
