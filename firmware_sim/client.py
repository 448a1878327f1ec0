"""A device's side of the line: connects, says what it is, and sends its spool until it is `stored`.

A device keeps at most a window of messages on their way. When nothing has been confirmed for the
time-out, or after a reconnect, it starts over at the oldest message of its spool, under the same
numbers. A PUBACK is flow control and never empties the spool, unless the device speaks a format
without numbers, for which there is no `stored`. What the platform wants of the device besides its
samples goes to its controller, if it has one.
"""

import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim import log
from firmware_sim.backoff import full_jitter_s
from firmware_sim.clock import wall_s
from firmware_sim.controller import HEARS, Controller
from firmware_sim.dialects import JSON, Dialect
from firmware_sim.errors import SimulatorError
from firmware_sim.payload import MESSAGE_BYTES_MAX
from firmware_sim.said import Said, say
from firmware_sim.spool import Spool
from firmware_sim.tls import TlsFiles

CONFIRM_TIMEOUT_S = 30.0
WINDOW_MESSAGES = 8
_KEEPALIVE_S = 60
_MISC_EVERY_S = 5.0
_NO_SUBSCRIBER, _NOT_AUTHORIZED = 0x10, 0x87
_FAILURE_FROM = 0x80
_REFUSED_WAIT_S = 60.0
GREET_EVERY_S = 900.0
"""A birth on its way may be lost without a word, as when the broker was restarted just before."""
_BIRTH = "birth"
_LIMIT_WAIT_MAX_S = 3600.0
RESTART_S = (0.3, 1.0)
"""Shortest and longest time that a restart takes, wall time."""


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


class DeviceClient:
    """One device on the line. `boot` must have been started in the spool before."""

    def __init__(  # noqa: PLR0913 - keyword-only parts of one device
        self,
        *,
        address: Address,
        identity: Identity,
        boot: int,
        spool: Spool,
        rng: Random,
        selector: selectors.BaseSelector,
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
        controller: Controller | None = None,
        tls: TlsFiles | None = None,
        dialect: Dialect = JSON,
    ) -> None:
        self.identity = identity
        self.is_held = False
        """While True the device has no way to the broker; its spool fills."""
        self.boot = boot
        self.is_connected = False
        self.problem = ""
        """Why the last attempt or message failed; empty when all is well."""
        self._address = address
        self._spool = spool
        self._rng = rng
        self._selector = selector
        self._confirm_timeout_s = confirm_timeout_s
        self._controller = controller
        self._tls = tls
        self._dialect = dialect
        self._greet_s = float("inf")
        self._receipts: dict[int, str] = {}
        """Packet ids of messages of the controller that the broker has not acknowledged."""
        self._paho: mqtt.Client | None = None
        self._base = f"fc/{identity.shard}/{identity.name}"
        self._attempt = 0
        self._next_attempt_s = 0.0
        self._resume_s = 0.0
        self._now_s = 0.0
        self._misc_s = 0.0
        self._on_the_way: deque[tuple[int, int]] = deque()
        self._unnumbered: dict[int, tuple[int, int]] = {}
        """Packet ids of messages on their way that only a PUBACK can confirm."""
        self._cursor = (-1, -1)
        self._is_drained = False
        self._progress_s = 0.0
        self._low = spool.lowest(identity.name)
        if controller is not None:
            controller.started(boot)

    @property
    def firmware(self) -> str:
        return self._controller.firmware if self._controller else self.identity.firmware

    @property
    def has_socket(self) -> bool:
        return self._paho is not None and self._paho.socket() is not None

    def wake(self) -> None:
        """The spool has got new messages."""
        self._is_drained = False

    def tick(self, now_s: float) -> None:
        """Connect, time out, keep alive; `now_s` is monotonic."""
        self._now_s = now_s
        if self._controller is not None and self._controller.wants_restart:
            self._restart(self._controller)
        if self.is_held:
            self._drop_connection()
            return
        if self._paho is None:
            if now_s >= self._next_attempt_s:
                self._connect()
            return
        if now_s - self._misc_s > _MISC_EVERY_S:
            self._misc_s = now_s
            if self._paho.loop_misc() != mqtt.MQTT_ERR_SUCCESS:
                self._lost("no answer from the broker")
                return
        if self._on_the_way and now_s - self._progress_s > self._confirm_timeout_s:
            log.warning("device.resend", device=self.identity.name, messages=len(self._on_the_way))
            self._start_over()
        if self.is_connected and now_s >= self._greet_s:
            self._greet()
        if self._controller is not None and self.is_connected:
            self._say(self._controller.tick(now_s))
        self.pump()

    def pump(self) -> None:
        """Send what the window allows, oldest first."""
        if not self.is_connected or self._is_drained or self._now_s < self._resume_s:
            return
        room = WINDOW_MESSAGES - len(self._on_the_way)
        if room < max(1, WINDOW_MESSAGES // 4):
            return
        boot, seq = self._cursor
        messages = self._spool.after(self.identity.name, boot=boot, seq=seq, limit=room)
        self._is_drained = len(messages) < room
        for message in messages:
            self._cursor = (message.boot, message.seq)
            low = self._low.setdefault(message.boot, message.seq)
            if message.seq < low:
                continue  # confirmed a moment ago, about to leave the spool
            payload = self._dialect.message(
                message.body, boot=message.boot, seq=message.seq, low=low
            )
            if len(payload) > MESSAGE_BYTES_MAX:
                raise SimulatorError(
                    f"{self.identity.name}: a spooled message is too large to send"
                )
            if not self._on_the_way:
                self._progress_s = self._now_s
            self._on_the_way.append(self._cursor)
            assert self._paho is not None
            sent = self._paho.publish(f"{self._base}/telemetry", payload, qos=1)
            if not self._dialect.has_numbers:
                self._unnumbered[sent.mid] = self._cursor

    def on_stored(self, payload: bytes | bytearray) -> None:
        """Take the platform's word that messages are committed."""
        try:
            said = orjson.loads(payload)
            boot, seq = int(said["boot"]), int(said["seq"])
        except (ValueError, KeyError, TypeError):
            log.warning("device.stored_unreadable", device=self.identity.name)
            return
        if boot > self.boot or seq < self._low.get(boot, 0):
            return
        self._confirm(boot, seq)

    def _confirm(self, boot: int, seq: int) -> None:
        self._low[boot] = seq + 1
        self._spool.confirm(self.identity.name, boot=boot, seq=seq)
        oldest = self._on_the_way[0] if self._on_the_way else None
        self._on_the_way = deque(
            sent for sent in self._on_the_way if sent[0] != boot or sent[1] > seq
        )
        if oldest is None or oldest not in self._on_the_way:
            self._progress_s = self._now_s
        self.problem = ""
        self.pump()

    def on_limit(self, payload: bytes | bytearray) -> None:
        """Wait as long as the platform asks; what it did not take is still in the spool."""
        try:
            said = orjson.loads(payload)
            limit, wait_s = str(said["limit"]), float(said["resets_at"]) / 1000 - wall_s()
        except (ValueError, KeyError, TypeError, OverflowError):
            log.warning("device.limit_unreadable", device=self.identity.name)
            return
        # A little later than all the others that have the same instant, and bounded: clocks lie.
        wait_s = min(max(wait_s, 0.0), _LIMIT_WAIT_MAX_S) + self._rng.uniform(0.05, 0.5)
        self._wait_and_start_over(f"over the limit {limit[:64]}", wait_s)

    def _greet(self) -> None:
        """Say what the device is; now and then again, since nothing else tells that one got lost."""
        self._greet_s = self._now_s + self._rng.uniform(0.5, 1.0) * GREET_EVERY_S
        birth: dict[str, object] = {
            "boot": self.boot,
            "firmware": self.firmware,
            "product": self.identity.product,
        }
        if self._controller is not None:
            birth["ts"] = self._controller.at_s() * 1000
        self._say([say("birth", birth, receipt=_BIRTH)])
        if self._controller is not None:
            self._say(self._controller.connected(now_s=self._now_s))

    def _hear(self, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        if kind == "stored":
            self.on_stored(message.payload)
        elif kind == "limit":
            self.on_limit(message.payload)
        elif self._controller is not None:
            self._say(self._controller.hear(kind, bytes(message.payload), now_s=self._now_s))

    def _say(self, messages: Sequence[Said]) -> None:
        for said in messages:
            assert self._paho is not None
            sent = self._paho.publish(f"{self._base}/{said.kind}", said.payload, qos=1)
            self._receipts[sent.mid] = said.receipt

    def _restart(self, controller: Controller) -> None:
        """Start anew under the next boot number, as after a power cut: no goodbye."""
        self._drop_connection()
        self.boot = self._spool.start(self.identity.name, mark=0)
        controller.started(self.boot)
        self._start_over()
        self._next_attempt_s = self._now_s + self._rng.uniform(*RESTART_S)
        log.info("device.restarted", device=self.identity.name, boot=self.boot)

    def close(self) -> None:
        """Say goodbye; the courier still has to send it."""
        if self._paho is None:
            return
        if self.is_connected:
            self._paho.publish(f"{self._base}/will", self._will(), qos=1)
        self._paho.disconnect()

    def _connect(self) -> None:
        paho = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self.identity.name, protocol=mqtt.MQTTv5
        )
        if self._tls is None or not self._tls.has_certificate(self.identity.name):
            paho.username_pw_set(self.identity.name, self.identity.password)
        paho.will_set(f"{self._base}/will", self._will(), qos=1)
        paho.max_inflight_messages_set(2 * WINDOW_MESSAGES)
        if self._address.is_tls:
            paho.tls_set_context(
                self._tls.context(self.identity.name) if self._tls else ssl.create_default_context()
            )
        self._attach(paho)
        self._paho = paho
        self._misc_s = self._now_s
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
        paho.on_publish = current(self._on_publish)
        paho.on_message = current(lambda _userdata, message: self._hear(message))

    def _on_connect(self, _userdata: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if reason.is_failure:
            self.problem = f"the broker refused the device: {reason}"
            return  # the broker hangs up now, and the back-off begins
        assert self._paho is not None
        kinds = ("stored", "limit", *(HEARS if self._controller else ()))
        self._paho.subscribe([(f"{self._base}/{kind}", 1) for kind in kinds])

    def _on_subscribe(self, _userdata: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        if reasons[0].is_failure:  # without the others it can still deliver
            self.problem = "the broker lets the device hear no `stored`"
            log.warning("device.subscribe_refused", device=self.identity.name)
            return
        if self.problem:
            log.info("device.back", device=self.identity.name)
        self.is_connected, self._attempt, self.problem = True, 0, ""
        self._greet()
        self._start_over()

    def _on_publish(self, _userdata: Any, mid: int, reason: ReasonCode, _props: Any) -> None:
        value = int(reason.value)
        receipt = self._receipts.pop(mid, None)
        if receipt is not None:
            self._on_receipt(receipt, is_taken=value == 0)
            return
        if value == 0:
            self._on_taken(mid)
            return
        if value == _NO_SUBSCRIBER:
            self._wait_and_start_over("nobody takes telemetry", full_jitter_s(self._rng, attempt=3))
        elif value == _NOT_AUTHORIZED:
            self._wait_and_start_over("the broker does not let it write", _REFUSED_WAIT_S)
        elif value >= _FAILURE_FROM:  # 0x97 quota exceeded among them
            self._attempt += 1
            wait_s = full_jitter_s(self._rng, attempt=self._attempt)
            self._wait_and_start_over(f"the broker refused a message: {reason}", wait_s)

    def _on_taken(self, mid: int) -> None:
        """Let go of an unnumbered message, with which all before it were taken: what was refused has
        begun all over. Told in order (MQTT 5, 4.6)."""
        place = self._unnumbered.pop(mid, None)
        if place is not None:
            self._confirm(*place)

    def _on_receipt(self, receipt: str, *, is_taken: bool) -> None:
        """What nobody took is said again: after the next connect, or together with the birth."""
        if not is_taken:
            if receipt == _BIRTH:
                self._greet_s = self._now_s + full_jitter_s(self._rng, attempt=2)
        elif receipt and receipt != _BIRTH and self._controller is not None:
            self._controller.taken(receipt)

    def _wait_and_start_over(self, problem: str, wait_s: float) -> None:
        if not self.problem:
            log.warning("device.refused", device=self.identity.name, reason=problem)
        self.problem = problem
        self._resume_s = max(self._resume_s, self._now_s + wait_s)
        self._start_over()

    def _start_over(self) -> None:
        """Begin again at the oldest message that is not confirmed."""
        self._on_the_way.clear()
        self._unnumbered.clear()
        self._cursor = (-1, -1)
        self._is_drained = False
        self._progress_s = self._now_s

    def _lost(self, problem: str) -> None:
        was_fine = not self.problem
        self.problem = self.problem or problem
        if was_fine:
            log.warning("device.lost", device=self.identity.name, reason=self.problem)
        self._drop_connection()
        self._next_attempt_s = self._now_s + full_jitter_s(self._rng, attempt=self._attempt)
        self._attempt += 1

    def _drop_connection(self) -> None:
        paho, self._paho = self._paho, None
        self.is_connected = False
        self._receipts.clear()
        sock = paho.socket() if paho is not None else None
        if sock is not None:
            # Without a DISCONNECT, as when a line breaks: the broker speaks the will.
            self._unregister(sock)
            sock.close()

    def _will(self) -> bytes:
        return orjson.dumps({"boot": self.boot})

    def on_readable(self, now_s: float) -> None:
        self._now_s = now_s
        self._io(lambda paho: paho.loop_read(2 * WINDOW_MESSAGES))
        # TLS may hold decrypted bytes that no selector knows of.
        while (
            self._paho and isinstance(sock := self._paho.socket(), ssl.SSLSocket) and sock.pending()
        ):
            self._io(lambda paho: paho.loop_read(2 * WINDOW_MESSAGES))

    def on_writable(self, now_s: float) -> None:
        self._now_s = now_s
        self._io(lambda paho: paho.loop_write())

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
