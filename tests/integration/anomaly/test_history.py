"""What the learned layer reads from the database is what the scorer made of the stream."""

import msgspec
import numpy as np
import pytest

from anomaly.evidence import instant
from anomaly.learn.history import Catalog
from anomaly.learn.store import read_histories, read_history
from core.clock import wall_now
from core.errors import NotFoundError
from core.pool import Pool
from tests.integration.anomaly.test_worker import FLEET, deliver, register, work
from tests.unit.anomaly.bench import DAY_US, PUMP, START_US

CATALOG = Catalog(PUMP)
FOUND_AT = instant(START_US + round(15.9 * DAY_US))


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        found = register(connection)
        for device_id, samples in zip(found, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)
    work(pool)
    with pool.connection() as connection:
        connection.execute("set session_replication_role = replica")  # no ticket behind it here
        connection.execute(
            "insert into maintenance.finding (work_order_id, device_id, failure_mode, component,"
            " verdict, found_at, recorded_by, created_at)"
            " values (1, %s, 'bearing_wear', 'bearing', 'confirmed', %s, 'test', %s)",
            [found[0], FOUND_AT, wall_now()],
        )
        connection.execute("set session_replication_role = origin")
        connection.execute("update gateway.device set lot = 'L7' where id = %s", [found[0]])
    return found


def test_windows_hold_all_that_was_measured_while_learning_too(pool: Pool, devices) -> None:
    with pool.connection() as connection:
        history = read_history(connection, CATALOG, devices[1])

    samples, hour = FLEET[1], PUMP.window.total_seconds() * 1e6
    ambient = CATALOG.metrics.index("ambient_c")
    row = len(history.at_us) // 2
    within = (samples.at_us >= history.at_us[row] - hour) & (samples.at_us < history.at_us[row])
    running = within & (samples.values[:, 0] > 1)
    assert history.values[row, ambient] == pytest.approx(samples.values[running, 1].mean(), 1e-6)
    assert np.diff(history.at_us).min() > 0
    assert history.at_us[0] < START_US + DAY_US
    assert np.isnan(history.health[0]).all()
    assert history.health[-1, CATALOG.modes.index("bearing_wear")] > 0.9


def test_a_failure_that_was_reported_and_found_counts_once(pool: Pool, devices) -> None:
    with pool.connection() as connection:
        worn, healthy, _ = read_histories(connection, CATALOG, devices)

    assert worn.failure_mode.tolist() == [CATALOG.modes.index("bearing_wear")]
    assert worn.failure_us[0] == pytest.approx(START_US + 15 * DAY_US, abs=0.1 * DAY_US)
    assert worn.service_component.tolist() == [CATALOG.components.index("bearing")]
    assert worn.traits == {"lot": "L7"}
    assert healthy.failure_us.size == 0


def test_nothing_is_known_that_came_later(pool: Pool, devices) -> None:
    until_us = START_US + 9 * DAY_US
    with pool.connection() as connection:
        whole = read_history(connection, CATALOG, devices[0])
        early = read_history(connection, CATALOG, devices[0], until_us=until_us)

    cut = whole.upto(until_us)
    assert early.at_us.tolist() == cut.at_us.tolist()
    assert np.array_equal(early.values, cut.values, equal_nan=True)
    assert early.failure_us.size == early.service_us.size == 0
    assert early.until_us == until_us


def test_codes_other_than_zero_are_events(pool: Pool, devices) -> None:
    metrics = tuple(
        msgspec.structs.replace(metric, kind="code") if metric.name == "fault_code" else metric
        for metric in PUMP.metrics
    )
    catalog = Catalog(msgspec.structs.replace(PUMP, metrics=metrics, fault_metric=None))

    with pool.connection() as connection:
        worn, healthy = read_histories(connection, catalog, devices[:2])

    assert set(worn.event_code.tolist()) == {21}
    assert worn.event_us[0] == pytest.approx(START_US + 15 * DAY_US, abs=0.1 * DAY_US)
    assert healthy.event_us.size == 0


def test_a_device_that_sent_nothing_has_no_history(pool: Pool, devices) -> None:
    with pool.connection() as connection, pytest.raises(NotFoundError, match="has sent nothing"):
        read_history(connection, CATALOG, max(devices) + 1)
