"""A Sparkplug B edge node: it is born, tells its data by alias, and is born again when it is asked.

Sparkplug prescribes QoS 0 and knows no answer that something was stored, so a message leaves the spool
when the line has taken it. What was sent in the last seconds before a break, or before the platform asked
for a rebirth because it had missed something, is sent once more: as historical, like all that was kept back.
What is lost without either is lost.
"""

import selectors
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim import log
from firmware_sim.clock import wall_s
from firmware_sim.connection import WINDOW_MESSAGES, Address, Connection, Identity, Will
from firmware_sim.errors import SimulatorError
from firmware_sim.sparkplug.payload import is_true
from firmware_sim.sparkplug.session import REBIRTH, Declared, Row, Session
from firmware_sim.spool import Message, Spool
from firmware_sim.tls import TlsFiles

_RECENT_S = 20.0
"""The platform asks for a rebirth no more often than every 5 s."""
_RECENT_MAX = 32
"""Messages of a node that are kept for a repetition, of at most 64 KiB each."""
_START = (-1, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    device: str
    message: Message
    at_s: float
    is_repetition: bool


class SparkplugNode:
    """One edge node, with the devices behind it.

    Parameters
    ----------
    declares : mapping
        What the node measures, under its own name, and what the devices behind it measure.
    """

    def __init__(  # noqa: PLR0913 - keyword-only parts of one node
        self,
        *,
        address: Address,
        identity: Identity,
        boot: int,
        declares: Mapping[str, Sequence[Declared]],
        spool: Spool,
        rng: Random,
        selector: selectors.BaseSelector,
        tls: TlsFiles | None = None,
    ) -> None:
        self.identity = identity
        self.boot = boot
        self.is_held = False
        """While True the node has no way to the broker; its spool fills."""
        self._connection = Connection(
            address=address, identity=identity, speaker=self, rng=rng, selector=selector, tls=tls
        )
        self._session = Session(group=identity.product, node=identity.name, declares=declares)
        self._devices = tuple(declares)
        self._spool = spool
        self._cursors = dict.fromkeys(self._devices, _START)
        self._kept = dict.fromkeys(self._devices, _START)
        """Up to here it was kept back until after a birth."""
        self._newest: dict[str, Row] = {}
        self._on_the_way: dict[int, _Sent] = {}
        self._recent: deque[_Sent] = deque(maxlen=_RECENT_MAX)
        self._again: deque[_Sent] = deque()
        self._is_drained = False

    @property
    def is_connected(self) -> bool:
        return self._connection.is_ready

    @property
    def has_socket(self) -> bool:
        return self._connection.has_socket

    @property
    def problem(self) -> str:
        """Why the last attempt failed; empty when all is well."""
        return self._connection.problem

    def wake(self) -> None:
        """The spool has got new messages."""
        self._is_drained = False

    def tick(self, now_s: float) -> None:
        """Connect, keep alive, send; `now_s` is monotonic."""
        self._connection.now_s = now_s
        if self.is_held:
            self._connection.drop()
        elif self._connection.tick(now_s):
            self._pump()

    def close(self) -> None:
        """Say the death oneself; the courier still has to send it."""
        self._connection.close()

    def make_will(self) -> Will:
        self._session.begin(self._spool.count_connection(self.identity.name))
        death = self._session.death(at_ms=_now_ms())
        return Will(topic=death.topic, payload=death.payload)

    def hears(self) -> Sequence[str]:
        return [self._session.command_topic]

    def on_ready(self) -> None:
        self._be_born()

    def on_message(self, message: mqtt.MQTTMessage) -> None:
        try:
            is_asked = is_true(bytes(message.payload), REBIRTH)
        except SimulatorError:
            log.warning("node.command_unreadable", device=self.identity.name)
            return
        if is_asked:
            log.info("node.rebirth", device=self.identity.name)
            self._be_born()

    def on_published(self, mid: int, reason: ReasonCode) -> None:
        """The line has taken a message: that is all a node ever hears of it."""
        del reason
        sent = self._on_the_way.pop(mid, None)
        if sent is None:
            return
        self._spool.confirm(sent.device, boot=sent.message.boot, seq=sent.message.seq)
        self._recent.append(sent)
        self._pump()

    def on_gone(self) -> None:
        """What was on its way is still in the spool, if it was not a repetition."""
        repeated = (sent for sent in self._on_the_way.values() if sent.is_repetition)
        self._recent.extend((*self._again, *repeated))
        self._again.clear()
        self._on_the_way.clear()
        self._cursors = dict.fromkeys(self._devices, _START)
        self._is_drained = False

    def _be_born(self) -> None:
        """Declare everything, then send what was kept back and what may have got lost."""
        for device in self._devices:
            if (message := self._spool.newest(device)) is not None:
                self._kept[device] = (message.boot, message.seq)
                self._newest[device] = orjson.loads(message.body)[-1]
        for birth in self._session.births(self._newest, at_ms=_now_ms()):
            self._connection.publish(birth.topic, birth.payload, qos=0)
        since_s = self._connection.now_s - _RECENT_S
        # Of what is queued before the birth nobody may understand an alias any more.
        doubtful = (*self._recent, *self._on_the_way.values())
        self._again.extend(sent for sent in doubtful if sent.at_s >= since_s)
        self._recent.clear()
        self._pump()

    def _pump(self) -> None:
        """Send what the window allows: repetitions first, then of each device the oldest."""
        if not self.is_connected:
            return
        while self._again and len(self._on_the_way) < WINDOW_MESSAGES:
            sent = self._again.popleft()
            self._send(sent.device, sent.message, is_historical=True, is_repetition=True)
        if self._is_drained:
            return
        was_full = False
        for device in self._devices:
            room = WINDOW_MESSAGES - len(self._on_the_way)
            boot, seq = self._cursors[device]
            messages = self._spool.after(device, boot=boot, seq=seq, limit=room) if room > 0 else []
            was_full = was_full or len(messages) >= room
            for message in messages:
                place = (message.boot, message.seq)
                self._cursors[device] = place
                self._send(device, message, is_historical=place <= self._kept[device])
        self._is_drained = not was_full

    def _send(
        self, device: str, message: Message, *, is_historical: bool, is_repetition: bool = False
    ) -> None:
        rows = orjson.loads(message.body)
        said = self._session.data(device, rows, at_ms=_now_ms(), is_historical=is_historical)
        mid = self._connection.publish(said.topic, said.payload, qos=0)
        self._on_the_way[mid] = _Sent(
            device=device,
            message=message,
            at_s=self._connection.now_s,
            is_repetition=is_repetition,
        )
        newest = self._newest.get(device)
        if newest is None or rows[-1][0] >= newest[0]:
            self._newest[device] = rows[-1]


def _now_ms() -> int:
    return int(wall_s() * 1000)
