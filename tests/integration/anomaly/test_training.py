"""Training as a job on a real database: begun by itself, killed, begun again, one at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import msgspec
import pytest
from click.testing import CliRunner

from anomaly.learn.model import ModeModel
from anomaly.training import job, job_store, service, store
from anomaly.training.commands import model as command
from anomaly.training.slices import is_judge
from anomaly.training.trainer import Trainer
from anomaly.worker import Worker
from core.clock import wall_now
from core.errors import ConflictError
from core.pool import Pool, connect
from tests.integration.anomaly.test_models import (
    CATALOG,
    FLEET_TOLD,
    MODE,
    product_row,
)
from tests.integration.anomaly.test_worker import register_anew

FAILURES = sum(len(history.failure_us) for history in FLEET_TOLD)
ROWS = ("model", "model_role", "model_event")


def train_in_a_process(
    database_url: str, *arguments: str, failpoint: str = ""
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "core.cli", "model", "train", "test_pump", "--seeds", "0", *arguments],
        env={
            **os.environ, "FORECARE_DATABASE_URL": database_url, "FORECARE_FAILPOINT": failpoint,
            "OMP_NUM_THREADS": "1",
        },
    )  # fmt: skip


def rows(pool: Pool) -> dict[str, list[tuple[object, ...]]]:
    with pool.connection() as connection:
        return {
            table: connection.execute(f"select * from anomaly.{table} order by 1, 2, 3").fetchall()
            for table in ROWS
        }


def trainings(pool: Pool, product: int) -> list[tuple[str, str]]:
    with pool.connection() as connection:
        found = job_store.read_trainings(connection, product_id=product, limit=10)
    return [(training.reason, training.state) for training in found]


@pytest.fixture
def champion(pool: Pool, product_id: int, model: ModeModel) -> int:
    """A model that speaks already, and is not good."""
    with pool.connection() as connection:
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )
        service.restore(connection, model_id=number, reason="test", now=wall_now())
    return number


def wait_for_step(pool: Pool, product: int, text: str) -> None:
    for _ in range(20_000):
        with pool.connection() as connection:
            found = job_store.read_trainings(connection, product_id=product, limit=1)
        if found and text in found[0].step:
            return
        time.sleep(0.01)
    raise AssertionError(f"never came to {text!r}: {found}")


def wait_until_free(pool: Pool, product: int) -> None:
    """The server needs a moment to see that a session has gone."""
    for _ in range(20_000):
        with pool.connection() as connection:
            if job_store.is_free(connection, product_id=product):
                return
        time.sleep(0.01)
    raise AssertionError("its lock stays")


def test_a_better_model_speaks_and_every_step_is_kept_with_its_reason(
    pool: Pool,
    database_url: str,
    product_id: int,
) -> None:
    steps: list[tuple[str, float]] = []
    with pool.connection() as connection:
        row = product_row(connection)

    done = job.train(
        database_url, row, clock=wall_now, seeds=(0,),
        on_step=lambda text, share: steps.append((text, share)),
    )  # fmt: skip

    by_mode = {item.contest.mode: item for item in done or []}
    assert by_mode[MODE].is_promoted, by_mode[MODE].contest.reason
    assert not by_mode["winding_fault"].is_promoted
    with pool.connection() as connection:
        speaking = store.read_roles(connection, product_id=product_id)["champion"]
        kept = store.read_models(connection, product_id=product_id)
        events = store.read_events(connection, product_id=product_id, limit=10)
        (training,) = job_store.read_trainings(connection, product_id=product_id, limit=10)
    assert list(speaking) == [MODE]
    assert {row.failure_mode: row.role for row in kept}[MODE] == "champion"
    assert sum(is_judge(h.device) for h in FLEET_TOLD) + kept[0].devices == len(FLEET_TOLD)
    assert {(e.failure_mode, e.change) for e in events} == {
        (MODE, "promoted"), ("winding_fault", "refused"), ("board_fault", "refused"),
    }  # fmt: skip
    assert (training.reason, training.state, training.share) == ("asked", "done", 1)
    assert training.failures == FAILURES
    assert {e.failure_mode: e.reason for e in events}[MODE].endswith(
        {row.failure_mode: row.life.words for row in kept}[MODE]
    )
    assert training.outcome == f"3 failure modes; better: {MODE}"
    assert steps[0] == ("reading histories", 0)
    assert [text for text, _ in steps[1:]] == [
        "learning",
        *(f"{mode}: learned" for mode in CATALOG.modes),
        *(f"{mode}: judging" for mode in CATALOG.modes),
    ]
    assert [share for _, share in steps] == sorted({share for _, share in steps})


@pytest.mark.parametrize("where", ["while it learns", "before its commit"])
def test_a_training_that_is_killed_leaves_nothing_and_is_done_again(
    pool: Pool,
    database_url: str,
    product_id: int,
    champion: int,
    where: str,
) -> None:
    before = rows(pool)
    if where == "while it learns":
        dying = train_in_a_process(database_url, "--if-due")
        wait_for_step(pool, product_id, "learn")
        dying.kill()
    else:
        dying = train_in_a_process(
            database_url, "--if-due", failpoint="anomaly.before_training_commit:kill:1"
        )

    code = dying.wait(timeout=600)
    after_kill = rows(pool)
    again = train_in_a_process(database_url, "--if-due").wait(timeout=600)

    assert code == -signal.SIGKILL
    assert after_kill == before
    assert again == 0
    assert trainings(pool, product_id) == [("first", "done"), ("first", "died")]
    with pool.connection() as connection:
        models = connection.execute(
            "select failure_mode, training_id from anomaly.model where training_id is not null"
        ).fetchall()
    assert sorted(models) == sorted((mode, models[0][1]) for mode in CATALOG.modes)


def test_only_one_process_trains_a_product(pool: Pool, database_url: str, product_id: int) -> None:
    with pool.connection() as connection:
        row = product_row(connection)

    with connect(database_url, name="other", autocommit=True) as other:
        assert job_store.claim(other, product_id=product_id)
        with pool.connection() as connection:
            assert job.why_now(connection, row, now=wall_now()) is None
        with pytest.raises(ConflictError, match="being trained already"):
            job.train(database_url, row, clock=wall_now, seeds=(0,))

    wait_until_free(pool, product_id)
    with pool.connection() as connection:
        assert job.why_now(connection, row, now=wall_now()) == "first"


def test_a_model_that_was_let_speak_meanwhile_goes_on_speaking(
    pool: Pool,
    database_url: str,
    product_id: int,
    model: ModeModel,
) -> None:
    with pool.connection() as connection:
        row = product_row(connection)
        number = store.add_model(
            connection, product_id=product_id, model=model, figures={}, now=wall_now()
        )

    def put_back(text: str, _share: float) -> None:
        if text == f"{MODE}: judging":
            with pool.connection() as connection:
                service.restore(connection, model_id=number, reason="test", now=wall_now())

    job.train(database_url, row, clock=wall_now, seeds=(0,), on_step=put_back)

    with pool.connection() as connection:
        roles = store.read_role_ids(connection, product_id=product_id)
        events = store.read_events(connection, product_id=product_id, limit=3)
    assert roles == ((MODE, "champion", number),)
    assert {event.reason for event in events if event.failure_mode == MODE} == {
        "another model was let speak while it was trained"
    }


def test_the_worker_begins_a_training_and_scores_on(
    pool: Pool,
    database_url: str,
    product_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)
    trainer = Trainer(is_on=True)
    worker = Worker(pool=pool, stop=threading.Event(), trainer=trainer)

    worker.turn()
    wait_for_step(pool, product_id, "learn")
    worker.turn()  # does not wait for it
    shown = CliRunner().invoke(command, ["list", "test_pump"])
    worker.stop.set()
    worker.run()

    assert "being trained since" in shown.output
    assert trainings(pool, product_id) == [("first", "running")]
    history = CliRunner().invoke(command, ["history", "test_pump"])
    assert "there were failures enough to begin" in history.output
    wait_until_free(pool, product_id)


def test_a_model_whose_failure_mode_left_the_sheet_is_listed_as_silent_with_what_it_lost(
    pool: Pool,
    database_url: str,
    product_id: int,
    champion: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)
    before = CliRunner().invoke(command, ["list", "test_pump"])
    with pool.connection() as connection:
        product = product_row(connection).product
        others = tuple(mode for mode in product.failure_modes if mode.name != MODE)
        register_anew(connection, msgspec.structs.replace(product, failure_modes=others))

    after = CliRunner().invoke(command, ["list", "test_pump"])
    with pool.connection() as connection:
        service.withdraw(
            connection, product_id=product_id, failure_mode=MODE, reason="test", now=wall_now()
        )
        with pytest.raises(ConflictError, match=MODE):
            service.restore(connection, model_id=champion, reason="test", now=wall_now())

    assert "silent" not in before.output
    assert f"model {champion} is silent and the first layer speaks" in after.output
    assert f"({MODE})" in after.output
    assert "forecare model train test_pump" in after.output


def test_a_worker_whose_training_is_switched_off_begins_none(pool: Pool, product_id: int) -> None:
    started: list[str] = []
    trainer = Trainer(is_on=False, start=started.append)  # type: ignore[arg-type]

    Worker(pool=pool, stop=threading.Event(), trainer=trainer).turn()

    assert started == []


def test_a_trained_product_is_left_alone_until_more_has_failed(
    pool: Pool,
    database_url: str,
    product_id: int,
) -> None:
    with pool.connection() as connection:
        row = product_row(connection)
        known = job_store.read_known(connection, product_id=product_id, through=wall_now())
        number = job_store.begin(
            connection, product_id=product_id, reason="first", known=known, now=wall_now()
        )
        job_store.end(connection, training_id=number, state="done", outcome="", now=wall_now())

    with pool.connection() as connection:
        before = job.why_now(connection, row, now=wall_now())
        connection.execute(
            "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
            " created_at) select id, 'reported_fault', %s, 'raised', %s, 9, '{}', %s"
            " from gateway.device, generate_series(1, 1) limit %s",
            [MODE, wall_now() + timedelta(days=1), wall_now(), FAILURES // 10 + 1],
        )
        after = job.why_now(connection, row, now=wall_now())

    assert (before, after) == (None, "labels")
