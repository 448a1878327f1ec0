"""The same device over paho-mqtt, as a product would have it: same spool, same promises.

paho is driven by our own thread, through its socket callbacks; a callback of an earlier connection
finds itself replaced and is dropped.
"""

import selectors
from contextlib import suppress
from typing import Any

import orjson
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from bench.chaos.device import KEEP_ALIVE_S, UNACKNOWLEDGED_MAX, Device

_MISC_EVERY_S = 1.0


class PahoDevice(Device):
    """A device whose packets are paho's."""

    _paho: paho.Client | None = None
    _misc_s = 0.0

    @property
    def has_socket(self) -> bool:
        return self._paho is not None

    def on_event(self, events: int) -> None:
        if self._paho is None:
            return
        result = paho.MQTT_ERR_SUCCESS
        if events & selectors.EVENT_WRITE:
            result = self._paho.loop_write()
        if events & selectors.EVENT_READ and self._paho is not None and not result:
            result = self._paho.loop_read(UNACKNOWLEDGED_MAX)
        if result != paho.MQTT_ERR_SUCCESS:
            self.drop()

    def _connect(self) -> None:
        self._joining_s = self._misc_s = self._hub.now_s
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self.identity.name, protocol=paho.MQTTv5
        )
        client.username_pw_set(self.identity.name, self.identity.password)
        client.will_set(self.identity.topic("will"), orjson.dumps({"boot": self.boot}), qos=1)
        client.max_inflight_messages_set(UNACKNOWLEDGED_MAX)
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_paho_message
        self._paho = client
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 0
        try:
            client.connect(
                self._hub.host,
                self._hub.port,
                keepalive=KEEP_ALIVE_S,
                clean_start=True,
                properties=session,
            )
        except OSError:
            self.drop()

    def _close(self) -> None:
        client, self._paho = self._paho, None
        sock = client.socket() if client is not None else None
        if sock is not None:
            # Without a DISCONNECT, as when a line breaks.
            with suppress(KeyError, ValueError):
                self._hub.selector.unregister(sock)
            sock.close()

    def _keep_alive(self) -> None:
        if self._paho is not None and self._hub.now_s - self._misc_s > _MISC_EVERY_S:
            self._misc_s = self._hub.now_s
            if self._paho.loop_misc() != paho.MQTT_ERR_SUCCESS:
                self.drop()

    def _publish(self, kind: str, payload: bytes, *, key: tuple[int, int] | None = None) -> None:
        if self._paho is None:
            return
        self._hub.counts["sent"] += 1
        said = self._paho.publish(self.identity.topic(kind), payload, qos=1)
        self._unacknowledged[said.mid] = key

    def _on_socket_open(self, client: paho.Client, _data: Any, sock: Any) -> None:
        if client is self._paho:
            self._hub.selector.register(sock, selectors.EVENT_READ, self)

    def _on_socket_close(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        with suppress(KeyError, ValueError):
            self._hub.selector.unregister(sock)

    def _on_register_write(self, client: paho.Client, _data: Any, sock: Any) -> None:
        self._watch(client, sock, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _on_unregister_write(self, client: paho.Client, _data: Any, sock: Any) -> None:
        self._watch(client, sock, selectors.EVENT_READ)

    def _watch(self, client: paho.Client, sock: Any, events: int) -> None:
        if client is self._paho:
            with suppress(KeyError, ValueError):
                self._hub.selector.modify(sock, events, self)

    def _on_connect(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if client is self._paho and not reason.is_failure:
            client.subscribe([(self.identity.topic(kind), 1) for kind in ("stored", "limit")])

    def _on_subscribe(self, client: paho.Client, _data: Any, *_rest: Any) -> None:
        if client is self._paho:
            self._joined()

    def _on_publish(
        self, client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _props: Any
    ) -> None:
        if client is self._paho:
            self._acknowledged(mid, int(reason.value))

    def _on_paho_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if client is self._paho:
            self._on_message(message.topic.rpartition("/")[2], bytes(message.payload))
