"""`forecare ingest run`: from the broker into TimescaleDB, losing nothing that was confirmed.

Receive, store, COMMIT, acknowledge in order of arrival, then tell the devices. While the database
is away nothing is acknowledged: the broker hands over no more than the Receive Maximum, and keeps
the rest.
"""

import random
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg

from core.clock import monotonic_s, wall_now
from core.endpoints import database_url, mqtt_endpoint
from core.errors import InvalidError, RetryableError
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Connection, assert_durable
from core.settings import Settings
from gateway.broker import INGEST_PARTS_MAX, ingest_user
from gateway.session import Arrival, BrokerAwayError, BrokerRefusedError, Session, SessionOptions
from gateway.topics import SHARDS, answer_topic, foreign_filters, telemetry_filters, topic_of
from ingest.batch import BatchWriter, Confirmation, Stored
from ingest.inflow import MESSAGES_MAX, Inflow
from ingest.registry import RegistryCache

log = get_logger("ingest")

RECEIVE_MAX = 2 * MESSAGES_MAX
"""Messages in flight: a batch that is being stored, and as much that the broker may send meanwhile."""
_SWITCH_S = 0.0001
"""How long this thread may keep the interpreter from the one that hands samples to the database."""
_IDLE_S = 0.5
_BACK_OFF_S = 0.2
_BACK_OFF_MAX_S = 5.0
_REPORT_EVERY_S = 30.0
_DATABASE_OPTIONS: dict[str, Any] = {
    "options": "-c timezone=UTC -c statement_timeout=60s -c lock_timeout=30s",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def run(settings: Settings, *, companion: "type[Worker] | None" = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code.

    Parameters
    ----------
    settings : Settings
    companion : type of Worker, optional
        Runs beside the first of the ingest processes, in a thread and over connections of its own.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sys.setswitchinterval(_SWITCH_S)
    worker = Worker(settings, stop)
    log.info("ingest.started", shards=settings.ingest_shards)
    beside = (
        _Companion(companion(settings, stop), stop) if companion and 0 in settings.shards else None
    )
    worker.run()
    if beside is not None:
        beside.join()
    log.info("ingest.stopped", messages=worker.messages, rows=worker.rows)
    return int(beside is not None and beside.has_failed)


class _Companion(threading.Thread):
    """If it fails the whole process ends, and whoever watches over it starts it again."""

    def __init__(self, worker: "Worker", stop: threading.Event) -> None:
        super().__init__(name=type(worker).__name__, daemon=True)
        self._worker = worker
        self._stopping = stop
        self.has_failed = False
        self.start()

    def run(self) -> None:
        try:
            self._worker.run()
        except Exception:
            log.exception("companion.failed", worker=self.name)
            self.has_failed = True
        finally:
            self._stopping.set()


def session_options(settings: Settings) -> tuple[str, SessionOptions]:
    """Return the broker user of this process and what it subscribes to.

    Raises
    ------
    InvalidError
        If there are more processes than the broker has users for.
    """
    part = int(settings.ingest_shards.partition("/")[0]) if settings.shards else 0
    if part >= INGEST_PARTS_MAX:
        raise InvalidError(
            f"FORECARE_INGEST_SHARDS is {settings.ingest_shards!r}, and the broker knows"
            f" {INGEST_PARTS_MAX} ingest processes",
            hint=f"use at most {INGEST_PARTS_MAX} parts",
        )
    user = ingest_user(part)
    shards = settings.shards
    return user, SessionOptions(
        filters=telemetry_filters(shards),
        unwanted=foreign_filters(shards),
        heartbeat_topic=topic_of(user, shard=shards[0], kind="telemetry"),
        receive_max=RECEIVE_MAX,
    )


class Writer(Protocol):
    """Stores what has arrived."""

    @property
    def registry(self) -> RegistryCache:
        """What it knows of devices and products."""

    def write(
        self, connection: Connection, arrivals: Sequence[Arrival], *, now: datetime, now_s: float
    ) -> Stored:
        """Store a batch and COMMIT; see `ingest.batch.BatchWriter.write`."""


class Worker:
    """One ingest process."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        user, options = self._listens(settings)
        self._session = Session(mqtt_endpoint(settings, user), options)
        self._writer = self._make_writer(settings)
        self._connection: Connection | None = None
        self._report_s = 0.0
        self._reported = (0, 0, 0)
        self.messages = 0
        self.rows = 0
        self.refused = 0

    def _listens(self, settings: Settings) -> tuple[str, SessionOptions]:
        """Return the broker user and what it subscribes to."""
        return session_options(settings)

    def _make_writer(self, settings: Settings) -> Writer:
        return BatchWriter(RegistryCache(), share=len(settings.shards) / SHARDS)

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                self._connect_broker()
                try:
                    self._receive_and_store()
                except BrokerAwayError as error:
                    log.warning("broker.away", reason=str(error))
        finally:
            self._session.close()
            if self._connection is not None:
                self._connection.close()

    def _receive_and_store(self) -> None:
        """Store batch after batch until the connection to the broker breaks or we shall stop."""
        while not self._stop.is_set():
            batch = self._gather()
            stored = self._store(batch)
            if batch.broken is not None:
                # It cannot be acknowledged any more and will come again, unless the broker has
                # lost its memory: having stored it is harmless.
                raise batch.broken
            if stored is None:
                continue
            self._answer(batch, stored)
            self._report()

    def _answer(self, batch: Sequence[Arrival], stored: Stored) -> None:
        self._session.acknowledge(batch)
        failpoint("ingest.after_ack")
        self._confirm(stored.confirmations)
        self._session.publish(stored.notices)

    def _gather(self) -> Inflow:
        """Begin a batch; what comes after its first messages is received while they are stored."""
        batch = Inflow(self._session.receive(_IDLE_S), receive=self._session.receive)
        if batch:
            failpoint("ingest.received")
        return batch

    def _store(self, batch: Sequence[Arrival]) -> Stored | None:
        """Store a batch however long the database is away; None if there was nothing, or we stop."""
        if not batch:
            return None
        attempt = 0
        while not self._stop.is_set():
            try:
                stored = self._writer.write(
                    self._database(), batch, now=wall_now(), now_s=monotonic_s()
                )
            except (psycopg.Error, RetryableError) as error:
                self._drop_database()
                self._writer.registry.forget()  # it may come back restored, with another past
                if attempt == 0:
                    log.warning("database.away", reason=str(error).strip()[:300])
                self._stop.wait(_jittered_s(attempt))
                attempt += 1
                continue
            if attempt:
                log.info("database.back", attempts=attempt)
            self.messages += stored.messages
            self.rows += stored.rows
            self.refused += stored.refused
            return stored
        return None

    def _confirm(self, confirmations: Sequence[Confirmation]) -> None:
        """Tell the devices, at QoS 0: a lost answer costs one repetition after the device's
        time-out, while QoS 1 would have the broker queue answers for devices that are gone."""
        self._session.publish(
            [
                (answer_topic(topic, kind="stored"), b'{"boot":%d,"seq":%d}' % (boot, seq))
                for topic, boot, seq in confirmations
            ]
        )

    def _connect_broker(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                self._session.connect()
            except (BrokerAwayError, BrokerRefusedError) as error:
                # A refusal too may pass: the password file is written again by `broker sync`.
                if attempt == 0:
                    log.warning("broker.away", reason=str(error))
                self._stop.wait(_jittered_s(attempt))
                attempt += 1
                continue
            log.info("broker.connected", attempts=attempt + 1, session=self._session.was_present)
            return

    def _database(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                database_url(self._settings),
                application_name="forecare ingest",
                **_DATABASE_OPTIONS,
            )
            assert_durable(self._connection)
        return self._connection

    def _drop_database(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _report(self) -> None:
        now_s = monotonic_s()
        if now_s - self._report_s < _REPORT_EVERY_S:
            return
        messages, rows, refused = self._reported
        log.info(
            "ingest.progress",
            messages=self.messages - messages,
            rows=self.rows - rows,
            refused=self.refused - refused,
        )
        self._report_s = now_s
        self._reported = (self.messages, self.rows, self.refused)


def _jittered_s(attempt: int) -> float:
    """Return a pause drawn from a range that doubles: many who wait never come back at once."""
    return random.uniform(0, min(_BACK_OFF_MAX_S, _BACK_OFF_S * 2 ** min(attempt, 10)))  # noqa: S311 - no secret
