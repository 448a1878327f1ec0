"""One connection of the load generator: pre-built packets out, acknowledgements counted.

Not a client for devices: it speaks for many of them at once and keeps nothing.
"""

import socket
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import mqtt5

from core.errors import RetryableError

_READ_BYTES = 1 << 18
_KEEPALIVE_S = 120
"""Not the broker's `max_keepalive`, and not 0, which it turns into that: Mosquitto 2.0.21 then closes
the connection within a second or two ("has exceeded timeout")."""
_CONNECT_TIMEOUT_S = 10.0
_FOR_EVER = 0xFFFF_FFFF
_PUBACK = 0x40
_FAILURE = 0x80
PACKET_IDS = 65_535


class LoadError(RetryableError):
    """The load generator was refused, or its connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the broker is, and who the generator is there."""

    host: str
    port: int
    user: str
    password: str


def connect(access: Access) -> tuple[socket.socket, int]:
    """Connect with a new session; return the socket and the broker's Receive Maximum."""
    sock = socket.create_connection((access.host, access.port), timeout=_CONNECT_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    packet = mqtt5.ConnectPacket(
        client_id=access.user,
        username=access.user,
        password=access.password.encode(),
        clean_start=True,
        keep_alive=_KEEPALIVE_S,
        session_expiry_interval=0,
    )
    sock.sendall(packet.write())
    answer, _ = mqtt5.read(memoryview(sock.recv(_READ_BYTES)))
    if (
        not isinstance(answer, mqtt5.ConnAckPacket)
        or answer.reason_code != mqtt5.ConnAckReasonCode.SUCCESS
    ):
        raise LoadError(f"the broker refuses {access.user}: {answer}")
    return sock, answer.receive_max


def connect_lasting(access: Access, pattern: str) -> None:
    """Make a session that outlives its connection, subscribed at QoS 1, and leave it."""
    packet = mqtt5.ConnectPacket(
        client_id=access.user,
        username=access.user,
        password=access.password.encode(),
        clean_start=False,
        keep_alive=_KEEPALIVE_S,
        session_expiry_interval=_FOR_EVER,
    )
    topic = mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE)
    with socket.create_connection((access.host, access.port), _CONNECT_TIMEOUT_S) as sock:
        sock.sendall(packet.write())
        _expect(sock, mqtt5.ConnAckPacket)
        sock.sendall(mqtt5.SubscribePacket(1, [topic]).write())
        _expect(sock, mqtt5.SubAckPacket)


def _expect(sock: socket.socket, kind: type[object]) -> None:
    answer, _ = mqtt5.read(memoryview(sock.recv(_READ_BYTES)))
    if not isinstance(answer, kind):
        raise LoadError(f"the broker answers {answer} where {kind.__name__} was due")


def subscribe(sock: socket.socket, pattern: str) -> None:
    """Subscribe at QoS 0 and wait for the answer; what comes beside it is dropped."""
    topic = mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_MOST_ONCE)
    sock.sendall(mqtt5.SubscribePacket(1, [topic]).write())
    answer, _ = mqtt5.read(memoryview(sock.recv(_READ_BYTES)))
    if not isinstance(answer, mqtt5.SubAckPacket) or int(answer.reason_codes[0]) >= _FAILURE:
        raise LoadError(f"the broker refuses the subscription to {pattern}: {answer}")


def count_acks(data: bytes) -> tuple[int, int]:
    """Count the PUBACKs in what was read; return them and the bytes that they took.

    Raises
    ------
    LoadError
        If the broker refused a message, or sent anything else.
    """
    if not len(data) & 3 and data[0::4].count(_PUBACK) * 4 == len(data) == data[1::4].count(2) * 4:
        return len(data) >> 2, len(data)
    at = acks = 0
    while at + 2 <= len(data):
        length = data[at + 1]
        if data[at] != _PUBACK or length > 127:
            raise LoadError(f"the broker sent a packet of kind {data[at] >> 4} to the generator")
        if at + 2 + length > len(data):
            break
        if length > 2 and data[at + 4] >= _FAILURE:
            raise LoadError(f"the broker refused a message with reason 0x{data[at + 4]:02x}")
        at += 2 + length
        acks += 1
    return acks, at


class Link:
    """Sends the packets of one connection in order, never more unacknowledged than allowed."""

    def __init__(self, access: Access, packets: Sequence[bytes]) -> None:
        self._socket, self.window = connect(access)
        self._socket.setblocking(False)
        self._ends: list[int] = []
        size = 0
        for packet in packets:
            size += len(packet)
            self._ends.append(size)
        self._view = memoryview(b"".join(packets))
        self._at = 0
        self._rest = b""
        self.total = len(packets)
        self.begun = 0
        """Messages handed to the socket, the last one perhaps in part."""
        self.acked = 0

    def pump(self, allowed: int) -> int:
        """Read acknowledgements, then send up to message `allowed`; return how many were begun."""
        if self.acked < self.begun:
            self._read()
        until = min(allowed, self.acked + self.window, self.total)
        if until <= 0:
            return 0
        end = self._ends[until - 1]
        if self._at >= end:
            return 0
        with suppress(BlockingIOError):
            self._at += self._socket.send(self._view[self._at : end])
        before = self.begun
        self.begun = bisect_left(self._ends, self._at) + 1 if self._at else 0
        return self.begun - before

    def close(self) -> None:
        with suppress(OSError):
            self._socket.sendall(mqtt5.DisconnectPacket().write())
        self._socket.close()

    def _read(self) -> None:
        try:
            read = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise LoadError(f"the generator's connection broke: {error}") from error
        if not read:
            raise LoadError("the broker closed the generator's connection")
        data = self._rest + read
        acks, used = count_acks(data)
        self._rest = data[used:]
        self.acked += acks
