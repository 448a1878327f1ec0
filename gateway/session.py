"""An MQTT 5 session for reading much and losing nothing: acknowledgements are the caller's.

One thread receives, stores and acknowledges; a second one only sends a sign of life, so that a slow
database does not end the session. The packets are those of `mqtt5`, the socket is plain
(docs/decisions/0003-mqtt-client.md).
"""

import enum
import select
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import mqtt5
import msgspec
import numpy as np

from core.clock import monotonic_s, pause
from core.endpoints import MqttEndpoint
from core.errors import PermanentError, RetryableError

_KEEPALIVE_S = 60
_SIGN_OF_LIFE_S = 15.0
_SESSION_S = 0xFFFF_FFFF
"""Never ends: Mosquitto keeps no date for such a session (docs/decisions/0006)."""
_CONNECT_TIMEOUT_S = 10.0
_READ_BYTES = 1 << 18
_SMALL_READ_BYTES = 1 << 14
_COALESCE_S = 0.002
"""Pause after a small read: halves the processor time per message (many a read, one system call)."""
_HEARTBEAT_EVERY_S = 10.0
_DEAF_AFTER_S = 30.0
_HEARTBEAT = b"{}"
# The codes of mqtt5 are typed as enumerations, but can be neither hashed nor ordered: compare or
# convert them, nothing else.
_REFUSED = (
    mqtt5.ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD,
    mqtt5.ConnAckReasonCode.NOT_AUTHORIZED,
    mqtt5.ConnAckReasonCode.CLIENT_ID_NOT_VALID,
)
_FAILURE = 0x80
_PUBACK = np.dtype([("head", ">u2"), ("id", ">u2")])
_PUBACK_HEAD = 0x4002
"""PUBACK, two more bytes: success needs no reason code."""


class BrokerAwayError(RetryableError):
    """No connection to the broker, or it was lost."""


class DeafError(BrokerAwayError):
    """The connection stands, but nothing comes through it."""


class BrokerRefusedError(PermanentError):
    """The broker does not accept our credential or subscription."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One message as it came."""

    topic: str
    payload: bytes
    packet_id: int
    """0: QoS 0, nothing to acknowledge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    filters: Sequence[str]
    unwanted: Sequence[str] = ()
    """Filters that an earlier configuration may have left in the broker's session."""
    heartbeat_topic: str
    """A topic below one of the filters that this user may write."""
    receive_max: int
    """Messages that the broker hands over unacknowledged."""


class Session:
    """A session that outlives its connections. Not for use by two threads."""

    def __init__(self, endpoint: MqttEndpoint, options: SessionOptions) -> None:
        self.endpoint = endpoint
        self.options = options
        self.was_present = False
        """Whether the broker still had our session at the last connect."""
        self._socket: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._rest = b""
        self._packet_id = 0
        self._is_next_read_delayed = False
        self._heartbeat_s = 0.0
        self._unanswered_s: float | None = None
        self._closing = threading.Event()
        self._life: threading.Thread | None = None

    def connect(self) -> None:
        """Connect and subscribe; what the broker has kept for us comes first.

        Raises
        ------
        BrokerAwayError
            If the broker does not answer.
        BrokerRefusedError
            If it refuses the credential.
        """
        self.close()
        address = (self.endpoint.host, self.endpoint.port)
        try:
            self._socket = socket.create_connection(address, timeout=_CONNECT_TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send(self._connect_packet())
            answer = self._await_answer()
        except OSError as error:
            self.close()
            raise BrokerAwayError(f"the broker does not answer: {error}") from error
        if answer.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            self.close()
            self._raise_refused(answer.reason_code)
        self.was_present = answer.session_present
        # Always: a broker that lost its memory would else keep a silent session.
        self._subscribe(unwanted=self.options.unwanted if self.was_present else ())
        self._heartbeat_s, self._unanswered_s = monotonic_s(), None
        self._closing = threading.Event()
        self._life = threading.Thread(
            target=self._show_life, args=(self._closing,), name="mqtt life", daemon=True
        )
        self._life.start()

    def receive(self, timeout_s: float) -> list[Arrival]:
        """Return what has come, in order, waiting for at most so many seconds.

        Raises
        ------
        BrokerAwayError
            If the connection is gone.
        """
        self._beat()
        sock = self._connected()
        try:
            readable, _, _ = select.select([sock], [], [], timeout_s)
            if not readable:
                self._check_hearing()
                return []
            if self._is_next_read_delayed:
                pause(_COALESCE_S)
            read = sock.recv(_READ_BYTES)
        except (OSError, ValueError) as error:
            raise BrokerAwayError(f"the connection to the broker broke: {error}") from error
        if not read:
            raise BrokerAwayError("the broker closed the connection")
        self._is_next_read_delayed = len(read) < _SMALL_READ_BYTES
        return self._parse(read)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Acknowledge messages in the given order, which must be the order of arrival."""
        ids = np.fromiter((a.packet_id for a in arrivals if a.packet_id), dtype=np.uint16)
        if len(ids):
            packets = np.empty(len(ids), dtype=_PUBACK)
            packets["head"] = _PUBACK_HEAD
            packets["id"] = ids
            self._send(packets.tobytes())

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish at QoS 0: sent once, not kept for anybody who is away."""
        packets = [mqtt5.PublishPacket(topic, payload).write() for topic, payload in messages]
        if packets:
            self._send(b"".join(packets))

    def hand_over(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish at QoS 1, so that the broker keeps it for those who are away.

        The broker's answers are not waited for: whatever is acknowledged after this goes over the
        same connection behind it, so a broken one takes both away, and the cause comes again.
        """
        packets = [
            mqtt5.PublishPacket(
                topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._next_packet_id()
            ).write()
            for topic, payload in messages
        ]
        if packets:
            self._send(b"".join(packets))

    def close(self) -> None:
        """Leave; the broker keeps the session and what comes for it."""
        self._closing.set()
        if self._socket is not None:
            with suppress(OSError, BrokerAwayError):
                self._send(mqtt5.DisconnectPacket(session_expiry_interval=_SESSION_S).write())
            self._socket.close()
        if self._life is not None:
            self._life.join(timeout=1.0)
        self._socket, self._life, self._rest = None, None, b""

    def _next_packet_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def _connect_packet(self) -> bytes:
        return mqtt5.ConnectPacket(
            client_id=self.endpoint.user,
            username=self.endpoint.user,
            password=self.endpoint.password.encode(),
            clean_start=False,
            keep_alive=_KEEPALIVE_S,
            session_expiry_interval=_SESSION_S,
            receive_max=self.options.receive_max,
        ).write()

    def _await_answer(self) -> mqtt5.ConnAckPacket:
        assert self._socket is not None
        data = b""
        while True:
            read = self._socket.recv(_READ_BYTES)
            if not read:
                raise ConnectionError("it closed the connection")
            data += read
            try:
                packet, length = mqtt5.read(memoryview(data))
            except IndexError:
                continue
            except ValueError as error:
                raise ConnectionError(f"it does not speak MQTT 5: {error}") from error
            if not isinstance(packet, mqtt5.ConnAckPacket):
                raise ConnectionError("it does not speak MQTT 5")
            self._rest = data[length:]
            return packet

    def _raise_refused(self, reason: mqtt5.ConnAckReasonCode) -> None:
        name = _said(reason)
        if reason in _REFUSED:
            raise BrokerRefusedError(
                f"the broker refuses {self.endpoint.user}: {name}",
                hint="`forecare broker sync` writes its password file anew; FORECARE_SECRET_KEY must"
                " be the same for all processes of an installation",
            )
        raise BrokerAwayError(f"the broker answers: {name}")

    def _subscribe(self, *, unwanted: Sequence[str]) -> None:
        packets = b""
        if unwanted:
            packets += mqtt5.UnsubscribePacket(1, list(unwanted)).write()
        filters = [
            mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE)
            for pattern in self.options.filters
        ]
        packets += mqtt5.SubscribePacket(2, filters).write()
        self._send(packets)

    def _parse(self, read: bytes) -> list[Arrival]:
        data = self._rest + read if self._rest else read
        view = memoryview(data)
        arrivals: list[Arrival] = []
        at = 0
        packet: mqtt5.Packet | Arrival
        while at < len(data):
            try:
                packet, length = mqtt5.read(view[at:])
            except IndexError:
                break
            except ValueError as error:
                frame = _frame(data, at)
                if frame is None:
                    break
                packet, length = _unreadable(data, at, frame, error), frame[1] - at
            at += length
            if isinstance(packet, mqtt5.PublishPacket):
                arrivals.append(Arrival(packet.topic, packet.payload, packet.packet_id or 0))
            elif isinstance(packet, Arrival):
                arrivals.append(packet)
            else:
                self._notice(packet)
        self._rest = data[at:]
        if arrivals:
            self._unanswered_s = None
            own = self.options.heartbeat_topic
            return [a for a in arrivals if a.topic != own or a.packet_id]
        return arrivals

    def _notice(self, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.SubAckPacket):
            failed = [code for code in packet.reason_codes if int(code) >= _FAILURE]
            if failed:
                raise BrokerRefusedError(f"the broker refuses a subscription: {_said(failed[0])}")
        elif isinstance(packet, mqtt5.DisconnectPacket):
            raise BrokerAwayError(f"the broker ended the connection: {_said(packet.reason_code)}")

    def _beat(self) -> None:
        now_s = monotonic_s()
        if now_s - self._heartbeat_s < _HEARTBEAT_EVERY_S:
            return
        self._heartbeat_s = now_s
        if self._unanswered_s is None:
            self._unanswered_s = now_s
        self.publish([(self.options.heartbeat_topic, _HEARTBEAT)])

    def _check_hearing(self) -> None:
        """Our own heartbeat takes the way of the telemetry: filter, access list, queue."""
        if self._unanswered_s is None:
            return
        silence_s = monotonic_s() - self._unanswered_s
        if silence_s > _DEAF_AFTER_S:
            raise DeafError(
                f"nothing came through for {silence_s:.0f} s, not even our own heartbeat"
            )

    def _show_life(self, closing: threading.Event) -> None:
        ping = mqtt5.PingReqPacket().write()
        while not closing.wait(_SIGN_OF_LIFE_S):
            with suppress(BrokerAwayError):  # the receiving thread meets the same error
                self._send(ping)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise BrokerAwayError("not connected to the broker")
        return self._socket

    def _send(self, data: bytes) -> None:
        with self._send_lock:
            try:
                self._connected().sendall(data)
            except OSError as error:
                raise BrokerAwayError(f"the connection to the broker broke: {error}") from error


def _said(code: enum.IntEnum) -> str:
    return code.name.lower().replace("_", " ")


def _unreadable(data: bytes, at: int, frame: tuple[int, int], error: Exception) -> Arrival:
    """Cut out a PUBLISH that the packet reader refuses, so that it can be kept and acknowledged.

    The broker has accepted it and would deliver it again after every reconnect: without this one
    device could stop everybody's telemetry.
    """
    body = data[frame[0] : frame[1]]
    topic_length = int.from_bytes(body[:2], "big")
    has_id = bool(data[at] & 0b110)
    if data[at] >> 4 != 3 or len(body) < 2 + topic_length + 2 * has_id:
        raise BrokerAwayError(f"the broker sent what cannot be read: {error}") from error
    topic = body[2 : 2 + topic_length].decode(errors="replace")
    packet_id = int.from_bytes(body[2 + topic_length : 4 + topic_length], "big") if has_id else 0
    return Arrival(topic, body[2 + topic_length :], packet_id)


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where a packet's body starts and ends; None while it is incomplete."""
    length = 0
    for i in range(4):
        if at + 1 + i >= len(data):
            return None
        byte = data[at + 1 + i]
        length |= (byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            start = at + 2 + i
            return (start, start + length) if start + length <= len(data) else None
    raise BrokerAwayError("the broker sent what is no packet")
