"""No payload that the broker lets through stalls ingest: 50 ms and 10 MiB for any message."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.units import to_epoch_ms
from gateway.codecs import CodecError, decode, salvage_numbers
from gateway.session import Arrival
from gateway.sheet import parse_sheet
from gateway.sparkplug.session import Node
from ingest.door import admit
from ingest.records import Device
from ingest.sparkplug.translate import Translation, translate
from tests.fuzz.cost import CPU_MAX_S, MEMORY_MAX, cost_of
from tests.fuzz.worst import PACKET_MAX, worst_payloads
from tests.integration.gateway.sheets import SMALL

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WORST = worst_payloads()
BIRTH = (
    Path(__file__).parents[1] / "fixtures" / "payloads" / "sparkplug" / "pysparkplug_nbirth.bin"
).read_bytes()
TOPIC = "fc/0a/kettle-1/telemetry"


class OneKettle:
    products = {"kettle": parse_sheet(SMALL, source="kettle.toml")}  # noqa: RUF012 - a registry of one

    def device_of(self, topic: str) -> Device | None:
        return Device(id=7, name="kettle-1", shard=10, product="kettle")


@pytest.mark.parametrize("name", WORST)
def test_no_payload_costs_more_than_it_may(name: str) -> None:
    payload = WORST[name]
    assert len(payload) <= PACKET_MAX

    def work() -> None:
        with contextlib.suppress(CodecError):
            decode(payload, arrived_ms=to_epoch_ms(NOW))
        salvage_numbers(payload)

    cost = cost_of(work)

    assert cost.cpu_s <= CPU_MAX_S
    assert cost.memory <= MEMORY_MAX


@pytest.mark.parametrize("name", WORST)
def test_every_payload_is_stored_or_gets_a_reason_within_the_limits(name: str) -> None:
    arrival = Arrival(TOPIC, WORST[name], 1)
    admission = admit([arrival], OneKettle(), now=NOW)

    cost = cost_of(lambda: admit([arrival], OneKettle(), now=NOW))

    assert len(admission.refused) + bool(admission.rows) == 1
    assert all(letter.reason and letter.detail for letter in admission.refused)
    assert cost.cpu_s <= CPU_MAX_S
    assert cost.memory <= MEMORY_MAX


@pytest.mark.parametrize("kind", ["NBIRTH", "NDATA", "NDEATH"])
@pytest.mark.parametrize("name", WORST)
def test_no_payload_costs_more_than_it_may_as_sparkplug(name: str, kind: str) -> None:
    born = translated("NBIRTH", BIRTH, {}).nodes

    found = translated(kind, WORST[name], born)
    cost = cost_of(lambda: translated(kind, WORST[name], born))

    assert all(letter.reason and letter.detail for letter in found.refused)
    assert cost.cpu_s <= CPU_MAX_S
    assert cost.memory <= MEMORY_MAX


def translated(kind: str, payload: bytes, known: Mapping[str, Node | None]) -> Translation:
    arrival = Arrival(f"spBv1.0/g/{kind}/kettle-1", payload, 1)
    return translate([arrival], known, spoken_for=set(), now=NOW)
