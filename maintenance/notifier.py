"""Sends queued messages: `forecare maintenance notify`.

At least once: an attempt is counted before the mail server is spoken to, and the message is marked
as sent after the server has taken it. A crash in between sends it again with the same Message-ID.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterable
from datetime import timedelta
from threading import Event
from typing import Any

import procrastinate
import psycopg
from procrastinate import jobs

from core.clock import Clock
from core.errors import PermanentError, RetryableError
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Pool, make_pool
from maintenance import store
from maintenance.away import DATABASE_AWAY
from maintenance.mail import Mail, MailServer, send
from maintenance.outbox import QUEUE, TASK, defer_send

log = get_logger("notify")

CONCURRENCY = 4
STALLED_AFTER_S = 10.0
"""A process that has given no sign of life for so long is taken for dead."""
_SIGNS_OF_LIFE = 5
"""Heartbeats, and looks of the reaper, within that time."""
_REAPER_LOCK = 7_305_412_004  # any constant of our own: one reaper at a time
_ORPHANS_MAX = 500
_RETRY_FIRST_S = 1.0
RETRY_S_MAX = 600.0
_RETRY_FOR = timedelta(days=3)
_GRACE_S = 3.0
_BACK_OFF_S = (0.2, 5.0)


class Delivery:
    """Sends one queued message by its id."""

    def __init__(self, pool: Pool, *, server: MailServer, mail_from: str, clock: Clock) -> None:
        self._pool = pool
        self._server = server
        self._mail_from = mail_from
        self._clock = clock

    def deliver(self, notification_id: int) -> None:
        """Send it unless it has been sent; no connection is held while the mail server is slow.

        Raises
        ------
        RetryableError
            If it should be tried again later.
        """
        with self._pool.connection() as connection:
            row = connection.execute(
                store.queries["begin_attempt"],
                {"notification_id": notification_id, "now": self._clock()},
            ).fetchone()
            if row is None:  # sent, failed or suppressed already: a repeated job
                return
            event_key, ticket_id, attempts, created_at = row[0], row[1], row[8], row[9]
            if _asks_for_visit(event_key) and self._is_closed(connection, ticket_id):
                self._end(connection, notification_id, "suppressed", "the ticket was closed first")
                return
        mail = Mail(
            sender=self._mail_from,
            address=row[2],
            subject=row[3],
            text=row[4],
            html=row[5],
            calendar=row[6],
            message_id=row[7],
            created_at=created_at,
        )
        failpoint("notify.before_send")
        try:
            send(mail, server=self._server)
        except RetryableError as error:
            if self._clock() - created_at > _RETRY_FOR:
                self._finish(notification_id, "failed", f"given up: {error}")
                return
            self._note_error(notification_id, attempts, error)
            raise
        except PermanentError as error:
            log.error("notification.refused", notification_id=notification_id, reason=str(error))  # noqa: TRY400 - the reason is the whole story
            self._finish(notification_id, "failed", str(error))
            return
        failpoint("notify.after_send")
        self._finish(notification_id, "sent", "")
        log.info("notification.sent", notification_id=notification_id, event_key=event_key)

    def _is_closed(
        self, connection: psycopg.Connection[tuple[object, ...]], ticket_id: int
    ) -> bool:
        row = connection.execute(
            store.queries["ticket_closed"], {"ticket_id": ticket_id}
        ).fetchone()
        return bool(row and row[0])

    def _finish(self, notification_id: int, state: str, reason: str) -> None:
        with self._pool.connection() as connection:
            self._end(connection, notification_id, state, reason)

    def _end(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        notification_id: int,
        state: str,
        reason: str,
    ) -> None:
        connection.execute(
            store.queries["end_attempt"],
            {
                "notification_id": notification_id,
                "state": state,
                "reason": reason,
                "now": self._clock(),
            },
        )

    def _note_error(self, notification_id: int, attempts: int, error: RetryableError) -> None:
        if attempts == 1:
            log.warning("notification.retry", notification_id=notification_id, reason=str(error))
        self._finish(notification_id, "queued", str(error))


class _Backoff(procrastinate.BaseRetryStrategy):
    """Doubles the pause up to a limit; `Delivery` itself gives up after three days."""

    def __init__(self, retry_s_max: float) -> None:
        self._retry_s_max = retry_s_max

    def get_retry_decision(
        self, *, exception: BaseException, job: jobs.Job
    ) -> procrastinate.RetryDecision | None:
        del exception
        seconds = min(_RETRY_FIRST_S * 2 ** min(job.attempts, 16), self._retry_s_max)
        return procrastinate.RetryDecision(retry_in={"seconds": int(seconds)})


def run(  # noqa: PLR0913 - everything by keyword
    database_url: str,
    *,
    server: MailServer | None,
    mail_from: str,
    clock: Clock,
    stop: Event,
    stalled_after_s: float = STALLED_AFTER_S,
    retry_s_max: float = RETRY_S_MAX,
) -> None:
    """Send until `stop` is set. Without a mail server the messages wait, and so does this."""
    if server is None:
        log.warning("notify.no_mail_server", hint="set FORECARE_SMTP_URL; until then messages wait")
        stop.wait()
        return
    # It tells of every retry with a trace; ours are told once, by `Delivery`.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    pool = make_pool(database_url, name="notify", size_max=CONCURRENCY + 1)
    try:
        delivery = Delivery(pool, server=server, mail_from=mail_from, clock=clock)
        job_queue = _JobQueue(
            database_url,
            delivery,
            pool=pool,
            stalled_after_s=stalled_after_s,
            retry_s_max=retry_s_max,
        )
        asyncio.run(job_queue.run(stop))
    finally:
        pool.close()


class _JobQueue:
    """The procrastinate worker and its reaper; one that lost the database is replaced."""

    def __init__(
        self,
        database_url: str,
        delivery: Delivery,
        *,
        pool: Pool,
        stalled_after_s: float,
        retry_s_max: float,
    ) -> None:
        self._database_url = database_url
        self._delivery = delivery
        self._pool = pool
        self._stalled_after_s = stalled_after_s
        self._retry_s_max = retry_s_max

    async def run(self, stop: Event) -> None:
        """Work until `stop` is set."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        watcher = loop.run_in_executor(None, _wait_for, stop, loop, stopping)
        away_s = 0.0
        while not stopping.is_set():
            try:
                await self._work(stopping, was_away=away_s > 0)
            except Exception as error:  # noqa: BLE001 - whatever broke the worker, the next one starts afresh
                if not away_s:
                    log.warning("worker.broke", reason=str(error) or type(error).__name__)
                away_s = min(max(2 * away_s, _BACK_OFF_S[0]), _BACK_OFF_S[1])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), away_s)
            else:
                away_s = 0.0
        await watcher

    async def _work(self, stopping: asyncio.Event, *, was_away: bool) -> None:
        connector = procrastinate.PsycopgConnector(
            conninfo=self._database_url,
            kwargs={"application_name": "forecare notify jobs"},
            max_size=4,
        )
        app = procrastinate.App(connector=connector)
        app.task(name=TASK, queue=QUEUE, retry=_Backoff(self._retry_s_max))(self._deliver)
        async with app.open_async():
            await connector.execute_query_async("select 1")
            if was_away:
                log.info("worker.back")
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=CONCURRENCY,
                    fetch_job_polling_interval=1.0,
                    shutdown_graceful_timeout=_GRACE_S,
                    delete_jobs="successful",
                    install_signal_handlers=False,
                    update_heartbeat_interval=self._stalled_after_s / _SIGNS_OF_LIFE,
                    stalled_worker_timeout=self._stalled_after_s,
                )
            )
            reaper = asyncio.create_task(self._reap_for_ever(app))
            await _first_of(worker, reaper, asyncio.create_task(stopping.wait()))

    def _deliver(self, notification_id: int) -> None:
        """Deliver in a thread of the worker; say what nobody has foreseen, then try again later."""
        try:
            self._delivery.deliver(notification_id)
        except DATABASE_AWAY:
            raise
        except Exception:
            log.exception("notification.broke", notification_id=notification_id)
            raise

    async def _reap_for_ever(self, app: procrastinate.App) -> None:
        while True:
            await self._reap(app)
            await asyncio.sleep(self._stalled_after_s / _SIGNS_OF_LIFE)

    async def _reap(self, app: procrastinate.App) -> None:
        """Give the jobs of dead processes back, and queued messages that have no job a new one.

        A plain loop under an advisory lock, not a job: a job of its own could stall as well.
        """
        if not await asyncio.to_thread(_requeue_orphans, self._pool):
            return
        stalled: Iterable[jobs.Job] = await app.job_manager.get_stalled_jobs(
            queue=QUEUE, seconds_since_heartbeat=self._stalled_after_s
        )
        for job in stalled:
            log.warning("job.stalled", job_id=job.id)
            with contextlib.suppress(procrastinate.exceptions.ConnectorException):
                await app.job_manager.retry_job(job)  # refused when it has ended meanwhile


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait for the first task to end, end the others, and raise what the first one raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _requeue_orphans(pool: Pool) -> bool:
    """Return whether this process is the reaper just now."""
    with pool.connection() as connection:
        row = connection.execute("select pg_try_advisory_xact_lock(%s)", [_REAPER_LOCK]).fetchone()
        if not row or not row[0]:
            return False
        orphans = connection.execute(
            store.queries["orphaned_notifications"], {"task": TASK, "rows_max": _ORPHANS_MAX}
        ).fetchall()
        for (notification_id,) in orphans:
            log.warning("notification.orphaned", notification_id=notification_id)
            defer_send(connection, notification_id)
        return True


def stop_on_signals(stop: Event) -> None:
    """Let SIGTERM and SIGINT end the loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())


def _wait_for(stop: Event, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    stop.wait()
    loop.call_soon_threadsafe(stopping.set)


def _asks_for_visit(event_key: str) -> bool:
    """Only these messages are pointless once the ticket is closed."""
    return event_key.startswith("ticket:") and not event_key.endswith(":closed")
