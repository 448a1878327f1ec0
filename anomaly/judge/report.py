"""The table of forecasts: records of what was judged, with the names under which they are printed. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from anomaly.judge.bootstrap import Interval
from anomaly.judge.calibration import ReliabilityBin
from anomaly.judge.life import Coverage
from anomaly.judge.tally import AlertFigures


class HorizonFigures(msgspec.Struct, frozen=True, kw_only=True):
    """P(failure within a horizon), row by row, weighted where lives are censored."""

    horizon_hours: float
    rows: int
    """Whose outcome is known."""
    rows_failed: int
    rate: float | None
    """Share of rows that failed within the horizon: the average precision of a coin."""
    average_precision: float | None
    brier: float | None
    brier_of_rate: float | None
    """Of a forecaster that always says the rate."""
    ece: float | None
    """15 groups of equal weight."""
    ece_equal_width: float | None
    reliability: tuple[ReliabilityBin, ...] = ()


class LifeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of remaining life of which it is known whether they held: by the observation, those that end before it does."""

    rows: int
    coverage_80: float | None
    coverage_90: float | None
    width_90: float | None
    """Mean width, hours."""
    median_error_hours: float | None
    """Median of |median forecast - truth| of rows that failed."""
    by_life: tuple[Coverage, ...] = ()
    """90 % intervals by predicted life, hours."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said of one forecaster and one failure mode, or of all modes together."""

    alerts: AlertFigures
    horizons: tuple[HorizonFigures, ...] = ()
    life: LifeFigures | None = None
    intervals: Mapping[str, Interval] = {}
    """By name of the figure; per horizon as name@hours."""

    def figures(self) -> dict[str, Any]:
        """Return the figures under the names that every evaluation prints."""
        alerts, life = self.alerts, self.life
        found: dict[str, Any] = {
            name: getattr(alerts, name)
            for name in (
                "events", "events_caught", "event_recall", "alerts", "alert_precision",
                "false_alarms_per_device_year", "device_years", "lead_hours_q10",
                "lead_hours_median", "lead_hours_q90", "share_too_early", "recall_by_lead",
                "late", "undecided", "unseen",
            )
        }  # fmt: skip
        if alerts.cost_per_device_year is not None:
            found["cost_per_device_year"] = alerts.cost_per_device_year
            found["cost_without"] = alerts.cost_without
            found["cost_best"] = alerts.cost_best
        for name in ("average_precision", "brier", "ece"):
            found |= {name: {f"{h.horizon_hours:g}": getattr(h, name) for h in self.horizons}}
        if life is not None:
            found |= {
                "coverage_80": life.coverage_80,
                "coverage_90": life.coverage_90,
                "width_90": life.width_90,
            }
        return found


class ModeTable(msgspec.Struct, frozen=True, kw_only=True):
    """One failure mode, and the controls beside it."""

    mode: str
    lead_hours: float
    """H."""
    horizon_hours: float
    """W."""
    reached: Figures
    controls: Mapping[str, Figures] = {}


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecaster reached on a product, per failure mode and in total."""

    product: str
    devices: int
    from_us: int
    """First instant that was judged, event time."""
    until_us: int
    seed: int
    """Of the bootstrap over devices."""
    modes: tuple[ModeTable, ...]
    total: Figures
    """Alerts of all modes together; probabilities are judged per mode."""
    controls: Mapping[str, Figures] = {}

    def figures(self) -> dict[str, Any]:
        """Return the total under the names of `Figures.figures`, with calibration over all modes' rows."""
        return self.total.figures()
