"""Over a limit: told, withheld, delivered in the end; nothing lost, nothing twice, nobody else slowed."""

import json
import time
from typing import Any

import mqtt5
import psycopg
import pytest

from core.clock import wall_now
from core.pool import Pool
from gateway import service as registry
from gateway.session import Arrival
from ingest.batch import BatchWriter
from ingest.limits import gate, service
from ingest.limits.service import Limit
from ingest.registry import RegistryCache
from tests.integration.gateway.client import Device
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import NOW_MS, Ingest, message, until

TIGHT = f'{SMALL}\n[limits]\ndevice_messages = "5 per 1 s"\n'


@pytest.fixture
def tight(pool: Pool, kettles: Any) -> None:
    registry.register_product(pool, toml_text=TIGHT, source="kettle.toml", now=wall_now())


def answer(device: Device, *kinds: str) -> tuple[str, dict[str, Any]]:
    """Wait for the next message of these kinds."""
    while True:
        for i, packet in enumerate(device.received):
            kind = packet.topic.rsplit("/", 1)[1]
            if kind in kinds:
                del device.received[i]
                return kind, json.loads(packet.payload)
        device.received.append(device.read(mqtt5.PublishPacket))


def told(device: Device) -> dict[str, Any]:
    return answer(device, "limit")[1]


def deliver_all(device: Device, number: int) -> None:
    """Send until all of it is confirmed, as a device with a spool does: after `limit` it waits."""
    confirmed = -1
    while confirmed < number - 1:
        for seq in range(confirmed + 1, number):
            device.send(message(seq))
        kind, said = answer(device, "stored", "limit")
        if kind == "stored":
            confirmed = max(confirmed, said["seq"])
        else:
            time.sleep(max(0.0, said["resets_at"] / 1000 - wall_now().timestamp()))


def test_a_device_over_its_limit_is_told_and_everything_is_stored_in_the_end(
    broker: Any, ingest: Ingest, kettles: Any, tight: None, rows: Any, pool: Pool
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"), device.topic("limit"))
        device.deliver(message(0))

        for seq in range(1, 12):
            device.send(message(seq))
        notice = told(device)
        deliver_all(device, 12)

    assert notice["limit"] == "device.messages"
    assert notice["allowed"] == "5 per 1 s"
    assert notice["boot"] == 1
    assert 0 < notice["seq"] < 12
    assert abs(notice["resets_at"] - wall_now().timestamp() * 1000) < 60_000
    assert rows("select count(*) from telemetry.kettle") == [(12,)]
    assert rows("select count(*) from ingest.dead_letter") == [(0,)]
    (breach,) = service.breaches(pool, device="kettle-0")
    assert (breach.counts, breach.allowed) == ("messages", "5 per 1 s")
    assert breach.messages >= 1


def test_stored_never_passes_what_was_withheld_whatever_crashes(
    broker: Any, ingest: Ingest, kettles: Any, tight: None, rows: Any
) -> None:
    ingest.start(failpoint="ingest.after_commit:kill:1")
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"), device.topic("limit"))
        device.deliver(message(0))
        for seq in range(1, 12):
            device.send(message(seq))
        ingest.processes[0].wait(timeout=60)
        ingest.start()

        deliver_all(device, 12)

    assert rows("select count(*), count(distinct measured_at) from telemetry.kettle") == [(12, 12)]


def test_others_are_not_slowed(
    broker: Any, ingest: Ingest, kettles: Any, tight: None, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as loud, Device.of(broker, kettles[1]) as calm:
        calm.subscribe(calm.topic("stored"), calm.topic("limit"))
        calm.deliver(message(0))
        assert calm.stored() == (1, 0)

        for seq in range(30):
            loud.send(message(seq))
        calm.publish(message(1))

        calm.wait_stored(1, 1)
        assert calm.hears_nothing(probe=calm.topic("limit"))


def test_what_has_no_number_is_kept_as_a_letter_up_to_a_bound(
    broker: Any, ingest: Ingest, kettles: Any, tight: None, rows: Any, pool: Pool
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("limit"))
        device.deliver({"ts": NOW_MS, "values": {"water_c": 20}})

        for i in range(1, 12):
            device.send({"ts": NOW_MS - i * 1000, "values": {"water_c": 20}})
        notice = told(device)
        until(
            lambda: (
                rows("select count(*) from telemetry.kettle")[0][0]
                + rows("select count(*) from ingest.dead_letter where reason = 'over_limit'")[0][0]
                == 12
            ),
            what="all of them",
        )

    assert "seq" not in notice or notice["seq"] is None
    (breach,) = service.breaches(pool, device="kettle-0")
    assert breach.letters >= 1
    assert breach.unkept == 0
    assert gate.LETTERS_A_DAY >= 1000


def test_a_limit_set_by_hand_holds_instead_of_the_sheets(pool: Pool, kettles: Any) -> None:
    def shown() -> Limit:
        return service.limits_of(pool, subject="device", name="kettle-0")[0]

    before = shown()
    service.set_limit(
        pool, subject="device", name="kettle-0", counts="messages", text="7 per 1 min",
        by="test", now=wall_now(),
    )  # fmt: skip
    during = shown()
    assert service.unset_limit(pool, subject="device", name="kettle-0", counts="messages")

    assert (during.text, during.source) == ("7 per 60 s", "set for this device")
    assert shown() == before


def test_the_commands_show_set_and_list(ingest: Ingest, kettles: Any) -> None:
    done = ingest.run_command(
        "limits", "set", "messages", "9 per 1 s", "--manufacturer", "Teaworks"
    )
    shown = ingest.run_command("limits", "show", "--manufacturer", "Teaworks")
    breaches = ingest.run_command("limits", "breaches")

    assert "Teaworks: 9 per 1 s messages" in done
    assert "9 per 1 s" in shown
    assert "nobody has met a limit" in breaches


def test_a_manufacturer_has_a_limit_over_all_its_devices(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, pool: Pool
) -> None:
    service.set_limit(
        pool, subject="manufacturer", name="Teaworks", counts="values", text="20 per 1 s",
        by="test", now=wall_now(),
    )  # fmt: skip
    ingest.start()
    with Device.of(broker, kettles[0]) as one, Device.of(broker, kettles[1]) as other:
        one.subscribe(one.topic("stored"), one.topic("limit"))
        one.deliver(message(0))

        for seq in range(12):
            other.send(message(seq))
            one.send(message(seq + 1))
        notice = told(one)

    assert notice["limit"] == "manufacturer.values"
    assert {breach.name for breach in service.breaches(pool)} == {"Teaworks"}


def test_a_batch_that_is_given_again_uses_up_nothing_more(
    pool: Pool, kettles: Any, tight: None, rows: Any
) -> None:
    writer = BatchWriter(RegistryCache())
    topic = f"fc/{kettles[0].shard}/kettle-0/telemetry"
    batch = [Arrival(topic, json.dumps(message(seq)).encode(), seq + 1) for seq in range(5)]
    with pool.connection() as connection, pool.connection() as other:
        connection.execute("set lock_timeout = '50 ms'")
        connection.commit()
        other.execute("lock table ingest.progress in access exclusive mode")
        for _ in range(4):
            with pytest.raises(psycopg.OperationalError):
                writer.write(connection, batch, now=wall_now(), now_s=0.0)
            connection.rollback()
        other.rollback()

        stored = writer.write(connection, batch, now=wall_now(), now_s=0.0)

    assert stored.notices == ()
    assert rows("select count(*) from telemetry.kettle") == [(5,)]


def test_a_wrong_clock_is_no_way_round_a_limit(
    pool: Pool, kettles: Any, tight: None, rows: Any
) -> None:
    topic = f"fc/{kettles[0].shard}/kettle-0/telemetry"
    batch = [
        Arrival(
            topic,
            json.dumps(
                {"boot": 1, "seq": seq, "samples": [[seq * 1000, {"water_c": 20}]]}
            ).encode(),
            seq + 1,
        )
        for seq in range(9)
    ]
    with pool.connection() as connection:
        stored = BatchWriter(RegistryCache()).write(connection, batch, now=wall_now(), now_s=0.0)

    assert [(c.boot, c.seq) for c in stored.confirmations] == [(1, 4)]
    assert rows("select count(*) from telemetry.kettle") == [(5,)]
