"""`forecare gateway run`: lets every desk work on what devices say, and keeps the password file true.

At least once: the desks' rows are committed, their answers published, then the messages
acknowledged. A crash in between repeats the messages, which every desk stands. While the database
is away messages wait in the broker.
"""

import signal
import threading
from collections.abc import Sequence

import psycopg
from psycopg_pool import PoolTimeout

from core.clock import monotonic_s, wall_now
from core.endpoints import broker_dir, database_url, first_contact_port, mqtt_endpoint
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Pool, make_pool
from core.settings import Settings
from gateway import store
from gateway.broker import GATEWAY_USER, sync_broker
from gateway.broker_line import Arrival, BrokerLine
from gateway.campaign.desk import CampaignDesk
from gateway.desk import Desk, Incoming, Outgoing
from gateway.device_commands.desk import CommandDesk
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.counter import Counter, server_certificate
from gateway.first_contact.service import Reception
from gateway.presence_desk import PresenceDesk
from gateway.topics import parse_topic
from gateway.twin.desk import TwinDesk

log = get_logger("gateway")

_BROKER_CHECK_S = 5.0
_TICK_S = 1.0
_BACK_OFF_MAX_S = 10.0


def desks() -> tuple[Desk, ...]:
    """Return every subject of the gateway, in the order in which they see a message."""
    return (PresenceDesk(), TwinDesk(), CommandDesk(), CampaignDesk())


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pool = make_pool(database_url(settings), name="gateway", size_max=4)
    office = Office(desks())
    line = BrokerLine(mqtt_endpoint(settings, GATEWAY_USER), filters=office.filters)
    line.start()
    door = _open_door(pool, settings)
    log.info("gateway.started")
    try:
        _loop(pool, settings, office, line, stop)
    finally:
        if door:
            door.close()
        line.stop()
        pool.close()
    log.info("gateway.stopped")
    return 0


def _open_door(pool: Pool, settings: Settings) -> Counter | None:
    """Let devices come by themselves; a port that is taken must not stop the rest of the gateway."""
    port = first_contact_port(settings)
    if port is None:
        return None
    reception = Reception(pool, settings, allowance=Allowance())
    try:
        door = Counter(
            reception,
            host=settings.provision_host,
            port=port,
            certificate=server_certificate(broker_dir(settings)),
        )
    except OSError as error:
        log.error("first_contact.no_port", port=port, reason=str(error))  # noqa: TRY400 - the reason is all
        return None
    door.start()
    log.info("first_contact.open", host=settings.provision_host, port=port)
    return door


def _loop(
    pool: Pool, settings: Settings, office: "Office", line: BrokerLine, stop: threading.Event
) -> None:
    watch = _CredentialWatch(settings)
    waiting: list[Arrival] = []
    back_off_s = 0.0
    while not stop.is_set():
        waiting = waiting or line.take()
        try:
            watch.tick(pool)
            answers = office.work(pool, waiting)
            if answers:
                failpoint("gateway.after_commit")
            line.publish(answers)
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            if back_off_s == 0.0:
                log.warning("database.away", reason=str(error).strip())
            back_off_s = min(_BACK_OFF_MAX_S, back_off_s * 2 or 0.5)
            stop.wait(back_off_s)
            continue
        if back_off_s:
            log.info("database.back")
            back_off_s = 0.0
        line.acknowledge(waiting)
        waiting = []


class Office:
    """All desks behind one door."""

    def __init__(self, desks: Sequence[Desk]) -> None:
        self._desks = tuple(desks)
        self._ticked_s = float("-inf")

    @property
    def filters(self) -> tuple[str, ...]:
        kinds = sorted({kind for desk in self._desks for kind in desk.kinds})
        return tuple(f"fc/+/+/{kind}" for kind in kinds)

    def work(self, pool: Pool, arrivals: Sequence[Arrival]) -> list[Outgoing]:
        """Give a batch to the desks, and the clock once a second; return what to publish.

        Raises
        ------
        psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout
            If the database is away: nothing of the batch is stored, and all of it may come again.
        """
        answers: list[Outgoing] = []
        incoming = [found for arrival in arrivals if (found := _incoming(arrival))]
        if incoming:
            answers += self._take_all(pool, incoming)
        if monotonic_s() - self._ticked_s >= _TICK_S:
            answers += self._tick(pool)
            self._ticked_s = monotonic_s()
        return answers

    def _take_all(self, pool: Pool, incoming: Sequence[Incoming]) -> list[Outgoing]:
        """One transaction for all; if the database refuses a value for ever, one for each."""
        try:
            return self._take(pool, incoming)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(incoming) == 1:
                only = incoming[0]
                log.warning(
                    "message.refused",
                    device=only.device,
                    kind=only.kind,
                    reason=str(error).strip().splitlines()[0],
                )
                return []
        return [answer for one in incoming for answer in self._take_all(pool, [one])]

    def _take(self, pool: Pool, incoming: Sequence[Incoming]) -> list[Outgoing]:
        answers: list[Outgoing] = []
        now = wall_now()
        with pool.connection() as connection:
            for desk in self._desks:
                own = [message for message in incoming if message.kind in desk.kinds]
                if own:
                    answers += desk.take(connection, own, now=now)
        return answers

    def _tick(self, pool: Pool) -> list[Outgoing]:
        """Each desk in a transaction of its own: a faulty one must not stop the others."""
        messages: list[Outgoing] = []
        for desk in self._desks:
            try:
                with pool.connection() as connection:
                    messages += desk.tick(connection, now=wall_now())
            except (psycopg.DataError, psycopg.IntegrityError):
                log.exception("desk.failed", desk=type(desk).__name__)
        return messages


def _incoming(arrival: Arrival) -> Incoming | None:
    topic = parse_topic(arrival.topic)
    if topic is None:
        log.warning("message.unreadable_topic", topic=arrival.topic[:200])
        return None
    return Incoming(
        device=topic.device, shard=topic.shard, kind=topic.kind, payload=arrival.payload
    )


class _CredentialWatch:
    """Finds credentials that changed without the broker being told: a crash came in between."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: tuple[object, ...] | None = None
        self._next_s = 0.0

    def tick(self, pool: Pool) -> None:
        now_s = monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _BROKER_CHECK_S
        with pool.connection() as connection:
            state = store.broker_state(connection)
        if state != self._seen:
            told = sync_broker(pool, self._settings)
            log.info("broker.synced", devices=state[0], was_told=told)
            self._seen = state
