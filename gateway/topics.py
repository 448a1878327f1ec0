"""The topics of the wire format (docs/reference/wire-format.md), written and read. Pure."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

SHARDS = 256
DEVICE_WRITES = ("telemetry", "birth", "will", "reported", "answer", "fetch", "progress")
"""Kinds of messages, the last topic level, that a device may write in its own name."""
DEVICE_READS = ("stored", "limit", "config", "command", "firmware", "chunk")
INGEST_WRITES = ("stored", "limit")
"""What ingest says to devices; the rest comes from the gateway."""
DEVICE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOPIC = re.compile(r"fc/([0-9a-f]{2})/([A-Za-z0-9_.-]{1,80})/([a-z]{1,16})")


@dataclass(frozen=True, slots=True)
class Topic:
    shard: int
    device: str
    kind: str
    """telemetry, birth, will, stored, …"""


def shard_of(device: str) -> int:
    """Return the shard of a device, 0 to 255: spread evenly, the same for ever."""
    return hashlib.blake2b(device.encode(), digest_size=1).digest()[0]


def topic_of(device: str, *, shard: int, kind: str) -> str:
    return f"fc/{shard:02x}/{device}/{kind}"


def answer_topic(telemetry_topic: str, *, kind: str) -> str:
    """Return the topic on which the sender of a telemetry message is answered: `stored` or `limit`."""
    return telemetry_topic.removesuffix("telemetry") + kind


def parse_topic(topic: str) -> Topic | None:
    """Read a topic; None when it is none of ours."""
    match = _TOPIC.fullmatch(topic)
    return Topic(int(match[1], 16), match[2], match[3]) if match else None


def telemetry_filters(shards: Sequence[int]) -> tuple[str, ...]:
    """Return the filters of an ingest process: one for all, else one per shard (never $share)."""
    if len(shards) == SHARDS:
        return ("fc/+/+/telemetry",)
    return tuple(f"fc/{shard:02x}/+/telemetry" for shard in shards)


def foreign_filters(shards: Sequence[int]) -> tuple[str, ...]:
    """Return the filters that an earlier split may have left in a process's broker session."""
    own = set(telemetry_filters(shards))
    every = ("fc/+/+/telemetry", *(f"fc/{shard:02x}/+/telemetry" for shard in range(SHARDS)))
    return tuple(pattern for pattern in every if pattern not in own)
