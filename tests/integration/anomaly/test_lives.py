"""Remaining lives are corrected by failures that happened, and what failures taught is kept."""

from datetime import UTC, datetime
from importlib.resources import files

import numpy as np
import pytest
from psycopg.types.json import Jsonb

from anomaly import store
from anomaly.evidence import instant
from anomaly.life_store import learn_lives, read_corrections
from anomaly.lives import (
    ANY_MODE,
    NOTHING_FAILED,
    Correction,
    corrected,
    corrected_then,
    learn_correction,
)
from anomaly.lives import Miss as Before
from anomaly.records import Evidence, Forecast, Outlook, Output
from anomaly.result_store import DeviceOutput, write_results
from anomaly.state_store import read_layout
from core.pool import Connection, Pool
from tests.integration.anomaly.test_worker import register_pumps
from tests.unit.anomaly.bench import DAY_US, LAYOUT, PUMP, START_US

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVERY_US = DAY_US // 4
FACTORS = (0.5, 0.6, 1.0, 1.5, 2.0)


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return register_pumps(connection, 3)


def said(*, days: float, factor: float = 3.0) -> Outlook:
    hours = [days * 24 * factor * share for share in FACTORS]
    return Outlook(
        p_fail_1d=0.1, p_fail_7d=0.2, p_fail_30d=0.3, life_hours_q05=hours[0],
        life_hours_q10=hours[1], life_hours_q50=hours[2], life_hours_q90=hours[3],
        life_hours_q95=hours[4],
    )  # fmt: skip


def decline(
    connection: Connection,
    device_id: int,
    *,
    fails_day: float,
    from_day: float,
    until_day: float | None = None,
    corrections: tuple[Correction, ...] = (),
) -> None:
    """Write forecasts of a bearing that is to fail; they say three times what is left."""
    end_day = fails_day if until_day is None else until_day
    made = range(START_US + round(from_day * DAY_US), START_US + round(end_day * DAY_US), EVERY_US)
    forecasts = [
        Forecast(
            failure_mode="bearing_wear", made_us=at, status="declining", health_index=0.5,
            outlook=said(days=(START_US + fails_day * DAY_US - at) / DAY_US), evidence=Evidence(),
        )
        for at in made
    ]  # fmt: skip
    product_id = connection.execute("select id from gateway.product").fetchone()[0]
    write_results(
        connection,
        read_layout(connection, product_id=product_id, layout=LAYOUT),
        devices=[
            DeviceOutput(device_id=device_id, baseline_id=None, output=Output(forecasts=forecasts))
        ],
        corrections=corrections,
        now=NOW,
    )


def fail(connection: Connection, device_id: int, *, day: float) -> None:
    connection.execute(
        "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
        " created_at) values (%s, 'reported_fault', 'bearing_wear', 'raised', %s, 0, '{}', %s)",
        [device_id, instant(START_US + round(day * DAY_US)), NOW],
    )


def find(connection: Connection, device_id: int, *, day: float, component: str) -> None:
    connection.execute("set session_replication_role = replica")  # no ticket behind it here
    connection.execute(
        "insert into maintenance.finding (work_order_id, device_id, failure_mode, component,"
        " verdict, found_at, recorded_by, created_at)"
        " values (%s, %s, 'bearing_wear', %s, 'confirmed', %s, 'test', %s)",
        [round(day * 10), device_id, component, instant(START_US + round(day * DAY_US)), NOW],
    )
    connection.execute("set session_replication_role = origin")


def learn(connection: Connection, *, day: float) -> Correction | None:
    return learn_lives(
        connection,
        product_id=connection.execute("select id from gateway.product").fetchone()[0],
        product=PUMP,
        newest_us=START_US + round(day * DAY_US),
        now=NOW,
    )


def kept(connection: Connection) -> list[Correction]:
    product_id = connection.execute("select id from gateway.product").fetchone()[0]
    return read_corrections(connection, product_id=product_id)


def test_what_failures_taught_is_kept_as_it_was_learned(pool: Pool, devices: list[int]) -> None:
    with pool.connection() as connection:
        decline(connection, devices[0], from_day=10, fails_day=30)
        fail(connection, devices[0], day=30)

        found = learn(connection, day=31)

        assert found is not None
        assert kept(connection) == [found]
        assert (found.failures, found.from_us) == (1, START_US + 31 * DAY_US)
        assert found == expected(from_day=10, fails_day=30, at_day=31)


def expected(*, from_day: float, fails_day: float, at_day: float) -> Correction:
    """Learn the same from what was said, with the precision that is stored."""
    at = np.arange(START_US + from_day * DAY_US, START_US + fails_day * DAY_US, EVERY_US)
    left = (START_US + fails_day * DAY_US - at) / 3.6e9
    lives = (left[:, None] * 3 * np.array(FACTORS)).astype(np.float32).astype(np.float64)
    miss = Before(
        mode="bearing_wear", said_hours=lives, left_hours=left, worn=np.full(len(left), 0.5)
    )
    return learn_correction([miss], from_us=START_US + round(at_day * DAY_US))


def test_nothing_is_learned_twice_nor_more_than_once_a_week(pool: Pool, devices: list[int]) -> None:
    with pool.connection() as connection:
        nothing = learn(connection, day=20)
        decline(connection, devices[0], from_day=10, fails_day=30)
        fail(connection, devices[0], day=30)
        first = learn(connection, day=31)
        again = learn(connection, day=31)
        fail(connection, devices[1], day=32)
        soon = learn(connection, day=37)
        later = learn(connection, day=38)
        calm = learn(connection, day=60)

    assert (nothing, again, soon, calm) == (None, None, None, None)
    assert first is not None
    assert later is not None
    assert later.from_us > first.from_us


def test_a_forecast_says_what_was_known_and_keeps_what_the_laws_had_said(
    pool: Pool, devices: list[int]
) -> None:
    with pool.connection() as connection:
        for device_id in devices[:2]:
            decline(connection, device_id, from_day=10, fails_day=30)
            fail(connection, device_id, day=30)
        learned = learn(connection, day=30.5)
        assert learned is not None
        decline(
            connection, devices[2], from_day=30, until_day=31, fails_day=50, corrections=(learned,)
        )
        rows = connection.execute(
            "select made_at, life_said, array[life_hours_q05, life_hours_q10, life_hours_q50,"
            " life_hours_q90, life_hours_q95] from anomaly.forecast where device_id = %s"
            " order by made_at",
            [devices[2]],
        ).fetchall()

    assert len(rows) == 4
    for made_at, law, life in rows:
        is_later = store.to_us(made_at) > learned.from_us
        then = corrected(
            learned if is_later else NOTHING_FAILED,
            np.array([law]),
            np.array([0.5]),
            mode="bearing_wear",
        )[0]
        assert life == pytest.approx(then.tolist(), rel=1e-5)
    assert rows[-1][2][2] < 0.9 * rows[0][2][2]


def test_what_was_said_about_an_earlier_part_does_not_count(pool: Pool, devices: list[int]) -> None:
    with pool.connection() as connection:
        decline(connection, devices[0], from_day=10, until_day=20, fails_day=60)
        find(connection, devices[0], day=20.1, component="bearing")
        decline(connection, devices[0], from_day=30, fails_day=40)
        find(connection, devices[0], day=35, component="motor")
        fail(connection, devices[0], day=40)

        found = learn(connection, day=41)

    assert found == expected(from_day=30, fails_day=40, at_day=41)


def test_only_forecasts_of_declining_parts_are_corrected(pool: Pool, devices: list[int]) -> None:
    well = Outlook(p_fail_1d=0.001, p_fail_7d=0.001, p_fail_30d=0.004)
    with pool.connection() as connection:
        product_id = connection.execute("select id from gateway.product").fetchone()[0]
        forecast = Forecast(
            failure_mode="bearing_wear", made_us=START_US, status="ok", health_index=1.0,
            outlook=well, evidence=Evidence(),
        )  # fmt: skip
        write_results(
            connection,
            read_layout(connection, product_id=product_id, layout=LAYOUT),
            devices=[
                DeviceOutput(
                    device_id=devices[0], baseline_id=None, output=Output(forecasts=[forecast])
                )
            ],
            now=NOW,
        )
        row = connection.execute(
            "select life_said, life_hours_q50 from anomaly.forecast"
        ).fetchone()

    assert row == (None, None)


def test_what_was_learned_in_another_unit_is_let_go_and_learned_again(
    pool: Pool, devices: list[int]
) -> None:
    rows = [list(row) for row in NOTHING_FAILED.scores[ANY_MODE][2]]
    names = ("0022_life_corrections_by_mode.sql", "0025_life_corrections_by_wear.sql")
    migrations = [files("core.migrations").joinpath(name).read_text() for name in names]
    with pool.connection() as connection:
        decline(connection, devices[0], from_day=10, fails_day=30)
        fail(connection, devices[0], day=30)
        connection.execute(
            "insert into anomaly.life_correction (product_id, from_at, failures, scores, created_at)"
            " select id, %s, 3, %s, %s from gateway.product",
            [instant(START_US + 30 * DAY_US), Jsonb(rows), NOW],
        )
        for migration in migrations:
            connection.execute(migration)
        left = kept(connection)
        again = learn(connection, day=30.5)

    assert left == []
    assert again == expected(from_day=10, fails_day=30, at_day=30.5)


def test_only_corrections_that_can_be_in_force_are_read_and_correct_the_same(
    pool: Pool, devices: list[int]
) -> None:
    with pool.connection() as connection:
        for device_id, day in zip(devices, (30, 40, 50), strict=True):
            decline(connection, device_id, from_day=day - 20, fails_day=day)
            fail(connection, device_id, day=day)
            learn(connection, day=day + 1)
        every = kept(connection)
        product_id = connection.execute("select id from gateway.product").fetchone()[0]
        begins = [one.from_us for one in every]
        numbers = {}
        for since_us in (begins[0] - 1, *begins, begins[1] + 1, begins[2] + 1):
            some = read_corrections(connection, product_id=product_id, since_us=since_us)
            made = np.sort([at for at in (since_us, *begins, begins[2] + 9) if at >= since_us])
            hours = np.tile([100.0, 150.0, 300.0, 500.0, 700.0], (len(made), 1))
            worn = np.linspace(0.1, 0.9, len(made))
            found = corrected_then(some, made, hours, worn, mode="bearing_wear")
            numbers[since_us] = len(some)

            assert np.array_equal(
                found, corrected_then(every, made, hours, worn, mode="bearing_wear")
            )

    assert len(every) == 3
    assert list(numbers.values()) == [3, 3, 3, 2, 2, 1]
