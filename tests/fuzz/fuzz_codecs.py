"""A target for atheris: python -m tests.fuzz.fuzz_codecs json|cbor|sparkplug|any [libFuzzer options]

Whatever the bytes are, a codec returns telemetry or raises its one error; anything else ends the run.
"""

import contextlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import atheris

with atheris.instrument_imports(include=["gateway.codecs", "gateway.sparkplug"]):
    from gateway.codecs import CodecError, decode
    from gateway.codecs.senml import SenmlCbor, SenmlJson
    from gateway.session import Arrival
    from ingest.sparkplug.translate import translate

_NOW_MS = 1_764_000_000_000
_NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _json(payload: bytes) -> None:
    SenmlJson().decode(payload, arrived_ms=_NOW_MS)


def _cbor(payload: bytes) -> None:
    SenmlCbor().decode(payload, arrived_ms=_NOW_MS)


def _any(payload: bytes) -> None:
    decode(payload, arrived_ms=_NOW_MS)


def _sparkplug(payload: bytes) -> None:
    """A birth and then data, cut where the first byte says."""
    cut = payload[0] if payload else 0
    arrivals = [
        Arrival("spBv1.0/g/NBIRTH/n", payload[1 : cut + 1], 1),
        Arrival("spBv1.0/g/NDATA/n", payload[cut + 1 :], 2),
    ]
    translate(arrivals, {}, spoken_for=set(), now=_NOW)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "any": _any,
    "cbor": _cbor,
    "json": _json,
    "sparkplug": _sparkplug,
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def run(payload: bytes) -> None:
        with contextlib.suppress(CodecError):
            target(payload)

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
