"""The hot subscription reads whatever the broker sends, however it is cut, and loses no message."""

import contextlib
import itertools

import mqtt5
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.endpoints import MqttEndpoint
from gateway.session import Arrival, BrokerAwayError, Session, SessionOptions

OWN = "fc/00/forecare.ingest.0/telemetry"


def session() -> Session:
    endpoint = MqttEndpoint(host="127.0.0.1", port=1, user="forecare.ingest.0", password="none")
    options = SessionOptions(filters=("fc/+/+/telemetry",), heartbeat_topic=OWN, receive_max=10)
    return Session(endpoint, options)


def published(topic: str, payload: bytes, packet_id: int) -> bytes:
    """A PUBLISH byte by byte, as the standard has it (MQTT 5, 3.3)."""
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode()
    if packet_id:
        body += packet_id.to_bytes(2, "big")
    body += b"\0" + payload
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)[0], rest % 128
        length += bytes((digit | (128 if rest else 0),))
        if not rest:
            break
    return bytes((0x32 if packet_id else 0x30,)) + length + body


_MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["fc/0a/kettle-1/telemetry", "fc/ff/é/telemetry", OWN]),
        st.binary(max_size=300),
        st.integers(0, 65_535),
    ),
    max_size=8,
)


@given(_MESSAGES, st.lists(st.integers(0, 2000), max_size=6))
def test_messages_are_read_however_they_are_cut(
    messages: list[tuple[str, bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(published(*message) for message in messages)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = session()

    arrivals = [
        arrival
        for start, end in itertools.pairwise(edges)
        for arrival in reader._parse(data[start:end])
    ]

    # Our own heartbeat is no telemetry; one that asks to be acknowledged is somebody else's.
    expected = [Arrival(*m) for m in messages if m[0] != OWN or m[2]]
    assert arrivals == expected


@given(st.lists(st.binary(max_size=60), max_size=5))
@example([b"\x32\xff\xff\xff\xff\x01"])
@example([b"\x30\x02\x00\x09"])
@example([mqtt5.PingRespPacket().write() * 3, b"\xf0\x00"])
@example([b"\xe0\x00"])
def test_no_bytes_from_the_broker_raise_anything_but_a_broken_connection(
    reads: list[bytes],
) -> None:
    reader = session()

    with contextlib.suppress(BrokerAwayError):
        for read in reads:
            arrivals = reader._parse(read)
            assert all(0 <= arrival.packet_id < 65_536 for arrival in arrivals)


def test_a_packet_that_the_reader_refuses_is_cut_out_and_the_next_is_read() -> None:
    # Property 0x7E is none of MQTT 5.
    topic = "fc/0a/kettle-1/telemetry"
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\0\x07" + b"\x02\x7e\x00" + b"{}"
    strange = b"\x32" + bytes((len(body),)) + body

    arrivals = session()._parse(strange + published(topic, b"next", 8))

    assert [(a.topic, a.packet_id) for a in arrivals] == [(topic, 7), (topic, 8)]
    assert arrivals[1].payload == b"next"


def test_messages_are_acknowledged_in_the_given_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    reader = session()
    monkeypatch.setattr(reader, "_send", sent.append)

    reader.acknowledge([Arrival("t", b"", packet_id) for packet_id in (3, 0, 65_535, 1)])

    expected = [mqtt5.PubAckPacket(packet_id).write() for packet_id in (3, 65_535, 1)]
    assert b"".join(sent) == b"".join(expected)
