"""What was learned of one failure mode, whole: features, hazards, calibration. Pure; plain arrays.

How it is learned is told in `anomaly.learn.fit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from anomaly.learn.calibration import Calibration
from anomaly.learn.frame import Frame, FrameSpec
from anomaly.learn.hazard import Hazard
from anomaly.learn.life import Life
from anomaly.learn.recurring import Recurring
from anomaly.learn.shared import Shared
from anomaly.learn.trend import Trend
from anomaly.records import FloatArray, IntArray


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has seen."""

    from_us: int
    train_until_us: int
    calibrate_until_us: int
    devices: int
    rows: int
    failures: int
    """Learned from."""
    calibration_rows: int
    calibration_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Per row of a frame."""

    horizons_hours: tuple[float, ...]
    failed: FloatArray
    """Calibrated chance of failing within each horizon; (rows, horizons)."""


class ModeModel(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The forecaster of one failure mode of a product."""

    mode: str
    spec: FrameSpec
    hazard: Hazard
    """Learned from this mode alone."""
    calibration: Calibration
    seen: Range
    seeds: tuple[int, ...]
    shared: Shared | None = None
    """Learned from all modes together."""
    shared_share: float = 0.0
    """How much of it is in what is said, from 0 to 1, as devices left out decided."""
    life: Life | None = None
    """Remaining life, where it is told better than by the hazard alone."""
    trend: Trend | None = None
    """The same from the part's own path of wear, where that does better than what lives that ended teach."""
    life_share: float = 0.0
    """How much of its shape is in the quantiles of remaining life, from 0 to 1."""

    @property
    def has_learned(self) -> bool:
        """Whether more is known than a rate that is the same for all devices."""
        own = bool(self.hazard.members) and self.shared_share < 1
        return own or (self.shared is not None and self.shared_share > 0)

    def predict(self, frame: Frame) -> Prediction:
        """Forecast every row of a frame that was made with this model's spec."""
        horizons = self.calibration.horizons_hours
        return Prediction(horizons_hours=horizons, failed=1 - self.survival(frame.x, horizons))

    def survival(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Calibrated chance of not having failed by any horizons; (rows, horizons), falling in hours.

        Between two calibrated horizons the cumulative hazard goes on as the hazard's does.
        """
        knots = self.calibration.horizons_hours
        wanted = np.asarray(hours, dtype=np.float64)
        raw = self._cumulative(x, (*knots, *wanted))
        raw, asked = raw[:, : len(knots)], raw[:, len(knots) :]
        chance = np.clip(self.calibration.apply(-np.expm1(-raw)), 0, 1 - 1e-12)
        zero = np.zeros((len(x), 1))
        before = np.concatenate([zero, raw], axis=1)
        after = np.concatenate([zero, -np.log1p(-chance)], axis=1)
        place = np.clip(np.searchsorted(knots, wanted, side="left"), 0, len(knots) - 1)
        step = np.maximum(before[:, place + 1] - before[:, place], 1e-300)
        share = (asked - before[:, place]) / step
        inside = after[:, place] + share * (after[:, place + 1] - after[:, place])
        ratio = after[:, -1:] / np.maximum(before[:, -1:], 1e-300)
        beyond = after[:, -1:] + np.minimum(ratio, 1e3) * (asked - before[:, -1:])
        return np.asarray(np.exp(-np.where(wanted > knots[-1], beyond, inside)))

    def _cumulative(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Cumulative hazard before calibration; (rows, horizons)."""
        if self.shared is None or self.shared_share <= 0:
            return self.hazard.cumulative(x[:, self._own], hours)
        together = self.shared.survival(x[:, self._together], hours)
        if self.shared_share < 1:
            own = self.hazard.survival(x[:, self._own], hours)
            together = self.shared_share * together + (1 - self.shared_share) * own
        return np.asarray(-np.log(np.maximum(together, 1e-300)))

    @cached_property
    def _together(self) -> IntArray:
        return self.spec.columns_of(Recurring)

    @cached_property
    def _own(self) -> IntArray:
        return np.setdiff1d(np.arange(len(self.spec.names)), self._together)
