"""What is judged: what was said (`Told`), and what it is laid beside (`Ground`). Pure."""

from dataclasses import dataclass

import numpy as np

from anomaly.judge.alerts import Rule
from anomaly.judge.bootstrap import DRAWS
from anomaly.judge.lives import Lives, lives_of
from anomaly.judge.tally import Costs
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.runs import Runs

US_PER_HOUR = 3.6e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a forecaster said about one failure mode, and the alerts that its policy made of it."""

    mode: str
    device: IntArray
    """Place in the histories, not falling; shape (rows,)."""
    at_us: IntArray
    horizons_hours: tuple[float, ...]
    probability: FloatArray
    """P(failure within each horizon), NaN where nothing was claimed; shape (rows, horizons)."""
    runs: Runs
    life_shares: tuple[float, ...] = ()
    life_hours: FloatArray | None = None
    """Quantiles of remaining life at `life_shares`, hours, infinite where beyond all bounds; (rows, shares)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What happened, which part of it is judged, and how."""

    catalog: Catalog
    histories: tuple[History, ...]
    from_us: int
    """Where the part that is judged begins, event time."""
    until_us: int
    useful_hours: float
    """W: warning that is longer is of no use."""
    lead_hours: float | None = None
    """H; by default the lead time that the product sheet wants for each failure mode."""
    leads_hours: tuple[float, ...] = ()
    """Leads of the recall curve."""
    is_strict: bool = False
    """Alerts that nobody can judge count as false."""
    seed: int = 0
    """Of the bootstrap."""
    draws: int = DRAWS

    def rule(self, mode: str) -> Rule:
        """H and W of a failure mode."""
        wanted = self.catalog.product.failure_mode(mode).lead_time.total_seconds() / 3600
        lead = wanted if self.lead_hours is None else self.lead_hours
        return Rule(
            lead_us=round(lead * US_PER_HOUR),
            horizon_us=round(max(self.useful_hours, lead) * US_PER_HOUR),
            is_strict=self.is_strict,
        )

    def costs(self, mode: str) -> Costs:
        """What the product sheet says that a failure and a visit cost."""
        sheet = self.catalog.product.failure_mode(mode)
        return Costs(failure=sheet.cost_of_failure, visit=sheet.cost_of_visit)

    def lives(self, mode: str) -> Lives:
        """What happened to the component of a failure mode, in the part that is judged."""
        return lives_of(
            self.catalog, self.histories, mode=mode, from_us=self.from_us, until_us=self.until_us
        )

    def outcome(self, told: Told) -> Outcome:
        """What came after each row."""
        nothing = np.empty((len(told.at_us), 0))
        rows = Frame(device=told.device, at_us=told.at_us, x=nothing, names=())
        return outcome_of(self.catalog, self.histories, rows, mode=told.mode)

    def inside(self, told: Told) -> BoolArray:
        """Rows in the part that is judged."""
        return (told.at_us >= self.from_us) & (told.at_us <= self.until_us)

    def left_hours(self, told: Told) -> FloatArray:
        """How long each row's device was observed after it."""
        until = np.array([history.until_us for history in self.histories])
        return np.asarray((until[told.device] - told.at_us) / US_PER_HOUR)
