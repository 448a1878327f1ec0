"""The real notify and inbox processes: queued messages arrive once, whatever is killed when."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from core.clock import monotonic_s, pause
from core.pool import Pool
from maintenance.inbox_reader import list_messages, read_message
from tests.fixtures.maintenance import EVERY, NOON, add_device, add_forecast, add_product

PATIENCE_S = 120.0
_SOON = ("--stalled-after", "2", "--retry-at-most", "1")
"""What is waited for happens within seconds, so that the tests need not wait for it."""


class Processes:
    """Starts `forecare` processes on the test's database and ends them."""

    def __init__(self, database_url: str, inbox: Path) -> None:
        self.inbox = inbox
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._environment = os.environ | {
            "FORECARE_DATABASE_URL": database_url,
            "FORECARE_MQTT_URL": "mqtt://127.0.0.1:1",
            "FORECARE_SECRET_KEY": "k" * 40,
            "FORECARE_SMTP_URL": f"smtp://127.0.0.1:{self.port}",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, *arguments: str, stderr: int | None = None, **settings: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", *arguments],
            env=self._environment | {f"FORECARE_{k.upper()}": v for k, v in settings.items()},
            stderr=stderr,
        )
        self._running.append(process)
        return process

    def start_inbox(self) -> subprocess.Popen[bytes]:
        process = self.start("inbox", "run", "--port", str(self.port), "--dir", str(self.inbox))
        _wait_until(lambda: _is_open(self.port))
        return process

    def stop_all(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(timeout=PATIENCE_S)


@pytest.fixture
def processes(database_url: str, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(database_url, tmp_path / "inbox")
    yield processes
    processes.stop_all()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(condition) -> None:
    deadline = monotonic_s() + PATIENCE_S
    while not condition():
        assert monotonic_s() < deadline, "it did not happen in time"
        pause(0.05)


def _prepare(pool: Pool) -> None:
    with pool.connection() as connection:
        device = add_device(connection, add_product(connection))
        for step in range(3):
            add_forecast(connection, device, NOON + step * EVERY)


def _states(pool: Pool) -> list[tuple[str, int]]:
    with pool.connection() as connection:
        return connection.execute(
            "select state, attempts from maintenance.notification order by id"
        ).fetchall()


def _tickets(pool: Pool) -> int:
    with pool.connection() as connection:
        return connection.execute("select count(*) from maintenance.ticket").fetchone()[0]


def _behind(pool: Pool) -> int:
    with pool.connection() as connection:
        return connection.execute(
            "select count(*) from anomaly.forecast as f join maintenance.decision_progress as p"
            " using (device_id) where f.made_at > p.decided_through"
        ).fetchone()[0]


def test_a_forecast_reaches_the_owner_as_one_readable_mail(
    pool: Pool, processes: Processes
) -> None:
    _prepare(pool)
    processes.start_inbox()
    processes.start("maintenance", "notify", *_SOON)
    processes.start("maintenance", "run")

    _wait_until(lambda: _states(pool) == [("sent", 1)])

    (head,) = list_messages(processes.inbox)
    message = read_message(processes.inbox, head.key)
    assert head.recipient == "hp-1@owner.example"
    assert [line for line in message.text.splitlines() if line.startswith("http")] != []
    assert "<h1" in message.html


def test_kills_while_deciding_leave_one_ticket_and_one_message(
    pool: Pool, processes: Processes
) -> None:
    _prepare(pool)
    for point, tickets in (("maintenance.before_commit", 0), ("maintenance.after_commit", 1)):
        killed = processes.start("maintenance", "run", failpoint=f"{point}:kill:1")
        assert killed.wait(timeout=PATIENCE_S) == -signal.SIGKILL
        assert _tickets(pool) == tickets

    processes.start("maintenance", "run")
    with pool.connection() as connection:
        add_forecast(connection, 1, NOON + 3 * EVERY)

    _wait_until(lambda: _behind(pool) == 0)
    assert _tickets(pool) == 1
    assert _states(pool) == [("queued", 0)]


def test_kills_while_sending_repeat_the_message_under_the_same_id(
    pool: Pool, processes: Processes
) -> None:
    _prepare(pool)
    processes.start_inbox()
    processes.start("maintenance", "run")
    for point, copies in (("notify.before_send", 0), ("notify.after_send", 1)):
        killed = processes.start("maintenance", "notify", *_SOON, failpoint=f"{point}:kill:1")
        assert killed.wait(timeout=PATIENCE_S) == -signal.SIGKILL
        assert len(list_messages(processes.inbox)) == copies

    processes.start("maintenance", "notify", *_SOON)

    _wait_until(lambda: _states(pool) == [("sent", 3)])
    ids = [head.message_id for head in list_messages(processes.inbox)]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_messages_wait_for_a_mail_server(pool: Pool, processes: Processes) -> None:
    _prepare(pool)
    processes.start("maintenance", "run")
    waiting = processes.start("maintenance", "notify", smtp_url="", stderr=subprocess.PIPE)
    assert waiting.stderr is not None
    with waiting.stderr as log:
        assert any(b"notify.no_mail_server" in line for line in log)
        _wait_until(lambda: _states(pool) == [("queued", 0)])
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(timeout=PATIENCE_S) == 0
    processes.start("maintenance", "notify", *_SOON)
    _wait_until(lambda: _states(pool)[0][1] >= 1)

    processes.start_inbox()

    _wait_until(lambda: _states(pool)[0][0] == "sent")
    assert len(list_messages(processes.inbox)) == 1


def test_both_processes_survive_the_database_going_away(
    pool: Pool, database_url: str, processes: Processes
) -> None:
    base, _, name = database_url.rpartition("/")
    _prepare(pool)
    processes.start_inbox()
    decide = processes.start("maintenance", "run")
    notify = processes.start("maintenance", "notify", *_SOON)
    _wait_until(lambda: _states(pool) == [("sent", 1)])
    with psycopg.connect(f"{base}/postgres", autocommit=True) as server:
        statement = sql.SQL("alter database {} with allow_connections {}")
        server.execute(statement.format(sql.Identifier(name), sql.Literal(False)))
        server.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        pause(1.5)  # long enough for both to notice
        server.execute(statement.format(sql.Identifier(name), sql.Literal(True)))

    with pool.connection() as connection:
        device = add_device(connection, 1, "hp-2")
        for step in range(3):
            add_forecast(connection, device, NOON + step * EVERY)

    _wait_until(lambda: [state for state, _ in _states(pool)] == ["sent", "sent"])
    for process in (decide, notify):
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=PATIENCE_S) for process in (decide, notify)] == [0, 0]
