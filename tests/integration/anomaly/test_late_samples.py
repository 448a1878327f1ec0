"""Samples that come late into a history that was scored: charts and state are mended, nobody is alarmed."""

import pytest

from anomaly import rescore, store
from anomaly.evidence import instant
from core.clock import wall_now
from core.pool import Connection, Pool
from tests.integration.anomaly.test_worker import (
    FLEET,
    START_US,
    deliver,
    register,
    results,
    work,
)
from tests.unit.anomaly.bench import DAY_US

HOLE = (START_US + 8 * DAY_US, START_US + 10 * DAY_US)
LATE = 0
"""Place of the device whose samples come late: the one that wears."""


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return register(connection)


def everything(pool: Pool, devices: list[int]) -> dict[str, list[tuple[object, ...]]]:
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)
    return scored(pool)


def scored(pool: Pool) -> dict[str, list[tuple[object, ...]]]:
    work(pool)
    return results(pool)


def take_out(connection: Connection, device_id: int) -> None:
    """Let two days be missing and everything be scored anew without them."""
    connection.execute(
        "delete from telemetry.test_pump where device_id = %s and measured_at between %s and %s",
        [device_id, instant(HOLE[0]), instant(HOLE[1])],
    )
    connection.execute("delete from anomaly.scorer_state where device_id = %s", [device_id])


def bring(connection: Connection, device_id: int) -> None:
    """Store the missing days with a mark, as ingest does."""
    part = FLEET[LATE].between(HOLE[0], HOLE[1] + 1)
    with connection.cursor() as cursor, cursor.copy("copy telemetry.test_pump from stdin") as copy:
        for at_us, row in zip(part.at_us, part.values, strict=True):
            values = [None if value != value else value for value in row.tolist()]
            copy.write_row([device_id, instant(int(at_us)), *values])
    connection.execute(
        "insert into ingest.late_mark (device_id, from_at, through_at, marked_at)"
        " values (%s, %s, %s, %s)",
        [device_id, instant(HOLE[0]), instant(HOLE[1]), wall_now()],
    )


def test_late_samples_mend_the_history_and_leave_what_was_said(pool: Pool, devices) -> None:
    in_time = everything(pool, devices)
    with pool.connection() as connection:
        take_out(connection, devices[LATE])
    with_hole = scored(pool)
    assert with_hole["health"] != in_time["health"]

    with pool.connection() as connection:
        bring(connection, devices[LATE])
    mended = scored(pool)

    assert mended["expectation"] == in_time["expectation"]
    assert mended["health"] == in_time["health"]
    assert mended["forecast"] == with_hole["forecast"]
    assert mended["detection"] == with_hole["detection"]


def test_the_state_goes_on_as_if_the_samples_had_come_in_time(pool: Pool, devices) -> None:
    def state(connection: Connection) -> object:
        return connection.execute(
            "select numbers, state from anomaly.scorer_state where device_id = %s", [devices[LATE]]
        ).fetchone()

    everything(pool, devices)
    with pool.connection() as connection:
        in_time = state(connection)
        take_out(connection, devices[LATE])
    scored(pool)

    with pool.connection() as connection:
        bring(connection, devices[LATE])
    scored(pool)

    with pool.connection() as connection:
        assert state(connection) == in_time


def test_a_lost_transaction_is_done_again_and_a_mark_is_dealt_with_once(
    pool: Pool, devices
) -> None:
    in_time = everything(pool, devices)
    with pool.connection() as connection:
        take_out(connection, devices[LATE])
    scored(pool)
    with pool.connection() as connection:
        bring(connection, devices[LATE])
        row = store.read_products(connection)[0]

    with pool.connection() as connection:
        lost = rescore.rescore_product(connection, row, now=wall_now())
        connection.rollback()  # as if it had been killed before the commit
    with pool.connection() as connection:
        kept = rescore.rescore_product(connection, row, now=wall_now())
    with pool.connection() as connection:
        again = rescore.rescore_product(connection, row, now=wall_now() + 2 * rescore.EVERY)

    assert (lost.devices, kept.devices, again.devices) == (1, 1, 0)
    assert results(pool)["health"] == in_time["health"]


def test_without_the_samples_it_was_learned_from_the_old_state_stays(pool: Pool, devices) -> None:
    everything(pool, devices)
    with pool.connection() as connection:
        take_out(connection, devices[LATE])
    with_hole = scored(pool)

    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.dropped (product_id, kind, gone_before, dropped_at)"
            " select id, 'raw', %s, now() from gateway.product",
            [instant(START_US + 2 * DAY_US)],
        )
        bring(connection, devices[LATE])

    assert scored(pool) == with_hole
    with pool.connection() as connection:
        row = store.read_products(connection)[0]
        again = rescore.rescore_product(connection, row, now=wall_now() + 2 * rescore.EVERY)
    assert again.devices == 0
