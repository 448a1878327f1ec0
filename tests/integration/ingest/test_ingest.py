"""The whole way: a device, the real broker, the ingest process, the real database."""

import json
import signal
from typing import Any

import pytest

from core.clock import monotonic_s, wall_now
from core.pool import Pool
from core.runtime import service as runtime
from gateway import service as registry
from ingest import service
from tests.integration.gateway.client import Device
from tests.integration.gateway.sheets import WIDER
from tests.integration.ingest.conftest import NOW_MS, Ingest, message, until

FAILPOINTS = ("received", "before_commit", "after_commit", "after_ack")


def test_a_message_is_stored_and_confirmed(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver(message(0, samples=3))

        assert device.stored() == (1, 0)
    assert rows("select water_c, power_w, boils from telemetry.kettle order by measured_at") == [
        (20.5, 0.0, None),
        (20.5, 1.0, None),
        (20.5, 2.0, None),
    ]
    span = "select samples, extract(epoch from measured_through - first_measured_at) from ingest.progress"
    assert rows(span) == [(3, 120)]


def test_a_gap_holds_back_the_answer_and_the_progress_but_not_the_samples(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(0))
        assert device.stored() == (1, 0)

        device.publish(message(2))
        until(lambda: rows("select count(*) from telemetry.kettle") == [(2,)], what="both rows")
        behind = rows("select seq_stored, measured_through from ingest.stream, ingest.progress")
        device.publish(message(1))

        assert device.stored() == (1, 2)
    assert behind[0][0] == 0
    ahead = rows("select seq_stored, measured_through from ingest.stream, ingest.progress")
    assert ahead[0][0] == 2
    assert (ahead[0][1] - behind[0][1]).total_seconds() == 2 * 3600


def test_low_closes_a_gap_that_a_restored_database_has(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver(message(70, low=70))

        assert device.stored() == (1, 70)


def test_a_second_message_for_the_same_instant_fills_in_what_the_first_lacked(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver({"boot": 1, "seq": 0, "samples": [[NOW_MS, {"water_c": 20}]]})
        device.publish({"boot": 1, "seq": 1, "samples": [[NOW_MS, {"water_c": 99, "power_w": 7}]]})

        device.wait_stored(1, 1)
    assert rows("select water_c, power_w, boils from telemetry.kettle") == [(20.0, 7.0, None)]


BAD = {
    b"": "unreadable",
    b"\xff\xfe{}": "unreadable",
    b"[" * 50_000: "unreadable",
    b'{"a":' * 10_000: "unreadable",
    b'{"boot":1,"seq":0,"samples":[[%d,{"water_c":NaN}]]}' % NOW_MS: "unreadable",
    b'{"boot":1,"seq":0,"samples":[[%d,{"water_c":1e400}]]}' % NOW_MS: "unreadable",
    b'{"boot":1,"seq":0,"samples":[[%d,{"water_c":1,"water_c":2}]]}' % NOW_MS: "unreadable",
    b'{"boot":1,"seq":0,"samples":[[%d,{"steam":1}]]}' % NOW_MS: "unknown_metric",
    b'{"boot":1,"seq":0,"samples":[[%d,{"water_c":1000}]]}' % NOW_MS: "out_of_range",
    b'{"boot":1,"seq":0,"samples":[[253402300799000,{"water_c":1}],[0,{"water_c":1}]]}': "in_future",
    b'{"boot":1,"seq":0,"samples":[[1764000000,{"water_c":1}],[%d,{"water_c":1}]]}'
    % NOW_MS: "too_old",
    b'{"boot":1,"seq":0,"samples":[]}': "no_samples",
    b'{"boot":1,"seq":0,"samples":[%s]}' % (b" " * 66_000): "too_large",
}


def test_refused_messages_are_kept_with_their_reason_and_stop_nobody(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    process = ingest.start()
    with Device.of(broker, kettles[0]) as bad, Device.of(broker, kettles[1]) as good:
        good.subscribe(good.topic("stored"))
        good.deliver(message(0))

        for payload in BAD:
            bad.publish(payload)
        good.publish(message(1))

        good.wait_stored(1, 1)
    assert dict(rows("select payload, reason from ingest.dead_letter")) == BAD
    assert rows("select distinct device_name from ingest.dead_letter") == [("kettle-0",)]
    assert rows("select count(*) from telemetry.kettle") == [(2,)]
    assert process.poll() is None


def test_a_refused_message_counts_as_stored(broker: Any, ingest: Ingest, kettles: Any) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver({"boot": 1, "seq": 0, "samples": [[NOW_MS, {"steam": 1}]]})
        device.publish(b'{"boot": 1, "seq": 1, "samples": [[\x00\xff')

        device.wait_stored(1, 1)


def test_the_broker_refuses_ten_megabytes_and_the_device_is_told_the_limit(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        limit = device.max_packet_size
        with pytest.raises(ConnectionError):
            device.publish(b"x" * 10_000_000)

    assert limit == 70_000
    with Device.of(broker, kettles[1]) as other:
        other.subscribe(other.topic("stored"))
        other.deliver(message(0))
        assert other.stored() == (1, 0)


def test_a_letter_is_stored_when_the_sheet_was_mended_and_only_once(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, pool: Pool
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver({"boot": 1, "seq": 0, "samples": [[NOW_MS, {"lid_open": True}]]})
        assert device.stored() == (1, 0)
    before = service.replay(pool, now=wall_now(), now_s=monotonic_s())
    registry.register_product(pool, toml_text=WIDER, source="kettle.toml", now=wall_now())

    after = service.replay(pool, now=wall_now(), now_s=monotonic_s())
    again = service.replay(pool, now=wall_now(), now_s=monotonic_s())

    assert (before.stored, before.refused) == (0, 1)
    assert (after.stored, after.refused) == (1, 0)
    assert (again.stored, again.refused) == (0, 0)
    assert rows("select lid_open from telemetry.kettle") == [(1.0,)]


def test_a_metric_that_the_sheet_gains_is_taken_without_a_restart(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, pool: Pool
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(0))
        device.stored()
        registry.register_product(pool, toml_text=WIDER, source="kettle.toml", now=wall_now())

        def is_stored() -> bool:
            device.publish({"samples": [[NOW_MS, {"lid_open": False}]]})
            return bool(rows("select 1 from telemetry.kettle where lid_open = 0"))

        until(is_stored, what="the new column")


@pytest.mark.parametrize("point", FAILPOINTS)
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, point: str
) -> None:
    refused = {"boot": 1, "seq": 1, "samples": [[NOW_MS, {"steam": 1}]]}
    sent = (message(0, samples=5), refused, message(2, samples=5))
    process = ingest.start(failpoint=f"ingest.{point}:kill:1")
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(sent[0])
        device.publish(sent[1])
        device.publish(sent[2])
        assert process.wait(timeout=60) == -signal.SIGKILL

        ingest.start()
        for again in sent:
            device.publish(again)

        device.wait_stored(1, 2)
    assert rows("select count(*), count(distinct measured_at) from telemetry.kettle") == [(10, 10)]
    assert rows("select count(*) from ingest.dead_letter") == [(1,)]


def test_a_kill_in_the_middle_of_a_stream_loses_nothing(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    process = ingest.start(failpoint="ingest.after_commit:kill:0.2,ingest.before_commit:kill:0.2")
    kills = 0
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(0))

        for seq in range(1, 120):
            device.publish(message(seq, samples=2))
            if process.poll() is not None:
                kills += 1
                process = ingest.start(
                    failpoint="ingest.after_commit:kill:0.2" if kills < 4 else ""
                )
        process.kill()
        ingest.start()
        for seq in range(120):
            device.publish(message(seq, samples=2))

        device.wait_stored(1, 119)
    assert rows("select count(*), sum(water_c) from telemetry.kettle")[0][0] == 240


def test_nothing_is_lost_while_the_database_is_away(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    process = ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(0))
        device.stored()

        runtime.restart_postgres(broker.paths)
        for seq in range(1, 50):
            device.publish(message(seq))
        runtime.restart_postgres(broker.paths)

        device.wait_stored(1, 49)
    assert process.poll() is None
    assert rows("select count(*) from telemetry.kettle") == [(50,)]


def test_ingest_goes_on_after_the_broker_was_restarted(
    broker: Any, ingest: Ingest, kettles: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(0))
        device.stored()

    runtime.restart_broker(broker.paths)

    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(message(1))
        assert device.stored() == (1, 1)


def test_two_processes_share_the_devices_and_a_new_split_leaves_nothing_behind(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    alone = ingest.start()
    with Device.of(broker, kettles[0]) as first, Device.of(broker, kettles[1]) as second:
        for device in (first, second):
            device.subscribe(device.topic("stored"))
            device.deliver(message(0))
            assert device.stored() == (1, 0)
        alone.send_signal(signal.SIGTERM)
        assert alone.wait(timeout=60) == 0

        ingest.start(shards="0/2")
        ingest.start(shards="1/2")

        for device in (first, second):
            device.deliver(message(1))
            assert device.stored() == (1, 1)
            assert device.hears_nothing(probe=device.topic("config"))
    assert rows("select times from ingest.dead_letter") == []
    assert json.dumps(rows("select seq_stored from ingest.stream")) == "[[1], [1]]"
