import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ingest.link import LoadError, count_acks

NO_SUBSCRIBER = mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS


def ack(packet_id: int, reason: mqtt5.PubAckReasonCode = mqtt5.PubAckReasonCode.SUCCESS) -> bytes:
    return mqtt5.PubAckPacket(packet_id, reason_code=reason).write()


@given(st.lists(st.tuples(st.integers(1, 65535), st.booleans()), max_size=50), st.data())
def test_whole_acknowledgements_are_counted_and_the_rest_is_left(
    acks: list[tuple[int, bool]], data: st.DataObject
) -> None:
    packets = [ack(i, NO_SUBSCRIBER) if heard else ack(i) for i, heard in acks]
    stream = b"".join(packets)
    cut = data.draw(st.integers(0, len(stream)))

    first, used = count_acks(stream[:cut])
    second, used_too = count_acks(stream[used:])

    assert first + second == len(acks)
    assert used + used_too == len(stream)


def test_a_refused_message_is_an_error() -> None:
    with pytest.raises(LoadError, match="0x87"):
        count_acks(ack(1) + ack(2, mqtt5.PubAckReasonCode.NOT_AUTHORIZED))


def test_anything_but_an_acknowledgement_is_an_error() -> None:
    with pytest.raises(LoadError, match="kind 14"):
        count_acks(mqtt5.DisconnectPacket().write())
