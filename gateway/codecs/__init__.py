"""Reads a telemetry payload, whatever its form, into one record. Pure.

The forms are those of docs/reference/wire-format.md. Forecare's own JSON is tried first and pays
nothing for the others: only what it refuses is looked at a second time.
"""

import re

from gateway.codecs import native
from gateway.codecs.native import encode, salvage_numbers
from gateway.codecs.records import (
    PAYLOAD_MAX,
    SAMPLES_MAX,
    Codec,
    CodecError,
    Telemetry,
    Values,
)
from gateway.codecs.senml import SenmlCbor, SenmlJson

__all__ = [
    "PAYLOAD_MAX",
    "SAMPLES_MAX",
    "Codec",
    "CodecError",
    "Telemetry",
    "Values",
    "decode",
    "encode",
    "salvage_numbers",
]

FOREIGN: tuple[Codec, ...] = (SenmlJson(), SenmlCbor())
"""In the order in which they are asked."""
_POINTS = re.compile(rb'"values"\s*:')


def decode(payload: bytes, *, arrived_ms: int) -> Telemetry:
    """Read a payload of any form.

    Parameters
    ----------
    payload : bytes
    arrived_ms : int
        Time of arrival, milliseconds since 1970, for the forms that carry none.

    Raises
    ------
    CodecError
        If it is no telemetry. Nothing else is ever raised, whatever the bytes.
    """
    try:
        return native.decode(payload, arrived_ms=arrived_ms)
    except CodecError:
        if _POINTS.search(payload):
            raise  # a list of points of our own, with something wrong in it
        for codec in FOREIGN:
            if codec.takes(payload):
                return codec.decode(payload, arrived_ms=arrived_ms)
        raise
