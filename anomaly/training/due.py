"""Is it time to train a product? Pure.

What counts is event time and labels, so a replayed year trains as a lived one does. Wall time is only used to
leave a product alone for a while whose training fails or dies again and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from anomaly.learn.hazard import FAILURES_MIN

Reason = Literal["asked", "first", "labels", "month"]
State = Literal["running", "done", "failed", "died"]

NEW_MIN = 5
NEW_SHARE = 0.1
"""New failures that are worth a training: so many, and this share of those that the last one knew."""
MONTH = timedelta(days=30)
"""Of event time after which devices have shown enough that is new."""
PAUSES = (
    timedelta(0),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
)
"""After so many trainings in a row that came to nothing; then always the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a product now."""

    through: datetime
    """Event time that its devices have in common."""
    failures: Mapping[str, int]
    """By failure mode, at least."""

    @property
    def total(self) -> int:
        return sum(self.failures.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training, as it is kept."""

    id: int
    reason: Reason
    state: State
    through: datetime
    failures: int
    step: str
    share: float
    outcome: str
    began_at: datetime
    updated_at: datetime


def reason_to_train(known: Known, trainings: Sequence[Training], *, now: datetime) -> Reason | None:
    """Return why a product should be trained now; None: it need not.

    Parameters
    ----------
    known : Known
    trainings : sequence of Training
        The newest first; none of them runs, so one that says so has died.
    now : datetime
        Wall time.
    """
    if max(known.failures.values(), default=0) < FAILURES_MIN:
        return None
    in_vain = 0
    while in_vain < len(trainings) and trainings[in_vain].state != "done":
        in_vain += 1
    if in_vain and now - trainings[0].updated_at < PAUSES[min(in_vain - 1, len(PAUSES) - 1)]:
        return None
    if in_vain == len(trainings):
        return "first"
    last = trainings[in_vain]
    if known.total - last.failures >= max(NEW_MIN, NEW_SHARE * last.failures):
        return "labels"
    return "month" if known.through - last.through >= MONTH else None
