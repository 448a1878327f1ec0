"""An edge node that speaks Sparkplug B, the real broker, the ingest process, the real database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mqtt5
import pytest

from core.clock import wall_now
from core.endpoints import mqtt_endpoint
from core.pool import Pool
from core.settings import Settings
from gateway.broker import GATEWAY_USER
from gateway.records import DeviceCredential
from gateway.sparkplug import service
from gateway.sparkplug.messages import read_payload
from gateway.sparkplug.schema import Payload
from tests.integration.gateway.client import Device
from tests.integration.ingest.conftest import NOW_MS, Ingest, until

START_MS = NOW_MS - 3_600_000
NODE = "kettle-0"
BEHIND = "kettle-1"


def birth(*, bd_seq: int = 0, seq: int = 0, at_ms: int = START_MS, is_node: bool = True) -> bytes:
    payload = Payload(seq=seq, timestamp=at_ms)
    if is_node:
        payload.metrics.add(name=b"bdSeq", datatype=4, long_value=bd_seq)
        payload.metrics.add(name=b"Node Control/Rebirth", datatype=11, boolean_value=False)
    payload.metrics.add(name=b"Inputs/water_c", alias=1, datatype=10, double_value=20.0)
    payload.metrics.add(name=b"Inputs/power_w", alias=2, datatype=6, int_value=5)
    return bytes(payload.SerializeToString())


def data(seq: int, *, is_historical: bool = False) -> bytes:
    payload = Payload(seq=seq % 256, timestamp=START_MS + seq * 1000)
    payload.metrics.add(alias=1, double_value=20.0 + seq, is_historical=is_historical)
    return bytes(payload.SerializeToString())


def death(bd_seq: int) -> bytes:
    payload = Payload(timestamp=START_MS)
    payload.metrics.add(name=b"bdSeq", datatype=4, long_value=bd_seq)
    return bytes(payload.SerializeToString())


def topic(kind: str, device: str = "") -> str:
    return f"spBv1.0/plant/{kind}/{NODE}" + (f"/{device}" if device else "")


@contextmanager
def edge_node(broker: Any, credential: DeviceCredential) -> Iterator[Device]:
    """Connect, and listen for commands as a node does.

    A broker to whom nobody has ever subscribed below spBv1.0 says success where it should say that
    nobody listens.
    """
    with Device.of(broker, credential) as node:
        node.subscribe(topic("NCMD"))
        yield node


def say(device: Device, kind: str, payload: bytes, *, behind: str = "") -> None:
    """Publish until somebody has subscribed."""
    at = topic(kind, behind)
    no_one = mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
    while (answer := device.publish(payload, topic=at)) == no_one:
        time.sleep(0.02)
    assert answer == mqtt5.PubAckReasonCode.SUCCESS


def stored(rows: Callable[..., Any], device: str = NODE) -> list[float]:
    query = """select t.water_c from telemetry.kettle t join gateway.device d on d.id = t.device_id
               where d.name = %s order by t.measured_at"""
    return [row[0] for row in rows(query, device)]


def letters(rows: Callable[..., Any]) -> list[tuple[str, str]]:
    return list(rows("select device_name, reason from ingest.dead_letter order by id"))


def test_a_node_is_born_and_its_data_is_stored_by_alias(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with edge_node(broker, kettles[0]) as node:
        say(node, "NBIRTH", birth())
        for seq in range(1, 4):
            say(node, "NDATA", data(seq, is_historical=seq == 2))

        until(lambda: len(stored(rows)) == 4, what="the samples")
    assert stored(rows) == [20, 21, 22, 23]
    assert letters(rows) == []
    assert rows("select boot, next_seq, is_alive, is_stale from ingest.sparkplug_node") == [
        (1, 4, True, False)
    ]


def test_a_gap_asks_for_a_rebirth_and_stores_nothing_under_an_unsure_name(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with edge_node(broker, kettles[0]) as node:
        say(node, "NBIRTH", birth())
        say(node, "NDATA", data(1))
        say(node, "NDATA", data(9))

        command = node.read(mqtt5.PublishPacket)
        (metric,) = read_payload(bytes(command.payload)).metrics
        say(node, "NBIRTH", birth(at_ms=START_MS + 60_000))
        say(node, "NDATA", data(1).replace(data(1)[:7], data(61)[:7]))

        until(lambda: len(stored(rows)) >= 3, what="the samples after the rebirth")
    assert command.topic == topic("NCMD")
    assert (metric.name, metric.value) == ("Node Control/Rebirth", True)
    assert letters(rows) == [(NODE, "not_declared")]


def test_a_node_speaks_for_a_device_only_when_it_may(
    pool: Pool, broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with edge_node(broker, kettles[0]) as node:
        say(node, "NBIRTH", birth())
        say(node, "DBIRTH", birth(seq=1, is_node=False), behind=BEHIND)
        until(lambda: letters(rows) == [(BEHIND, "unknown_device")], what="the refusal")

        service.let_speak(pool, node=NODE, device=BEHIND, now=wall_now())
        say(node, "DDATA", data(2), behind=BEHIND)

        until(lambda: stored(rows, BEHIND) == [22], what="the sample of the device")
        service.let_speak_no_longer(pool, node=NODE, device=BEHIND)
        say(node, "DDATA", data(3), behind=BEHIND)
        until(lambda: len(letters(rows)) == 2, what="the second refusal")
    assert stored(rows, BEHIND) == [22]


def test_nobody_speaks_in_the_name_of_another_node(
    broker: Any, ingest: Ingest, kettles: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[1]) as stranger:
        answer = stranger.publish(birth(), topic=topic("NBIRTH"))

    assert answer == mqtt5.PubAckReasonCode.NOT_AUTHORIZED


def test_birth_and_death_are_told_to_the_gateway_and_a_late_death_is_not(
    broker: Any, ingest: Ingest, kettles: Any, runtime_settings: Settings
) -> None:
    ingest.start()
    desk = mqtt_endpoint(runtime_settings, GATEWAY_USER)
    with (
        Device(desk.host, desk.port, desk.user, desk.password) as gateway,
        edge_node(broker, kettles[0]) as node,
    ):
        gateway.subscribe("fc/+/+/birth", "fc/+/+/will")
        say(node, "NBIRTH", birth(bd_seq=4))
        say(node, "NBIRTH", birth(bd_seq=5, at_ms=START_MS + 1))
        say(node, "NDEATH", death(4))
        say(node, "NDEATH", death(5))
        told = [gateway.read(mqtt5.PublishPacket) for _ in range(3)]

    assert [(packet.topic, bytes(packet.payload)) for packet in told] == [
        (node.topic("birth"), b'{"boot":1}'),
        (node.topic("birth"), b'{"boot":2}'),
        (node.topic("will"), b'{"boot":2}'),
    ]


@pytest.mark.parametrize(
    "failpoint",
    ["ingest.received", "ingest.before_commit", "ingest.after_commit", "sparkplug.before_answer"],
)
def test_a_killed_process_goes_on_with_the_aliases_that_it_knew(
    failpoint: str, broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    first = ingest.start()
    with edge_node(broker, kettles[0]) as node:
        say(node, "NBIRTH", birth())
        until(lambda: len(stored(rows)) == 1, what="the birth")
        first.kill()
        first.wait()
        dying = ingest.start(failpoint=f"{failpoint}:kill:1")
        for seq in range(1, 6):
            say(node, "NDATA", data(seq))
        dying.wait(timeout=60)
        ingest.start()

        say(node, "NDATA", data(6))

        until(lambda: len(stored(rows)) == 7, what="all samples")
    assert stored(rows) == [20 + i for i in range(7)]
    assert letters(rows) == []
    until(
        lambda: rows("select next_seq, is_stale from ingest.sparkplug_node") == [(7, False)],
        what="the sequence without a gap",
    )


def test_refused_payloads_are_kept_with_their_reason(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    bad = Payload(seq=1, timestamp=START_MS + 1000)
    bad.metrics.add(alias=1, double_value=float("nan"))
    steam = Payload(seq=2, timestamp=START_MS + 2000)
    steam.metrics.add(name=b"steam", datatype=10, double_value=1)
    with edge_node(broker, kettles[0]) as node:
        say(node, "NBIRTH", birth())
        say(node, "NDATA", bad.SerializeToString())
        say(node, "NDATA", steam.SerializeToString())
        say(node, "NDATA", data(3))

        until(lambda: 23 in stored(rows), what="the good sample")
    assert sorted(letters(rows)) == [(NODE, "unknown_metric"), (NODE, "unreadable")]
