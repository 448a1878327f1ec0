"""Every form of telemetry is read, and whatever else the bytes are, the answer is one error."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs import CodecError, Telemetry, decode, encode, salvage_numbers

NOW_MS = 1_764_000_000_000
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: name not in ("boot", "seq", "low", "samples", "ts", "values")
)
VALUES = st.dictionaries(
    NAMES, st.one_of(st.booleans(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1
)
SAMPLES = st.lists(st.tuples(st.integers(-(2**53), 2**53), VALUES), max_size=5)


@given(SAMPLES, st.integers(0, 2**62), st.integers(0, 2**62))
def test_what_is_written_is_read_back(samples: list, boot: int, seq: int) -> None:  # type: ignore[type-arg]
    message = Telemetry(samples, boot, seq, seq // 2)

    assert decode(encode(message), arrived_ms=NOW_MS) == message


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf{}")
@example(b'{"samples":1}')
@example(b'{"a":"' + b"\\u0000" + b'"}')
@example(b"[" * 60_000)
@example(b'{"a":' * 10_000)
@example(b'{"values":{"a":1},"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}")
@example(b'{"a":' + b"9" * 4301 + b"}")
@example(b'{"\xed\xa0\x80":1}')
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    try:
        message = decode(payload, arrived_ms=NOW_MS)
    except CodecError:
        return
    assert all(isinstance(ts, int) for ts, _ in message.samples)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_raises_anything_else(value: object) -> None:
    payload = json.dumps(value).encode()
    with contextlib.suppress(CodecError):
        decode(payload, arrived_ms=NOW_MS)


@given(st.binary(max_size=200))
@example(b'{"boot":1,"seq":2,"samples":[[\xff')
def test_salvaging_never_raises(payload: bytes) -> None:
    numbers = salvage_numbers(payload)

    assert numbers is None or len(numbers) == 3


@pytest.mark.parametrize(
    ("payload", "samples"),
    [
        ('{"outlet_c": 41.2}', [(NOW_MS, {"outlet_c": 41.2})]),
        ('{"ts": 5, "values": {"a": 1}}', [(5, {"a": 1.0})]),
        ('{"values": {"a": true}}', [(NOW_MS, {"a": True})]),
        (
            '[{"ts": 5, "values": {"a": 1}}, {"values": {"b": 2}}]',
            [(5, {"a": 1.0}), (NOW_MS, {"b": 2.0})],
        ),
        ('  {"samples": [[5, {"a": 1}]]}', [(5, {"a": 1.0})]),
    ],
)
def test_the_short_forms_are_read_and_have_no_number(payload: str, samples: object) -> None:
    message = decode(payload.encode(), arrived_ms=NOW_MS)

    assert message.samples == samples
    assert message.boot is None


@pytest.mark.parametrize(
    "payload",
    [
        '{"boot": 1, "samples": []}',
        '{"seq": 1, "samples": []}',
        '{"boot": -1, "seq": 1, "samples": []}',
        '{"boot": 1, "seq": 1, "low": 2, "samples": []}',
        '{"boot": 1, "boot": 2, "seq": 1, "samples": []}',
        '{"boot": 1, "seq": 1, "samples": [], "firmware": "1"}',
        '{"boot": 1, "seq": 1, "samples": [["5", {"a": 1}]]}',
        '{"boot": 1, "seq": 1, "samples": [[5.5, {"a": 1}]]}',
        '{"boot": 1, "seq": 1, "samples": [[5, {"a": "1"}]]}',
        '{"boot": 1, "seq": 1, "samples": [[5, {"a": null}]]}',
        '{"boot": 1, "seq": 1, "samples": [[5, {"a": 1, "a": 1}]]}',
        '{"boot": 1, "seq": 1, "samples": [[5, {"a": Infinity}]]}',
        '{"boot": 1, "seq": 1, "samples": [[9223372036854775808, {"a": 1}]]}',
        '{"a": 1}{"a": 1}',
        "null",
        "42",
    ],
)
def test_what_breaks_the_format_is_refused(payload: str) -> None:
    with pytest.raises(CodecError):
        decode(payload.encode(), arrived_ms=NOW_MS)


def test_the_number_of_a_broken_message_is_saved() -> None:
    assert salvage_numbers(b'{"boot": 12, "seq": 345, "samples": [[17640') == (12, 345, 0)
    assert salvage_numbers(b'{"seq": 3, "boot": 1, "low": 2, "samples": "none"}') == (1, 3, 2)
    assert salvage_numbers(b'{"a": 1}') is None
