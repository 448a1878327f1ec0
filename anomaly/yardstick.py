"""What one device is measured against: the product's layout, its baseline and what follows. Pure."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anomaly.baseline import Baseline
from anomaly.explain import Patterns
from anomaly.features import Layout
from anomaly.records import BoolArray, FloatArray

FLAT_SHARE_MAX = 0.02
"""A metric that is flat in fewer healthy windows than that is stuck when it is flat."""


@dataclass(frozen=True)
class Yardstick:
    """What is needed besides the device's own state."""

    layout: Layout
    baseline: Baseline | None
    """None while the product is still being learned; not needed where devices follow themselves."""

    @cached_property
    def patterns(self) -> Patterns:
        assert self.baseline is not None
        return Patterns(self.layout, self.baseline)

    @cached_property
    def scored_modes(self) -> tuple[str, ...]:
        """Failure modes that windows are explained by, in the order of `Seen.found`."""
        return self.layout.modes if self.layout.follows else self.patterns.modes

    @cached_property
    def forecast_every_us(self) -> int:
        return round(self.layout.product.forecast_every.total_seconds() * 1e6)

    @cached_property
    def can_score(self) -> bool:
        return self.layout.follows or self.baseline is not None

    @cached_property
    def sigma(self) -> FloatArray:
        assert self.baseline is not None
        return np.array([m.sigma for m in self.baseline.metrics])

    @cached_property
    def sigma_smooth(self) -> FloatArray:
        assert self.baseline is not None
        return np.array([m.sigma_smooth for m in self.baseline.metrics])

    @cached_property
    def sigma_listed(self) -> list[float]:
        """The same for the charts; empty where devices follow themselves."""
        return self.sigma.tolist() if self.baseline is not None else []

    @cached_property
    def leans(self) -> tuple[tuple[int, ...], ...]:
        """Per watched metric, the places of the conditions that explain it."""
        product, conditions = self.layout.product, self.layout.conditions
        return tuple(
            tuple(conditions.index(c) for c in product.metric(name).depends_on)
            for name in self.layout.watched
        )

    @cached_property
    def never_flat(self) -> BoolArray:
        """Metrics and conditions that are stuck when they do not move; (watched + conditions,)."""
        assert self.baseline is not None
        shares = [m.flat_share for m in self.baseline.metrics]
        shares += list(self.baseline.condition_flat_share)
        return np.array(shares) < FLAT_SHARE_MAX

    @cached_property
    def evidence_places(self) -> tuple[tuple[int, ...], ...]:
        """Per failure mode, the places of its evidence among the watched metrics."""
        watched = self.layout.watched
        modes = self.layout.product.failure_modes
        return tuple(tuple(watched.index(e.metric) for e in mode.evidence) for mode in modes)

    @cached_property
    def mode_noise(self) -> dict[str, float]:
        """Standard deviation of a healthy device's degradation, per mode."""
        found = {}
        for name in self.patterns.modes:
            column = np.abs(self.patterns.matrix[:, self.patterns.modes.index(name)])
            used = column > 0
            found[name] = float(1 / np.sqrt(((column / self.sigma_smooth)[used] ** 2).sum()))
        return found
