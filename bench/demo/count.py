"""Holds the tickets against the simulator's own record of what it broke. Pure.

A failure counts as forecast when a ticket for that device and failure mode was opened after the
part began to fail and before the instant at which it fails (or would have failed without a visit).
A ticket counts as false when no failure of its device and failure mode stands behind it. A failure
that lies ahead of the end of the history is not yet counted; a ticket for it is not false.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

CORRECTIVE_WITHIN = timedelta(days=3)
"""A ticket opened so soon after a failure belongs to it: too late, but not false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One injected failure, from the simulator's record."""

    device: str
    failure_mode: str
    onset_at: datetime
    fails_at: datetime
    is_ahead: bool = False
    """Begun in the history and meant to fail after its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One ticket, from the database."""

    device: str
    failure_mode: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    failures_injected: int
    failures_forecast: int
    tickets: int
    false_tickets: int
    median_lead_hours: float | None
    """Hours from ticket to failure over the failures that were forecast; None without any."""


def judge(failures: Sequence[Failure], tickets: Sequence[Opened]) -> Verdict:
    """Count what was forecast, what was missed and what was imagined."""
    due = [failure for failure in failures if not failure.is_ahead]
    leads = [lead for failure in due if (lead := _lead_hours(failure, tickets)) is not None]
    false = [ticket for ticket in tickets if not any(_belongs(ticket, f) for f in failures)]
    return Verdict(
        failures_injected=len(due),
        failures_forecast=len(leads),
        tickets=len(tickets),
        false_tickets=len(false),
        median_lead_hours=round(median(leads), 1) if leads else None,
    )


def _lead_hours(failure: Failure, tickets: Sequence[Opened]) -> float | None:
    before = [
        (failure.fails_at - ticket.opened_at) / timedelta(hours=1)
        for ticket in tickets
        if _belongs(ticket, failure) and ticket.opened_at < failure.fails_at
    ]
    return max(before, default=None)


def _belongs(ticket: Opened, failure: Failure) -> bool:
    same = ticket.device == failure.device and ticket.failure_mode == failure.failure_mode
    return same and failure.onset_at <= ticket.opened_at <= failure.fails_at + CORRECTIVE_WITHIN
