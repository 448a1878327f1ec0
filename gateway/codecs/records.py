"""What every codec turns a payload into, and the limits that hold for all of them. Pure."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

PAYLOAD_MAX = 65_536
"""Bytes."""
SAMPLES_MAX = 1000

Values = dict[str, float | bool]


class CodecError(Exception):
    """The payload is no telemetry; the message says why."""


class Telemetry(msgspec.Struct, gc=False):
    """One message of a device."""

    samples: list[tuple[int, Values]]
    """Milliseconds since 1970, and the values of that instant."""
    boot: int | None = None
    """None: the form has no number, so the message is never confirmed."""
    seq: int = 0
    low: int = 0
    """Everything of this boot below it has been confirmed to the device."""
    units: Mapping[str, str] | None = None
    """The unit that the message itself gives a metric, in its codec's spelling. Empty or None: the
    metrics are in the units of the product sheet."""


class Codec(Protocol):
    """One way to write telemetry down."""

    name: str
    """As dead letters and the documentation call it."""

    def takes(self, payload: bytes) -> bool:
        """Tell by its first bytes whether a payload means to be of this form; costs next to nothing."""

    def decode(self, payload: bytes, *, arrived_ms: int) -> Telemetry:
        """Read a payload.

        Raises
        ------
        CodecError
            If it is no telemetry. Nothing else is ever raised, whatever the bytes, and no payload
            that the broker lets through costs more than 50 ms or 10 MiB.
        """
