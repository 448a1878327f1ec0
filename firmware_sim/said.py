"""A message that a device wants to send about something else than its samples. Pure."""

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    kind: str
    """Last level of the topic."""
    payload: bytes
    receipt: str = ""
    """Whatever its sender wants to hear when the broker has taken the message."""


def say(kind: str, message: dict[str, Any], *, receipt: str = "") -> Said:
    return Said(kind=kind, payload=orjson.dumps(message), receipt=receipt)
