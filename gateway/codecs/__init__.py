"""Reads a telemetry payload, whatever its form, into one record. Pure.

The forms are those of docs/reference/wire-format.md. Forecare's own JSON is tried first and pays
nothing for the others: only what it refuses is looked at a second time.
"""

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

decode = native.decode
