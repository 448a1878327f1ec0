"""Devices that follow themselves, on a real database: packed states, exact restart, a new part learned anew."""

import msgspec
import numpy as np
import pytest

from anomaly import service, store
from anomaly.evidence import instant
from core.clock import wall_now
from core.pool import Connection, Pool
from core.product import Evidence
from tests.integration.anomaly.test_worker import deliver, register_pumps, results, work
from tests.unit.anomaly.bench import DAY_US, PUMP, START_US, make_samples, with_metric

FOLLOWER = msgspec.structs.replace(
    PUMP,
    metrics=tuple(msgspec.structs.replace(metric, depends_on=()) for metric in PUMP.metrics),
    failure_modes=tuple(
        msgspec.structs.replace(
            mode, evidence=tuple(Evidence(metric=e.metric) for e in mode.evidence), agree=1
        )
        for mode in PUMP.failure_modes
    ),
)
SERVICED_US = START_US + 8 * DAY_US + 1_800_000_000
FLEET = [
    with_metric(
        make_samples(500, days=18),
        "vibration",
        np.full(18 * 288, 8.0),
        from_day=SERVICED_US / DAY_US - START_US / DAY_US,
    ),
    with_metric(make_samples(501, days=18), "power_w", 5000.0, from_day=10),
    make_samples(502, days=18),
]


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    """Three devices; the first gets a new bearing, with more vibration of its own."""
    with pool.connection() as connection:
        devices = register_pumps(connection, len(FLEET), product=FOLLOWER)
        connection.execute("set session_replication_role = replica")  # no ticket behind it here
        connection.execute(
            "insert into maintenance.finding (work_order_id, device_id, failure_mode, component,"
            " verdict, found_at, recorded_by, created_at)"
            " values (1, %s, 'bearing_wear', 'bearing', 'confirmed', %s, 'test', %s)",
            [devices[0], instant(SERVICED_US), wall_now()],
        )
        connection.execute("set session_replication_role = origin")
        return devices


def bring(connection: Connection, devices: list[int], *, hours: float) -> None:
    for place, (device_id, samples) in enumerate(zip(devices, FLEET, strict=True)):
        until_us = START_US + round((hours + place) * 3_600_000_000) + 123_456_789
        deliver(connection, device_id, samples, until_us=until_us)


@pytest.fixture
def whole(pool: Pool, devices: list[int]) -> dict[str, list[tuple[object, ...]]]:
    """What comes out when everything is there at once."""
    with pool.connection() as connection:
        bring(connection, devices, hours=420)
    work(pool)
    return results(pool)


def test_a_new_part_is_learned_anew_and_a_stuck_sensor_told(pool, devices, whole):
    statuses = {(row[0], row[1], row[3]) for row in whole["forecast"]}
    kinds = {(row[0], row[1], row[2]) for row in whole["detection"]}

    with pool.connection() as connection:
        during = connection.execute(
            "select distinct status from anomaly.forecast where device_id = %s and failure_mode ="
            " 'bearing_wear' and made_at between %s and %s",
            [
                devices[0],
                instant(SERVICED_US + 3_600_000_000),
                instant(SERVICED_US + 5 * DAY_US),
            ],
        ).fetchall()
    assert during == [("learning",)]
    assert (devices[0], "bearing_wear", "ok") in statuses
    assert (devices[1], "sensor", "power_w") in kinds


def test_states_of_devices_that_follow_themselves_are_packed(pool, devices, whole):
    with pool.connection() as connection:
        kept = connection.execute(
            "select baseline_id, numbers is not null, state from anomaly.scorer_state"
            " order by device_id"
        ).fetchall()

    assert [row[:2] for row in kept] == [(None, True)] * 3
    assert [set(row[2]) for row in kept] == [{"services"}, {"sensors"}, set()]


def test_small_steps_with_a_lost_transaction_in_each_give_the_same_rows(pool, devices, whole):
    with pool.connection() as connection:
        for table in ("window", "path", "detection", "forecast", "scorer_state", "label"):
            connection.execute(f"delete from anomaly.{table}")
        connection.execute("delete from ingest.progress")
        connection.execute("delete from telemetry.test_pump")

    for hours in (50, 144, 150, 191.9, 201, 260, 335, 420):
        with pool.connection() as connection:
            bring(connection, devices, hours=hours)
        with pool.connection() as connection:
            row = store.read_products(connection)[0]
            service.score_product(connection, row, now=wall_now())
            connection.rollback()  # as if it had been killed before the commit
        work(pool)

    assert results(pool) == whole


def test_a_sheet_that_brings_devices_something_to_share_lets_them_learn_again(pool, devices, whole):
    with pool.connection() as connection:
        connection.execute(
            "update gateway.product set sheet = %s",
            [msgspec.json.encode(PUMP).decode()],
        )
    work(pool)

    with pool.connection() as connection:
        phases = connection.execute(
            "select state ->> 'phase' from anomaly.scorer_state where numbers is null"
        ).fetchall()
    assert set(phases) <= {("learning",)}
