"""The gateway's session with the broker, over paho. Its callbacks only put things into a queue."""

import queue
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from core.endpoints import MqttEndpoint
from core.log import get_logger
from gateway.desk import Outgoing

log = get_logger("gateway")

_RECEIVE_MAX = 1000
_BATCH_MAX = 500
_SESSION_S = 0xFFFF_FFFF  # never ends: docs/decisions/0006
_KEEPALIVE_S = 30
_DROPPED = "$SYS/broker/publish/messages/dropped"


@dataclass(frozen=True, slots=True)
class Arrival:
    topic: str
    payload: bytes
    mid: int
    qos: int


class BrokerLine:
    """The gateway's session. Its callbacks only put things into a queue: an exception in one of
    them would end paho's thread and leave the process alive and deaf."""

    def __init__(self, endpoint: MqttEndpoint, *, filters: Sequence[str]) -> None:
        self._endpoint = endpoint
        self._filters = tuple(filters)
        # Bounded by the Receive Maximum: the broker sends no more than that unacknowledged.
        self._queue: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
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

    def take(self) -> list[Arrival]:
        """Return what has arrived, waiting for up to half a second for the first."""
        arrivals: list[Arrival] = []
        with suppress(queue.Empty):
            arrivals.append(self._queue.get(timeout=0.5))
            while len(arrivals) < _BATCH_MAX:
                arrivals.append(self._queue.get_nowait())
        return arrivals

    def acknowledge(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.qos:
                self._client.ack(arrival.mid, arrival.qos)

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Hand messages to paho; while the broker is away it keeps them, and sends them at QoS 1."""
        for message in messages:
            self._client.publish(message.topic, message.payload, qos=1)

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker.refused", reason=str(reason))
            return
        client.subscribe([(pattern, 1) for pattern in self._filters] + [(_DROPPED, 0)])
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
            self._queue.put(Arrival(topic, bytes(message.payload), message.mid, message.qos))

    def _note_dropped(self, payload: bytes) -> None:
        count = int(payload) if payload.isdigit() else 0
        if count > self._dropped:
            log.warning(
                "broker.dropped_messages", messages=count - self._dropped, since_start=count
            )
        self._dropped = count
