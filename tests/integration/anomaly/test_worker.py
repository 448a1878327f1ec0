"""The scorer on a real database: learn, score, survive, and say the same however it was stopped."""

import threading
from datetime import timedelta

import msgspec
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from anomaly import service, store
from anomaly.evidence import instant
from anomaly.features import Layout
from anomaly.records import Samples
from anomaly.state_store import (
    DeviceProgress,
    PathWish,
    claim_states,
    read_layout,
    read_paths,
)
from anomaly.worker import Worker
from core.clock import wall_now
from core.pool import Connection, Pool
from core.product import Evidence, Product, product_to_json
from tests.unit.anomaly.bench import BEARING, DAY_US, PUMP, START_US, Wear, make_samples

FLEET = [
    make_samples(
        300 + i, days=16, wear=Wear(from_day=7, fails_day=15, moves=BEARING) if i == 0 else None
    )
    for i in range(3)
]
RESULTS = {
    "expectation": "device_id, metric, at, observed, expected, spread, score",
    "health": "device_id, failure_mode, at, score, health_index",
    "detection": "device_id, kind, failure_mode, change, at, score, evidence",
    "forecast": (
        "device_id, failure_mode, made_at, status, health_index, p_fail_1d, p_fail_7d, p_fail_30d,"
        " life_hours_q05, life_hours_q10, life_hours_q50, life_hours_q90, life_hours_q95, evidence"
    ),
}


def register(connection: Connection) -> list[int]:
    return register_pumps(connection, len(FLEET))


def register_pumps(connection: Connection, number: int, *, product: Product = PUMP) -> list[int]:
    connection.execute("insert into gateway.manufacturer (name) values ('Testers')")
    connection.execute(
        "insert into gateway.product (manufacturer_id, name, title, sheet, sheet_toml, created_at,"
        " updated_at) select id, %s, %s, %s, '', %s, %s from gateway.manufacturer",
        [product.name, product.title, product_to_json(product), wall_now(), wall_now()],
    )
    columns = sql.SQL(", ").join(
        sql.SQL("{} real").format(sql.Identifier(metric.name)) for metric in PUMP.metrics
    )
    connection.execute(
        sql.SQL(
            "create table telemetry.{} (device_id bigint not null, measured_at timestamptz not null,"
            " {}, primary key (device_id, measured_at))"
        ).format(sql.Identifier(PUMP.name), columns)
    )
    return [
        connection.execute(
            "insert into gateway.device (name, product_id, serial, shard, created_at)"
            " select %s, id, %s, 0, %s from gateway.product returning id",
            [f"pump-{i}", f"P{i}", wall_now()],
        ).fetchone()[0]
        for i in range(number)
    ]


def deliver(connection: Connection, device_id: int, samples: Samples, *, until_us: int) -> None:
    """Store what a device measured up to an instant, as ingest would."""
    stored = connection.execute(
        "select max(measured_at) from telemetry.test_pump where device_id = %s", [device_id]
    ).fetchone()[0]
    part = samples.between(store.to_us(stored) + 1 if stored else 0, until_us + 1)
    with connection.cursor() as cursor, cursor.copy("copy telemetry.test_pump from stdin") as copy:
        for at_us, row in zip(part.at_us, part.values, strict=True):
            values = [None if value != value else value for value in row.tolist()]
            copy.write_row([device_id, instant(int(at_us)), *values])
    connection.execute(
        "insert into ingest.progress values (%s, %s, %s, %s, 0) on conflict (device_id)"
        " do update set measured_through = excluded.measured_through",
        [device_id, instant(int(samples.at_us[0])), instant(int(part.at_us[-1])), wall_now()],
    )


def work(pool: Pool) -> None:
    worker = Worker(pool=pool, stop=threading.Event())
    while worker.turn():
        pass


def results(pool: Pool) -> dict[str, list[tuple[object, ...]]]:
    with pool.connection() as connection:
        return {
            table: connection.execute(
                f"select {columns} from anomaly.{table} order by 1, 2, 3, 4"
            ).fetchall()
            for table, columns in RESULTS.items()
        }


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return register(connection)


@pytest.fixture
def whole(pool: Pool, devices: list[int]) -> dict[str, list[tuple[object, ...]]]:
    """What comes out when everything is there at once."""
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)
    work(pool)
    return results(pool)


def test_a_wearing_device_is_found_and_forecast(pool, devices, whole):
    raised = [(row[0], row[1], row[2]) for row in whole["detection"] if row[3] == "raised"]

    assert (devices[0], "wear", "bearing_wear") in raised
    assert (devices[0], "reported_fault", "bearing_wear") in raised
    assert {device for device, *_ in raised} == {devices[0]}
    statuses = {(row[0], row[3]) for row in whole["forecast"]}
    assert (devices[0], "declining") in statuses
    assert (devices[1], "declining") not in statuses


def test_small_steps_with_a_lost_transaction_in_each_give_the_same_rows(pool, devices, whole):
    with pool.connection() as connection:
        for table in ("window", "path", "detection", "forecast", "scorer_state"):
            connection.execute(sql.SQL("delete from anomaly.{}").format(sql.Identifier(table)))
        connection.execute("delete from ingest.progress")
        connection.execute("delete from telemetry.test_pump")

    for hours in (50, 144, 150, 201, 260, 333, 384):
        with pool.connection() as connection:
            for place, (device_id, samples) in enumerate(zip(devices, FLEET, strict=True)):
                until_us = START_US + (hours + place) * 3_600_000_000 + 123_456_789
                deliver(connection, device_id, samples, until_us=until_us)
        with pool.connection() as connection:
            row = store.read_products(connection)[0]
            service.score_product(connection, row, now=wall_now())
            connection.rollback()  # as if it had been killed before the commit
        work(pool)

    assert results(pool) == whole


def test_two_scorers_do_not_take_the_same_device(pool, devices):
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 8 * DAY_US)
        service.learn_product(connection, store.read_products(connection)[0], now=wall_now())
    work_once = [0, 0]
    with pool.connection() as first, pool.connection() as second:
        row = store.read_products(first)[0]
        work_once[0] = service.score_product(first, row, now=wall_now()).devices
        first.commit()
        with first.transaction():
            first.execute("select 1 from anomaly.scorer_state for update")
            deliver(second, devices[0], FLEET[0], until_us=START_US + 9 * DAY_US)
            work_once[1] = service.score_product(second, row, now=wall_now()).devices
            second.rollback()

    assert work_once == [len(devices), 0]


def test_a_finding_becomes_a_label_and_starts_the_part_anew(pool, devices, whole):
    found_at = instant(START_US + 16 * DAY_US + 3_600_000_000)
    with pool.connection() as connection:
        connection.execute("set session_replication_role = replica")  # no ticket behind it here
        connection.execute(
            "insert into maintenance.finding (work_order_id, device_id, failure_mode, component,"
            " verdict, found_at, recorded_by, created_at)"
            " values (1, %s, 'bearing_wear', 'bearing', 'confirmed', %s, 'test', %s)",
            [devices[0], found_at, wall_now()],
        )
        connection.execute("set session_replication_role = origin")
        longer = make_samples(300, days=18)
        deliver(connection, devices[0], longer, until_us=START_US + 18 * DAY_US)

    work(pool)

    with pool.connection() as connection:
        label = connection.execute("select verdict, found_at from anomaly.label").fetchall()
        last = connection.execute(
            "select status, health_index from anomaly.forecast where device_id = %s and"
            " failure_mode = 'bearing_wear' order by made_at desc limit 1",
            [devices[0]],
        ).fetchone()
    assert label == [("confirmed", found_at)]
    assert last[0] == "ok"
    assert last[1] > 0.9


def test_nothing_is_scored_before_the_product_is_learned(pool, devices):
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 5 * DAY_US)

    work(pool)

    rows = results(pool)
    assert rows["health"] == []
    assert {row[3] for row in rows["forecast"]} == {"learning"}


def test_the_watermark_waits_for_slow_devices_but_not_for_silent_ones():
    def progress(days: float) -> DeviceProgress:
        return DeviceProgress(
            device_id=1, first_us=START_US, through_us=START_US + round(days * DAY_US)
        )

    late_days = PUMP.late_after / timedelta(days=1)

    assert service.watermark(PUMP, [progress(7), progress(6.9)]) == progress(6.9).through_us
    assert service.watermark(PUMP, [progress(7), progress(2)]) == progress(7 - late_days).through_us


def test_states_that_were_stored_whole_with_their_paths_go_on_to_the_same_rows(
    pool, devices, whole
):
    """Before records of fixed width there was one JSON document for everything."""
    with pool.connection() as connection:
        for table in ("window", "path", "detection", "forecast", "scorer_state"):
            connection.execute(sql.SQL("delete from anomaly.{}").format(sql.Identifier(table)))
        connection.execute("delete from ingest.progress")
        connection.execute("delete from telemetry.test_pump")
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 12 * DAY_US)
    work(pool)
    with pool.connection() as connection:
        _store_whole(connection, devices)

    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)
    work(pool)

    assert results(pool) == whole


def _store_whole(connection: Connection, devices: list[int]) -> None:
    """Put the states back into the older form."""
    row = store.read_products(connection)[0]
    kind = read_layout(connection, product_id=row.id, layout=Layout(row.product))
    progress = [DeviceProgress(device_id=d, first_us=0, through_us=0, scored_us=0) for d in devices]
    (crowd,) = claim_states(connection, kind, progress).crowds
    wishes = [
        PathWish(device_id=d, mode=m, from_us=None) for d in devices for m in kind.layout.modes
    ]
    paths = read_paths(connection, wishes)
    assert paths
    for place, device in enumerate(crowd.progress):
        state = crowd.states.get(place)
        for name, (at_us, sizes) in paths[device.device_id].items():
            state.modes[name].path_us, state.modes[name].path = at_us, sizes
        connection.execute(
            "update anomaly.scorer_state set numbers = null, layout_id = null, state = %s"
            " where device_id = %s",
            [Jsonb(msgspec.to_builtins(state)), device.device_id],
        )
    connection.execute("delete from anomaly.path")


def register_anew(connection: Connection, product: Product) -> None:
    """Register another revision of the sheet of the test's product."""
    connection.execute(
        "update gateway.product set sheet = %s, revision = revision + 1 where name = %s",
        [product_to_json(product), product.name],
    )


FAILED_AT = {"vibration": 4.0, "bearing_c": 20.0, "power_w": 300.0, "ambient_c": 20.0}


def with_evidence(*metrics: str) -> Product:
    """The pump, with other evidence of its first failure mode and none of any other."""
    first, *others = PUMP.failure_modes
    own = tuple(Evidence(metric=m, direction="up", failed_at=FAILED_AT[m]) for m in metrics)
    modes = (
        msgspec.structs.replace(first, evidence=own),
        *(msgspec.structs.replace(mode, evidence=()) for mode in others),
    )
    return msgspec.structs.replace(PUMP, failure_modes=modes)


def forget_names(connection: Connection) -> None:
    """Leave the baseline as those are that were kept before they had the names of conditions and terms."""
    connection.execute(
        "update anomaly.baseline set parameters = parameters - 'conditions' - 'terms'"
    )


@pytest.mark.parametrize("is_old", [False, True], ids=["named", "kept before names"])
@pytest.mark.parametrize(
    ("product", "lacks"),
    [
        (with_evidence("vibration", "bearing_c"), []),
        (with_evidence("vibration", "bearing_c", "power_w", "ambient_c"), [["ambient_c"]]),
        (msgspec.structs.replace(PUMP, metrics=PUMP.metrics[::-1]), []),
    ],
)
def test_a_sheet_with_other_evidence_goes_on_from_what_was_learned(
    pool, devices, caplog, product, lacks, is_old
):
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 8 * DAY_US)
    work(pool)
    with pool.connection() as connection:
        if is_old:
            forget_names(connection)
        register_anew(connection, product)
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)

    work(pool)

    detections = results(pool)["detection"]
    assert (devices[0], "wear", "bearing_wear", "raised") in [row[:4] for row in detections]
    assert {row[0] for row in detections} == {devices[0]}
    with pool.connection() as connection:
        scored = connection.execute("select min(scored_through) from anomaly.scorer_state")
        assert scored.fetchone()[0] > instant(START_US + 15 * DAY_US)
    said = [r.fields for r in caplog.records if r.getMessage() == "baseline.lacks"]
    assert [fields["metrics"] for fields in said] == lacks


def test_a_product_in_trouble_is_named_and_the_others_are_scored(pool, devices, caplog):
    with pool.connection() as connection:
        register_broken(connection)
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 8 * DAY_US)

    work(pool)

    failed = [r.fields["product"] for r in caplog.records if r.getMessage() == "product.failed"]
    assert failed == ["a_broken_pump"], "once: it is left alone for a while"
    assert results(pool)["health"]


def register_broken(connection: Connection) -> None:
    """Register a product that comes first, has a device with data, and lacks its table."""
    broken = msgspec.structs.replace(PUMP, name="a_broken_pump")
    product_id = connection.execute(
        "insert into gateway.product (manufacturer_id, name, title, sheet, sheet_toml, created_at,"
        " updated_at) select id, %s, %s, %s, '', %s, %s from gateway.manufacturer returning id",
        [broken.name, broken.title, product_to_json(broken), wall_now(), wall_now()],
    ).fetchone()[0]
    device_id = connection.execute(
        "insert into gateway.device (name, product_id, serial, shard, created_at)"
        " values ('broken', %s, 'B', 0, %s) returning id",
        [product_id, wall_now()],
    ).fetchone()[0]
    connection.execute(
        "insert into ingest.progress values (%s, %s, %s, %s, 0)",
        [device_id, instant(START_US), instant(START_US + 8 * DAY_US), wall_now()],
    )
