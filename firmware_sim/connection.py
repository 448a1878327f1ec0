"""A device's connection to the broker: connects, backs off, keeps alive, breaks off without a goodbye.

What is said over it is its owner's business. One selector serves the connections of a whole fleet.
"""

import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim import log
from firmware_sim.backoff import full_jitter_s
from firmware_sim.errors import SimulatorError
from firmware_sim.tls import TlsFiles

WINDOW_MESSAGES = 8
_KEEPALIVE_S = 60
_MISC_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the broker listens."""

    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What was handed out with the device: its name is user name and client id too."""

    name: str
    shard: str
    password: str
    product: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker says for a device that has gone."""

    topic: str
    payload: bytes


class Speaker(Protocol):
    """Whose connection it is."""

    def make_will(self) -> Will:
        """Return the will of the next connection."""

    def hears(self) -> Sequence[str]:
        """Topics that it wants to hear; without the first one it cannot go on."""

    def on_ready(self) -> None:
        """It may speak now."""

    def on_published(self, mid: int, reason: ReasonCode) -> None: ...

    def on_message(self, message: mqtt.MQTTMessage) -> None: ...

    def on_gone(self) -> None:
        """The connection is no more."""


def parse_address(url: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise SimulatorError(
            f"no broker address: {url!r}", hint="write mqtt://host:port, or mqtts:// for TLS"
        )
    is_tls = parts.scheme == "mqtts"
    return Address(
        host=parts.hostname, port=parts.port or (8883 if is_tls else 1883), is_tls=is_tls
    )


class Connection:
    """The connection of one device, made anew for as long as it is ticked."""

    def __init__(  # noqa: PLR0913 - keyword-only parts of one connection
        self,
        *,
        address: Address,
        identity: Identity,
        speaker: Speaker,
        rng: Random,
        selector: selectors.BaseSelector,
        tls: TlsFiles | None = None,
    ) -> None:
        self.is_ready = False
        """It is connected and hears what it wants to hear."""
        self.problem = ""
        """Why the last attempt or message failed; empty when all is well."""
        self.now_s = 0.0
        self._address = address
        self._identity = identity
        self._speaker = speaker
        self._rng = rng
        self._selector = selector
        self._tls = tls
        self._paho: mqtt.Client | None = None
        self._will: Will | None = None
        self._attempt = 0
        self._next_attempt_s = 0.0
        self._misc_s = 0.0

    @property
    def has_socket(self) -> bool:
        return self._paho is not None and self._paho.socket() is not None

    def tick(self, now_s: float) -> bool:
        """Connect when it is time, keep alive; tells whether there is a connection to work on."""
        self.now_s = now_s
        if self._paho is None:
            if now_s >= self._next_attempt_s:
                self._connect()
            return False
        if now_s - self._misc_s > _MISC_EVERY_S:
            self._misc_s = now_s
            if self._paho.loop_misc() != mqtt.MQTT_ERR_SUCCESS:
                self._lost("no answer from the broker")
                return False
        return True

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> int:
        """Hand a message over and return its packet id; only while there is a connection."""
        assert self._paho is not None
        return self._paho.publish(topic, payload, qos=qos).mid

    def close(self) -> None:
        """Say the will oneself, and goodbye; the bytes still have to be sent."""
        if self._paho is None:
            return
        if self.is_ready and self._will is not None:
            self._paho.publish(self._will.topic, self._will.payload, qos=1)
        self._paho.disconnect()

    def drop(self) -> None:
        """Break off without a DISCONNECT, as when a line breaks: the broker speaks the will."""
        paho, self._paho = self._paho, None
        self.is_ready = False
        self._speaker.on_gone()
        sock = paho.socket() if paho is not None else None
        if sock is not None:
            self._unregister(sock)
            sock.close()

    def wait(self, seconds: float) -> None:
        """Make the next attempt no earlier."""
        self._next_attempt_s = self.now_s + seconds

    def back_off_s(self) -> float:
        """Count a refusal and draw for how long to wait."""
        self._attempt += 1
        return full_jitter_s(self._rng, attempt=self._attempt)

    def on_readable(self, now_s: float) -> None:
        self.now_s = now_s
        self._io(lambda paho: paho.loop_read(2 * WINDOW_MESSAGES))
        # TLS may hold decrypted bytes that no selector knows of.
        while (
            self._paho and isinstance(sock := self._paho.socket(), ssl.SSLSocket) and sock.pending()
        ):
            self._io(lambda paho: paho.loop_read(2 * WINDOW_MESSAGES))

    def on_writable(self, now_s: float) -> None:
        self.now_s = now_s
        self._io(lambda paho: paho.loop_write())

    def _connect(self) -> None:
        name = self._identity.name
        paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        if self._tls is None or not self._tls.has_certificate(name):
            paho.username_pw_set(name, self._identity.password)
        self._will = will = self._speaker.make_will()
        paho.will_set(will.topic, will.payload, qos=1)
        paho.max_inflight_messages_set(2 * WINDOW_MESSAGES)
        if self._address.is_tls:
            paho.tls_set_context(
                self._tls.context(name) if self._tls else ssl.create_default_context()
            )
        self._attach(paho)
        self._paho = paho
        self._misc_s = self.now_s
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 0
        try:
            paho.connect(
                self._address.host,
                self._address.port,
                keepalive=_KEEPALIVE_S,
                clean_start=True,
                properties=session,
            )
        except OSError as error:
            self._lost(f"no connection: {error}")

    def _attach(self, paho: mqtt.Client) -> None:
        """Wire the callbacks. A late one of an earlier connection finds itself replaced and is dropped."""

        def current(act: Callable[..., None]) -> Callable[..., None]:
            return lambda client, *rest: act(*rest) if client is self._paho else None

        paho.on_socket_open = lambda _c, _u, sock: self._register(sock)
        paho.on_socket_close = lambda _c, _u, sock: self._unregister(sock)
        paho.on_socket_register_write = lambda _c, _u, sock: self._watch(sock, is_writing=True)
        paho.on_socket_unregister_write = lambda _c, _u, sock: self._watch(sock, is_writing=False)
        paho.on_connect = current(self._on_connect)
        paho.on_subscribe = current(self._on_subscribe)
        paho.on_publish = current(
            lambda _userdata, mid, reason, _properties: self._speaker.on_published(mid, reason)
        )
        paho.on_message = current(lambda _userdata, message: self._speaker.on_message(message))

    def _on_connect(self, _userdata: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if reason.is_failure:
            self.problem = f"the broker refused the device: {reason}"
            return  # the broker hangs up now, and the back-off begins
        assert self._paho is not None
        self._paho.subscribe([(topic, 1) for topic in self._speaker.hears()])

    def _on_subscribe(self, _userdata: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        if reasons[0].is_failure:  # without the others it can still deliver
            self.problem = f"the broker does not let the device hear {self._speaker.hears()[0]}"
            log.warning("device.subscribe_refused", device=self._identity.name)
            return
        if self.problem:
            log.info("device.back", device=self._identity.name)
        self.is_ready, self._attempt, self.problem = True, 0, ""
        self._speaker.on_ready()

    def _lost(self, problem: str) -> None:
        was_fine = not self.problem
        self.problem = self.problem or problem
        if was_fine:
            log.warning("device.lost", device=self._identity.name, reason=self.problem)
        self.drop()
        self._next_attempt_s = self.now_s + full_jitter_s(self._rng, attempt=self._attempt)
        self._attempt += 1

    def _io(self, act: Callable[[mqtt.Client], int]) -> None:
        if self._paho is not None and act(self._paho) != mqtt.MQTT_ERR_SUCCESS:
            self._lost("the connection broke")

    def _register(self, sock: Any) -> None:
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, self)

    def _unregister(self, sock: Any) -> None:
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            return  # was never watched, or is closed already

    def _watch(self, sock: Any, *, is_writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if is_writing else 0)
        try:
            self._selector.modify(sock, events, self)
        except (KeyError, ValueError):
            return
