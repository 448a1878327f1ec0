"""Models on a real database: trained on what scoring left, better ones speak, old ones come back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from anomaly import store as products
from anomaly.backtest.run import replay
from anomaly.backtest.source import open_source
from anomaly.evidence import instant
from anomaly.learn.age import Age
from anomaly.learn.events import Events
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import FrameSpec, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.outlook import outlook_rows
from anomaly.learn.reach import Codes, recent, windows_needed
from anomaly.learn.store import Reach, read_histories, read_recent
from anomaly.learn.wear import Wear
from anomaly.store import to_us
from anomaly.training import service, store
from anomaly.training.live import Voices, speak_live
from anomaly.training.speaker import look
from core.clock import wall_now
from core.errors import ConflictError, NotFoundError
from core.pool import Connection, Pool
from core.product import Product, product_from_json, product_to_json
from tests.integration.anomaly.test_worker import FLEET, deliver, register, register_pumps, work
from tests.unit.anomaly.bench import COLUMNS, DAY_US, PER_DAY, PUMP, START_US

CATALOG = Catalog(PUMP)
DAYS = 100
STEP_US = DAY_US // 4
BASE_US = -(-START_US // STEP_US) * STEP_US
"""Forecasts are made at whole multiples of a quarter of a day."""
MODE = "bearing_wear"


def told(number: int) -> History:
    """A pump whose vibration grows for eight days before its bearing fails."""
    rng = np.random.default_rng([number, 77])
    at = BASE_US + STEP_US * np.arange(1, DAYS * 4 + 1, dtype=np.int64)
    values = 0.4 * rng.normal(size=(len(at), len(CATALOG.metrics)))
    fails = BASE_US + np.sort(rng.integers(12, DAYS, 3)) * DAY_US
    fails = fails[np.append(True, np.diff(fails) > 14 * DAY_US)]
    place = CATALOG.metrics.index("vibration")
    for failure in fails:
        ahead = (failure - at) / DAY_US
        values[:, place] += np.where((ahead > 0) & (ahead < 8), 8 - ahead, 0)
    return History(
        device=f"old-{number}", begins_us=BASE_US, until_us=int(at[-1]), at_us=at, values=values,
        health=np.full((len(at), len(CATALOG.modes)), np.nan),
        failure_us=fails, failure_mode=np.full(len(fails), CATALOG.modes.index(MODE)),
        service_us=fails + STEP_US // 2, service_component=np.zeros(len(fails), dtype=np.int64),
    )  # fmt: skip


STORED = Path(__file__).parent / "stored"
"""Models as earlier releases wrote them."""
FLEET_TOLD = [told(number) for number in range(72)]


@pytest.fixture
def product_id(pool: Pool) -> int:
    """A product whose devices have been scored for a while: what scoring leaves in the tables."""
    with pool.connection() as connection:
        register(connection)
        connection.execute("delete from gateway.device")
        row = connection.execute("select id, sheet from gateway.product").fetchone()
        assert product_from_json(row[1]) == PUMP
        layout = connection.execute(
            "insert into anomaly.layout (product_id, measured, watched, conditions, modes)"
            " values (%s, %s, '{}', '{}', %s) returning id",
            [row[0], list(CATALOG.metrics), list(CATALOG.modes)],
        ).fetchone()[0]
        for number, history in enumerate(FLEET_TOLD):
            device_id = connection.execute(
                "insert into gateway.device (name, product_id, serial, shard, created_at)"
                " values (%s, %s, %s, 0, %s) returning id",
                [history.device, row[0], f"O{number}", wall_now()],
            ).fetchone()[0]
            leave(connection, device_id, history, layout=layout, number=number)
    return int(row[0])


def leave(
    connection: Connection, device_id: int, history: History, *, layout: int, number: int
) -> None:
    until = instant(history.until_us)
    connection.execute(
        "insert into ingest.progress values (%s, %s, %s, %s, 0)",
        [device_id, instant(BASE_US), until, wall_now()],
    )
    connection.execute(
        "insert into anomaly.scorer_state (device_id, scored_through, state) values (%s, %s, '{}')",
        [device_id, until],
    )
    nothing = "{}"
    with connection.cursor() as cursor:
        with cursor.copy("copy anomaly.window from stdin") as copy:
            for at_us, row in zip(history.at_us.tolist(), history.values.tolist(), strict=True):
                health = "{" + ",".join(["NaN"] * len(CATALOG.modes)) + "}"
                observed = "{" + ",".join(f"{value:.6g}" for value in row) + "}"
                copy.write_row(
                    [device_id, instant(at_us), layout, observed, *[nothing] * 3, health, nothing]
                )
        columns = (
            "device_id, failure_mode, made_at, status, p_fail_1d, p_fail_7d, p_fail_30d, created_at"
        )
        with cursor.copy(f"copy anomaly.forecast ({columns}) from stdin") as copy:
            for at_us in history.at_us.tolist():
                copy.write_row(
                    [device_id, MODE, instant(at_us), "ok", 0.004, 0.03, 0.12, wall_now()]
                )
    for turn, failure in enumerate(history.failure_us.tolist()):
        connection.execute(
            "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
            " created_at) values (%s, 'reported_fault', %s, 'raised', %s, 9, '{}', %s)",
            [device_id, MODE, instant(failure), wall_now()],
        )
        add_finding(connection, device_id, failure + STEP_US // 2, number=1000 * number + turn)


def add_finding(
    connection: Connection,
    device_id: int,
    at_us: int,
    *,
    number: int,
    verdict: str = "confirmed",
) -> None:
    """A finding, without the ticket before it: findings are all that learning reads."""
    connection.execute("set local session_replication_role = replica")
    connection.execute(
        "insert into maintenance.finding (work_order_id, device_id, failure_mode, component, verdict,"
        " found_at, recorded_by, created_at) values (%s, %s, %s, 'bearing', %s, %s, 'test', %s)",
        [number + 1, device_id, MODE, verdict, instant(at_us), wall_now()],
    )
    connection.execute("set local session_replication_role = origin")


def product_row(connection: Connection) -> products.ProductRow:
    return products.read_products(connection)[0]


def test_histories_come_back_as_scoring_left_them(pool: Pool, product_id: int) -> None:
    with pool.connection() as connection:
        names = store.read_devices(connection, product_id=product_id)
        found = read_histories(connection, CATALOG, list(names))

    assert [h.device for h in found] == [h.device for h in FLEET_TOLD]
    for history, left in zip(found, FLEET_TOLD, strict=True):
        assert history.at_us.tolist() == left.at_us.tolist()
        assert history.values == pytest.approx(left.values, rel=1e-5)
        assert history.failure_us.tolist() == left.failure_us.tolist()
        assert history.service_us.tolist() == left.service_us.tolist()


def test_what_a_forecast_needs_is_read_and_no_more(pool: Pool, product_id: int) -> None:
    with pool.connection() as connection:
        ids = list(store.read_devices(connection, product_id=product_id))[:25]
        whole = read_histories(connection, CATALOG, ids)
        from_us = {
            device_id: int(h.at_us[-5 - number])
            for number, (device_id, h) in enumerate(zip(ids, whole, strict=True))
        }

        reach = Reach(from_us=from_us, windows=20, codes=None)
        found = read_recent(connection, CATALOG, ids, reach)

    for device_id, history, all_of_it in zip(ids, found, whole, strict=True):
        asked = recent(CATALOG, all_of_it, from_us=from_us[device_id], windows=20, codes=None)
        assert len(history.at_us) < len(all_of_it.at_us) - 200
        assert history.at_us.tolist() == asked.at_us.tolist()
        assert np.array_equal(history.values, asked.values)
        assert np.array_equal(history.health, asked.health, equal_nan=True)
        assert history.failure_us.tolist() == all_of_it.failure_us.tolist()
        assert history.begins_us == all_of_it.begins_us


WORN = {
    "in one piece": [(0.9, 40, 100)],
    "with a break": [(0.9, 20, 100), (1.0, 50, 51), ("NaN", 60, 61)],
    "since its early life": [(0.9, 2, 100)],
    "always": [(0.9, -1, 100)],
    "just before": [(0.9, 85, 100)],
    "and sound again": [(0.9, 20, 88)],
}
"""Health of the first failure mode: what it is, from which day to which."""


@pytest.mark.parametrize("wear", WORN)
def test_since_when_a_device_is_worn_is_read_with_two_windows_more(
    pool: Pool, product_id: int, wear: str
) -> None:
    """Of two modes, the second worn from later on; with another order of modes in older windows."""
    with pool.connection() as connection:
        ids = list(store.read_devices(connection, product_id=product_id))[:3]
        move = "update anomaly.window set health[%s] = %s where device_id = %s and at > %s and at <= %s"
        connection.execute(
            "update anomaly.window set health = '{1,1,1}' where device_id = any(%s)", [ids]
        )
        for value, first, last in WORN[wear]:
            span = [instant(BASE_US + day * DAY_US) for day in (first, last)]
            connection.execute(move, [1, value, ids[0], *span])
        days = [instant(BASE_US + day * DAY_US) for day in (70, 100)]
        connection.execute(move, [2, 0.6, ids[0], *days])
        turn_round(connection, ids[0], until_us=BASE_US + 55 * DAY_US)
        whole = read_histories(connection, CATALOG, ids)
        from_us = dict.fromkeys(ids, BASE_US + 90 * DAY_US)

        found = read_recent(
            connection, CATALOG, ids, Reach(from_us=from_us, windows=20, codes=None)
        )

    spec = FrameSpec(groups=(Wear(modes=CATALOG.modes),))
    since = [n for n, name in enumerate(spec.names) if name.endswith("wear_seen_hours")]
    for history, all_of_it in zip(found, whole, strict=True):
        asked = recent(CATALOG, all_of_it, from_us=from_us[ids[0]], windows=20, codes=None)
        assert history.at_us.tolist() == asked.at_us.tolist()
        assert np.array_equal(history.health, asked.health, equal_nan=True)
        assert len(history.at_us) < len(all_of_it.at_us) - 200
        at = [all_of_it.at_us[-40:]]
        told = make_frame(CATALOG, spec, [history], at_us=at).x[:, since]
        assert np.array_equal(
            told, make_frame(CATALOG, spec, [all_of_it], at_us=at).x[:, since], equal_nan=True
        )


def turn_round(connection: Connection, device_id: int, *, until_us: int) -> None:
    """Let the older windows of a device be written by a sheet that named its failure modes in another order."""
    layout = connection.execute(
        "insert into anomaly.layout (product_id, measured, watched, conditions, modes)"
        " select product_id, measured, watched, conditions, %s from anomaly.layout returning id",
        [list(reversed(CATALOG.modes))],
    ).fetchone()[0]
    connection.execute(
        "update anomaly.window set layout_id = %s, health = array[health[3], health[2], health[1]]"
        " where device_id = %s and at <= %s",
        [layout, device_id, instant(until_us)],
    )


TALKS = Catalog(
    msgspec.structs.replace(
        PUMP,
        metrics=tuple(
            msgspec.structs.replace(metric, kind="code")
            if metric.name == PUMP.fault_metric
            else metric
            for metric in PUMP.metrics
        ),
    )
)
"""The pumps with their fault numbers as codes."""


@pytest.mark.parametrize("since_failures", [False, True])
def test_codes_are_read_as_far_back_as_features_look_and_the_last_of_each_before(
    pool: Pool, product_id: int, since_failures: bool
) -> None:
    with pool.connection() as connection:
        ids = list(store.read_devices(connection, product_id=product_id))[:3]
        rng = np.random.default_rng(8)
        with connection.cursor().copy(
            "copy telemetry.test_pump (device_id, measured_at, fault_code) from stdin"
        ) as copy:
            for device_id in ids:
                for day in range(DAYS):
                    code = rng.choice([0, 0, 3, 4, 5 + day // 30])
                    copy.write_row([device_id, instant(BASE_US + day * DAY_US + 7), int(code)])
        whole = read_histories(connection, TALKS, ids)
        from_us = {device_id: BASE_US + (90 + n) * DAY_US for n, device_id in enumerate(ids)}
        codes = Codes(hours=10 * 24, since_failures=since_failures)

        found = read_recent(connection, TALKS, ids, Reach(from_us=from_us, windows=20, codes=codes))
        none = read_recent(connection, TALKS, ids, Reach(from_us=from_us, windows=20, codes=None))

    for device_id, history, silent, all_of_it in zip(ids, found, none, whole, strict=True):
        asked = recent(TALKS, all_of_it, from_us=from_us[device_id], windows=20, codes=codes)
        assert len(asked.event_us) < len(all_of_it.event_us)
        assert history.event_us.tolist() == asked.event_us.tolist()
        assert history.event_code.tolist() == asked.event_code.tolist()
        assert history.event_metric.tolist() == asked.event_metric.tolist()
        assert len(silent.event_us) == 0


def test_an_old_model_comes_back_with_one_call_and_says_the_same(
    pool: Pool, product_id: int, model: ModeModel
) -> None:
    with pool.connection() as connection:
        first = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        other = msgspec.structs.replace(model, seeds=(9,))
        second = store.add_model(
            connection, product_id=product_id, model=other, figures={}, now=wall_now()
        )
        service.restore(connection, model_id=second, reason="test", now=wall_now())

        service.restore(connection, model_id=first, reason="it was better", now=wall_now())

        kept = store.read_roles(connection, product_id=product_id)["champion"][MODE]
    assert kept.id == first
    x = np.random.default_rng(0).normal(size=(40, len(model.spec.names)))
    hours = [24.0, 300.0]
    assert np.array_equal(kept.model.survival(x, hours), model.survival(x, hours))


def test_a_model_that_was_stored_before_remaining_life_was_learned_goes_on_saying_what_it_said(
    pool: Pool, product_id: int, model: ModeModel
) -> None:
    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        connection.execute(
            "update anomaly.model set parameters = %s where id = %s",
            [(STORED / "mode_model_before_life.msgpack").read_bytes(), number],
        )

        _, kept = store.read_model(connection, model_id=number)
        (row,) = store.read_models(connection, product_id=product_id)

    assert kept.model.life is None
    assert row.life.words == "remaining life by the hazard alone"
    x = np.array([[100.0, 50, 50, 50, 1], [1500, 400, 300, 200, 3]])
    survival = kept.model.survival(x, [24.0, 168.0, 720.0])
    said = [[0.9998959732004048, 0.9928391270491855, 7.251003626487231e-04],
            [0.9710298116021826, 0.8177244435498852, 6.804164591980301e-04]]  # fmt: skip
    assert survival == pytest.approx(np.array(said), rel=1e-12)
    _, life = outlook_rows(kept.model, x)
    assert life[:, 2] == pytest.approx([264.756, 200.202], rel=2e-3)


def test_a_model_has_one_role_and_a_role_that_it_has_is_no_news(
    pool: Pool, product_id: int, model: ModeModel
) -> None:
    def roles() -> tuple[tuple[str, str, int], ...]:
        return store.read_role_ids(connection, product_id=product_id)

    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        asked: Mapping[str, Any] = {"model_id": number, "reason": "test", "now": wall_now()}

        service.shadow(connection, **asked)
        service.shadow(connection, **asked)
        in_shadow = roles()
        service.restore(connection, **asked)
        service.restore(connection, **asked)
        speaking = roles()
        with pytest.raises(ConflictError, match="speaks for"):
            service.shadow(connection, **asked)
        with pytest.raises(ConflictError, match="is not in shadow"):
            service.end_shadow(connection, **asked)

        events = store.read_events(connection, product_id=product_id, limit=9)
    assert in_shadow == ((MODE, "shadow", number),)
    assert speaking == ((MODE, "champion", number),)
    assert [event.change for event in events] == ["restored", "shadowed"]


def test_a_model_in_shadow_is_asked_no_longer_when_somebody_says_so(
    pool: Pool, product_id: int, model: ModeModel
) -> None:
    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        service.shadow(connection, model_id=number, reason="test", now=wall_now())

        service.end_shadow(connection, model_id=number, reason="seen enough", now=wall_now())

        assert store.read_role_ids(connection, product_id=product_id) == ()
        (event, _) = store.read_events(connection, product_id=product_id, limit=9)
    assert (event.model_id, event.change, event.reason) == (number, "withdrawn", "seen enough")


def test_all_about_a_model_can_be_read(pool: Pool, product_id: int, model: ModeModel) -> None:
    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )

        card = store.read_card(connection, model_id=number)

        with pytest.raises(NotFoundError, match="no model 4711"):
            store.read_card(connection, model_id=4711)
    assert (card.product, card.row.failure_mode) == (PUMP.name, MODE)
    assert card.features == tuple(model.spec.names)
    assert card.seeds == (0,)
    assert card.shadow_forecasts == 0
    assert card.row.data_from == instant(int(min(told.at_us[0] for told in FLEET_TOLD[:30])))


def test_a_model_that_does_not_exist_is_named(pool: Pool, product_id: int) -> None:
    with pool.connection() as connection, pytest.raises(NotFoundError, match="no model 4711"):
        service.restore(connection, model_id=4711, reason="", now=wall_now())


# --- speaking ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> ModeModel:
    return fit_mode_model(
        CATALOG, FLEET_TOLD[:30], mode=MODE, train_until_us=START_US + 60 * DAY_US,
        calibrate_until_us=START_US + 80 * DAY_US, seeds=(0,), groups=(Age, Metrics),
    )  # fmt: skip


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return register(connection)


def let_speak(pool: Pool, model: ModeModel, role: str) -> int:
    with pool.connection() as connection:
        row = connection.execute("select id from gateway.product").fetchone()
        number = store.add_model(
            connection, product_id=row[0], model=model, figures={}, now=wall_now()
        )
        act = service.restore if role == "champion" else service.shadow
        act(connection, model_id=number, reason="test", now=wall_now())
    return number


def forecasts(pool: Pool) -> list[tuple[object, ...]]:
    with pool.connection() as connection:
        return connection.execute(
            "select device_id, failure_mode, made_at, status, p_fail_30d, life_hours_q50, model_id,"
            " evidence from anomaly.forecast order by 1, 2, 3"
        ).fetchall()


def test_a_champion_speaks_in_the_transaction_that_scores(
    pool: Pool, devices: list[int], model: ModeModel
) -> None:
    number = let_speak(pool, model, "champion")
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)

    work(pool)

    rows = forecasts(pool)
    spoken = [row for row in rows if row[6] is not None]
    assert {(row[1], row[6]) for row in spoken} == {(MODE, number)}
    assert {row[3] for row in spoken} <= {"ok", "declining"}
    assert not [r for r in rows if r[1] == MODE and r[3] in ("ok", "declining") and r[6] is None]
    for row in spoken:
        keys = {sentence["key"] for sentence in row[7]["sentences"]}
        assert ("learned" in keys) == (row[4] >= 0.1)


def test_what_a_champion_says_does_not_depend_on_how_the_stream_was_cut(
    pool: Pool, devices: list[int], model: ModeModel
) -> None:
    let_speak(pool, model, "champion")
    for hours in (50, 144, 150, 201, 260, 333, 384):
        with pool.connection() as connection:
            for device_id, samples in zip(devices, FLEET, strict=True):
                deliver(connection, device_id, samples, until_us=START_US + hours * 3_600_000_000)
        work(pool)
    in_steps = forecasts(pool)

    with pool.connection() as connection:
        for table in ("window", "path", "detection", "forecast", "scorer_state"):
            connection.execute(f"delete from anomaly.{table}")
    work(pool)

    assert forecasts(pool) == in_steps


@pytest.fixture(scope="module")
def remembering(model: ModeModel) -> ModeModel:
    """A model to whose remaining life earlier estimates count."""
    assert model.life is not None
    life = msgspec.structs.replace(model.life, memory_hours=60.0)
    return msgspec.structs.replace(model, life=life, life_share=1.0)


@pytest.mark.parametrize("what", ["goes on", "forgot", "found later"])
def test_remaining_life_goes_on_from_what_was_kept_and_says_what_a_whole_history_says(
    pool: Pool, devices: list[int], remembering: ModeModel, what: str
) -> None:
    number = let_speak(pool, remembering, "champion")
    for hours in (240, 300, 310, 384):
        with pool.connection() as connection:
            for device_id, samples in zip(devices, FLEET, strict=True):
                deliver(connection, device_id, samples, until_us=START_US + hours * 3_600_000_000)
            if what == "forgot":
                connection.execute("delete from anomaly.life_memory")
            if what == "found later" and hours == 310:
                at_us = START_US + 255 * 3_600_000_000
                add_finding(connection, devices[0], at_us, number=5, verdict="confirmed")
        work(pool)

    with pool.connection() as connection:
        kept = connection.execute(
            "select device_id, model_id, at from anomaly.life_memory order by 1"
        ).fetchall()
        histories = read_histories(connection, CATALOG, devices)
    newest = {row[0]: row[2] for row in forecasts(pool) if row[6] == number}
    assert kept == [(device_id, number, at) for device_id, at in newest.items()]
    told = [
        row for row in forecasts(pool)
        if row[6] == number and (what != "found later" or row[2] > instant(START_US + 310 * 3_600_000_000))
    ]  # fmt: skip
    assert len(told) > 5
    for device_id, history in zip(devices, histories, strict=True):
        own = [row for row in told if row[0] == device_id]
        at = np.array([to_us(row[2]) for row in own], dtype=np.int64)
        _, life = look(CATALOG, remembering, [history], [at])
        said = [np.inf if row[5] is None else row[5] for row in own]
        assert said == pytest.approx(life[:, 2].tolist(), rel=1e-6)


def deliver_fleet(pool: Pool, devices: list[int], *, hours: int) -> None:
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + hours * 3_600_000_000)
    work(pool)


def remembers(pool: Pool) -> set[int]:
    """Models that remember something of some device."""
    with pool.connection() as connection:
        rows = connection.execute("select distinct model_id from anomaly.life_memory").fetchall()
    return {row[0] for row in rows}


def says_what_whole_histories_say(
    pool: Pool, devices: list[int], model: ModeModel, number: int, *, after_hours: int
) -> bool:
    """Whether what a model has said since then is what it says of all windows."""
    with pool.connection() as connection:
        histories = read_histories(connection, CATALOG, devices)
    since = instant(START_US + after_hours * 3_600_000_000)
    told = [row for row in forecasts(pool) if row[6] == number and row[2] > since]
    assert {row[0] for row in told} == set(devices)
    for device_id, history in zip(devices, histories, strict=True):
        own = [row for row in told if row[0] == device_id]
        at = np.array([to_us(row[2]) for row in own], dtype=np.int64)
        _, life = look(CATALOG, model, [history], [at])
        if [row[5] for row in own] != pytest.approx(life[:, 2].tolist(), rel=1e-6):
            return False
    return True


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_model_that_is_put_back_says_the_same_whether_it_was_forgotten_or_not(
    pool: Pool, devices: list[int], remembering: ModeModel, *, is_forgotten: bool
) -> None:
    """Until the next day of the stream is over, what the former champion remembered is still there."""
    first = let_speak(pool, remembering, "champion")
    deliver_fleet(pool, devices, hours=306)
    challenger = let_speak(pool, msgspec.structs.replace(remembering, seeds=(9,)), "champion")
    deliver_fleet(pool, devices, hours=342 if is_forgotten else 314)
    assert remembers(pool) == ({challenger} if is_forgotten else {first, challenger})

    with pool.connection() as connection:
        service.restore(connection, model_id=first, reason="it was better", now=wall_now())
    deliver_fleet(pool, devices, hours=384)

    assert remembers(pool) == {first}
    since = 342 if is_forgotten else 314
    assert says_what_whole_histories_say(pool, devices, remembering, first, after_hours=since)


def test_what_a_model_remembers_stays_while_it_speaks_or_is_in_shadow_and_goes_when_it_does_not(
    pool: Pool, devices: list[int], remembering: ModeModel
) -> None:
    champion = let_speak(pool, remembering, "champion")
    shadow = let_speak(pool, msgspec.structs.replace(remembering, seeds=(9,)), "shadow")
    deliver_fleet(pool, devices, hours=300)
    assert remembers(pool) == {champion, shadow}
    with pool.connection() as connection:
        product_id = product_row(connection).id
        service.withdraw(
            connection, product_id=product_id, failure_mode=MODE, reason="test", now=wall_now()
        )

    deliver_fleet(pool, devices, hours=340)

    assert remembers(pool) == {shadow}


def test_a_failure_mode_that_leaves_the_sheet_takes_along_what_its_model_remembered(
    pool: Pool, devices: list[int], remembering: ModeModel
) -> None:
    """And the product is scored on; if the mode comes back, its model speaks again as if it had never been away."""
    number = let_speak(pool, remembering, "champion")
    deliver_fleet(pool, devices, hours=300)
    assert remembers(pool) == {number}
    renamed = tuple(
        msgspec.structs.replace(mode, name="bearing_damage") if mode.name == MODE else mode
        for mode in PUMP.failure_modes
    )
    put_sheet(pool, msgspec.structs.replace(PUMP, failure_modes=renamed))

    deliver_fleet(pool, devices, hours=330)

    assert remembers(pool) == set()
    newest = max(row[2] for row in forecasts(pool))
    assert newest > instant(START_US + 320 * 3_600_000_000)
    put_sheet(pool, PUMP)
    deliver_fleet(pool, devices, hours=384)
    assert remembers(pool) == {number}
    assert says_what_whole_histories_say(pool, devices, remembering, number, after_hours=330)


def put_sheet(pool: Pool, product: Product) -> None:
    with pool.connection() as connection:
        connection.execute(
            "update gateway.product set sheet = %s, revision = revision + 1",
            [product_to_json(product)],
        )


@pytest.mark.parametrize("replaced_on_day", [30, None])
def test_a_model_that_is_asked_about_an_old_part_for_the_first_time_begins_where_the_part_was_new(
    pool: Pool, product_id: int, remembering: ModeModel, replaced_on_day: int | None
) -> None:
    """Features look back over fewer days than the part is old, and its first estimates still count."""
    assert remembering.life is not None
    groups = tuple(
        msgspec.structs.replace(group, spans=(1, 2, 3)) if isinstance(group, Metrics) else group
        for group in remembering.spec.groups
    )
    spec = FrameSpec(groups=groups)
    names = dict(zip(remembering.spec.names, spec.names, strict=True))
    life = msgspec.structs.replace(
        remembering.life, memory_hours=150.0,
        names=tuple(names[name] for name in remembering.life.names),
    )  # fmt: skip
    model = msgspec.structs.replace(remembering, spec=spec, life=life)
    assert windows_needed(CATALOG, model) < 25 * 4
    now = wall_now()
    from_us = BASE_US + 97 * DAY_US
    with pool.connection() as connection:
        calm = next(h.device for h in FLEET_TOLD if h.failure_us[-1] < BASE_US + 60 * DAY_US)
        names = store.read_devices(connection, product_id=product_id)
        (device_id,) = (number for number, name in names.items() if name == calm)
        connection.execute("delete from maintenance.finding where device_id = %s", [device_id])
        connection.execute("delete from anomaly.detection where device_id = %s", [device_id])
        if replaced_on_day is not None:
            add_finding(connection, device_id, BASE_US + replaced_on_day * DAY_US, number=9_999_999)
        connection.execute(
            "update anomaly.forecast set created_at = %s where device_id = %s and made_at > %s",
            [now, device_id, instant(from_us)],
        )
    number = let_speak(pool, model, "champion")

    with pool.connection() as connection:
        spoken = speak_live(
            connection, catalog=CATALOG, roles=store.read_roles(connection, product_id=product_id),
            device_ids=[device_id], since_us=from_us, now=now,
        )  # fmt: skip

    with pool.connection() as connection:
        (history,) = read_histories(connection, CATALOG, [device_id])
    told = [row for row in forecasts(pool) if row[6] == number]
    at = np.array([to_us(row[2]) for row in told], dtype=np.int64)
    _, life_hours = look(CATALOG, model, [history], [at])
    assert spoken == len(told) > 5
    assert [row[5] for row in told] == pytest.approx(life_hours[:, 2].tolist(), rel=1e-6)


@pytest.fixture(scope="module")
def listening() -> ModeModel:
    """A model that knows when a code came last, which fails its bearing ten days later, and counts codes of two days."""
    rng = np.random.default_rng(6)
    fleet = []
    for history in FLEET_TOLD[:40]:
        said = (
            history.failure_us
            - 10 * DAY_US
            + rng.integers(-12, 12, len(history.failure_us)) * STEP_US // 6
        )
        fleet.append(
            replace(
                history, event_us=said, event_metric=np.zeros(len(said), dtype=np.int64),
                event_code=np.full(len(said), 7),
            )
        )  # fmt: skip
    found = fit_mode_model(
        TALKS, fleet, mode=MODE, train_until_us=START_US + 60 * DAY_US,
        calibrate_until_us=START_US + 80 * DAY_US, seeds=(0,), groups=(Age, Events),
    )  # fmt: skip
    assert found.hazard.members
    groups = tuple(
        msgspec.structs.replace(group, spans_hours=(6.0, 12.0, 24.0, 48.0)[: len(group.spans_hours)])
        if isinstance(group, Events) else group
        for group in found.spec.groups
    )  # fmt: skip
    return msgspec.structs.replace(found, spec=FrameSpec(groups=groups))


def test_what_is_said_of_codes_is_to_the_bit_what_all_of_them_say(
    pool: Pool, listening: ModeModel
) -> None:
    with pool.connection() as connection:
        devices = register_pumps(connection, len(FLEET), product=TALKS.product)
    number = let_speak(pool, listening, "champion")
    once = [(6.6, 7.0), (2.0, 7.0), (7.9, 5.0)]
    for hours in (240, 300, 310, 384):
        with pool.connection() as connection:
            for device_id, samples, (day, code) in zip(devices, FLEET, once, strict=True):
                values = samples.values.copy()
                values[round(day * PER_DAY), COLUMNS["fault_code"]] = code
                told = replace(samples, values=values)
                deliver(connection, device_id, told, until_us=START_US + hours * 3_600_000_000)
        work(pool)

    with pool.connection() as connection:
        histories = read_histories(connection, TALKS, devices)
        said = connection.execute(
            "select device_id, made_at, p_fail_1d, p_fail_7d, p_fail_30d from anomaly.forecast"
            " where model_id = %s order by 1, 2", [number],
        ).fetchall()  # fmt: skip
    for device_id, history in zip(devices, histories, strict=True):
        own = [row for row in said if row[0] == device_id]
        assert len(own) > 30
        assert len(history.event_us)
        at = np.array([to_us(row[1]) for row in own], dtype=np.int64)
        chance, _ = look(TALKS, listening, [history], [at])
        assert np.array_equal(
            np.array([row[2:] for row in own], dtype=np.float32), chance.astype(np.float32)
        )
        deaf = replace(history, event_us=history.event_us + 400 * DAY_US)
        without, _ = look(TALKS, listening, [deaf], [at[-8:]])
        assert not np.array_equal(without, chance[-8:])


def test_a_model_in_shadow_is_written_down_and_says_nothing(
    pool: Pool, devices: list[int], model: ModeModel
) -> None:
    number = let_speak(pool, model, "shadow")
    with pool.connection() as connection:
        deliver(connection, devices[0], FLEET[0], until_us=START_US + 16 * DAY_US)
        deliver(connection, devices[1], FLEET[1], until_us=START_US + 16 * DAY_US)
        deliver(connection, devices[2], FLEET[2], until_us=START_US + 16 * DAY_US)

    work(pool)

    assert {row[6] for row in forecasts(pool)} == {None}
    with pool.connection() as connection:
        shadows = connection.execute(
            "select distinct failure_mode, model_id from anomaly.shadow_forecast"
        ).fetchall()
        card = store.read_card(connection, model_id=number)
    assert shadows == [(MODE, number)]
    assert card.shadow_forecasts > 0
    assert card.shadow_chance is not None
    assert card.shadow_chance_said is not None


def test_a_champion_speaks_in_a_backtest_unless_it_learned_from_the_time_that_is_judged(
    pool: Pool, devices: list[int], model: ModeModel
) -> None:
    let_speak(pool, model, "champion")
    with pool.connection() as connection:
        for device_id, samples in zip(devices, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)
    work(pool)

    with pool.connection() as connection:
        row = product_row(connection)
        until_us, learned_us = row.newest_us, model.seen.calibrate_until_us
        told = list(
            replay(open_source(connection, row, until_us=until_us, learned_before_us=learned_us))
        )
        silent = open_source(connection, row, until_us=until_us, learned_before_us=learned_us - 1)

    place = CATALOG.modes.index(MODE)
    said = {
        (device, at): p
        for device, mode, at, _, p, _, number, _ in forecasts(pool)
        if mode == MODE and number is not None
    }
    again = {
        (devices[number], instant(int(at))): track.p_fail[row_number, place, 2]
        for number, track in enumerate(told)
        for row_number, at in enumerate(track.made_us)
    }
    assert len(said) > 50
    assert [again[key] for key in said] == pytest.approx(list(said.values()), rel=1e-5)
    assert silent.models == {}


def test_a_champion_that_lost_a_metric_of_the_sheet_is_silent_and_named(
    pool: Pool, product_id: int, model: ModeModel, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = tuple(
        msgspec.structs.replace(m, name="shaking") if m.name == "vibration" else m
        for m in PUMP.metrics
    )
    changed = Catalog(msgspec.structs.replace(PUMP, metrics=metrics))
    voices = Voices()
    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        service.restore(connection, model_id=number, reason="test", now=wall_now())

        before = voices.of(connection, product_id, CATALOG)
        under_another = [voices.of(connection, product_id, changed) for _ in range(2)]
        after = voices.of(connection, product_id, CATALOG)

    assert [kept.id for kept in before["champion"].values()] == [number]
    assert under_another == [{"champion": {}, "shadow": {}}] * 2
    assert after == before
    said = [r.fields for r in caplog.records if r.getMessage() == "model.silent"]
    assert [(one["model"], one["lost"]) for one in said] == [(number, ["vibration"])]
