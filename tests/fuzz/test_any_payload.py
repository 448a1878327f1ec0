"""Whatever the bytes are, a codec returns telemetry or raises its one error."""

import contextlib
import json
from datetime import UTC, datetime

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import FOREIGN, CodecError, Telemetry, decode
from gateway.codecs.records import Codec
from gateway.session import Arrival
from ingest.sparkplug.translate import translate

KINDS = ("NBIRTH", "NDATA", "NDEATH")
NOW_MS = 1_764_000_000_000
LABEL = st.sampled_from(
    [
        "bn",
        "bt",
        "bu",
        "bv",
        "bs",
        "bver",
        "n",
        "u",
        "v",
        "vs",
        "vb",
        "vd",
        "s",
        "t",
        "ut",
        "x",
        "x_",
    ]
)
SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["a", "kettle-1/", "urn:dev:mac:01:", "Cel", "K", 2**28, -1, 10, 26]),
)
PACK = st.lists(st.dictionaries(LABEL, SCALAR, max_size=6), max_size=6)


def is_sound(message: Telemetry) -> bool:
    return all(
        isinstance(ts, int)
        and abs(ts) <= 2**53
        and all(isinstance(name, str) and value == value for name, value in values.items())
        for ts, values in message.samples
    )


@pytest.mark.parametrize("codec", FOREIGN, ids=lambda codec: codec.name)
@given(payload=st.binary(max_size=400))
def test_bytes_are_read_or_refused(codec: Codec, payload: bytes) -> None:
    with contextlib.suppress(CodecError):
        assert is_sound(codec.decode(payload, arrived_ms=NOW_MS))
    with contextlib.suppress(CodecError):
        assert is_sound(decode(payload, arrived_ms=NOW_MS))


@given(PACK)
def test_senml_of_any_shape_is_read_or_refused(pack: list) -> None:  # type: ignore[type-arg]
    with contextlib.suppress(CodecError):
        assert is_sound(decode(json.dumps(pack).encode(), arrived_ms=NOW_MS))


@given(
    st.recursive(
        st.one_of(SCALAR, st.binary(max_size=20), st.datetimes(), st.decimals()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.one_of(st.integers(-8, 12), LABEL), inner, max_size=4),
        ),
        max_leaves=12,
    )
)
def test_cbor_of_any_shape_is_read_or_refused(value: object) -> None:
    payload = cbor2.dumps(value, timezone=UTC)
    with contextlib.suppress(CodecError):
        assert is_sound(FOREIGN[1].decode(payload, arrived_ms=NOW_MS))


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=200)), max_size=4))
def test_sparkplug_of_any_bytes_is_read_or_refused(story: list[tuple[str, bytes]]) -> None:
    arrivals = [Arrival(f"spBv1.0/g/{kind}/n", payload, 1) for kind, payload in story]

    found = translate(arrivals, {}, spoken_for=set(), now=datetime(2026, 6, 1, tzinfo=UTC))

    assert len(found.refused) + len(found.telemetry) <= len(story)
