"""A real Dask cluster of two worker processes: the same results to the bit, also when one of them is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from anomaly.cluster import Cluster, cluster_of, parts_of
from anomaly.state_store import DeviceProgress
from anomaly.training import job, store
from anomaly.worker import Worker
from core.clock import wall_now
from core.pool import Pool
from core.runtime.ports import free_port
from tests.integration.anomaly.test_models import product_row
from tests.integration.anomaly.test_worker import (
    FLEET,
    deliver,
    register,
    results,
    work,
)
from tests.unit.anomaly.bench import DAY_US, PUMP, START_US

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Address of a scheduler."""
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    process = dask("scheduler", "--host", host, "--port", port, "--no-dashboard")
    yield f"tcp://{address}"
    process.terminate()
    process.wait()


@pytest.fixture
def start_worker(scheduler: str, database_url: str) -> Iterator[Start]:
    """Start a worker of the cluster, a process of its own."""
    with ExitStack() as stack:

        def start(failpoint: str = "") -> "subprocess.Popen[bytes]":
            process = dask(
                "worker", scheduler, "--no-nanny", "--nthreads", "1", "--no-dashboard",
                FORECARE_DATABASE_URL=database_url, FORECARE_FAILPOINT=failpoint,
            )  # fmt: skip
            stack.callback(end, process)
            return process

        yield start


@pytest.fixture
def cluster(scheduler: str) -> Iterator[Cluster]:
    found = cluster_of(scheduler, clock=wall_now)
    assert found is not None
    yield found
    found.close()


def dask(*arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.DEVNULL,
    )


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def wait_for(cluster: Cluster, threads: int) -> None:
    for _ in range(6000):
        cluster._away_until_s = 0.0
        if cluster.threads() == threads:
            return
        time.sleep(0.02)
    raise AssertionError(f"the cluster never had {threads} threads")


def deliver_all(pool: Pool) -> None:
    with pool.connection() as connection:
        for device_id, samples in zip(register(connection), FLEET, strict=True):
            deliver(connection, device_id, samples, until_us=START_US + 16 * DAY_US)


def forget_scores(pool: Pool) -> None:
    with pool.connection() as connection:
        for table in ("window", "path", "detection", "forecast", "scorer_state"):
            connection.execute(f"delete from anomaly.{table}")


def score_on(cluster: Cluster, pool: Pool) -> None:
    worker = Worker(pool=pool, stop=threading.Event(), cluster=cluster)
    while worker.turn():
        pass


def test_two_workers_write_what_one_scorer_writes(
    pool: Pool, cluster: Cluster, start_worker: Start
) -> None:
    deliver_all(pool)
    work(pool)
    alone = results(pool)
    forget_scores(pool)
    start_worker()
    start_worker()
    wait_for(cluster, 2)

    score_on(cluster, pool)

    assert results(pool) == alone
    executed = cluster._client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(executed) == 2
    assert min(executed.values()) > 0


def test_a_worker_that_is_killed_in_the_middle_of_scoring_changes_nothing(
    pool: Pool, cluster: Cluster, start_worker: Start
) -> None:
    deliver_all(pool)
    work(pool)
    alone = results(pool)
    forget_scores(pool)
    dying = start_worker(failpoint="anomaly.before_commit:kill:1")
    start_worker()
    wait_for(cluster, 2)

    score_on(cluster, pool)

    assert dying.wait(timeout=60) == -signal.SIGKILL
    assert results(pool) == alone


def test_a_cluster_that_is_away_does_not_keep_devices_waiting(pool: Pool) -> None:
    deliver_all(pool)
    nowhere = cluster_of(f"tcp://127.0.0.1:{free_port()}", clock=wall_now)
    assert nowhere is not None

    score_on(nowhere, pool)

    assert len(results(pool)["forecast"]) > 0


def test_what_is_learned_on_the_cluster_is_what_is_learned_here(
    pool: Pool, database_url: str, product_id: int, cluster: Cluster, start_worker: Start
) -> None:
    start_worker()
    start_worker()
    wait_for(cluster, 2)
    with pool.connection() as connection:
        row = product_row(connection)

    here = job.train(database_url, row, clock=wall_now, seeds=(0,))
    with pool.connection() as connection:
        connection.execute("delete from anomaly.model_role")
    there = job.train(database_url, row, clock=wall_now, seeds=(0,), spread=cluster.learning)

    with pool.connection() as connection:
        models = [
            [store.read_model(connection, model_id=item.model_id)[1].model for item in done or []]
            for done in (here, there)
        ]
    assert models[0] == models[1]
    assert [item.contest for item in here or []] == [item.contest for item in there or []]


def test_devices_are_shared_out_and_none_is_forgotten() -> None:
    due = [
        DeviceProgress(device_id=n, first_us=START_US, through_us=START_US + DAY_US)
        for n in range(11)
    ]

    parts = parts_of(PUMP, due, threads=4)

    assert [len(part) for part in parts] == [3, 3, 3, 2]
    assert [device.device_id for part in parts for device in part] == list(range(11))
    assert due == []


def test_without_an_address_nothing_of_dask_is_imported() -> None:
    code = (
        "import sys, anomaly.commands, anomaly.training.commands, anomaly.worker, anomaly.cluster;"
        "from anomaly.cluster import cluster_of; from core.clock import wall_now;"
        "assert cluster_of('', clock=wall_now) is None;"
        "sys.exit(any(name.partition('.')[0] in ('dask', 'distributed') for name in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
