"""Windows and paths go by whole chunks, when no product that has rows in them keeps them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from anomaly import store
from anomaly.retention import before_when, let_go
from core.pool import Connection, Pool
from core.product import Retention, product_to_json
from tests.integration.anomaly.test_worker import register_pumps
from tests.unit.anomaly.bench import PUMP

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AGES = (1000, 500, 100, 1)
"""Days before now at which every device has a window and a step of its path."""


def keep(connection: Connection, product_id: int, windows: timedelta | None) -> None:
    sheet = msgspec.structs.replace(PUMP, retention=Retention(windows=windows))
    connection.execute(
        "update gateway.product set sheet = %s where id = %s", [product_to_json(sheet), product_id]
    )


def live(connection: Connection, device_id: int, *, until: datetime = NOW) -> None:
    """A device that was scored up to an instant, and has rows behind it."""
    connection.execute(
        "insert into ingest.progress values (%s, %s, %s, %s, 0)",
        [device_id, until - 2000 * DAY, until, NOW],
    )
    connection.execute(
        "insert into anomaly.scorer_state (device_id, scored_through) values (%s, %s)",
        [device_id, until],
    )
    for age in AGES:
        at = until - age * DAY
        connection.execute(
            "insert into anomaly.window values (%s, %s, 1, '{}', '{}', '{}', '{}', '{}', '{}')",
            [device_id, at],
        )
        connection.execute("insert into anomaly.path values (%s, %s, 1, '{}')", [device_id, at])


def other_product(connection: Connection) -> tuple[int, int]:
    product_id = connection.execute(
        "insert into gateway.product (manufacturer_id, name, title, sheet, sheet_toml, created_at,"
        " updated_at) select manufacturer_id, 'other', 'Other', sheet, '', %s, %s from gateway.product"
        " returning id",
        [NOW, NOW],
    ).fetchone()[0]
    device_id = connection.execute(
        "insert into gateway.device (name, product_id, serial, shard, created_at)"
        " values ('other-1', %s, 'X', 0, %s) returning id",
        [product_id, NOW],
    ).fetchone()[0]
    return product_id, device_id


@pytest.fixture
def product_id(pool: Pool) -> int:
    with pool.connection() as connection:
        (device_id,) = register_pumps(connection, 1)
        live(connection, device_id)
        return int(connection.execute("select id from gateway.product").fetchone()[0])


def chunks_gone(connection: Connection, product_id: int) -> int:
    row = next(r for r in store.read_products(connection) if r.id == product_id)
    return let_go(connection, row, now=NOW).chunks


def ages(connection: Connection, table: str) -> list[int]:
    rows = connection.execute(f"select distinct at from anomaly.{table} order by at").fetchall()
    return [(NOW - row[0]) // DAY for row in rows]


def test_what_is_older_than_the_sheet_says_goes_and_the_rest_stays(pool, product_id):
    with pool.connection() as connection:
        keep(connection, product_id, 300 * DAY)

        gone = chunks_gone(connection, product_id)
        again = chunks_gone(connection, product_id)

        assert ages(connection, "window") == ages(connection, "path") == [100, 1]
    assert (gone, again) == (4, 0)


def test_a_product_that_says_nothing_keeps_everything(pool, product_id):
    with pool.connection() as connection:
        keep(connection, product_id, None)

        assert chunks_gone(connection, product_id) == 0
        assert ages(connection, "window") == list(AGES)


@pytest.mark.parametrize(
    ("kept", "stays"), [(None, list(AGES)), (700 * DAY, [500, 100, 1]), (200 * DAY, [100, 1])]
)
def test_a_chunk_stays_while_another_product_keeps_its_rows_in_it(pool, product_id, kept, stays):
    with pool.connection() as connection:
        keep(connection, product_id, 300 * DAY)
        other_id, device_id = other_product(connection)
        keep(connection, other_id, kept)
        live(connection, device_id)

        chunks_gone(connection, product_id)

        assert ages(connection, "window") == stays


def test_a_product_without_rows_of_that_time_holds_nothing_back(pool, product_id):
    with pool.connection() as connection:
        keep(connection, product_id, 300 * DAY)
        other_id, device_id = other_product(connection)
        keep(connection, other_id, None)
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through) values (%s, %s)",
            [device_id, NOW],
        )

        chunks_gone(connection, product_id)

        assert ages(connection, "window") == [100, 1]


def test_a_recording_of_years_ago_is_as_young_as_its_newest_sample(pool, product_id):
    with pool.connection() as connection:
        keep(connection, product_id, 300 * DAY)
        connection.execute("delete from anomaly.window")
        connection.execute("delete from anomaly.path")
        connection.execute("delete from anomaly.scorer_state")
        device_id = connection.execute("select device_id from ingest.progress").fetchone()[0]
        connection.execute("delete from ingest.progress")
        live(connection, device_id, until=NOW - 3000 * DAY)

        chunks_gone(connection, product_id)

        assert ages(connection, "window") == [3100, 3001]


def test_a_clock_that_is_ahead_makes_nothing_old():
    ahead = NOW + 5000 * DAY

    assert before_when(300 * DAY, newest=ahead, now=NOW) == NOW - 300 * DAY
    assert before_when(300 * DAY, newest=NOW - 9 * DAY, now=NOW) == NOW - 309 * DAY
    assert before_when(None, newest=NOW, now=NOW) is None
