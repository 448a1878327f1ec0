"""Forecast rows become one ticket with everything that belongs to it, in one transaction."""

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
)


def _decide_all(pool: Pool) -> None:
    decider = Decider(sender=SENDER, clock=lambda: NOON)
    while decide_once(pool, decider):
        pass


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_two_of_three_bad_forecasts_open_one_ticket_with_its_message(pool: Pool) -> None:
    with pool.connection() as connection:
        add_technician(connection, "Tom")
        device = add_device(connection, add_product(connection))
        for step in range(4):
            add_forecast(connection, device, NOON + step * EVERY)

    _decide_all(pool)

    with pool.connection() as connection:
        ticket = connection.execute(
            "select number, kind, state, level, opened_at from maintenance.ticket"
        ).fetchall()
        assert ticket == [("T-00001", "preventive", "open", "plan", NOON + EVERY)]
        for table in ("maintenance.alert", "maintenance.work_order", "procrastinate_jobs"):
            assert _count(connection, table) == 1
        (message,) = connection.execute(
            "select subject, body_text, state from maintenance.notification"
        ).fetchall()
        assert message[0] == "Plan a visit: the fan bearing is wearing out (Heat pump Aria 9)"
        assert "http://127.0.0.1:8000/t/" in message[1]
        print(message[1])
