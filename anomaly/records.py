"""What crosses the borders inside this package: frozen records with names. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
"""As precise as it was stored."""
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LIFE_SHARES = (0.05, 0.1, 0.5, 0.9, 0.95)
"""Quantiles of remaining life that every forecast tells: the middle, and the ends of 80 and 90 % intervals."""

Status = Literal["learning", "ok", "declining", "failed", "no_data"]
Kind = Literal["wear", "reported_fault", "sensor"]
Change = Literal["raised", "cleared"]
Verdict = Literal["confirmed", "incipient", "other_fault", "no_fault_found", "not_inspected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A stretch of one device's telemetry, oldest first."""

    at_us: IntArray
    """Instants, microseconds since 1970, strictly rising; shape (n,)."""
    values: FloatArray
    """One column per metric of the product, in the sheet's order; NaN where missing; (n, metrics)."""

    def between(self, from_us: int, until_us: int) -> "Samples":
        """Return the samples with from_us <= at < until_us."""
        first, last = np.searchsorted(self.at_us, [from_us, until_us])
        return Samples(at_us=self.at_us[first:last], values=self.values[first:last])


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSamples:
    """Stretches of many devices' telemetry: device after device, each oldest first."""

    owner: IntArray
    """Place of the device among those that are scored together, rising; shape (n,)."""
    at_us: IntArray
    """Instants, microseconds since 1970, strictly rising within a device; shape (n,)."""
    values: FloatArray
    """As in `Samples`; quickest in column order; (n, metrics)."""

    def kept(self, mask: BoolArray) -> "FleetSamples":
        """Return the samples that a mask names."""
        if mask.all():
            return self
        columns = [self.values[:, place][mask] for place in range(self.values.shape[1])]
        owner = self.owner[mask]
        return FleetSamples(
            owner=owner, at_us=self.at_us[mask], values=side_by_side(columns, rows=len(owner))
        )

    def of(self, place: int) -> Samples:
        """Return one device's own."""
        first, last = np.searchsorted(self.owner, [place, place + 1])
        return Samples(at_us=self.at_us[first:last], values=self.values[first:last])


def side_by_side(columns: Sequence[FloatArray], *, rows: int) -> FloatArray:
    """Lay columns side by side, each contiguous; shape (rows, columns)."""
    if not columns:
        return np.empty((rows, 0))
    return np.stack(columns).T


def of_one(samples: Samples) -> FleetSamples:
    """Return one device's samples as those of a fleet of one."""
    owner = np.zeros(len(samples.at_us), dtype=np.int64)
    return FleetSamples(owner=owner, at_us=samples.at_us, values=samples.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvent:
    """What a technician found, or did, as far as scoring cares."""

    finding_id: int
    failure_mode: str
    component: str
    verdict: Verdict
    found_us: int


class MetricEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """How far one metric is from what is normal under the present conditions."""

    metric: str
    title: str
    unit: str
    observed: float | None
    expected: float | None
    spread: float | None
    """One standard deviation of a healthy device, in the metric's unit."""
    deviation_spreads: float | None
    direction: Literal["up", "down", "none"]
    since: str | None
    """Event time from which it has been away from normal, ISO 8601."""


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence as key and values, so that it can be said in another language."""

    key: str
    values: dict[str, str | float | int | None]
    text: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a detection or a forecast says what it says."""

    metrics: tuple[MetricEvidence, ...] = ()
    since: str | None = None
    operating: dict[str, float] = {}
    """Operating conditions of the newest window, by metric."""
    sentences: tuple[Sentence, ...] = ()
    caveats: tuple[Sentence, ...] = ()


Values = tuple[float | None, ...]
"""None where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one window says; names and their order are those of the `Layout`."""

    at_us: int
    """End of the window."""
    measured: Values
    """Mean of each measured quantity."""
    expected: Values
    """Of each watched metric, as are the next two."""
    spread: Values
    score: Values
    """Deviation in spreads, smoothed; at least 0."""
    health: Values
    """Health index of each failure mode; None while the device itself reports the failure."""
    wear_score: Values
    """Largest score among the metrics of each failure mode; None as above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One point of the path of each failure mode: its degradation before it is sure that it is it."""

    at_us: int
    """Instant of a forecast."""
    sizes: Values
    """Of each failure mode; None where nothing was known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    kind: Kind
    failure_mode: str
    """For kind `sensor`: the name of the metric."""
    change: Change
    at_us: int
    score: float
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Chance of failure within horizons, and quantiles of remaining life."""

    p_fail_1d: float
    p_fail_7d: float
    p_fail_30d: float
    life_hours_q05: float | None = None
    """None: beyond any horizon."""
    life_hours_q10: float | None = None
    life_hours_q50: float | None = None
    life_hours_q90: float | None = None
    life_hours_q95: float | None = None

    @property
    def lives(self) -> tuple[float | None, ...]:
        """Quantiles of remaining life at `LIFE_SHARES`, hours."""
        return (
            self.life_hours_q05,
            self.life_hours_q10,
            self.life_hours_q50,
            self.life_hours_q90,
            self.life_hours_q95,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    failure_mode: str
    made_us: int
    status: Status
    health_index: float | None
    outlook: Outlook | None
    evidence: Evidence


@dataclass(slots=True, kw_only=True)
class Output:
    """Everything that one stretch of a device's data brings forth, in order of event time."""

    windows: list[Scored] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)
