"""A backtest says again what was said live, and judges it."""

import math

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from anomaly import store
from anomaly.backtest.commands import backtest
from anomaly.backtest.run import replay
from anomaly.backtest.source import open_source
from anomaly.backtest.tickets import tickets_of
from anomaly.backtest.track import STATUSES, Track
from anomaly.evidence import instant
from anomaly.judge.told import Ground
from anomaly.life_store import read_corrections
from core.clock import wall_now
from core.errors import InvalidError, NotFoundError
from core.pool import Connection, Pool
from core.units import US
from maintenance.replay import REPLAY
from maintenance.worker import Decider, decide_once
from tests.fixtures.maintenance import SENDER
from tests.integration.anomaly.test_worker import deliver, register_pumps, work
from tests.unit.anomaly.bench import BEARING, DAY_US, PUMP, START_US, Wear, make_samples

DAYS = 42
WEARS = {
    0: Wear(from_day=10, fails_day=32, moves=BEARING),
    1: Wear(from_day=9, fails_day=28, moves=BEARING),
    2: Wear(from_day=22, fails_day=47, moves=BEARING),
}
FLEET = [make_samples(700 + i, days=DAYS, wear=WEARS.get(i)) for i in range(6)]
REPAIRED_DAY = 34
EVERY_US = PUMP.forecast_every // US


@pytest.fixture
def devices(pool: Pool) -> list[int]:
    """Six pumps, scored while their samples came; two failed, one of them was repaired, a third declines."""
    with pool.connection() as connection:
        ids = register_pumps(connection, len(FLEET))
    for day in (5, 8, 15, 33):
        bring(pool, ids, day=day)
    with pool.connection() as connection:
        find(connection, ids[0])
    for day in (36, DAYS):
        bring(pool, ids, day=day)
    return ids


def bring(pool: Pool, ids: list[int], *, day: float) -> None:
    with pool.connection() as connection:
        for device_id, samples in zip(ids, FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + round(day * DAY_US))
    work(pool)


def find(connection: Connection, device_id: int) -> None:
    connection.execute("set session_replication_role = replica")  # no ticket behind it here
    connection.execute(
        "insert into maintenance.finding (work_order_id, device_id, failure_mode, component,"
        " verdict, found_at, recorded_by, created_at)"
        " values (1, %s, 'bearing_wear', 'bearing', 'confirmed', %s, 'test', %s)",
        [device_id, instant(START_US + REPAIRED_DAY * DAY_US), wall_now()],
    )
    connection.execute("set session_replication_role = origin")


def stored(connection: Connection) -> list[tuple[object, ...]]:
    rows = connection.execute(
        "select d.name, f.failure_mode, f.made_at, f.status, f.p_fail_1d, f.p_fail_7d, f.p_fail_30d,"
        " f.life_hours_q05, f.life_hours_q10, f.life_hours_q50, f.life_hours_q90, f.life_hours_q95"
        " from anomaly.forecast f join gateway.device d on d.id = f.device_id"
    ).fetchall()
    return sorted(
        (
            *row[:2],
            store.to_us(row[2]),
            row[3],
            *(v if v is None else np.float32(v) for v in row[4:]),
        )
        for row in rows
    )


def replayed(tracks: list[Track]) -> list[tuple[object, ...]]:
    """Rows as the database keeps them: nine digits as real, and nothing where nothing is claimed."""

    def kept(value: float) -> np.float32 | None:
        return np.float32(f"{value:.9g}") if math.isfinite(value) else None

    found = []
    for track in tracks:
        for row, made_us in enumerate(track.made_us.tolist()):
            for place, mode in enumerate(PUMP.failure_modes):
                numbers = [*track.p_fail[row, place], *track.life_hours[row, place]]
                status = STATUSES[track.status[row, place]]
                if made_us % EVERY_US and status == "no_data":
                    continue  # a fault was reported: only its own failure mode has a forecast then
                name = track.history.device
                found.append((name, mode.name, made_us, status, *map(kept, numbers)))
    return sorted(found)


def read_tracks(connection: Connection) -> list[Track]:
    row = store.read_products(connection)[0]
    return list(replay(open_source(connection, row, until_us=row.newest_us)))


def run(*args: str) -> str:
    result = CliRunner().invoke(backtest, [PUMP.name, *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)


def test_the_replay_says_to_the_bit_what_was_said_live(pool: Pool, devices: list[int]) -> None:
    with pool.connection() as connection:
        live = stored(connection)

        again = replayed(read_tracks(connection))

        learned = read_corrections(connection, product_id=store.read_products(connection)[0].id)
    statuses = {row[3] for row in live}
    assert [one.failures for one in learned] == [2]
    assert "declining" in {row[3] for row in live if row[2] > learned[0].from_us}
    assert statuses >= {"learning", "ok", "declining", "failed"}
    # What was said before the product was learned, event time, does not count: it was said later.
    known_us = START_US + 6 * DAY_US
    assert [r for r in again if r[2] >= known_us] == [r for r in live if r[2] >= known_us]


def test_what_was_not_known_at_the_end_is_not_used(pool: Pool, devices: list[int]) -> None:
    until_us = START_US + 20 * DAY_US
    with pool.connection() as connection:
        row = store.read_products(connection)[0]

        early = replayed(list(replay(open_source(connection, row, until_us=until_us))))

        connection.execute("update anomaly.baseline set learned_through = learned_through + '30 d'")
        unlearned = list(replay(open_source(connection, row, until_us=until_us)))
        connection.rollback()
        whole = replayed(read_tracks(connection))
    assert early == [r for r in whole if r[2] <= until_us]
    assert {STATUSES[s] for track in unlearned for s in np.unique(track.status)} == {"learning"}


def test_devices_that_were_never_scored_are_measured_as_they_would_have_been(
    pool: Pool, devices: list[int]
) -> None:
    with pool.connection() as connection:
        scored = replayed(read_tracks(connection))
        for table in ("window", "path", "detection", "forecast", "scorer_state", "baseline"):
            connection.execute(f"delete from anomaly.{table}")

        unscored = replayed(read_tracks(connection))
        connection.rollback()

    assert len(unscored) == len(scored)
    assert [r[:4] for r in unscored] == [r[:4] for r in scored]


def test_the_tickets_of_a_backtest_are_those_that_open_live(pool: Pool, devices: list[int]) -> None:
    decider = Decider(sender=SENDER, clock=wall_now)
    while decide_once(pool, decider):
        pass
    with pool.connection() as connection:
        live = connection.execute(
            "select d.name, t.failure_mode, t.opened_at, t.closed_at from maintenance.ticket t"
            " join gateway.device d on d.id = t.device_id where t.reason = 'failure_likely'"
        ).fetchall()
        source = open_source(
            connection, row := store.read_products(connection)[0], until_us=row.newest_us
        )
        # Live, the time in which the product was learned is forecast as well, and decided about.
        tracks = list(replay(source))
    ground = Ground(
        catalog=source.catalog, histories=tuple(track.history for track in tracks), from_us=0,
        until_us=row.newest_us, useful_hours=720.0,
    )  # fmt: skip

    again = tickets_of(REPLAY, ground, tracks, policy=REPLAY.live)

    found = {
        (tracks[device].history.device, mode, opened_us)
        for mode, runs in again.items()
        for device, opened_us in zip(runs.device.tolist(), runs.opened_us.tolist(), strict=True)
    }
    assert found == {(name, mode, store.to_us(opened)) for name, mode, opened, _ in live}
    assert {mode for _, mode, _ in found} == {"bearing_wear"}


@pytest.mark.usefixtures("database", "devices")
def test_the_table_has_the_failures_the_controls_and_the_seeds() -> None:
    said = orjson.loads(run("--json", "--seeds", "3,4").splitlines()[-1])

    assert (said["events"], said["events_caught"]) == (2, 2)
    assert said["event_recall"] == 1
    assert said["alert_precision"] == 1
    assert said["false_alarms_per_device_year"] == 0
    assert said["lead_hours_median"] >= 7 * 24
    assert said["seeds"] == [3, 4]
    assert set(said["controls"]) == {"always_on", "random", "random_4"}
    assert set(said["modes"]) == {"bearing_wear", "winding_fault"}
    assert said["not_judged"] == {"board_fault": 0}
    assert said["forecasts_claimed"] < said["forecasts"]
    assert "event_recall" in said["intervals"]


@pytest.mark.usefixtures("database", "devices")
def test_a_later_begin_gives_the_other_controls_something_to_learn_from() -> None:
    begin = f"{instant(START_US + 12 * DAY_US):%Y-%m-%d}"

    said = orjson.loads(run("--from", begin, "--json").splitlines()[-1])

    assert {"calendar", "age", "persistence"} <= set(said["controls"])
    assert said["from"].startswith(begin)


@pytest.mark.usefixtures("database", "devices")
def test_what_if_says_what_a_change_would_have_done() -> None:
    output = " ".join(run("--what-if", "threshold=1", "--what-if", "cooldown=2d").split())

    said = orjson.loads(run("--what-if", "cost_of_failure=1", "--json").splitlines()[-1])
    assert "threshold 1, cooldown 2 d: " in output
    assert " fewer alerts, 2 fewer right, " in output
    assert "recall 1.00 -> 0.00" in output
    assert "open when 2 of the last 3 forecasts find waiting cost more than a visit" in output
    assert said["policy"] == {"confirm": 2, "of": 3, "calm_forecasts": 4, "threshold": None}
    assert (said["alerts"] > 0, said["what_if"]["alerts"]) == (True, 0)
    assert said["what_if"]["change"]["cost_of_failure"] == 1
    assert said["what_if"]["cost_per_device_year"] < said["cost_per_device_year"]


@pytest.mark.usefixtures("database", "devices")
def test_nothing_is_written(pool: Pool) -> None:
    def state() -> object:
        with pool.connection() as connection:
            return connection.execute(
                "select (select count(*) from anomaly.forecast), (select max(xmin::text::bigint)"
                " from anomaly.scorer_state), (select count(*) from anomaly.layout)"
            ).fetchone()

    before = state()

    run("--json")

    assert state() == before


@pytest.mark.usefixtures("database", "devices")
def test_what_cannot_be_replayed_is_said_with_a_remedy() -> None:
    early = f"{instant(START_US + 3 * DAY_US):%Y-%m-%d}"
    cases = (
        (["toaster"], NotFoundError, "there is no product 'toaster' with data"),
        ([PUMP.name, "--from", "2031-01-01"], NotFoundError, "has no data in that time"),
        ([PUMP.name, "--to", "2001-01-01"], NotFoundError, "has no data in that time"),
        ([PUMP.name, "--from", "2026-02-01", "--to", "2026-01-01"], InvalidError, "is not after"),
        ([PUMP.name, "--to", early], InvalidError, "nothing was forecast"),
        ([PUMP.name, "--what-if", "confirm=9"], InvalidError, "9 of the last 3"),
        ([PUMP.name, "--useful", "1h"], InvalidError, "no alert could be right"),
    )

    for args, kind, said in cases:
        with pytest.raises(kind, match=said) as caught:
            CliRunner().invoke(backtest, args, catch_exceptions=False)
        assert caught.value.hint


@pytest.mark.usefixtures("database")
def test_devices_whose_first_samples_were_let_go_are_left_out_and_counted(
    pool: Pool, devices: list[int]
) -> None:
    latest = sorted(int(samples.at_us[0]) for samples in FLEET)[-2]
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.dropped (product_id, kind, gone_before, dropped_at)"
            " select id, 'raw', %s, now() from gateway.product",
            [instant(latest)],
        )

    output = " ".join(run().split())

    assert "their first samples having been let go: 4" in output
