"""Forecast rows become one ticket with everything that belongs to it, in one transaction."""

from datetime import timedelta
from itertools import count
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.pool import Connection, Pool
from maintenance.worker import Decider, decide_once
from tests.fixtures.maintenance import (
    EVERY,
    NOON,
    SENDER,
    add_device,
    add_forecast,
    add_product,
    add_technician,
    make_mode,
    make_product,
)

HEALTHY = {"status": "ok", "p": (0.0001, 0.001, 0.004), "life": None}
FAILED = {"status": "failed", "p": (1.0, 1.0, 1.0), "life": (0.0, 0.0, 0.0)}
_names = count(1)


def decide_all(pool: Pool) -> None:
    decider = Decider(sender=SENDER, clock=lambda: NOON)
    while decide_once(pool, decider):
        pass


def count_rows(connection: Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def device(pool: Pool) -> int:
    with pool.connection() as connection:
        add_technician(connection, "Tom")
        return add_device(connection, add_product(connection))


def add_run(pool: Pool, device: int, *steps: dict, first: int = 0) -> None:
    with pool.connection() as connection:
        for step, values in enumerate(steps, start=first):
            add_forecast(connection, device, NOON + step * EVERY, **values)


def test_two_of_three_bad_forecasts_open_one_ticket_with_its_message(
    pool: Pool, device: int
) -> None:
    add_run(pool, device, {}, {}, {}, {})

    decide_all(pool)

    with pool.connection() as connection:
        ticket = connection.execute(
            "select number, kind, state, level, opened_at from maintenance.ticket"
        ).fetchall()
        assert ticket == [("T-00001", "preventive", "open", "plan", NOON + EVERY)]
        for table in ("maintenance.alert", "maintenance.work_order", "procrastinate_jobs"):
            assert count_rows(connection, table) == 1
        (message,) = connection.execute(
            "select subject, body_text, state from maintenance.notification"
        ).fetchall()
        assert message[0] == "Plan a visit: the fan bearing is wearing out (Heat pump Aria 9)"
        assert "http://127.0.0.1:8000/t/" in message[1]
        assert "Free times" in message[1]


def test_what_came_late_is_decided_as_history_and_the_first_live_forecast_opens(
    pool: Pool, device: int
) -> None:
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.progress (device_id, first_measured_at, measured_through,"
            " received_at, samples, late_through) values (%s, %s, %s, %s, 1, %s)",
            [device, NOON, NOON + 4 * EVERY, NOON, NOON + 2 * EVERY],
        )
    add_run(pool, device, {}, {}, {}, {})

    decide_all(pool)

    with pool.connection() as connection:
        opened = connection.execute("select opened_at from maintenance.ticket").fetchall()
        reasons = connection.execute(
            "select reason from maintenance.decision order by decided_at"
        ).fetchall()
    assert opened == [(NOON + 3 * EVERY,)]
    assert reasons == [("late_data",), ("failure_likely",)]


def test_the_work_order_brings_what_the_sheet_says(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {})

    decide_all(pool)

    with pool.connection() as connection:
        row = connection.execute(
            "select kit -> 0 ->> 'part', skills, checklist, duration, state"
            " from maintenance.work_order"
        ).fetchone()
    assert row == (
        "NW-FAN-22",
        ["hvac"],
        ["Switch off", "Replace the fan"],
        timedelta(minutes=90),
        "ready",
    )


def test_deciding_again_changes_nothing(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {}, {})
    decide_all(pool)
    with pool.connection() as connection:
        connection.execute(
            "update maintenance.decision_progress set decided_through = %s", [NOON - EVERY]
        )

    decide_all(pool)

    with pool.connection() as connection:
        for table in ("ticket", "alert", "notification"):
            assert count_rows(connection, f"maintenance.{table}") == 1


def test_only_a_change_of_mind_is_written_down(pool: Pool, device: int) -> None:
    add_run(pool, device, HEALTHY, HEALTHY, HEALTHY, {}, {}, {}, {})

    decide_all(pool)

    with pool.connection() as connection:
        rows = connection.execute(
            "select action, reason from maintenance.decision order by decided_at"
        ).fetchall()
    assert rows == [
        ("none", "healthy"),
        ("hold", "not_confirmed"),
        ("open", "failure_likely"),
        ("join", "already_open"),
    ]


def test_decisions_go_on_after_a_restart_where_they_stopped(pool: Pool, device: int) -> None:
    add_run(pool, device, {})
    decide_all(pool)
    add_run(pool, device, {}, first=1)

    decide_all(pool)

    with pool.connection() as connection:
        assert count_rows(connection, "maintenance.ticket") == 1


def test_a_fault_makes_the_preventive_ticket_corrective(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {}, FAILED, FAILED)

    decide_all(pool)

    with pool.connection() as connection:
        tickets = connection.execute("select kind, level from maintenance.ticket").fetchall()
        keys = connection.execute(
            "select event_key from maintenance.notification order by id"
        ).fetchall()
        alert = connection.execute("select level from maintenance.alert").fetchone()
    assert tickets == [("corrective", "act")]
    assert [key for (key,) in keys] == ["ticket:1:opened", "ticket:1:raised:act:corrective"]
    assert alert == ("act",)


def test_another_mode_of_the_component_adds_its_parts_once(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {})
    imbalance = {"failure_mode": "fan_imbalance"}
    add_run(pool, device, imbalance, imbalance, imbalance, imbalance, first=2)

    decide_all(pool)

    with pool.connection() as connection:
        assert count_rows(connection, "maintenance.ticket") == 1
        row = connection.execute(
            "select jsonb_array_length(checklist) from maintenance.work_order"
        ).fetchone()
        reasons = connection.execute("select distinct reason from maintenance.decision").fetchall()
    assert row == (2,)  # both modes bring the same kit and steps
    assert ("same_component",) in reasons


def test_two_components_get_two_tickets(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {})
    compressor = {"failure_mode": "compressor_wear"}
    add_run(pool, device, compressor, compressor)

    decide_all(pool)

    with pool.connection() as connection:
        rows = connection.execute(
            "select failure_mode from maintenance.ticket order by failure_mode"
        ).fetchall()
    assert rows == [("compressor_wear",), ("fan_bearing",)]


def test_recovery_closes_everything_and_tells_the_owner(pool: Pool, device: int) -> None:
    add_run(pool, device, {}, {}, *[HEALTHY] * 4)

    decide_all(pool)

    with pool.connection() as connection:
        ticket = connection.execute(
            "select state, close_reason, closed_at from maintenance.ticket"
        ).fetchone()
        order = connection.execute("select state from maintenance.work_order").fetchone()
        alert = connection.execute("select cleared_at from maintenance.alert").fetchone()
        keys = connection.execute(
            "select event_key from maintenance.notification order by id"
        ).fetchall()
    assert ticket == ("cancelled", "recovered", NOON + 5 * EVERY)
    assert order == ("cancelled",)
    assert alert == (NOON + 5 * EVERY,)
    assert [key for (key,) in keys] == ["ticket:1:opened", "ticket:1:closed"]


def test_a_slow_owner_is_reminded_once(pool: Pool, device: int) -> None:
    far = {"life": (600.0, 900.0, 1200.0)}
    add_run(pool, device, *[far] * 40)

    decide_all(pool)
    add_run(pool, device, *[far] * 10, first=40)
    decide_all(pool)

    with pool.connection() as connection:
        keys = connection.execute(
            "select event_key from maintenance.notification order by id"
        ).fetchall()
    assert [key for (key,) in keys] == ["ticket:1:opened", "ticket:1:reminder"]


def test_a_device_without_an_owner_gets_a_ticket_and_no_message(pool: Pool) -> None:
    with pool.connection() as connection:
        device = add_device(connection, add_product(connection), owner=None)
    add_run(pool, device, {}, {})

    decide_all(pool)

    with pool.connection() as connection:
        assert count_rows(connection, "maintenance.ticket") == 1
        assert count_rows(connection, "maintenance.notification") == 0


def test_two_workers_at_once_open_one_ticket_per_device(pool: Pool) -> None:
    with pool.connection() as connection:
        product = add_product(connection)
        for number in range(8):
            device = add_device(connection, product, f"hp-{number}")
            for step in range(4):
                add_forecast(connection, device, NOON + step * EVERY)
    start = Barrier(2)

    def work() -> None:
        decider = Decider(sender=SENDER, clock=lambda: NOON)
        start.wait()
        while decide_once(pool, decider, devices_max=1):
            pass

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    decide_all(pool)  # whoever skipped a locked device may have left first
    with pool.connection() as connection:
        for table in ("ticket", "alert", "work_order", "notification"):
            assert count_rows(connection, f"maintenance.{table}") == 8


def test_a_mode_that_left_the_sheet_holds_up_nothing(pool: Pool) -> None:
    with pool.connection() as connection:
        product = add_product(connection, make_product(failure_modes=(make_mode(),)))
        device = add_device(connection, product)
        for step in range(2):
            add_forecast(connection, device, NOON + step * EVERY, failure_mode="dropped")
            add_forecast(connection, device, NOON + step * EVERY)

    decide_all(pool)

    with pool.connection() as connection:
        assert count_rows(connection, "maintenance.ticket") == 1


KINDS = st.sampled_from([HEALTHY, {}, FAILED, {"status": "no_data"}, {"status": "learning"}])
MODES = st.sampled_from(["fan_bearing", "fan_imbalance", "compressor_wear"])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 30), MODES, KINDS), max_size=8), min_size=1, max_size=4
    ),
    rewinds=st.lists(st.integers(0, 30), max_size=3),
)
def test_never_two_open_tickets_for_a_mode_in_any_order_or_repetition(
    pool: Pool, device: int, batches: list, rewinds: list[int]
) -> None:
    with pool.connection() as connection:
        (product,) = connection.execute("select id from gateway.product").fetchone()
        own = add_device(connection, product, f"any-{next(_names)}")
    rewinding = iter(rewinds)
    for batch in batches:
        with pool.connection() as connection:
            for step, mode, values in {(s, m): (s, m, v) for s, m, v in batch}.values():
                connection.execute(
                    "delete from anomaly.forecast where device_id = %s and failure_mode = %s"
                    " and made_at = %s",
                    [own, mode, NOON + step * EVERY],
                )
                add_forecast(connection, own, NOON + step * EVERY, failure_mode=mode, **values)
            rewind = next(rewinding, None)
            if rewind is not None:  # as if a decision had been lost and were made again
                connection.execute(
                    "update maintenance.decision_progress set decided_through = %s"
                    " where device_id = %s",
                    [NOON + rewind * EVERY, own],
                )

        decide_all(pool)

        with pool.connection() as connection:
            twice = connection.execute(
                "select failure_mode from maintenance.ticket where device_id = %s"
                " and closed_at is null group by failure_mode having count(*) > 1",
                [own],
            ).fetchall()
            uneven = connection.execute(
                "select t.id from maintenance.ticket as t join maintenance.alert as a"
                " on a.id = t.alert_id join maintenance.work_order as w on w.ticket_id = t.id"
                " where t.device_id = %s and ((t.closed_at is null) <> (a.cleared_at is null)"
                " or (t.closed_at is null) <> (w.state in ('ready', 'scheduled', 'in_progress')))",
                [own],
            ).fetchall()
        assert twice == []
        assert uneven == []
