"""Groups of devices on a real database: looked at once a day, written once, whatever happens in between."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from anomaly.commands import anomaly
from anomaly.fleet import service
from anomaly.fleet.service import Look
from anomaly.store import read_products
from anomaly.worker import Worker
from core.clock import wall_now
from core.pool import Connection, Pool
from core.product import product_to_json
from firmware_sim.fleet import Fleet, make_fleet
from tests.unit.anomaly.bench import PUMP

DAY = timedelta(days=1)
DELIVERED = datetime(2026, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 5, 20, 14, tzinfo=UTC)
BAD_LOT = "B7"
SIMULATED = {
    "devices": 400, "days": 60.0, "products": ["heat_pump"],
    "start_s": int((NOW - 60 * DAY).timestamp()) // 3600 * 3600,
}  # fmt: skip


@pytest.fixture
def connection(pool: Pool):
    with pool.connection() as connection:
        yield connection


def register(connection: Connection, name: str = "test_pump") -> int:
    connection.execute(
        "insert into gateway.manufacturer (name) values ('Testers') on conflict do nothing"
    )
    row = connection.execute(
        "insert into gateway.product (manufacturer_id, name, title, sheet, sheet_toml, created_at,"
        " updated_at) select id, %s, %s, %s, '', %s, %s from gateway.manufacturer returning id",
        [name, name.replace("_", " ").capitalize(), product_to_json(PUMP), NOW, NOW],
    ).fetchone()
    return row[0]


def add_fleet(
    connection: Connection, product_id: int, *, lots: dict[str, list[int]], devices: int = 40,
    until: datetime = NOW,
) -> None:  # fmt: skip
    """Deliver lots of devices; `lots` says after how many days of its life a device of a lot fails."""
    for lot, fails in lots.items():
        firmware = "4.2.0" if lot == BAD_LOT else "4.1.0"
        connection.execute(
            "insert into gateway.device (name, product_id, serial, lot, firmware, shard, delivered_at,"
            " created_at) select format('p%%s-%%s-%%s', %(id)s::int, %(lot)s::text, n), %(id)s,"
            " format('%%s-%%s', %(lot)s::text, n), %(lot)s, %(firmware)s, 0, %(born)s, %(now)s"
            " from generate_series(1, %(devices)s) n",
            {"id": product_id, "lot": lot, "firmware": firmware, "born": DELIVERED, "now": NOW,
             "devices": devices},
        )  # fmt: skip
        connection.execute(
            "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
            " created_at) select d.id, 'reported_fault', 'bearing_wear', 'raised',"
            " %s + f.day * interval '1 day', 9, '{}', %s"
            " from unnest(%s::int[]) with ordinality f (day, n)"
            " join gateway.device d on d.name = format('p%%s-%%s-%%s', %s::int, %s::text, n)",
            [DELIVERED, NOW, fails, product_id, lot],
        )
    connection.execute(
        "insert into ingest.progress select id, %s, %s, %s, 0 from gateway.device where product_id = %s",
        [DELIVERED + DAY, until, NOW, product_id],
    )
    connection.execute(
        "insert into anomaly.scorer_state (device_id, scored_through, state)"
        " select id, %s, '{}' from gateway.device where product_id = %s",
        [until, product_id],
    )


def look(connection: Connection, product_id: int) -> Look | None:
    row = next(r for r in read_products(connection) if r.id == product_id)
    return service.look_at_product(connection, row, now=wall_now())


def issues(connection: Connection) -> list[tuple[str, str, str, str]]:
    return connection.execute(
        "select failure_mode, trait, value, state from anomaly.emerging_issue order by 1, 2, 3"
    ).fetchall()


BAD = {
    "A1": [90], "A2": [100], "A3": [], "A4": [110],
    BAD_LOT: [60, 70, 71, 72, 80, 84, 90, 95, 99, 104, 120],
}  # fmt: skip
GOOD = {"A1": [90, 101], "A2": [100], "A3": [95, 96], "A4": [110], BAD_LOT: [80, 103]}


def test_a_fleet_with_a_bad_lot_has_an_issue_and_says_what_else_it_shares(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=BAD)

    done = look(connection, product_id)

    assert done.through == datetime(2026, 5, 20, tzinfo=UTC)
    flagged = [i for i in issues(connection) if i[3] == "flagged"]
    assert flagged == [
        ("bearing_wear", "firmware", "4.2.0", "flagged"),
        ("bearing_wear", "lot", "B7", "flagged"),
    ]
    row = connection.execute(
        "select devices, well, failures, expected, since, ratio_low, ratio, ratio_high, shared_with,"
        " sentences -> 0 ->> 'text' from anomaly.emerging_issue where trait = 'lot'"
    ).fetchone()
    assert row[:3] == (40, 29, 11)
    assert 0.5 < row[3] < 1.5
    assert row[4] == DELIVERED + 60 * DAY
    assert 2 < row[5] < row[6] < row[7]
    assert row[8] == [
        {"trait": "firmware", "value": "4.2.0", "shared": 40, "devices": 40, "kind": "inseparable"}
    ]
    assert row[9].startswith("Lot B7: 11 of 40 devices failed (bearing wear)")
    assert row[9].endswith("since 6 March.")


def test_a_fleet_without_one_has_none(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=GOOD)

    look(connection, product_id)

    assert issues(connection) == []


def test_a_finding_counts_and_no_fault_found_does_not(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots={**GOOD, BAD_LOT: []})
    devices = connection.execute(
        "select id from gateway.device where lot = %s order by id", [BAD_LOT]
    ).fetchall()
    for place, (device_id,) in enumerate(devices[:24]):
        verdict = "incipient" if place % 2 else "no_fault_found"
        find(connection, device_id, verdict=verdict, at=DELIVERED + (60 + place) * DAY)

    look(connection, product_id)

    failures = connection.execute(
        "select failures from anomaly.emerging_issue where trait = 'lot' and state = 'flagged'"
    ).fetchall()
    assert failures == [(12,)]


def test_a_day_is_looked_at_once(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=BAD)

    first, again = look(connection, product_id), look(connection, product_id)
    before = issues(connection)
    connection.execute(
        "update ingest.progress set measured_through = measured_through + interval '1 day'"
    )
    connection.execute(
        "update anomaly.scorer_state set scored_through = scored_through + interval '1 day'"
    )
    next_day = look(connection, product_id)

    assert first is not None
    assert again is None
    assert next_day is not None
    assert next_day.changed == 0
    assert issues(connection) == before
    changes = connection.execute("select count(*) from anomaly.emerging_issue_change").fetchone()
    assert changes[0] == len(before)


def test_a_device_that_is_far_behind_does_not_stop_the_looks(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=BAD)
    connection.execute(
        "update anomaly.scorer_state set scored_through = %s where device_id ="
        " (select min(id) from gateway.device where lot = 'A1')",
        [NOW - 30 * DAY],
    )

    assert look(connection, product_id).through == datetime(2026, 5, 20, tzinfo=UTC)


def test_an_issue_is_cleared_when_no_well_device_is_left(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=BAD)
    look(connection, product_id)

    connection.execute("update gateway.device set retired_at = %s where lot = %s", [NOW, BAD_LOT])
    connection.execute(
        "update anomaly.scorer_state set scored_through = scored_through + interval '1 day'"
    )
    look(connection, product_id)

    states = connection.execute(
        "select c.state, c.reason from anomaly.emerging_issue_change c"
        " join anomaly.emerging_issue i on i.id = c.issue_id where i.trait = 'lot' order by c.at"
    ).fetchall()
    assert states == [("flagged", "stands_out"), ("cleared", "none_left")]


def test_a_firmware_that_was_replaced_keeps_its_failures(connection):
    product_id = register(connection)
    add_fleet(connection, product_id, lots=BAD)
    # Since day 100 all devices of the lot have run what the others run.
    connection.execute(
        "insert into gateway.device_firmware (device_id, version, boot, since, runs_since)"
        " select d.id, v.version, v.boot, v.runs_since, v.runs_since from gateway.device d,"
        " (values ('4.2.0', 1, %s::timestamptz), ('4.1.0', 2, %s)) v (version, boot, runs_since)"
        " where d.lot = %s",
        [DELIVERED + DAY, DELIVERED + 115 * DAY, BAD_LOT],
    )

    look(connection, product_id)

    found = connection.execute(
        "select trait, state, failures, well from anomaly.emerging_issue"
        " where value in ('4.2.0', 'B7') order by trait"
    ).fetchall()
    # Nobody runs 4.2.0 any more: nothing is at stake by it, while the lot's devices still are.
    assert ("lot", "flagged", 11, 29) in found
    assert ("firmware", "flagged", 10, 0) not in found


def test_products_with_the_same_failure_mode_are_compared(connection):
    good, bad = register(connection), register(connection, "other_pump")
    add_fleet(connection, good, lots=GOOD)
    add_fleet(connection, bad, lots=dict.fromkeys(GOOD, BAD[BAD_LOT]))

    look(connection, bad)
    look(connection, good)

    assert issues(connection) == [("bearing_wear", "product", "Other pump", "flagged")]


def test_a_worker_that_is_killed_before_the_commit_has_written_nothing(pool, database_url):
    with pool.connection() as connection:
        product_id = register(connection)
        add_fleet(connection, product_id, lots=BAD)

    code = (
        "import sys; from anomaly.fleet import service; from core.clock import wall_now;"
        "from core.failpoint import set_up_failpoints; from core.pool import connect;"
        "from anomaly.store import read_products\n"
        "set_up_failpoints('anomaly.before_look_commit:kill:1')\n"
        "with connect(sys.argv[1], name='test') as c:\n"
        "    service.look_at_product(c, read_products(c)[0], now=wall_now())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, database_url],
        check=False, env=os.environ,
    )  # fmt: skip
    with pool.connection() as connection:
        after_kill = issues(connection)
        again = look(connection, product_id)

    assert done.returncode == -signal.SIGKILL
    assert after_kill == []
    assert again.flagged == 2


def test_two_workers_do_not_look_at_the_same_product(pool):
    with pool.connection() as connection:
        product_id = register(connection)
        add_fleet(connection, product_id, lots=BAD)
        connection.execute(
            "insert into anomaly.daily_look (product_id, job, updated_at) values (%s, 'groups', %s)",
            [product_id, NOW],
        )

    with pool.connection() as first, pool.connection() as second:
        assert look(first, product_id) is not None
        assert look(second, product_id) is None


def test_the_worker_looks_and_the_command_shows(pool, database_url, monkeypatch):
    with pool.connection() as connection:
        product_id = register(connection)
        add_fleet(connection, product_id, lots=BAD)
        (row,) = read_products(connection)
    Worker(pool=pool, stop=threading.Event())._look(row)
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)

    shown = CliRunner().invoke(anomaly, ["issues", "test_pump"])
    unknown = CliRunner().invoke(anomaly, ["issues", "nothing"])

    assert shown.exit_code == 0, shown.output
    assert "Lot B7: 11 of 40 devices failed (bearing wear)" in shown.output.replace("\n", "")
    assert "there is no product 'nothing'" in str(unknown.exception)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bad_lot_of_a_simulated_fleet_is_found_and_no_other(connection, seed):
    """What the simulator does to its devices, as their own reports of faults."""
    product_id = register(connection)
    simulate(connection, product_id, make_fleet(**SIMULATED, seed=seed, bad_lot="2025-W07"))

    look(connection, product_id)

    flagged = [(i[0], i[1], i[2]) for i in issues(connection) if i[3] == "flagged"]
    assert flagged == [("bearing_wear", "lot", "2025-W07")]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_simulated_fleet_without_a_bad_lot_has_none(connection, seed):
    product_id = register(connection)
    simulate(connection, product_id, make_fleet(**SIMULATED, seed=seed))

    look(connection, product_id)

    assert [i for i in issues(connection) if i[3] == "flagged"] == []


def simulate(connection: Connection, product_id: int, fleet: Fleet) -> None:
    """Store a simulated fleet's devices, and the failures of the mode that the bad lot has."""
    mode = fleet.machines[0].model.modes[0].name
    fails = {f.device: f.fails_s for f in fleet.plan.failures if f.mode == mode}
    for place, unit in enumerate(fleet.units):
        (device_id,) = connection.execute(
            "insert into gateway.device (name, product_id, serial, lot, firmware, shard, delivered_at,"
            " created_at) values (%s, %s, %s, %s, %s, 0, %s, %s) returning id",
            [unit.name, product_id, unit.serial, unit.lot, unit.firmware,
             datetime.fromtimestamp(unit.delivered_s, UTC), NOW],
        ).fetchone()  # fmt: skip
        connection.execute(
            "insert into ingest.progress values (%s, %s, %s, %s, 0)",
            [device_id, datetime.fromtimestamp(fleet.start_s, UTC), NOW, NOW],
        )
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through, state) values (%s, %s, '{}')",
            [device_id, NOW],
        )
        if place in fails:
            connection.execute(
                "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
                " created_at) values (%s, 'reported_fault', 'bearing_wear', 'raised', %s, 9, '{}', %s)",
                [device_id, datetime.fromtimestamp(fails[place], UTC), NOW],
            )


def find(connection: Connection, device_id: int, *, verdict: str, at: datetime) -> None:
    """Record what a technician found, with the ticket and the work order that it belongs to."""
    (alert_id,) = connection.execute(
        "insert into maintenance.alert (device_id, failure_mode, opened_at, cleared_at, level, updated_at)"
        " values (%s, 'bearing_wear', %s, %s, 'plan', %s) returning id",
        [device_id, at, at, NOW],
    ).fetchone()
    (ticket_id,) = connection.execute(
        "insert into maintenance.ticket (alert_id, device_id, failure_mode, component, kind, state, level,"
        " reason, title, evidence, opened_at, due_at, closed_at, created_at) values (%s, %s, 'bearing_wear',"
        " 'bearing', 'preventive', 'resolved', 'plan', 'failure_likely', 'Bearing', '{}', %s, %s, %s, %s)"
        " returning id",
        [alert_id, device_id, at, at, at, NOW],
    ).fetchone()
    (order_id,) = connection.execute(
        "insert into maintenance.work_order (ticket_id, device_id, title, state, kit, skills, checklist,"
        " duration, due_at, created_at) values (%s, %s, 'Bearing', 'done', '[]', '{}', '[]', '1 hour', %s, %s)"
        " returning id",
        [ticket_id, device_id, at, NOW],
    ).fetchone()
    connection.execute(
        "insert into maintenance.finding (work_order_id, device_id, failure_mode, component, verdict,"
        " found_at, recorded_by, created_at) values (%s, %s, 'bearing_wear', 'bearing', %s, %s, 'test', %s)",
        [order_id, device_id, verdict, at, NOW],
    )
