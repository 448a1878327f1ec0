"""Features: what was replaced and what failed before. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.events import hours_since
from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray


class Services(msgspec.Struct, frozen=True, kw_only=True, tag="services"):
    """Age of each component, and each failure mode's past on this device."""

    components: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    """Failure modes that were seen in training."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Services":
        replaced = {int(c) for h in histories for c in np.unique(h.service_component)}
        failed = {int(m) for h in histories for m in np.unique(h.failure_mode)}
        return cls(
            components=tuple(catalog.components[c] for c in sorted(replaced)),
            modes=tuple(catalog.modes[m] for m in sorted(failed)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        served = ("any_service_hours_ago",) if self.components else ()
        return (
            *(f"{component}_age_hours" for component in self.components),
            *served,
            *(f"{mode}_{what}" for mode in self.modes for what in ("hours_ago", "so_far")),
        )

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        age = (at_us - history.begins_us) / US_PER_HOUR
        found = []
        for name in self.components:
            chosen = history.service_component == catalog.components.index(name)
            since = hours_since(history.service_us[chosen], at_us)
            found.append(np.where(np.isnan(since), age, since))
        if self.components:
            found.append(hours_since(history.service_us, at_us))
        for name in self.modes:
            past = history.failure_us[history.failure_mode == catalog.modes.index(name)]
            found.append(hours_since(past, at_us))
            found.append(np.searchsorted(past, at_us, side="right").astype(np.float64))
        return np.stack(found, axis=1) if found else np.empty((len(at_us), 0))
