"""What a device is told to do once, as others see it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.device_commands.life_cycle import State
from gateway.documents import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDraft:
    """`id` is the caller's: the same one twice is one command."""

    id: str
    device: str
    name: str
    args: Document
    deadline_at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    id: str
    device: str
    name: str
    args: Document
    state: State
    reason: str
    """Why it ended as it did, in words; empty while it is open or when it is done."""
    result: Any
    late_answer: Any
    """What the device answered when all was over; it moves nothing."""
    actor: str
    created_at: datetime
    deadline_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None
    ended_at: datetime | None
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCommand:
    """One that a connected device has not acknowledged yet."""

    id: str
    device: str
    shard: int
    name: str
    args: Document
    deadline_at: datetime
    state: State
    tries: int
