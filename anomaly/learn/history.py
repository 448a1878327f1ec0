"""All that is known of a device up to an instant: what the learned layer reads. Pure.

Production fills it from the database, an evaluation from a recording; nothing behind it can tell which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from anomaly.records import IntArray, Reals
from core.product import Product


@dataclass(frozen=True)
class Catalog:
    """What a product's histories are made of, in the order in which they number it."""

    product: Product

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Measured quantities, conditions among them: the columns of `History.values`."""
        fault = self.product.fault_metric
        return tuple(
            m.name for m in self.product.metrics if m.kind == "measure" and m.name != fault
        )

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Metrics that explain others, in the sheet's order."""
        used = {name for metric in self.product.metrics for name in metric.depends_on}
        return tuple(name for name in self.metrics if name in used)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Metrics whose values are codes: each known value other than 0 is an event."""
        return tuple(m.name for m in self.product.metrics if m.kind == "code")

    @cached_property
    def components(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(mode.component for mode in self.product.failure_modes))

    @cached_property
    def modes(self) -> tuple[str, ...]:
        return tuple(mode.name for mode in self.product.failure_modes)

    @cached_property
    def window_us(self) -> int:
        return round(self.product.window.total_seconds() * 1e6)

    @cached_property
    def every_us(self) -> int:
        """Time between two forecasts."""
        return round(self.product.forecast_every.total_seconds() * 1e6)


def _no_instants() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One device. Instants are event time, microseconds since 1970, in rising order."""

    device: str
    begins_us: int
    """When its life began (delivery, or the first that is known of it): age counts from here."""
    until_us: int
    """Observed up to here; a life that has not ended by then is censored."""
    watched_from_us: int | None = None
    """From when on it was observed, if later than its begin: what failed before was never seen."""
    at_us: IntArray = field(default_factory=_no_instants)
    """Ends of the windows that have data; shape (n,)."""
    values: Reals = field(default_factory=lambda: np.empty((0, 0)))
    """Mean of each of the catalog's metrics over each window, NaN where missing; (n, metrics). As precise
    as it was stored: float32 from the database, where two years of a fleet would be twice as large."""
    health: Reals = field(default_factory=lambda: np.empty((0, 0)))
    """Health index of each failure mode after each window, as the first layer sees it: 1 as new, 0
    failed, NaN while learning; (n, modes). Empty where there is no first layer."""
    event_us: IntArray = field(default_factory=_no_instants)
    event_metric: IntArray = field(default_factory=_no_instants)
    """Place in `Catalog.codes`."""
    event_code: IntArray = field(default_factory=_no_instants)
    service_us: IntArray = field(default_factory=_no_instants)
    service_component: IntArray = field(default_factory=_no_instants)
    """Place in `Catalog.components`: replaced, so it is as new from then on."""
    failure_us: IntArray = field(default_factory=_no_instants)
    failure_mode: IntArray = field(default_factory=_no_instants)
    """Place in `Catalog.modes`."""
    doubt_us: IntArray = field(default_factory=_no_instants)
    """Visits at which no fault of a mode was found."""
    doubt_mode: IntArray = field(default_factory=_no_instants)
    traits: Mapping[str, str] = field(default_factory=dict)
    """What does not change: lot, firmware at delivery, site, model."""

    @property
    def seen_from_us(self) -> int:
        """Begin of the observation."""
        return self.begins_us if self.watched_from_us is None else self.watched_from_us

    def upto(self, at_us: int) -> "History":
        """Return what was known at an instant: nothing later than it."""
        windows = int(np.searchsorted(self.at_us, at_us, side="right"))
        events = int(np.searchsorted(self.event_us, at_us, side="right"))
        services = int(np.searchsorted(self.service_us, at_us, side="right"))
        failures = int(np.searchsorted(self.failure_us, at_us, side="right"))
        doubts = int(np.searchsorted(self.doubt_us, at_us, side="right"))
        return History(
            device=self.device,
            begins_us=self.begins_us,
            until_us=min(self.until_us, at_us),
            watched_from_us=self.watched_from_us,
            at_us=self.at_us[:windows],
            values=self.values[:windows],
            health=self.health[:windows],
            event_us=self.event_us[:events],
            event_metric=self.event_metric[:events],
            event_code=self.event_code[:events],
            service_us=self.service_us[:services],
            service_component=self.service_component[:services],
            failure_us=self.failure_us[:failures],
            failure_mode=self.failure_mode[:failures],
            doubt_us=self.doubt_us[:doubts],
            doubt_mode=self.doubt_mode[:doubts],
            traits=self.traits,
        )
