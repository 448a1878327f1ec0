"""Rollups against the real database: whatever comes in whatever order, they equal the samples."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from core.clock import wall_now
from core.pool import Connection, Pool
from core.units import from_epoch_ms
from gateway import service
from gateway.records import DeviceDraft
from ingest import service as letters
from ingest.batch import BatchWriter
from ingest.registry import RegistryCache
from ingest.rollups import roll, store
from tests.integration.gateway.sheets import SMALL, WIDER
from tests.integration.ingest.conftest import NOW_MS, Ingest, until
from tests.integration.ingest.test_batches import arrival

HOUR_MS = 3_600_000
START_MS = NOW_MS // (24 * HOUR_MS) * 24 * HOUR_MS - 20 * 24 * HOUR_MS
METRICS = ("water_c", "power_w", "boils")
Sample = tuple[int, int, str, float]
"""Device, minutes since the start, metric, value."""


@pytest.fixture
def kettles_known(pool: Pool) -> None:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"k{i}", serial=str(i)) for i in range(3)]
    service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())


@pytest.fixture
def rolling(database_url: str) -> Iterator[Connection]:
    connection = roll.open_connection(database_url)
    yield connection
    connection.close()


def deliver(pool: Pool, writer: BatchWriter, samples: Sequence[Sample]) -> None:
    """Send each sample as a message of its own, all in one batch."""
    batch = [
        arrival(device, {"samples": [[START_MS + minute * 60_000, {metric: value}]]})
        for device, minute, metric, value in samples
    ]
    with pool.connection() as connection:
        writer.write(connection, batch, now=wall_now(), now_s=0.0)


def roll_all(connection: Connection, *, refresh: timedelta = timedelta(0)) -> int:
    """Go once over everything that is due; returns how much that was."""
    with connection.transaction():
        (row,) = store.rolled_products(connection)
    roll.ensure(connection, row.product)
    done = sum(roll.roll_late(connection, row, ids) for ids in roll.marked_devices(connection, row))
    for device_ids in roll.due_devices(connection, row, now=wall_now(), refresh=refresh):
        done += roll.roll_devices(connection, row, device_ids, now=wall_now())
    return done


def expected(pool: Pool, step: str, metrics: Sequence[str] = METRICS) -> list[Any]:
    """Sum up all samples at once, straight from the table."""
    parts = ", ".join(f"min({m}), avg({m})::float8, max({m}), count({m})" for m in metrics)
    query = (
        f"select device_id, date_trunc('{step}', measured_at, 'UTC'), count(*), {parts}"
        " from telemetry.kettle group by 1, 2 order by 1, 2"
    )
    with pool.connection() as connection:
        return [_rounded(row) for row in connection.execute(query)]  # type: ignore[call-overload]


def rolled(pool: Pool, step: str, metrics: Sequence[str] = METRICS) -> list[Any]:
    parts = ", ".join(f"{m}_min, {m}_mean::float8, {m}_max, {m}_count" for m in metrics)
    query = (
        f"select device_id, starts_at, samples, {parts} from telemetry_{step}.kettle order by 1, 2"
    )
    with pool.connection() as connection:
        return [_rounded(row) for row in connection.execute(query)]  # type: ignore[call-overload]


def _rounded(row: Sequence[Any]) -> tuple[Any, ...]:
    """A mean depends on the order of summing in its last digits, and is stored as real."""
    return tuple(f"{value:.5g}" if isinstance(value, float) else value for value in row)


def clear(pool: Pool) -> None:
    with pool.connection() as connection:
        connection.execute(
            "truncate telemetry.kettle, telemetry_hour.kettle, telemetry_day.kettle,"
            " ingest.stream, ingest.progress, ingest.dead_letter, ingest.rollup, ingest.late_mark,"
            " ingest.dropped"
        )


samples = st.tuples(
    st.integers(0, 2),
    st.integers(0, 60 * 60),
    st.sampled_from(METRICS),
    st.integers(0, 120).map(float),
)
turns = st.lists(st.one_of(st.just("roll"), st.lists(samples, min_size=1, max_size=12)), max_size=8)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=turns)
def test_after_any_order_of_deliveries_and_turns_the_rollups_equal_the_samples(
    pool: Pool, kettles_known: None, rolling: Connection, plan: list[Any]
) -> None:
    roll_all(rolling)
    clear(pool)
    writer = BatchWriter(RegistryCache())

    for step in plan:
        if step == "roll":
            roll_all(rolling)
        else:
            deliver(pool, writer, step)
    roll_all(rolling)

    assert rolled(pool, "hour") == expected(pool, "hour")
    assert rolled(pool, "day") == expected(pool, "day")
    assert roll_all(rolling) == 0


def test_an_hour_that_is_not_complete_waits_but_not_for_ever(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(0, minute, "water_c", 20.0) for minute in range(0, 90, 10)])
    roll_all(rolling, refresh=timedelta(minutes=15))
    first = rolled(pool, "hour")
    deliver(pool, writer, [(0, 95, "water_c", 30.0)])

    early = roll_all(rolling, refresh=timedelta(minutes=15))
    kept = rolled(pool, "hour")
    late = roll_all(rolling, refresh=timedelta(0))

    assert (early, kept) == (0, first)
    assert late == 1
    assert rolled(pool, "hour") == expected(pool, "hour")


def test_a_late_sample_is_marked_with_the_batch_that_brings_it(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(0, minute, "water_c", 20.0) for minute in range(0, 300, 10)])
    roll_all(rolling)

    deliver(pool, writer, [(0, 301, "water_c", 21.0), (0, 61, "water_c", 90.0), (1, 5, "boils", 1)])

    with pool.connection() as connection:
        marks = connection.execute("select from_at, through_at from ingest.late_mark").fetchall()
    roll_all(rolling)
    assert marks == [(from_epoch_ms(START_MS + 61 * 60_000),) * 2]
    assert rolled(pool, "hour") == expected(pool, "hour")


def test_a_writer_that_starts_anew_knows_what_is_late(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    deliver(pool, BatchWriter(RegistryCache()), [(0, 500, "water_c", 20.0)])
    roll_all(rolling)

    deliver(pool, BatchWriter(RegistryCache()), [(0, 100, "water_c", 20.0)])
    roll_all(rolling)

    assert rolled(pool, "hour") == expected(pool, "hour")


def test_a_metric_that_the_sheet_gains_gets_its_columns(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(0, 1, "water_c", 20.0)])
    roll_all(rolling)
    service.register_product(pool, toml_text=WIDER, source="kettle.toml", now=wall_now())
    writer.registry.forget()
    deliver(pool, writer, [(0, 1, "lid_open", 1.0)])

    roll_all(rolling)

    names = (*METRICS, "lid_open")
    assert rolled(pool, "hour", names) == expected(pool, "hour", names)
    with pool.connection() as connection:
        comment = connection.execute(
            "select col_description('telemetry_day.kettle'::regclass, attnum) from pg_attribute"
            " where attrelid = 'telemetry_day.kettle'::regclass and attname = 'water_c_mean'"
        ).fetchone()
    assert comment == ("Water: mean of the values, °C",)


def test_everything_can_be_summed_up_again_from_an_instant_on(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    deliver(pool, BatchWriter(RegistryCache()), [(0, 10, "water_c", 20.0), (0, 900, "water_c", 30)])
    roll_all(rolling)
    with pool.connection() as connection:  # a restored backup, say
        connection.execute("update telemetry.kettle set water_c = 25 where water_c = 20")

    with rolling.transaction():
        (row,) = store.rolled_products(rolling)
        store.roll_again_since(rolling, row.id, since=from_epoch_ms(START_MS))
    roll_all(rolling)

    assert rolled(pool, "day") == expected(pool, "day")


def test_a_worker_with_an_old_view_does_not_write_over_a_newer_one(
    pool: Pool, kettles_known: None, rolling: Connection, database_url: str
) -> None:
    """Both would sum up the same hour; the one that began earlier has seen less, and fails."""
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(0, 10, "water_c", 20.0)])
    roll_all(rolling)
    old = roll.open_connection(database_url)
    old.execute("begin isolation level repeatable read")
    store.rolled_products(old)  # its view begins here
    deliver(pool, writer, [(0, 11, "water_c", 80.0)])
    roll_all(rolling)

    with pytest.raises(errors.SerializationFailure):
        store.claim_rollups(old, [1])

    assert rolled(pool, "hour") == expected(pool, "hour")
    old.close()


@pytest.mark.parametrize("point", ["hours_written", "before_commit", "after_commit"])
def test_a_kill_at_any_point_harms_nothing(
    pool: Pool, kettles_known: None, rolling: Connection, ingest: Ingest, point: str
) -> None:
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(d, m, "water_c", 20.0 + d) for d in range(3) for m in range(0, 400, 7)])
    roll_all(rolling)
    deliver(pool, writer, [(0, 1, "boils", 3.0), (1, 600, "water_c", 50.0)])

    killed = ingest.start_command("ingest", "roll", "--once", failpoint=f"roll.{point}:kill:1")
    code = killed.wait(timeout=60)
    again = ingest.start_command("ingest", "roll", "--once").wait(timeout=60)

    assert (code, again) == (-signal.SIGKILL, 0)
    assert rolled(pool, "hour") == expected(pool, "hour")
    assert rolled(pool, "day") == expected(pool, "day")


def test_the_worker_follows_until_it_is_stopped(
    pool: Pool, kettles_known: None, ingest: Ingest
) -> None:
    process: subprocess.Popen[bytes] = ingest.start_command("ingest", "roll")
    deliver(
        pool,
        BatchWriter(RegistryCache()),
        [(0, minute, "water_c", 20.0) for minute in range(0, 130, 10)],
    )

    def is_rolled() -> bool:
        with pool.connection() as connection:
            row = connection.execute("select max(rolled_through) from ingest.rollup").fetchone()
        return row == (from_epoch_ms(START_MS + 120 * 60_000),)

    until(is_rolled, what="the rollup")
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == 0
    assert rolled(pool, "hour") == expected(pool, "hour")


def test_a_replayed_letter_is_summed_up_where_it_belongs(
    pool: Pool, kettles_known: None, rolling: Connection
) -> None:
    writer = BatchWriter(RegistryCache())
    deliver(pool, writer, [(0, 10, "lid_open", 1.0), (0, 900, "water_c", 20.0)])
    roll_all(rolling)
    service.register_product(pool, toml_text=WIDER, source="kettle.toml", now=wall_now())

    replayed = letters.replay(pool, now=wall_now(), now_s=0.0)
    roll_all(rolling)

    names = (*METRICS, "lid_open")
    assert (replayed.stored, replayed.refused) == (1, 0)
    assert rolled(pool, "hour", names) == expected(pool, "hour", names)
    assert rolled(pool, "day", names) == expected(pool, "day", names)


def test_what_comes_in_order_leaves_no_mark(pool: Pool, kettles_known: None) -> None:
    writer = BatchWriter(RegistryCache())

    for minute in range(0, 300, 50):
        deliver(pool, writer, [(device, minute + device, "water_c", 20.0) for device in range(3)])

    with pool.connection() as connection:
        assert connection.execute("select count(*) from ingest.late_mark").fetchone() == (0,)
