"""Which daily jobs are due, asked by one query."""

from datetime import UTC, datetime, timedelta

import pytest

from anomaly.daily import JOBS, claim_day, jobs_due, keep_day
from anomaly.store import ProductRow, read_products
from core.migrations import steps
from core.pool import Connection, Pool
from tests.integration.anomaly.test_worker import register_pumps

DAY = timedelta(days=1)
TODAY = datetime(2026, 6, 1, tzinfo=UTC)
NOW = TODAY + timedelta(hours=7)


def live(connection: Connection, *, scored: datetime | None, newest: datetime) -> None:
    """All devices sent something up to an instant, and are scored up to one."""
    connection.execute("delete from ingest.progress")
    connection.execute("delete from anomaly.scorer_state")
    connection.execute(
        "insert into ingest.progress select id, %s, %s, %s, 0 from gateway.device",
        [TODAY - 100 * DAY, newest, newest],
    )
    if scored is not None:
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through, state)"
            " select id, %s, '{}' from gateway.device",
            [scored],
        )


def product(connection: Connection) -> ProductRow:
    return read_products(connection)[0]


@pytest.fixture
def connection(pool: Pool) -> Connection:
    with pool.connection() as connection:
        register_pumps(connection, 2)
        live(connection, scored=NOW, newest=NOW)
        yield connection
        connection.rollback()


def test_all_jobs_are_due_until_each_has_looked_at_the_day(connection: Connection) -> None:
    row = product(connection)
    before = jobs_due(connection, row)

    through = claim_day(connection, row, job="drift", now=NOW)
    keep_day(connection, product_id=row.id, job="drift", through=through, now=NOW)

    assert before == set(JOBS)
    assert through == TODAY
    assert jobs_due(connection, row) == set(JOBS) - {"drift"}
    assert claim_day(connection, row, job="drift", now=NOW) is None


def test_a_day_is_due_when_it_has_been_scored_and_not_when_it_has_only_arrived(
    connection: Connection,
) -> None:
    row = product(connection)
    for job in JOBS:
        claim_day(connection, row, job=job, now=NOW)
        keep_day(connection, product_id=row.id, job=job, through=TODAY, now=NOW)
    looked = jobs_due(connection, row)

    live(connection, scored=NOW, newest=NOW + DAY)
    arrived = jobs_due(connection, product(connection))
    live(connection, scored=NOW + DAY, newest=NOW + DAY)
    scored = jobs_due(connection, product(connection))

    assert (looked, arrived, scored) == (frozenset(), frozenset(), set(JOBS))


def test_nothing_is_due_before_anything_was_scored(connection: Connection) -> None:
    live(connection, scored=None, newest=NOW)

    assert jobs_due(connection, product(connection)) == frozenset()


def test_the_daily_jobs_of_a_product_are_asked_for_by_one_query(connection: Connection) -> None:
    row = product(connection)
    for job in JOBS:
        claim_day(connection, row, job=job, now=NOW)
        keep_day(connection, product_id=row.id, job=job, through=TODAY, now=NOW)
    asked: list[object] = []
    execute = connection.execute
    connection.execute = lambda query, *rest: (asked.append(query), execute(query, *rest))[1]

    jobs_due(connection, row)

    assert len(asked) == 1


def test_how_far_groups_were_looked_at_is_kept_by_the_migration(connection: Connection) -> None:
    (step,) = (step for step in steps() if step.name == "0023_daily_looks.sql")
    connection.execute("drop view anomaly.failure")
    connection.execute(
        "create table anomaly.fleet_look (product_id bigint, looked_through timestamptz,"
        " groups integer, updated_at timestamptz)"
    )
    row = product(connection)
    connection.execute(
        "insert into anomaly.fleet_look values (%s, %s, 4, %s)", [row.id, TODAY, NOW]
    )

    connection.execute(step.sql)

    assert jobs_due(connection, row) == set(JOBS) - {"groups"}
