"""`forecare gateway run`: keeps presence and the broker's password file up to date.

At least once: a message is acknowledged after its COMMIT, so a crash in between repeats it, which
changes nothing. While the database is away messages wait in the broker.
"""

import queue
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from psycopg_pool import PoolTimeout

from core.clock import monotonic_s, wall_now
from core.endpoints import MqttEndpoint, database_url, mqtt_endpoint
from core.log import get_logger
from core.pool import Pool, make_pool
from core.settings import Settings
from gateway import store
from gateway.broker import GATEWAY_USER, sync_broker
from gateway.presence import read_change

log = get_logger("gateway")

_RECEIVE_MAX = 1000
_BATCH_MAX = 500
_SESSION_S = 0xFFFF_FFFF  # never ends: docs/decisions/0006
_KEEPALIVE_S = 30
_BROKER_CHECK_S = 5.0
_BACK_OFF_MAX_S = 10.0
_DROPPED = "$SYS/broker/publish/messages/dropped"
_FILTERS = ("fc/+/+/birth", "fc/+/+/will")


@dataclass(frozen=True, slots=True)
class _Arrival:
    topic: str
    payload: bytes
    mid: int
    qos: int


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pool = make_pool(database_url(settings), name="gateway", size_max=2)
    client = _Client(mqtt_endpoint(settings, GATEWAY_USER))
    client.start()
    log.info("gateway.started")
    try:
        _loop(pool, settings, client, stop)
    finally:
        client.stop()
        pool.close()
    log.info("gateway.stopped")
    return 0


def _loop(pool: Pool, settings: Settings, client: "_Client", stop: threading.Event) -> None:
    watch = _CredentialWatch(settings)
    waiting: list[_Arrival] = []
    back_off_s = 0.0
    while not stop.is_set():
        waiting = waiting or client.take()
        try:
            watch.tick(pool)
            if waiting:
                _store(pool, waiting)
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            if back_off_s == 0.0:
                log.warning("database.away", reason=str(error).strip())
            back_off_s = min(_BACK_OFF_MAX_S, back_off_s * 2 or 0.5)
            stop.wait(back_off_s)
            continue
        if back_off_s:
            log.info("database.back")
            back_off_s = 0.0
        client.acknowledge(waiting)
        waiting = []


def _store(pool: Pool, arrivals: list[_Arrival]) -> None:
    now = wall_now()
    with pool.connection() as connection:
        for arrival in arrivals:
            change = read_change(arrival.topic, arrival.payload)
            if change is None:
                log.warning("presence.unreadable", topic=arrival.topic[:200])
            elif change.is_connected:
                store.device_born(
                    connection, change.device, boot=change.boot, firmware=change.firmware, now=now
                )
            else:
                store.device_gone(connection, change.device, boot=change.boot, now=now)


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


class _Client:
    """The gateway's session. Its callbacks only put things into a queue: an exception in one of
    them would end paho's thread and leave the process alive and deaf."""

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self._endpoint = endpoint
        # Bounded by the Receive Maximum: the broker sends no more than that unacknowledged.
        self._queue: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self._dropped = 0
        self._is_away = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.user,
            protocol=paho.MQTTv5,
            manual_ack=True,
        )
        self._client.username_pw_set(endpoint.user, endpoint.password)
        self._client.reconnect_delay_set(1, 15)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = _RECEIVE_MAX
        # clean_start must be said: by default paho forgets the session at its first connect.
        self._client.connect_async(
            self._endpoint.host,
            self._endpoint.port,
            _KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def take(self) -> list[_Arrival]:
        """Return what has arrived, waiting for up to half a second for the first."""
        arrivals: list[_Arrival] = []
        with suppress(queue.Empty):
            arrivals.append(self._queue.get(timeout=0.5))
            while len(arrivals) < _BATCH_MAX:
                arrivals.append(self._queue.get_nowait())
        return arrivals

    def acknowledge(self, arrivals: list[_Arrival]) -> None:
        for arrival in arrivals:
            if arrival.qos:
                self._client.ack(arrival.mid, arrival.qos)

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker.refused", reason=str(reason))
            return
        client.subscribe([(pattern, 1) for pattern in _FILTERS] + [(_DROPPED, 0)])
        if self._is_away:
            log.info("broker.back")
        self._is_away = False

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if not self._is_away and reason.is_failure:
            log.warning("broker.away", reason=str(reason))
            self._is_away = True

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if topic == _DROPPED:
            self._note_dropped(bytes(message.payload))
        else:
            self._queue.put(_Arrival(topic, bytes(message.payload), message.mid, message.qos))

    def _note_dropped(self, payload: bytes) -> None:
        count = int(payload) if payload.isdigit() else 0
        if count > self._dropped:
            log.warning(
                "broker.dropped_messages", messages=count - self._dropped, since_start=count
            )
        self._dropped = count
