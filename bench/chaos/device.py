"""One device: a socket, MQTT 5 packets, and a spool that holds each message until `stored`.

It promises what docs/reference/wire-format.md asks of a device: oldest boot first, the same numbers
at each repetition, a PUBACK is flow control only.
"""

import errno
import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import mqtt5
import orjson

from bench.chaos.ledger import Ledger, Mark
from bench.chaos.payloads import Message, Recipe
from core.clock import wall_now

_WINDOW = 8
"""Messages on their way, of which a few may be sent twice or have an escort."""
UNACKNOWLEDGED_MAX = 18
_CONFIRM_S = (3.0, 30.0)
"""Time-out of a confirmation, doubled as long as none comes."""
_RECONNECT_S = (0.3, 5.0)
_STORM_PAUSE_S = 0.05
_JOIN_WITHIN_S = 15.0
KEEP_ALIVE_S = 60
_PING_S = 20.0
_NOT_TAKEN_S = 1.0
_LIMIT_S = 60.0
_FAILURE = 0x80
_QOS1 = mqtt5.QoS.AT_LEAST_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    index: int
    name: str
    shard: str
    password: str

    def topic(self, kind: str) -> str:
        return f"fc/{self.shard}/{self.name}/{kind}"


@dataclass(slots=True, kw_only=True)
class Hub:
    """What all devices of a process share."""

    host: str
    port: int
    recipe: Recipe
    ledger: Ledger
    selector: selectors.BaseSelector
    rng: Random
    now_s: float = 0.0
    has_storm: bool = False
    """Reconnect at once, without jitter."""
    is_quiet: bool = False
    """No more messages are made."""
    on_confirmed: Callable[[float], None] = lambda _sent_s: None
    """Is told when a message was sent that has just been confirmed."""
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("attempted", "acknowledged", "sent", "refused", "doubled", "ahead", "limited"), 0
        )
    )


@dataclass(slots=True)
class Spool:
    """Messages of one boot that are not confirmed: all from `low` to before `end`."""

    low: int = 0
    end: int = 0


class Device:
    """Driven by one thread: `tick` several times a second, `on_event` when its socket is ready."""

    def __init__(
        self, identity: Identity, hub: Hub, *, boot: int, spools: dict[int, Spool]
    ) -> None:
        self.identity = identity
        self.boot = boot
        self.spools = {**spools, boot: spools.get(boot, Spool())}
        self.is_on = False
        self._hub = hub
        self._socket: socket.socket | None = None
        self._is_open = False
        self._out = b""
        self._rest = b""
        self._packet_id = 0
        self._unacknowledged: dict[int, tuple[int, int] | None] = {}
        self._on_the_way: deque[tuple[int, int, float]] = deque()
        self._cursor = (-1, -1)
        self._failures = 0
        self._next_attempt_s = 0.0
        self._joining_s = 0.0
        self._pinged_s = 0.0
        self._resume_s = 0.0
        self._progress_s = 0.0
        self._timeout_s = _CONFIRM_S[0]
        self._again: deque[bytes] = deque()

    @property
    def has_socket(self) -> bool:
        return self._socket is not None

    @property
    def waiting(self) -> int:
        """Messages that are not confirmed."""
        return sum(spool.end - spool.low for spool in self.spools.values())

    @property
    def escorts_waiting(self) -> int:
        return len(self._again)

    def make(self) -> None:
        """Take one more message into the spool; it may go out after the ledger's next `sync`."""
        spool = self.spools[self.boot]
        self._hub.ledger.add(Mark.ATTEMPTED, self.identity.index, self.boot, spool.end)
        self._hub.counts["attempted"] += 1
        spool.end += 1

    def send_again(self, payload: bytes) -> None:
        """Send what has no number once more."""
        self._again.append(payload)

    def tick(self) -> None:
        now_s = self._hub.now_s
        if not self.has_socket:
            if now_s >= self._next_attempt_s:
                self._connect()
            return
        if not self.is_on:
            if now_s - self._joining_s > _JOIN_WITHIN_S:
                self.drop()
            return
        self._keep_alive()
        if self._on_the_way and now_s - self._progress_s > self._timeout_s:
            self._timeout_s = min(_CONFIRM_S[1], self._timeout_s * 2)
            self._start_over()
        self.pump()

    def pump(self) -> None:
        """Send what the window allows, oldest first."""
        if not self.is_on or self._hub.now_s < self._resume_s:
            return
        while self._again and len(self._unacknowledged) < UNACKNOWLEDGED_MAX:
            self._publish("telemetry", self._again.popleft())
        waiting = self._next_messages()
        compose = self._hub.recipe.message
        composed = [(boot, seq, compose(self.identity.index, boot, seq)) for boot, seq in waiting]
        for place in range(len(composed) - 1):
            if composed[place + 1][2].is_ahead:
                composed[place], composed[place + 1] = composed[place + 1], composed[place]
                self._hub.counts["ahead"] += 1
        for boot, seq, message in composed:
            self._send_message(boot, seq, message)

    def on_event(self, events: int) -> None:
        if self._socket is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._on_writable()
            if events & selectors.EVENT_READ and self._socket is not None:
                self._on_readable()
        except OSError:
            self.drop()

    def drop(self) -> None:
        """Lose the connection, as when a line breaks."""
        self._close()
        self.is_on = False
        self._unacknowledged.clear()
        low, high = _RECONNECT_S
        limit_s = min(high, low * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        pause_s = _STORM_PAUSE_S if self._hub.has_storm else self._hub.rng.uniform(0, limit_s)
        self._next_attempt_s = self._hub.now_s + pause_s

    def _close(self) -> None:
        if self._socket is not None:
            with suppress(KeyError, ValueError):
                self._hub.selector.unregister(self._socket)
            self._socket.close()
        self._socket, self._is_open = None, False
        self._out = self._rest = b""

    def _keep_alive(self) -> None:
        if self._hub.now_s - self._pinged_s > _PING_S:
            self._pinged_s = self._hub.now_s
            self._send(mqtt5.PingReqPacket().write())

    def _next_messages(self) -> list[tuple[int, int]]:
        room = min(
            _WINDOW - len(self._on_the_way),
            (UNACKNOWLEDGED_MAX - len(self._unacknowledged)) // 3,
        )
        found: list[tuple[int, int]] = []
        for boot in sorted(self.spools):
            if len(found) >= room or boot < self._cursor[0]:
                continue
            spool = self.spools[boot]
            first = max(spool.low, self._cursor[1] + 1 if boot == self._cursor[0] else 0)
            found += [
                (boot, seq) for seq in range(first, min(spool.end, first + room - len(found)))
            ]
        if found and self._is_waited_for(*found[-1]):
            found.pop()
        if found:
            self._cursor = found[-1]
        return found

    def _is_waited_for(self, boot: int, seq: int) -> bool:
        """Tell whether the next message goes first, and has not been made yet."""
        if self._hub.is_quiet or boot != self.boot or seq + 1 < self.spools[boot].end:
            return False
        return self._hub.recipe.message(self.identity.index, boot, seq + 1).is_ahead

    def _send_message(self, boot: int, seq: int, message: Message) -> None:
        now_s = self._hub.now_s
        if not self._on_the_way:
            self._progress_s = now_s
        self._on_the_way.append((boot, seq, now_s))
        if message.escort is not None:
            self._publish("telemetry", message.escort)
        self._publish("telemetry", message.payload, key=(boot, seq))
        if message.is_doubled:
            self._hub.counts["doubled"] += 1
            self._publish("telemetry", message.payload, key=(boot, seq))

    def _connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._joining_s = sock, self._hub.now_s
        if sock.connect_ex((self._hub.host, self._hub.port)) not in (0, errno.EINPROGRESS):
            self.drop()
            return
        self._hub.selector.register(sock, selectors.EVENT_WRITE, self)

    def _on_writable(self) -> None:
        assert self._socket is not None
        if not self._is_open:
            if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.drop()
                return
            self._is_open = True
            self._out = self._greeting()
        self._flush()

    def _on_readable(self) -> None:
        assert self._socket is not None
        try:
            read = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        if not read:
            self.drop()
            return
        self._rest += read
        view, at = memoryview(self._rest), 0
        while at < len(view):
            try:
                packet, length = mqtt5.read(view[at:])
            except IndexError:
                break
            at += length
            self._take(packet)
            if not self.has_socket:
                return
        self._rest = self._rest[at:]

    def _take(self, packet: Any) -> None:
        if isinstance(packet, mqtt5.PubAckPacket):
            self._acknowledged(packet.packet_id, int(packet.reason_code))
        elif isinstance(packet, mqtt5.PublishPacket):
            if packet.packet_id:
                self._send(mqtt5.PubAckPacket(packet.packet_id).write())
            self._on_message(packet.topic.rpartition("/")[2], packet.payload)
        elif isinstance(packet, mqtt5.ConnAckPacket):
            if int(packet.reason_code) >= _FAILURE:
                self.drop()
                return
            filters = [mqtt5.TopicFilter(self.identity.topic("stored"), max_qos=_QOS1)]
            filters.append(mqtt5.TopicFilter(self.identity.topic("limit"), max_qos=_QOS1))
            self._send(mqtt5.SubscribePacket(self._next_id(), filters).write())
        elif isinstance(packet, mqtt5.SubAckPacket):
            self._joined()
        elif isinstance(packet, mqtt5.DisconnectPacket):
            self.drop()

    def _joined(self) -> None:
        self.is_on, self._failures, self._pinged_s = True, 0, self._hub.now_s
        self._timeout_s = _CONFIRM_S[0]
        birth = {"boot": self.boot, "firmware": "1.0.0", "product": "chaos"}
        self._publish("birth", orjson.dumps(birth))
        self._start_over()
        self.pump()

    def _acknowledged(self, number: int, reason: int) -> None:
        key = self._unacknowledged.pop(number, None)
        if reason == 0:
            if key is not None:
                self._hub.ledger.add(Mark.ACKNOWLEDGED, self.identity.index, *key)
                self._hub.counts["acknowledged"] += 1
            return
        # Nobody has subscribed (0x10), or the broker refuses it: no acceptance, so once more later.
        self._hub.counts["refused"] += 1
        self._resume_s = self._hub.now_s + self._hub.rng.uniform(0, _NOT_TAKEN_S)
        self._start_over()

    def _on_message(self, kind: str, payload: bytes) -> None:
        try:
            said = orjson.loads(payload)
            if kind == "stored":
                self._on_stored(int(said["boot"]), int(said["seq"]))
            elif kind == "limit":
                self._on_limit(int(said["resets_at"]))
        except (ValueError, KeyError, TypeError):
            return

    def _on_limit(self, resets_ms: int) -> None:
        """Wait until messages are taken again, then begin at the oldest that was not."""
        self._hub.counts["limited"] += 1
        wait_s = resets_ms / 1000 - wall_now().timestamp()
        self._resume_s = self._hub.now_s + min(_LIMIT_S, max(0.0, wait_s)) + self._hub.rng.random()
        self._start_over()

    def _on_stored(self, boot: int, seq: int) -> None:
        spool = self.spools.get(boot)
        if spool is None or not spool.low <= seq < spool.end:
            return
        spool.low = seq + 1
        self._hub.ledger.add(Mark.CONFIRMED, self.identity.index, boot, seq)
        kept: deque[tuple[int, int, float]] = deque()
        for entry in self._on_the_way:
            if entry[0] == boot and entry[1] <= seq:
                self._hub.on_confirmed(entry[2])
            else:
                kept.append(entry)
        self._on_the_way = kept
        self._progress_s, self._timeout_s = self._hub.now_s, _CONFIRM_S[0]
        if boot != self.boot and spool.low == spool.end:
            del self.spools[boot]
        self.pump()

    def _start_over(self) -> None:
        """Begin again at the oldest message that is not confirmed."""
        self._on_the_way.clear()
        self._cursor = (-1, -1)
        self._progress_s = self._hub.now_s

    def _greeting(self) -> bytes:
        will = mqtt5.Will(self.identity.topic("will"), payload=orjson.dumps({"boot": self.boot}))
        return mqtt5.ConnectPacket(
            client_id=self.identity.name,
            username=self.identity.name,
            password=self.identity.password.encode(),
            clean_start=True,
            keep_alive=KEEP_ALIVE_S,
            will=will,
        ).write()

    def _publish(self, kind: str, payload: bytes, *, key: tuple[int, int] | None = None) -> None:
        number = self._next_id()
        self._unacknowledged[number] = key
        self._hub.counts["sent"] += 1
        packet = mqtt5.PublishPacket(
            self.identity.topic(kind), payload, qos=_QOS1, packet_id=number
        )
        self._send(packet.write())

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def _send(self, data: bytes) -> None:
        self._out += data
        with suppress(OSError):  # the reading side meets the same error and drops the connection
            self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        if self._out:
            with suppress(BlockingIOError):
                self._out = self._out[self._socket.send(self._out) :]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        self._hub.selector.modify(self._socket, events, self)
