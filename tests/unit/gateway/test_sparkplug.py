"""Sparkplug B is read as its nodes mean it, with payloads of other implementations."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import CodecError
from gateway.sparkplug.messages import (
    SparkplugMessage,
    SparkplugMetric,
    SparkplugTopic,
    number_of,
    parse_sparkplug_topic,
    read_payload,
    rebirth_command,
    rebirth_topic,
)
from gateway.sparkplug.schema import Payload
from gateway.sparkplug.session import Node, Outcome, Presence, take

PAYLOADS = Path(__file__).parents[2] / "fixtures" / "payloads" / "sparkplug"
BORN_MS = 1_764_000_000_000
NOW_MS = BORN_MS + 60_000


def given_by(name: str) -> bytes:
    return (PAYLOADS / f"{name}.bin").read_bytes()


def taken(node: Node | None, kind: str, payload: bytes, device: str = "") -> Outcome:
    topic = SparkplugTopic("plant", kind, "kettle-0", device)
    return take(node, topic, read_payload(payload), arrived_ms=NOW_MS)


def born(maker: str = "pysparkplug") -> Node:
    node = taken(None, "NBIRTH", given_by(f"{maker}_nbirth")).node
    assert node is not None
    return node


def data(seq: int, value: float = 1.0, *, at_ms: int = BORN_MS + 1000, **metric: object) -> bytes:
    payload = Payload(seq=seq, timestamp=at_ms)
    payload.metrics.add(**({"alias": 1, "float_value": value} | metric))
    return bytes(payload.SerializeToString())


def refusal_of(payload: bytes) -> str:
    try:
        return taken(born(), "NDATA", payload).refusal
    except CodecError as error:
        return str(error)


@pytest.mark.parametrize("maker", ["pysparkplug", "npm"])
def test_a_birth_declares_and_brings_the_first_values(maker: str) -> None:
    outcome = taken(None, "NBIRTH", given_by(f"{maker}_nbirth"))

    assert outcome.telemetry is not None
    assert outcome.telemetry.samples == [
        (BORN_MS, {"water_c": pytest.approx(20.1), "power_w": 1500, "boils": 7})
    ]
    assert outcome.presence is Presence.BORN
    assert outcome.node is not None
    assert (outcome.node.bd_seq, outcome.node.boot, outcome.node.next_seq) == (3, 1, 1)


@pytest.mark.parametrize("maker", ["pysparkplug", "npm"])
def test_data_is_told_by_alias(maker: str) -> None:
    outcome = taken(born(maker), "NDATA", given_by(f"{maker}_ndata"))

    assert outcome.telemetry is not None
    assert outcome.telemetry.samples == [(BORN_MS + 1000, {"water_c": 21.5, "power_w": 1600})]
    assert not outcome.wants_rebirth


def test_historical_values_keep_their_time_and_null_is_no_value() -> None:
    node = taken(born(), "NDATA", given_by("pysparkplug_ndata")).node

    outcome = taken(node, "NDATA", given_by("pysparkplug_ndata_historical"))

    assert outcome.telemetry is not None
    assert outcome.telemetry.samples == [(BORN_MS - 3_600_000, {"water_c": -5.5})]


def test_a_device_behind_a_node_has_a_birth_of_its_own() -> None:
    node = taken(born(), "NDATA", given_by("pysparkplug_ndata")).node
    node = taken(node, "NDATA", given_by("pysparkplug_ndata_historical")).node

    birth = taken(node, "DBIRTH", given_by("pysparkplug_dbirth"), "pump")
    outcome = taken(birth.node, "DDATA", given_by("pysparkplug_ddata"), "pump")
    gone = taken(outcome.node, "DDEATH", given_by("pysparkplug_ddeath"), "pump")

    assert birth.telemetry is not None
    assert birth.telemetry.samples == [(BORN_MS, {"water_c": 30.25, "boils": -1, "lid_open": True})]
    assert outcome.telemetry is not None
    assert outcome.telemetry.samples == [(BORN_MS + 3000, {"water_c": 31.25, "lid_open": False})]
    assert taken(gone.node, "DDATA", data(6), "pump").refusal.startswith("no birth of device pump")


def test_a_death_ends_its_own_session_and_no_later_one() -> None:
    late = taken(born(), "NDEATH", given_by("pysparkplug_ndeath_late"))
    own = taken(late.node, "NDEATH", given_by("pysparkplug_ndeath"))

    assert late.presence is None
    assert own.presence is Presence.GONE
    after = taken(own.node, "NDATA", given_by("pysparkplug_ndata"))
    assert after.refusal
    assert after.wants_rebirth


def test_data_without_a_birth_is_refused_and_a_rebirth_wanted() -> None:
    outcome = taken(None, "NDATA", given_by("pysparkplug_ndata"))

    assert outcome.telemetry is None
    assert "no birth of node kettle-0 is known" in outcome.refusal
    assert outcome.wants_rebirth


def test_after_a_gap_an_alias_is_not_trusted_until_the_next_birth() -> None:
    gap = taken(born(), "NDATA", data(5))
    named = taken(gap.node, "NDATA", data(6, name=b"water_c", datatype=9))
    again = taken(named.node, "NBIRTH", data(0, name=b"water_c", datatype=9, at_ms=NOW_MS))
    after = taken(again.node, "NDATA", data(1, 3.0, at_ms=NOW_MS + 1))

    assert "is missing" in gap.refusal
    assert gap.wants_rebirth
    assert named.telemetry is not None, "a name says what it is, whatever is missing"
    assert again.node is not None
    assert again.node.boot == 2
    assert after.telemetry is not None
    assert after.telemetry.samples == [(NOW_MS + 1, {"water_c": 3.0})]


def test_seq_begins_anew_after_255() -> None:
    node: Node | None = born()
    for count in range(1, 600):
        outcome = taken(node, "NDATA", data(count % 256, at_ms=BORN_MS + count))
        assert not outcome.wants_rebirth
        node = outcome.node


def test_a_message_that_comes_again_changes_nothing() -> None:
    first = taken(born(), "NDATA", data(1, at_ms=BORN_MS + 1))
    second = taken(first.node, "NDATA", data(2, at_ms=BORN_MS + 2))

    repeat = taken(second.node, "NDATA", data(1, at_ms=BORN_MS + 1))
    birth = taken(repeat.node, "NBIRTH", given_by("pysparkplug_nbirth"))

    assert repeat.telemetry == first.telemetry
    assert birth.node == repeat.node == second.node
    assert birth.presence is Presence.BORN


def test_a_new_session_whose_birth_was_lost_is_no_repetition() -> None:
    node: Node | None = born()
    for seq in range(1, 50):
        node = taken(node, "NDATA", data(seq, at_ms=BORN_MS + seq)).node

    outcome = taken(node, "NDATA", data(3, at_ms=BORN_MS + 90_000))

    assert outcome.refusal
    assert outcome.wants_rebirth


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (data(1, name=b"boils", alias=3, int_value=1, datatype=12), None),
        (data(1, datatype=3), "carries float value"),
        (data(1, float("nan")), "not finite"),
        (data(1, name=b"x", datatype=1, int_value=200), None),
        (data(1, name=b"x", datatype=1, int_value=300), "does not fit into 8 bits"),
        (data(1, name=b"x", datatype=5, int_value=256), "does not fit into 8 bits"),
        (data(1, name=b"x", datatype=99), "unknown type 99"),
        (data(1, name=b"\xff", datatype=9), "not UTF-8"),
        (data(300), "seq 300 is not in 0 to 255"),
        (data(1, timestamp=2**60), "is no time"),
        (b"\xff\xff", "protobuf schema"),
        (b"\x12" * 60_000, "protobuf schema"),
        (b"\x12\x00" * 30_000, "30000 metrics, more than 4000"),
    ],
)
def test_what_breaks_the_specification_is_refused_and_named(
    payload: bytes, why: str | None
) -> None:
    if why is None:
        assert taken(born(), "NDATA", payload).refusal == ""
        return
    assert re.search(why, refusal_of(payload))


def test_a_bad_value_costs_its_message_and_no_rebirth() -> None:
    bad = taken(born(), "NDATA", data(1, float("nan")))
    good = taken(bad.node, "NDATA", data(2))

    assert bad.refusal == "Inputs/water_c is not finite"
    assert not bad.wants_rebirth
    assert good.telemetry is not None


def test_two_names_for_one_metric_are_refused() -> None:
    payload = Payload(seq=1, timestamp=BORN_MS)
    payload.metrics.add(name=b"a/water_c", datatype=9, float_value=1)
    payload.metrics.add(name=b"b/water_c", datatype=9, float_value=2)

    assert "are both the metric water_c" in refusal_of(payload.SerializeToString())


@given(st.sampled_from([1, 2, 3, 4]), st.data())
def test_signed_integers_are_read_in_every_width_they_come_in(
    datatype: int, data: st.DataObject
) -> None:
    bits = {1: 8, 2: 16, 3: 32, 4: 64}[datatype]
    value = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    for field, width in (("int_value", 32), ("long_value", 64)):
        for carried in {bits, width}:
            if carried <= width and bits <= width:
                raw = value % (1 << carried)
                metric = SparkplugMetric("x", None, None, datatype, False, field, raw)
                assert number_of(metric, name="x", datatype=datatype) == float(value)


def test_the_rebirth_command_is_the_one_of_another_implementation() -> None:
    theirs = Payload.FromString(given_by("pysparkplug_ncmd_rebirth"))

    assert Payload.FromString(rebirth_command(now_ms=BORN_MS)) == theirs
    assert rebirth_topic(group="plant", node="kettle-0") == "spBv1.0/plant/NCMD/kettle-0"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("spBv1.0/g/NDATA/n", SparkplugTopic("g", "NDATA", "n")),
        ("spBv1.0/g/DDATA/n/d", SparkplugTopic("g", "DDATA", "n", "d")),
        ("spBv1.0/g/NDATA/n/d", None),
        ("spBv1.0/g/DDATA/n", None),
        ("spBv1.0/g/NCMD/n", None),
        ("spBv1.0/STATE/host", None),
        ("spAv1.0/g/NDATA/n", None),
    ],
)
def test_topics_are_read(topic: str, expected: SparkplugTopic | None) -> None:
    assert parse_sparkplug_topic(topic) == expected


_METRIC = st.builds(
    SparkplugMetric,
    name=st.sampled_from(["", "a", "x/a", "bdSeq", "Node Control/Rebirth"]),
    alias=st.none() | st.integers(0, 3),
    at_ms=st.none() | st.integers(0, 10),
    datatype=st.integers(0, 34),
    is_null=st.booleans(),
    field=st.just(""),
    value=st.none(),
)
_MESSAGE = st.builds(
    SparkplugMessage,
    at_ms=st.none() | st.integers(0, 10),
    seq=st.none() | st.integers(0, 255),
    metrics=st.lists(_METRIC, max_size=4),
)
_KIND = st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"])


@given(st.lists(st.tuples(_KIND, _MESSAGE), max_size=12))
def test_no_order_of_messages_breaks_a_session(story: list[tuple[str, SparkplugMessage]]) -> None:
    node: Node | None = None
    for kind, message in story:
        topic = SparkplugTopic("g", kind, "n", "d" if kind.startswith("D") else "")
        node = take(node, topic, message, arrived_ms=NOW_MS).node
        assert node is None or 0 <= node.next_seq <= 255
