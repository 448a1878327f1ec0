"""Metrics and forecasts that are no longer as they were learned, on a real database."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from anomaly.commands import anomaly
from anomaly.drift import service
from anomaly.drift.calibration import BLOCK
from anomaly.records import Samples
from anomaly.store import read_products
from core.clock import wall_now
from core.pool import Connection, Pool
from core.units import EPOCH
from tests.fixtures.maintenance import NOON, add_device, add_forecast, add_product
from tests.integration.anomaly.test_worker import deliver, register_pumps, work
from tests.unit.anomaly.bench import DAY_US, START_US, make_samples, with_metric

DEVICES, DAYS = 11, 22
BEGIN = EPOCH + ((NOON - EPOCH) // BLOCK) * BLOCK


def fleet(pool: Pool, *, shift: float) -> None:
    """Pumps whose vibration is higher on all of them from day 8 on."""
    with pool.connection() as connection:
        for place, device_id in enumerate(register_pumps(connection, DEVICES)):
            samples = make_samples(400 + place, days=DAYS)
            moved = with_metric(samples, "vibration", running(samples) * shift, from_day=8)
            deliver(connection, device_id, moved, until_us=START_US + DAYS * DAY_US)
    work(pool)


def running(samples: Samples) -> np.ndarray:
    return (samples.values[:, 0] > 1).astype(np.float64)


def states(pool: Pool) -> dict[tuple[str, str], str]:
    with pool.connection() as connection:
        rows = connection.execute("select kind, name, state from anomaly.drift").fetchall()
    return {(kind, name): state for kind, name, state in rows}


def test_a_metric_that_moved_on_all_devices_has_drifted_at_equal_load(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet(pool, shift=0.25)
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)

    shown = CliRunner().invoke(anomaly, ["drift", "test_pump"])
    everything = CliRunner().invoke(anomaly, ["drift", "--all"])

    found = states(pool)
    assert found["metric", "vibration"] == "drifted"
    assert found["metric", "power_w"] == "steady"
    assert shown.exit_code == 0, shown.output
    assert "Vibration is no longer what was learned" in shown.output
    assert "Power is as it was learned" in everything.output
    with pool.connection() as connection:
        shift = connection.execute(
            "select figures ->> 'shift' from anomaly.drift where name = 'vibration'"
        ).fetchone()[0]
    assert float(shift) == pytest.approx(0.25, abs=0.05)


def test_pumps_that_stay_as_they_were_learned_have_not_drifted(pool: Pool) -> None:
    fleet(pool, shift=0.0)

    found = states(pool)

    assert {found["metric", name] for name in ("vibration", "bearing_c", "power_w")} == {"steady"}
    assert {found["calibration", mode] for mode in ("bearing_wear", "winding_fault")} == {"unclear"}


# --- forecasts that are held against what came --------------------------------------------------------


def add_claims(connection: Connection, *, failing: int, chance: float = 0.02) -> list[int]:
    """Two months of forecasts of 40 devices, of which some report their fan after two weeks."""
    product = add_product(connection)
    devices = [add_device(connection, product, f"hp-{n}") for n in range(40)]
    for place, device in enumerate(devices):
        for month in range(2):
            add_forecast(
                connection, device, BEGIN + month * BLOCK + timedelta(hours=5),
                status="declining", p=(0.001, 0.005, chance),
            )  # fmt: skip
            if place % 20 < failing / 2:
                connection.execute(
                    "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score,"
                    " evidence, created_at) values (%s, 'reported_fault', 'fan_bearing', 'raised', %s, 9,"
                    " '{}', %s)",
                    [device, BEGIN + month * BLOCK + timedelta(days=14, minutes=place), NOON],
                )
        reached = BEGIN + 2 * BLOCK + timedelta(days=1)
        connection.execute(
            "insert into ingest.progress values (%s, %s, %s, %s, 1)",
            [device, BEGIN, reached, NOON],
        )
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through, state) values (%s, %s, '{}')",
            [device, reached],
        )
    return devices


def look(connection: Connection) -> service.DriftLook | None:
    (row,) = read_products(connection)
    return service.look_at_drift(connection, row, now=wall_now())


def test_forecasts_that_expect_too_few_failures_are_found(pool: Pool) -> None:
    with pool.connection() as connection:
        add_claims(connection, failing=12)

        done = look(connection)

        row = connection.execute(
            "select state, figures, sentences -> 1 ->> 'key' from anomaly.drift"
            " where kind = 'calibration' and name = 'fan_bearing'"
        ).fetchone()
    assert done.drifted == ("fan_bearing",)
    assert (row[0], row[2]) == ("drifted", "too_few")
    assert (row[1]["forecasts"], row[1]["observed"]) == (80, 24)
    assert row[1]["expected"] == pytest.approx(1.6, abs=0.01)


def test_forecasts_that_come_true_as_often_as_they_say_have_not_drifted(pool: Pool) -> None:
    with pool.connection() as connection:
        add_claims(connection, failing=12, chance=0.3)

        done = look(connection)

    assert done.drifted == ()
    assert states(pool)["calibration", "fan_bearing"] == "steady"


def test_nobody_can_say_what_became_of_a_part_that_was_replaced_for_another_reason(
    pool: Pool,
) -> None:
    with pool.connection() as connection:
        devices = add_claims(connection, failing=0)
        connection.execute("set session_replication_role = replica")  # no ticket behind it here
        connection.execute(
            "insert into maintenance.finding (work_order_id, device_id, failure_mode, component, verdict,"
            " found_at, recorded_by, created_at) values (1, %s, 'fan_imbalance', 'fan', 'confirmed', %s,"
            " 'test', %s)",
            [devices[0], BEGIN + timedelta(days=9), NOON],
        )

        look(connection)

        (forecasts,) = connection.execute(
            "select forecasts from anomaly.calibration_block where failure_mode = 'fan_bearing'"
            " order by block_at limit 1"
        ).fetchone()
    assert forecasts == 39


def test_a_day_is_looked_at_once_and_a_month_judged_once(pool: Pool) -> None:
    with pool.connection() as connection:
        add_claims(connection, failing=12)
        first = look(connection)
        again = look(connection)
        for table in (
            "ingest.progress set measured_through",
            "anomaly.scorer_state set scored_through",
        ):
            column = table.rpartition(" ")[2]
            connection.execute(f"update {table} = {column} + interval '1 day'")
        connection.execute("delete from anomaly.detection")  # would be judged otherwise now

        next_day = look(connection)

        observed = connection.execute(
            "select sum(observed) from anomaly.calibration_block"
        ).fetchone()
    assert first is not None
    assert again is None
    assert next_day.drifted == ()
    assert observed == (24,)


def test_a_worker_that_is_killed_before_the_commit_has_written_nothing(
    pool: Pool, database_url: str
) -> None:
    with pool.connection() as connection:
        add_claims(connection, failing=12)
    code = (
        "import sys; from anomaly.drift import service; from anomaly.store import read_products;"
        "from core.clock import wall_now; from core.pool import connect;"
        "from core.failpoint import set_up_failpoints\n"
        "set_up_failpoints('anomaly.before_drift_commit:kill:1')\n"
        "with connect(sys.argv[1], name='test') as c:\n"
        "    service.look_at_drift(c, read_products(c)[0], now=wall_now())\n"
    )

    done = subprocess.run([sys.executable, "-c", code, database_url], check=False, env=os.environ)
    after_kill = states(pool)
    with pool.connection() as connection:
        again = look(connection)

    assert done.returncode == -signal.SIGKILL
    assert after_kill == {}
    assert again.drifted == ("fan_bearing",)
