"""Which state of a command follows which: one function, whatever happens in whatever order. Pure.

    queued ──sent──▶ sent ──acknowledged──▶ acknowledged ──▶ done | failed
      └─ cancelled     └───────┴── deadline ──▶ expired ◀────────┘

A final state never changes. An answer moves forward from any open state: it proves that the device
has the command, whatever became of the messages in between.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, get_args

State = Literal["queued", "sent", "acknowledged", "done", "failed", "expired", "cancelled"]
Said = Literal["acknowledged", "done", "failed"]
STATES: tuple[State, ...] = get_args(State)
FINAL: frozenset[State] = frozenset({"done", "failed", "expired", "cancelled"})

_EXPIRED: dict[State, str] = {
    "queued": "the device was not connected before the deadline",
    "sent": "the device did not acknowledge it before the deadline",
    "acknowledged": "the device acknowledged it, and told no outcome before the deadline",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """It is handed to the broker."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The device said something about it."""

    said: Said


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody takes it back."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    now: datetime


Event: TypeAlias = Sent | Answered | Cancelled | TimePassed


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    state: State
    reason: str = ""


def step(state: State, event: Event, *, deadline_at: datetime) -> Step | None:
    """Return what a command becomes, None when it stays as it is."""
    if state in FINAL:
        return None
    match event:
        case Sent():
            return Step(state="sent") if state == "queued" else None
        case Answered("acknowledged"):
            return None if state == "acknowledged" else Step(state="acknowledged")
        case Answered(said):
            reason = "the device says that it failed" if said == "failed" else ""
            return Step(state=said, reason=reason)
        case Cancelled():
            if state != "queued":
                return None
            return Step(state="cancelled", reason="taken back before it was sent")
        case TimePassed(now):
            if now < deadline_at:
                return None
            return Step(state="expired", reason=_EXPIRED[state])


def is_to_send(state: State, *, deadline_at: datetime, now: datetime) -> bool:
    """Whether a connected device should (still) be told: until it acknowledges, or time is over."""
    return state in {"queued", "sent"} and now < deadline_at
