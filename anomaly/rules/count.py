"""What the alerts of a rule were worth, and whether it may go on opening tickets. Pure.

An alert is a ticket that forecasts opened: what the device reported itself is no claim of ours. A
technician's word counts before anything else. Without it time decides, as `anomaly.judge` has it: an
alert after which no failure came within the longest horizon was false.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from anomaly.ledger import Ledger, Standing
from anomaly.records import Verdict

HORIZON = timedelta(days=30)
"""The longest time for which failures are forecast: a failure that comes later was not meant."""

Worth = Literal["right", "false", "unknown", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One ticket that forecasts opened, and what came. Instants are event time."""

    opened_at: datetime
    closed_at: datetime | None
    close_reason: str | None
    is_corrective: bool
    """The device failed while the ticket was open."""
    verdict: Verdict | None
    failed_at: datetime | None
    """First failure of this mode after the opening, found or reported."""
    replaced_at: datetime | None
    """First time after the opening that its component was replaced, on whatever visit."""
    watched_through: datetime | None
    """How far the device is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    right: int = 0
    false: int = 0
    unknown: int = 0
    """Nobody can ever say."""
    waiting: int = 0
    """Nobody can say yet."""

    @property
    def judged(self) -> int:
        return self.right + self.false


def worth_of(alert: Alert, *, can_heal: bool, through: datetime) -> Worth:
    """Say what an alert was worth, as far as is known.

    Parameters
    ----------
    can_heal : bool
        Its owner was told how to cure it: values that went back to normal prove nothing then.
    through : datetime
        How far the product has been watched, event time.
    """
    match alert.verdict:
        case "confirmed" | "incipient":
            return "right"
        case "no_fault_found" | "other_fault":
            return "false"
        case "not_inspected":
            return "unknown"
    if alert.is_corrective:
        return "right"
    if alert.closed_at is None:
        return "waiting"
    ends = alert.opened_at + HORIZON
    if alert.failed_at is not None and alert.failed_at <= ends:
        return "right"
    if alert.replaced_at is not None and alert.replaced_at <= ends:
        return "unknown"
    if alert.close_reason == "recovered" and can_heal:
        return "unknown"
    watched = min(alert.watched_through or alert.opened_at, through)
    return "false" if watched >= ends else "waiting"


def tally(alerts: Sequence[Alert], *, can_heal: bool, through: datetime) -> Tally:
    number = Counter(worth_of(alert, can_heal=can_heal, through=through) for alert in alerts)
    return Tally(
        right=number["right"],
        false=number["false"],
        unknown=number["unknown"],
        waiting=number["waiting"],
    )


def standing_of(counted: Tally, *, device_years: float, budget: float) -> tuple[Standing, float]:
    """Weigh the false alarms against the budget.

    Returns
    -------
    tuple of str and float
        The standing, and how much likelier the count is under an overdraft than at the budget.
    """
    ledger = Ledger(budget_per_device_year=budget).after(
        false_alarms=counted.false, device_years=device_years
    )
    return ledger.standing, ledger.evidence
