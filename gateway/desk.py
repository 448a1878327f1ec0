"""What the gateway process lets its subjects do: take messages of devices, look at the clock, answer.

A subject (presence, configuration, commands, firmware) is a desk. All desks work on one batch in one
transaction; what they answer is published after its COMMIT, and only then are the messages
acknowledged to the broker. A crash in between brings the messages again: `take` must stand a
repetition, and answers it in the same way. What `tick` sends has no message behind it that would
come again, so its row says that it was sent, and is sent once more until the device has answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.pool import Connection
from gateway.topics import topic_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message of a device; its sender is known by its credential, which the topic carries."""

    device: str
    shard: int
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to a device, at QoS 1."""

    device: str
    shard: int
    kind: str
    payload: bytes

    @property
    def topic(self) -> str:
        return topic_of(self.device, shard=self.shard, kind=self.kind)


class Desk(Protocol):
    """One subject of the gateway."""

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of messages (the last topic level) that it wants to see."""

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        """Work on messages of its kinds, in order of arrival, and return what to answer.

        Never commits. A payload that says nothing sensible is logged and skipped: the sender cannot
        be told more than the broker told it, and must not stop the others.
        """

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        """Do what is due by the clock, about once a second, and return what to send."""
