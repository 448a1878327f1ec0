"""A device's side of the line: connects, says what it is, and sends its spool until it is `stored`.

A device keeps at most a window of messages on their way. When nothing has been confirmed for the
time-out, or after a reconnect, it starts over at the oldest message of its spool, under the same
numbers. A PUBACK is flow control and never empties the spool, unless the device speaks a format
without numbers, for which there is no `stored`. What the platform wants of the device besides its
samples goes to its controller, if it has one.
"""

import selectors
from collections import deque
from collections.abc import Sequence
from random import Random

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim import log
from firmware_sim.backoff import full_jitter_s
from firmware_sim.clock import wall_s
from firmware_sim.connection import WINDOW_MESSAGES, Address, Connection, Identity, Will
from firmware_sim.controller import HEARS, Controller
from firmware_sim.dialects import JSON, Dialect
from firmware_sim.errors import SimulatorError
from firmware_sim.payload import MESSAGE_BYTES_MAX
from firmware_sim.said import Said, say
from firmware_sim.spool import Spool
from firmware_sim.tls import TlsFiles

CONFIRM_TIMEOUT_S = 30.0
_NO_SUBSCRIBER, _NOT_AUTHORIZED = 0x10, 0x87
_FAILURE_FROM = 0x80
_REFUSED_WAIT_S = 60.0
GREET_EVERY_S = 900.0
"""A birth on its way may be lost without a word, as when the broker was restarted just before."""
_BIRTH = "birth"
_LIMIT_WAIT_MAX_S = 3600.0
RESTART_S = (0.3, 1.0)
"""Shortest and longest time that a restart takes, wall time."""


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
        self._connection = Connection(
            address=address, identity=identity, speaker=self, rng=rng, selector=selector, tls=tls
        )
        self._spool = spool
        self._rng = rng
        self._confirm_timeout_s = confirm_timeout_s
        self._controller = controller
        self._dialect = dialect
        self._greet_s = float("inf")
        self._receipts: dict[int, str] = {}
        """Packet ids of messages of the controller that the broker has not acknowledged."""
        self._base = f"fc/{identity.shard}/{identity.name}"
        self._resume_s = 0.0
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
    def is_connected(self) -> bool:
        return self._connection.is_ready

    @property
    def has_socket(self) -> bool:
        return self._connection.has_socket

    @property
    def problem(self) -> str:
        """Why the last attempt or message failed; empty when all is well."""
        return self._connection.problem

    def wake(self) -> None:
        """The spool has got new messages."""
        self._is_drained = False

    def tick(self, now_s: float) -> None:
        """Connect, time out, keep alive; `now_s` is monotonic."""
        self._connection.now_s = now_s
        if self._controller is not None and self._controller.wants_restart:
            self._restart(self._controller)
        if self.is_held:
            self._connection.drop()
            return
        if not self._connection.tick(now_s):
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
        if not self.is_connected or self._is_drained or self._connection.now_s < self._resume_s:
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
                self._progress_s = self._connection.now_s
            self._on_the_way.append(self._cursor)
            mid = self._connection.publish(f"{self._base}/telemetry", payload)
            if not self._dialect.has_numbers:
                self._unnumbered[mid] = self._cursor

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
            self._progress_s = self._connection.now_s
        self._connection.problem = ""
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
        self._greet_s = self._connection.now_s + self._rng.uniform(0.5, 1.0) * GREET_EVERY_S
        birth: dict[str, object] = {
            "boot": self.boot,
            "firmware": self.firmware,
            "product": self.identity.product,
        }
        if self._controller is not None:
            birth["ts"] = self._controller.at_s() * 1000
        self._say([say("birth", birth, receipt=_BIRTH)])
        if self._controller is not None:
            self._say(self._controller.connected(now_s=self._connection.now_s))

    def on_message(self, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        if kind == "stored":
            self.on_stored(message.payload)
        elif kind == "limit":
            self.on_limit(message.payload)
        elif self._controller is not None:
            self._say(
                self._controller.hear(kind, bytes(message.payload), now_s=self._connection.now_s)
            )

    def _say(self, messages: Sequence[Said]) -> None:
        for said in messages:
            mid = self._connection.publish(f"{self._base}/{said.kind}", said.payload)
            self._receipts[mid] = said.receipt

    def _restart(self, controller: Controller) -> None:
        """Start anew under the next boot number, as after a power cut: no goodbye."""
        self._connection.drop()
        self.boot = self._spool.start(self.identity.name, mark=0)
        controller.started(self.boot)
        self._start_over()
        self._connection.wait(self._rng.uniform(*RESTART_S))
        log.info("device.restarted", device=self.identity.name, boot=self.boot)

    def close(self) -> None:
        """Say goodbye; the courier still has to send it."""
        self._connection.close()

    def make_will(self) -> Will:
        return Will(topic=f"{self._base}/will", payload=orjson.dumps({"boot": self.boot}))

    def hears(self) -> Sequence[str]:
        kinds = ("stored", "limit", *(HEARS if self._controller else ()))
        return [f"{self._base}/{kind}" for kind in kinds]

    def on_ready(self) -> None:
        self._greet()
        self._start_over()

    def on_gone(self) -> None:
        self._receipts.clear()

    def on_published(self, mid: int, reason: ReasonCode) -> None:
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
            self._wait_and_start_over(
                f"the broker refused a message: {reason}", self._connection.back_off_s()
            )

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
                self._greet_s = self._connection.now_s + full_jitter_s(self._rng, attempt=2)
        elif receipt and receipt != _BIRTH and self._controller is not None:
            self._controller.taken(receipt)

    def _wait_and_start_over(self, problem: str, wait_s: float) -> None:
        if not self._connection.problem:
            log.warning("device.refused", device=self.identity.name, reason=problem)
        self._connection.problem = problem
        self._resume_s = max(self._resume_s, self._connection.now_s + wait_s)
        self._start_over()

    def _start_over(self) -> None:
        """Begin again at the oldest message that is not confirmed."""
        self._on_the_way.clear()
        self._unnumbered.clear()
        self._cursor = (-1, -1)
        self._is_drained = False
        self._progress_s = self._connection.now_s
