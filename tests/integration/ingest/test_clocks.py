"""A device whose clock is off is stored with the platform's time, once, and the rows say so."""

import json
from datetime import timedelta
from typing import Any

from core.clock import wall_now
from core.pool import Pool
from ingest import service
from tests.integration.gateway.client import Device
from tests.integration.ingest.conftest import Ingest, until

LONG_AGO = {"boot": 1, "seq": 0, "samples": [[0, {"water_c": 20}], [60_000, {"water_c": 21}]]}
FLAGGED = (
    "select water_c, _flags, abs(extract(epoch from now() - measured_at)) < 600"
    " from telemetry.kettle order by measured_at"
)


def test_samples_of_a_clock_that_was_never_set_get_the_time_of_arrival_and_a_flag(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, pool: Pool
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver(LONG_AGO)

        assert device.stored() == (1, 0)
    assert rows(FLAGGED) == [(20.0, 1, True), (21.0, 1, True)]
    gap = rows(
        "select extract(epoch from max(measured_at) - min(measured_at)) from telemetry.kettle"
    )
    assert gap == [(60,)]
    clock = service.clock(pool, device="kettle-0")
    assert clock is not None
    assert clock.ahead < -timedelta(days=10_000)
    assert clock.messages == 1


def test_a_repetition_makes_no_second_row_whatever_time_it_comes(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start(failpoint="ingest.after_commit:kill:1")
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(LONG_AGO)
        ingest.processes[0].wait(timeout=60)

        ingest.start()  # what was not acknowledged comes again
        assert device.stored() == (1, 0)
        device.publish(LONG_AGO | {"low": 0})
        assert device.stored() == (1, 0)

    assert rows("select count(*) from telemetry.kettle") == [(2,)]
    assert rows("select messages from ingest.clock") == [(1,)]


def test_wild_times_make_no_chunk_of_their_own(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    chunks = "select count(*) from show_chunks('telemetry.kettle')"
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.deliver({"ts": int(wall_now().timestamp() * 1000), "values": {"water_c": 1}})
        until(lambda: rows(chunks) == [(1,)], what="the chunk of today")

        for ts in (0, -1, 2**31, 253402300799000, 4_000_000_000_000, -(2**52)):
            device.publish({"ts": ts, "values": {"water_c": 2}})
        until(lambda: rows("select count(*) from telemetry.kettle")[0][0] > 1, what="the others")
        device.publish({"ts": 7, "values": {"water_c": 3}})
        until(lambda: rows("select count(*) from ingest.shifted") == [(7,)], what="all")

    assert rows("select count(*) from show_chunks('telemetry.kettle')")[0][0] <= 2
    assert rows("select count(*) from ingest.dead_letter") == [(0,)]


def test_a_letter_that_is_replayed_is_moved_to_the_time_when_it_came(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any, pool: Pool
) -> None:
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.dead_letter (device_name, topic, payload, reason, detail,"
            " received_at) values ('kettle-0', %s, %s, 'too_old', '', now() - interval '2 h')",
            [f"fc/{kettles[0].shard}/kettle-0/telemetry", json.dumps(LONG_AGO).encode()],
        )

    done = service.replay(pool, now=wall_now(), now_s=0.0)

    assert done.stored == 1
    assert rows("select now() - max(measured_at) > '1 h 59 min' from telemetry.kettle") == [(True,)]


def test_messages_of_a_clock_that_stands_still_are_all_stored(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))
        device.deliver(LONG_AGO)

        for seq in range(1, 40):
            device.send({"boot": 1, "seq": seq, "samples": [[0, {"water_c": seq}]]})

        device.wait_stored(1, 39)
    stored = rows("select water_c from telemetry.kettle where water_c < 40 order by water_c")
    assert sorted(value for (value,) in stored) == sorted([20.0, 21.0, *map(float, range(1, 40))])
