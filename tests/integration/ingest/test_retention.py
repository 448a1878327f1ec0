"""Retention against the real database: what is too old goes, and nothing that somebody needs."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from core.clock import wall_now
from core.pool import Connection, Pool
from gateway import service as registry
from gateway.records import DeviceDraft
from ingest.retention import service
from ingest.retention.policy import Held
from ingest.rollups import roll, store
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import Ingest
from tests.integration.ingest.test_rollups import roll_all, rolled

DAY = timedelta(days=1)
SHEET = (
    SMALL.replace('history_max = "400 d"', 'history_max = "10 d"')
    + '\n[retention]\nraw = "10 d"\nhourly = "40 d"\ndaily = "400 d"\ndead_letters = "5 d"\n'
)
TODAY = wall_now().replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def rolling(database_url: str) -> Iterator[Connection]:
    connection = roll.open_connection(database_url)
    yield connection
    connection.close()


@pytest.fixture
def history(pool: Pool) -> None:
    """Two devices with a sample every two hours, from 90 days ago until today."""
    registry.register_product(pool, toml_text=SHEET, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"k{i}", serial=str(i)) for i in range(2)]
    registry.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    with pool.connection() as connection:
        connection.execute(
            "insert into telemetry.kettle (device_id, measured_at, water_c)"
            " select d.id, at, 20 + d.id from gateway.device d,"
            " generate_series(%s::timestamptz, %s, interval '2 hours') at",
            [TODAY - 90 * DAY, TODAY],
        )
        connection.execute(
            "insert into ingest.progress (device_id, first_measured_at, measured_through, received_at,"
            " samples) select device_id, min(measured_at), max(measured_at), max(measured_at), count(*)"
            " from telemetry.kettle group by 1"
        )


def score(pool: Pool, through: datetime = TODAY) -> None:
    """Say that a scorer has read everything up to an instant."""
    with pool.connection() as connection:
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through, state)"
            " select id, %s, '{}' from gateway.device"
            " on conflict (device_id) do update set scored_through = excluded.scored_through",
            [through],
        )


def oldest(pool: Pool, relation: str = "telemetry.kettle", column: str = "measured_at") -> Any:
    with pool.connection() as connection:
        return connection.execute(f"select min({column}) from {relation}").fetchone()[0]  # type: ignore[call-overload, index]


def raw_line(connection: Connection) -> service.Line:
    return next(line for line in service.plan(connection, now=wall_now()) if line.kind == "raw")


def test_samples_go_in_whole_chunks_when_they_were_summed_up_and_scored(
    pool: Pool, history: None, rolling: Connection
) -> None:
    roll_all(rolling)
    score(pool)
    before = rolled(pool, "hour"), rolled(pool, "day")
    planned = raw_line(rolling)

    done = service.apply(rolling, now=wall_now())

    assert planned.held is Held.POLICY
    assert [(line.kind, line.rows) for line in done if line.kind == "raw"] == [
        ("raw", planned.rows)
    ]
    assert planned.rows > 2 * 12 * (90 - 10 - 7 - 1)
    assert TODAY - 18 * DAY < oldest(pool) < TODAY - 9 * DAY
    assert oldest(pool) == planned.through_at
    assert rolled(pool, "day") == before[1]
    # Its hours go too where they are older than 40 days, and their chunk of 30 days is.
    assert oldest(pool, "telemetry_hour.kettle", "starts_at") > TODAY - 71 * DAY
    assert service.apply(rolling, now=wall_now()) == ()


def test_nothing_goes_before_it_was_summed_up(
    pool: Pool, history: None, rolling: Connection
) -> None:
    score(pool)

    line = raw_line(rolling)
    service.apply(rolling, now=wall_now())

    assert (line.held, line.rows) == (Held.NOT_SUMMED_UP, 0)
    assert oldest(pool) == TODAY - 90 * DAY


def test_nothing_goes_before_a_scorer_has_read_it(
    pool: Pool, history: None, rolling: Connection
) -> None:
    roll_all(rolling)
    never = raw_line(rolling)
    score(pool, TODAY - 60 * DAY)

    behind = raw_line(rolling)
    service.apply(rolling, now=wall_now())

    assert (never.held, never.rows) == (Held.NOT_SCORED, 0)
    assert (behind.held, behind.before) == (Held.NOT_SCORED, TODAY - 60 * DAY)
    assert TODAY - 68 * DAY < oldest(pool) <= TODAY - 60 * DAY


def test_late_samples_are_waited_for(pool: Pool, history: None, rolling: Connection) -> None:
    roll_all(rolling)
    score(pool)
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.late_mark (device_id, from_at, through_at, marked_at)"
            " select id, %s, %s, %s from gateway.device where name = 'k0'",
            [TODAY - 50 * DAY, TODAY - 50 * DAY, wall_now()],
        )

    line = raw_line(rolling)

    assert (line.held, line.before) == (Held.LATE_MARK, TODAY - 50 * DAY)


def test_what_was_summed_up_from_dropped_samples_stays_as_it_was(
    pool: Pool, history: None, rolling: Connection
) -> None:
    roll_all(rolling)
    score(pool)
    days = rolled(pool, "day")
    service.apply(rolling, now=wall_now())
    hours = rolled(pool, "hour")
    with (
        pool.connection() as connection
    ):  # a letter of then, replayed: the hour was complete before
        connection.execute(
            "insert into telemetry.kettle (device_id, measured_at, water_c)"
            " select id, %s, 99 from gateway.device where name = 'k0'",
            [TODAY - 30 * DAY + timedelta(minutes=7)],
        )

    with rolling.transaction():
        (row,) = store.rolled_products(rolling)
        store.roll_again_since(rolling, row.id, since=TODAY - 90 * DAY)
    roll_all(rolling)

    assert rolled(pool, "hour") == hours
    assert rolled(pool, "day") == days


def test_a_kill_leaves_all_or_nothing_and_the_next_run_ends_it(
    pool: Pool, history: None, rolling: Connection, ingest: Ingest
) -> None:
    roll_all(rolling)
    score(pool)

    killed = ingest.start_command(
        "retention", "apply", failpoint="retention.before_commit:kill:1"
    ).wait(timeout=60)
    untouched = oldest(pool)
    with pool.connection() as connection:
        noted = connection.execute("select count(*) from ingest.dropped").fetchone()
    again = ingest.start_command("retention", "apply").wait(timeout=60)

    assert (killed, untouched, noted) == (-signal.SIGKILL, TODAY - 90 * DAY, (0,))
    assert again == 0
    assert oldest(pool) > TODAY - 18 * DAY


def test_a_dry_run_tells_rows_and_touches_nothing(
    pool: Pool, history: None, rolling: Connection, ingest: Ingest
) -> None:
    roll_all(rolling)
    score(pool)

    output = ingest.run_command("retention", "apply", "--dry-run", "--json")

    lines = [json.loads(line) for line in output.splitlines()]
    raw = next(line for line in lines if line["kind"] == "raw")
    assert raw["rows"] > 0
    assert raw["bytes"] > 0
    assert datetime.fromisoformat(raw["through_at"]) <= TODAY.astimezone(UTC) - 10 * DAY
    assert oldest(pool) == TODAY - 90 * DAY


def test_windows_are_listed_with_what_the_scorer_has_to_let_go(
    pool: Pool, history: None, rolling: Connection, ingest: Ingest
) -> None:
    def line() -> service.Line:
        return next(x for x in service.plan(rolling, now=wall_now()) if x.kind == "windows")

    def keep(duration: str | None) -> None:
        rolling.execute(
            "update gateway.product set sheet = jsonb_set(sheet, '{retention,windows}', %s)",
            [Jsonb(duration)],
        )

    keep(None)
    for_ever = line()
    keep("P20D")
    unscored = line()
    score(pool)
    nothing_yet = line()
    for days in (30, 10):
        rolling.execute(
            "insert into anomaly.window select id, %s, 1, '{}', '{}', '{}', '{}', '{}', '{}'"
            " from gateway.device",
            [TODAY - days * DAY],
        )
    due = line()
    shown = ingest.run_command("retention", "show")
    rolling.execute("delete from anomaly.window where at = %s", [TODAY - 30 * DAY])
    kept = line()

    assert (for_ever.keep, for_ever.held) == (None, Held.FOR_EVER)
    assert (unscored.held, unscored.before) == (Held.NO_DATA, None)
    assert (nothing_yet.held, nothing_yet.oldest_at) == (Held.POLICY, None)
    assert (due.keep, due.held, due.oldest_at) == (20 * DAY, Held.BY_SCORER, TODAY - 30 * DAY)
    assert due.before is not None
    assert due.oldest_at < due.before < TODAY
    assert "windows" in shown
    assert (kept.held, kept.oldest_at) == (Held.POLICY, TODAY - 10 * DAY)
    assert not any(x.kind == "windows" for x in service.apply(rolling, now=wall_now()))


def test_old_dead_letters_go_and_those_of_nobody_as_well(
    pool: Pool, history: None, rolling: Connection
) -> None:
    with pool.connection() as connection:
        for name, days in (("k0", 4), ("k0", 6), ("stranger", 4), ("stranger", 6)):
            connection.execute(
                "insert into ingest.dead_letter (device_name, topic, payload, reason, detail,"
                " received_at) values (%s, 't', %s, 'unreadable', '', %s)",
                [name, str(days).encode(), wall_now() - days * DAY],
            )

    done = service.apply(rolling, now=wall_now())

    assert [(line.product, line.rows) for line in done] == [("kettle", 1), ("-", 1)]
    with pool.connection() as connection:
        left = connection.execute("select payload from ingest.dead_letter").fetchall()
    assert left == [(b"4",), (b"4",)]


def test_late_marks_go_when_both_readers_have_dealt_with_them(
    pool: Pool, history: None, rolling: Connection
) -> None:
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.late_mark (device_id, from_at, through_at, marked_at)"
            " select id, %s, %s, %s from gateway.device, generate_series(1, 2) order by 1",
            [TODAY - 2 * DAY, TODAY - 2 * DAY, wall_now()],
        )
        connection.execute(
            "insert into anomaly.rescored (device_id, mark_id, from_at, rescored_at)"
            " select device_id, min(id), %s, %s from ingest.late_mark group by 1",
            [TODAY, TODAY],
        )
    service.apply(rolling, now=wall_now())
    with pool.connection() as connection:
        before = connection.execute("select count(*) from ingest.late_mark").fetchone()

    roll_all(rolling)
    service.apply(rolling, now=wall_now())

    with pool.connection() as connection:
        after = connection.execute("select count(*) from ingest.late_mark").fetchone()
    assert (before, after) == ((4,), (2,))


def test_nothing_of_the_columnstore_is_asked_of_the_apache_edition(
    history: None, rolling: Connection
) -> None:
    assert service.move_to_columns(rolling, now=wall_now()) == 0


def streams(pool: Pool) -> list[Any]:
    with pool.connection() as connection:
        return connection.execute("select boot from ingest.stream order by 1").fetchall()


def let_go_on(pool: Pool, *boots: int) -> None:
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.stream (device_id, boot, seq_stored)"
            " select d.id, b, 0 from gateway.device d, unnest(%s::bigint[]) b where d.name = 'k0'"
            " on conflict (device_id, boot) do update set seq_stored = stream.seq_stored + 1",
            [list(boots)],
        )


def test_the_stream_of_a_boot_that_is_long_past_is_forgotten(
    pool: Pool, history: None, rolling: Connection
) -> None:
    """The door takes history back ten days here."""
    let_go_on(pool, 1, 2)
    first = service.forget_streams(rolling, now=TODAY)
    let_go_on(pool, 2, 3)
    soon = service.forget_streams(rolling, now=TODAY + 9 * DAY)

    late = service.forget_streams(rolling, now=TODAY + 11 * DAY)

    assert (first, soon, late) == (0, 0, 1)
    assert streams(pool) == [(2,), (3,)]


def test_the_only_stream_of_a_silent_device_is_kept(
    pool: Pool, history: None, rolling: Connection
) -> None:
    let_go_on(pool, 1)
    service.forget_streams(rolling, now=TODAY)

    service.forget_streams(rolling, now=TODAY + 5000 * DAY)

    assert streams(pool) == [(1,)]


def test_an_old_stream_that_goes_on_after_all_is_kept(
    pool: Pool, history: None, rolling: Connection
) -> None:
    let_go_on(pool, 1, 2)
    service.forget_streams(rolling, now=TODAY)
    let_go_on(pool, 2)
    service.forget_streams(rolling, now=TODAY + 5 * DAY)
    let_go_on(pool, 1)  # a spool of then is emptied at last

    service.forget_streams(rolling, now=TODAY + 11 * DAY)

    assert streams(pool) == [(1,), (2,)]
