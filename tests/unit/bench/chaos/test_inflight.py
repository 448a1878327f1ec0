import mqtt5
from hypothesis import given
from hypothesis import strategies as st

from bench.chaos.inflight import InFlight, InFlightWatch
from bench.chaos.proxy import Side

CONNECT = mqtt5.ConnectPacket(client_id="i", receive_max=3).write()


def publish(number: int) -> bytes:
    return mqtt5.PublishPacket(
        "fc/00/a/telemetry", b"x" * 200, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number
    ).write()


@given(st.integers(1, 50))
def test_messages_in_flight_are_counted_however_the_stream_is_cut(size: int) -> None:
    seen = InFlight()
    down = b"".join(map(publish, (1, 2, 3)))

    for at in range(0, len(CONNECT), size):
        seen.saw(Side.CLIENT, CONNECT[at : at + size])
    for at in range(0, len(down), size):
        seen.saw(Side.SERVER, down[at : at + size])
    seen.saw(Side.CLIENT, mqtt5.PubAckPacket(1).write() + mqtt5.PingReqPacket().write())
    seen.saw(Side.SERVER, publish(4))

    assert (seen.receive_max, seen.unacknowledged_max) == (3, 3)


def test_what_needs_no_acknowledgement_is_not_in_flight() -> None:
    seen = InFlight()

    seen.saw(Side.SERVER, mqtt5.PublishPacket("a", b"").write())

    assert seen.unacknowledged_max == 0


def test_a_broker_that_hands_over_more_is_found_out() -> None:
    watch = InFlightWatch()
    seen = watch()
    seen.saw(Side.CLIENT, CONNECT)

    for number in range(1, 5):
        seen.saw(Side.SERVER, publish(number))

    assert (watch.receive_max, watch.unacknowledged_max) == (3, 4)
    assert not watch.is_obeyed
