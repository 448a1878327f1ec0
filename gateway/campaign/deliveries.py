"""Pieces that devices have asked for, handed out at a bounded rate. Pure: time comes as an argument.

A question is kept in memory alone: a device that gets no answer, because the gateway was killed or
too many asked at once, asks again after its own time-out. A new question replaces the one before.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

BYTES_PER_S = 2 * 1024 * 1024
"""Of all devices together: telemetry, commands and `stored` share the broker with it."""
_BURST_BYTES = 2 * BYTES_PER_S
QUESTIONS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Pieces of one image that a device is waiting for."""

    device: str
    shard: int
    campaign_id: int
    firmware_id: int
    chunk: int
    count: int
    chunk_bytes: int

    @property
    def bytes_max(self) -> int:
        return self.count * self.chunk_bytes


class Deliveries:
    """A queue with one place per device, first come, first served, and a byte budget."""

    def __init__(self, *, bytes_per_s: int = BYTES_PER_S, burst_bytes: int = _BURST_BYTES) -> None:
        self._per_s = bytes_per_s
        self._burst = burst_bytes
        self._budget = float(burst_bytes)
        self._at: datetime | None = None
        self._waiting: OrderedDict[str, Question] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, question: Question) -> bool:
        """Queue a question; False when too many wait, and the device has to ask again."""
        if question.device not in self._waiting and len(self._waiting) >= QUESTIONS_MAX:
            return False
        self._waiting[question.device] = question
        return True

    def drop(self, device: str) -> None:
        """Forget what a device has asked for: its offer was withdrawn, or it is done."""
        self._waiting.pop(device, None)

    def due(self, *, now: datetime) -> list[Question]:
        """Take out what may be sent now. A single large question may overdraw the budget once."""
        if self._at is not None:
            gained = max(0.0, (now - self._at).total_seconds()) * self._per_s
            self._budget = min(float(self._burst), self._budget + gained)
        self._at = now
        found = []
        while self._waiting and self._budget > 0:
            _, question = self._waiting.popitem(last=False)
            self._budget -= question.bytes_max
            found.append(question)
        return found
