"""Births and wills are read, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.desk import Incoming
from gateway.presence import Change, believed, read_change
from gateway.sheet import parse_sheet
from gateway.topics import (
    foreign_filters,
    parse_topic,
    shard_of,
    telemetry_filters,
    topic_of,
)
from tests.integration.gateway.sheets import SMALL

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KETTLE = parse_sheet(SMALL, source="kettle.toml")


def said(kind: str, payload: bytes) -> Incoming:
    return Incoming(device="k1", shard=10, kind=kind, payload=payload)


def test_a_birth_and_a_will_carry_the_boot() -> None:
    birth = read_change(said("birth", b'{"boot": 3, "firmware": "4.2", "product": "kettle"}'))
    will = read_change(said("will", b'{"boot": 3}'))

    assert birth == Change(device="k1", boot=3, is_connected=True, firmware="4.2")
    assert will == Change(device="k1", boot=3, is_connected=False)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("telemetry", b'{"boot": 3}'),
        ("birth", b"{}"),
        ("birth", b'{"boot": -1}'),
        ("birth", b'{"boot": 1, "firmware": "\\u0000"}'),
        ("birth", b'{"boot": 1, "x": "' + b"y" * 5000 + b'"}'),
    ],
)
def test_anything_else_is_nothing(kind: str, payload: bytes) -> None:
    assert read_change(said(kind, payload)) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(payload: bytes) -> None:
    read_change(said("birth", payload))


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_a_topic_is_read_as_it_was_written(name: str) -> None:
    topic = parse_topic(topic_of(name, shard=shard_of(name), kind="telemetry"))

    assert topic is not None
    assert (topic.device, topic.shard, topic.kind) == (name, shard_of(name), "telemetry")


def test_every_shard_is_taken_by_one_part_of_any_split() -> None:
    whole = telemetry_filters(range(256))
    halves = [*telemetry_filters(range(128)), *telemetry_filters(range(128, 256))]

    assert whole == ("fc/+/+/telemetry",)
    assert len(set(halves)) == 256
    assert not set(foreign_filters(range(128))) & set(telemetry_filters(range(128)))
    assert "fc/+/+/telemetry" in foreign_filters(range(128))


@pytest.mark.parametrize(
    ("shown", "is_believed"),
    [
        (NOW, True),
        (NOW - timedelta(days=399), True),
        (NOW + timedelta(minutes=5), True),
        (NOW - timedelta(days=401), False),
        (NOW + timedelta(hours=2), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
    ],
)
def test_a_time_is_believed_that_would_be_believed_of_a_sample(
    shown: datetime, is_believed: bool
) -> None:
    found = believed(shown, device="k1", products={"k1": KETTLE}, now=NOW)

    assert found == (shown if is_believed else None)


def test_no_time_and_no_known_product_is_no_time() -> None:
    assert believed(None, device="k1", products={"k1": KETTLE}, now=NOW) is None
    assert believed(NOW, device="k2", products={"k1": KETTLE}, now=NOW) is None
