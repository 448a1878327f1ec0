"""A rule that is wrong too often opens no tickets any more, says so, and can be put back by a person."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from click.testing import CliRunner

from anomaly.commands import anomaly
from anomaly.rules import service as rules
from anomaly.store import read_products
from anomaly.training.commands import model
from anomaly.worker import Worker
from core.errors import ConflictError, NotFoundError
from core.pool import Connection, Pool
from maintenance import service as maintenance
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

DAY = timedelta(days=1)
DEVICES = 12
CALM = {"status": "ok", "p": (0.0001, 0.001, 0.004), "life": None}


@pytest.fixture
def fleet(pool: Pool) -> list[int]:
    """Devices that warn about their fan and about their compressor, each once, a day apart."""
    with pool.connection() as connection:
        add_technician(connection, "Tom")
        product = add_product(connection)
        devices = [add_device(connection, product, f"hp-{n}") for n in range(DEVICES)]
        for device in devices:
            connection.execute(
                "insert into ingest.progress (device_id, first_measured_at, measured_through,"
                " received_at, samples) values (%s, %s, %s, %s, 1)",
                [device, NOON - 100 * DAY, NOON, NOON],
            )
            connection.execute(
                "insert into anomaly.scorer_state (device_id, scored_through, state) values (%s, %s, '{}')",
                [device, NOON],
            )
    return devices


def reach(connection: Connection, at) -> None:
    connection.execute("update ingest.progress set measured_through = %s", [at])
    connection.execute("update anomaly.scorer_state set scored_through = %s", [at])


def warn(pool: Pool, devices: list[int], mode: str, *, at) -> None:
    """Let two forecasts want a visit, so that a ticket opens."""
    with pool.connection() as connection:
        for device in devices:
            for step in range(2):
                add_forecast(connection, device, at + step * EVERY, failure_mode=mode)
        reach(connection, at + DAY)
    decider = Decider(sender=SENDER, clock=lambda: NOON)
    while decide_once(pool, decider):
        pass


def find(pool: Pool, mode: str, verdict: str, *, at, only: int | None = None) -> None:
    """Close the open tickets of a failure mode with what a technician found."""
    with pool.connection() as connection:
        orders = connection.execute(
            "select w.id, t.component from maintenance.work_order w"
            " join maintenance.ticket t on t.id = w.ticket_id"
            " where t.failure_mode = %s and t.closed_at is null order by w.id limit %s",
            [mode, only],
        ).fetchall()
    for order, component in orders:
        maintenance.record_finding(
            pool, work_order_id=order, verdict=verdict, component=component, note="", parts=[],
            checklist_done=[], found_at=at, by="technician:1", now=NOON, sender=SENDER,
        )  # fmt: skip


def look(pool: Pool) -> rules.RulesLook | None:
    with pool.connection() as connection:
        (row,) = read_products(connection)
        return rules.look_at_rules(connection, row, now=NOON)


def standings(pool: Pool) -> dict[str, tuple]:
    with pool.connection() as connection:
        rows = connection.execute(
            "select failure_mode, standing, right_alarms, false_alarms from anomaly.rule_standing"
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


def last_decision(pool: Pool, device: int, mode: str) -> tuple:
    with pool.connection() as connection:
        return connection.execute(
            "select action, reason from maintenance.decision where device_id = %s and failure_mode = %s"
            " order by decided_at desc limit 1",
            [device, mode],
        ).fetchone()


def demote(pool: Pool, fleet: list[int]) -> None:
    """Nobody finds a fault at any fan, and one at every compressor."""
    warn(pool, fleet, "fan_bearing", at=NOON)
    find(pool, "fan_bearing", "no_fault_found", at=NOON + DAY)
    warn(pool, fleet, "compressor_wear", at=NOON + DAY)
    find(pool, "compressor_wear", "incipient", at=NOON + DAY + EVERY)
    look(pool)


def test_false_alarms_demote_their_rule_and_a_good_rule_stays(pool: Pool, fleet: list[int]) -> None:
    demote(pool, fleet)

    found = standings(pool)
    assert found["fan_bearing"] == ("inspect_at_next_visit", 0, DEVICES)
    assert found["compressor_wear"] == ("full", DEVICES, 0)
    with pool.connection() as connection:
        ((change, reason, years),) = connection.execute(
            "select change, reason, device_years from anomaly.rule_event"
        ).fetchall()
    assert change == "demoted"
    assert reason.startswith("Fan bearing wear: 12 of 12 warnings were wrong in 0.02 device-years")
    # Two forecasts a device, six hours each: nothing else was watched.
    assert years == pytest.approx(DEVICES * 2 * 6 / (365.25 * 24))


def test_a_demoted_rule_opens_no_ticket_and_the_decision_says_why(
    pool: Pool, fleet: list[int]
) -> None:
    demote(pool, fleet)
    later = NOON + 40 * DAY

    warn(pool, fleet, "fan_bearing", at=later)
    warn(pool, fleet[:1], "compressor_wear", at=later + DAY)

    with pool.connection() as connection:
        opened = connection.execute(
            "select failure_mode from maintenance.ticket where opened_at >= %s", [later]
        ).fetchall()
    assert opened == [("compressor_wear",)]
    assert last_decision(pool, fleet[3], "fan_bearing") == ("inspect", "rule_demoted")


def test_the_next_visit_looks_at_the_part(pool: Pool, fleet: list[int]) -> None:
    demote(pool, fleet)
    later = NOON + 40 * DAY
    warn(pool, fleet[:1], "compressor_wear", at=later)

    warn(pool, fleet[:1], "fan_bearing", at=later + DAY)
    warn(pool, fleet[:1], "fan_bearing", at=later + 2 * DAY)

    with pool.connection() as connection:
        checklist = connection.execute(
            "select checklist from maintenance.work_order where state = 'ready'"
        ).fetchone()[0]
        notes = connection.execute(
            "select reason from maintenance.history where action = 'work.extended'"
        ).fetchall()
    assert checklist[-1] == "Look for this too, it was only suspected: Fan bearing wear"
    assert len([step for step in checklist if "suspected" in step]) == 1
    assert notes == [("rule_demoted",)]


def test_a_rule_within_its_budget_stays_however_often_it_is_looked_at(
    pool: Pool, fleet: list[int]
) -> None:
    with pool.connection() as connection:
        for device in fleet:
            for step in range(40):
                add_forecast(connection, device, NOON - (60 - step) * DAY, **CALM)
    warn(pool, fleet, "fan_bearing", at=NOON)
    find(pool, "fan_bearing", "no_fault_found", at=NOON + DAY, only=1)
    find(pool, "fan_bearing", "confirmed", at=NOON + DAY)

    for day in range(1, 6):
        with pool.connection() as connection:
            reach(connection, NOON + day * DAY)
        look(pool)

    assert standings(pool)["fan_bearing"] == ("full", DEVICES - 1, 1)


def test_a_day_is_counted_once(pool: Pool, fleet: list[int]) -> None:
    warn(pool, fleet, "fan_bearing", at=NOON)

    first, again = look(pool), look(pool)

    assert first is not None
    assert again is None


def test_a_person_puts_a_rule_back_and_it_is_counted_anew(
    pool: Pool, fleet: list[int], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    demote(pool, fleet)
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)
    command = ["reinstate", "heat_pump", "fan_bearing", "--reason", "better mounts"]

    shown = CliRunner().invoke(anomaly, ["rules", "heat_pump"])
    done = CliRunner().invoke(anomaly, command)
    again = CliRunner().invoke(anomaly, command)
    story = CliRunner().invoke(model, ["history", "heat_pump"])
    warn(pool, fleet, "fan_bearing", at=NOON + 40 * DAY)
    look(pool)

    assert "inspect at the next visit" in shown.output
    assert done.exit_code == 0, done.output
    assert isinstance(again.exception, ConflictError)
    assert story.output.index("better mounts") < story.output.index("12 of 12")
    assert standings(pool)["fan_bearing"] == ("full", 0, 0)
    with pool.connection() as connection:
        opened = connection.execute(
            "select count(*) from maintenance.ticket where failure_mode = 'fan_bearing'"
        ).fetchone()
    assert opened == (2 * DEVICES,)


def test_a_mode_that_the_sheet_does_not_have_cannot_be_put_back(
    pool: Pool, fleet: list[int]
) -> None:
    demote(pool, fleet)

    with pool.connection() as connection:
        (row,) = read_products(connection)
        with pytest.raises(NotFoundError, match="no failure mode 'wing'"):
            rules.reinstate(connection, row, failure_mode="wing", reason="", now=NOON)


def test_the_worker_counts(pool: Pool, fleet: list[int]) -> None:
    warn(pool, fleet, "fan_bearing", at=NOON)
    find(pool, "fan_bearing", "other_fault", at=NOON + EVERY + EVERY / 3)
    with pool.connection() as connection:
        (row,) = read_products(connection)

    Worker(pool=pool, stop=threading.Event())._count(row)

    assert standings(pool)["fan_bearing"][0] == "inspect_at_next_visit"


def test_a_worker_that_is_killed_before_the_commit_has_counted_nothing(
    pool: Pool, fleet: list[int], database_url: str
) -> None:
    warn(pool, fleet, "fan_bearing", at=NOON)
    find(pool, "fan_bearing", "no_fault_found", at=NOON + EVERY + EVERY / 3)
    code = (
        "import sys; from anomaly.rules import service; from anomaly.store import read_products;"
        "from core.clock import wall_now; from core.pool import connect;"
        "from core.failpoint import set_up_failpoints\n"
        "set_up_failpoints('anomaly.before_rules_commit:kill:1')\n"
        "with connect(sys.argv[1], name='test') as c:\n"
        "    service.look_at_rules(c, read_products(c)[0], now=wall_now())\n"
    )

    done = subprocess.run([sys.executable, "-c", code, database_url], check=False, env=os.environ)
    after_kill = standings(pool)
    again = look(pool)

    assert done.returncode == -signal.SIGKILL
    assert after_kill == {}
    assert again.demoted == ("fan_bearing",)
