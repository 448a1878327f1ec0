"""The load generator, a process of its own: `python -m bench.ingest.generator`.

Orders come as JSON lines on standard input, answers go to standard output. Packets are made before
a run, so that sending costs little more than system calls; one thread serves all connections.
"""

import mmap
import re
import struct
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

import mqtt5
import msgspec

from bench.ingest.figures import summary
from bench.ingest.link import PACKET_IDS, Access, Link, connect, subscribe
from bench.ingest.records import Answer, Birth, Build, Event, Order, Run, Sent, Setup
from bench.ingest.shapes import flat_payload, payload, shape_named
from core.clock import monotonic_s, pause
from gateway.topics import shard_of, topic_of

_ROUND_S = 0.001
"""Pause between two looks at the connections: a few dozen messages each, in one system call."""
_BIRTH_EVERY_S = 0.05
"""While a run lasts, devices reconnect: 20 a second."""
_READ_BYTES = 1 << 18
_STORED = re.compile(rb'/([A-Za-z0-9_-]+)/stored\x00\{"boot":(\d+),"seq":(\d+)\}')
_STORED_BYTES_MAX = 256
_COUNTER = struct.Struct("<q")


class Load:
    """The packets of a run, dealt out to the connections."""

    def __init__(self, build: Build, links: int) -> None:
        self.build = build
        shape = shape_named(build.shape)
        topics = [topic_of(name, shard=shard_of(name), kind="telemetry") for name in build.devices]
        self.packets: list[list[bytes]] = [[] for _ in range(links)]
        self.place: list[tuple[int, int]] = []
        """Of each device: its connection, and its place among the devices of that connection."""
        for device in range(len(topics)):
            self.place.append((device % links, device // links))
        self.devices_of = [len(range(link, len(topics), links)) for link in range(links)]
        for message in range(build.messages):
            number, device = divmod(message, len(topics))
            out = self.packets[device % links]
            body = (
                payload(
                    shape, device=device, number=number, boot=build.boot, first_ms=build.first_ms
                )
                if build.form == "native"
                else flat_payload(
                    shape,
                    name=build.devices[device],
                    device=device,
                    number=number,
                    first_ms=build.first_ms,
                )
            )
            out.append(_publish(topics[device], body, len(out)))
        self.messages_of = [
            build.messages // len(topics) + (device < build.messages % len(topics))
            for device in range(len(topics))
        ]


class Ear:
    """Hears the `stored` answers of all devices, as the devices would."""

    def __init__(self, access: Access, load: Load) -> None:
        self.socket, _ = connect(access)
        subscribe(self.socket, "fc/+/+/stored")
        self.socket.setblocking(False)
        self._boot = load.build.boot
        self._load = load
        self._index = {name.encode(): i for i, name in enumerate(load.build.devices)}
        self._rest = b""
        self.highest = [-1] * len(self._index)
        self.confirmed = 0
        self.sent_at: list[array[float]] | None = None
        self.latencies_ms: list[float] = []

    def listen(self) -> int:
        """Read what has come; return how many messages are confirmed in all."""
        try:
            read = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return self.confirmed
        data = self._rest + read
        end = 0
        for match in _STORED.finditer(data):
            end = match.end()
            if int(match[2]) == self._boot:
                self._note(self._index.get(match[1], -1), int(match[3]))
        self._rest = data[max(end, len(data) - _STORED_BYTES_MAX) :]
        return self.confirmed

    def _note(self, device: int, seq: int) -> None:
        before = self.highest[device]
        if device < 0 or seq <= before:
            return
        self.highest[device] = seq
        self.confirmed += seq - before
        if self.sent_at is not None:
            link, place = self._load.place[device]
            step = self._load.devices_of[link]
            now_s = monotonic_s()
            self.latencies_ms += [
                1000 * (now_s - self.sent_at[link][number * step + place])
                for number in range(before + 1, seq + 1)
            ]


class Sender:
    """One run: sends, follows what becomes of it, and notes when."""

    def __init__(self, setup: Setup, load: Load, order: Run) -> None:
        self._order = order
        self._load = load
        accesses = _accesses(setup)
        self._ear = Ear(accesses[0], load)
        self._links = [
            Link(access, packets)
            for access, packets in zip(accesses[1:], load.packets, strict=True)
        ]
        self._total = load.build.messages
        with Path(setup.counter).open("r+b") as file:
            self._counter = mmap.mmap(file.fileno(), _COUNTER.size)
        if order.rate:
            self._ear.sent_at = [array("d", bytes(8 * link.total)) for link in self._links]
        self._marks: list[tuple[float, int]] = []
        self._birth_s = 0.0
        self._births = 0

    def run(self) -> Sent:
        started_s = moved_s = monotonic_s()
        sent_s: float | None = None
        done = acked = 0
        is_warm = False
        warm_at = int(self._total * self._order.warm_up)
        while done < self._total or acked < self._total:
            now_s = monotonic_s()
            self._send(now_s, done, elapsed_s=now_s - started_s)
            self._reconnect_a_device(now_s)
            before = (done, acked)
            done, acked = self._done(), sum(link.acked for link in self._links)
            if (done, acked) != before:
                moved_s = now_s
            if done != before[0]:
                self._marks.append((now_s, done))
            if not is_warm and done >= warm_at:
                is_warm = True
                _say(Event(name="warm"))
            if sent_s is None and acked == self._total:
                sent_s = now_s
                _say(Event(name="sent"))
            if now_s - moved_s > self._order.patience_s:
                break
            pause(_ROUND_S)
        return self._result(started_s, sent_s or moved_s, warm_at, acked)

    def close(self) -> None:
        for link in self._links:
            link.close()
        self._ear.socket.close()
        self._counter.close()

    def _send(self, now_s: float, done: int, *, elapsed_s: float) -> None:
        allowed = done + self._order.ahead_max
        if self._order.rate:
            allowed = min(allowed, int(elapsed_s * self._order.rate))
        share = -(-allowed // len(self._links))
        for number, link in enumerate(self._links):
            begun = link.pump(share)
            if begun and self._ear.sent_at is not None:
                times = self._ear.sent_at[number]
                for message in range(link.begun - begun, link.begun):
                    times[message] = now_s

    def _done(self) -> int:
        if self._order.follow == "stored":
            return self._ear.listen()
        count: int = _COUNTER.unpack_from(self._counter)[0]
        return min(count, self._total)

    def _reconnect_a_device(self, now_s: float) -> None:
        if now_s - self._birth_s < _BIRTH_EVERY_S:
            return
        self._birth_s = now_s
        devices = self._load.build.devices
        packet = _birth(devices[self._births % len(devices)], self._load.build, self._births)
        self._births += 1
        self._ear.socket.send(packet)

    def _result(self, started_s: float, sent_s: float, warm_at: int, acked: int) -> Sent:
        inside = [(at, count) for at, count in self._marks if count >= warm_at and at <= sent_s]
        first, last = (inside[0], inside[-1]) if inside else ((0.0, 0), (0.0, 0))
        final_s, done = self._marks[-1] if self._marks else (sent_s, 0)
        devices = self._load.build.devices
        is_stored = self._order.follow == "stored"
        return Sent(
            published=sum(link.begun for link in self._links),
            acknowledged=acked,
            done=done,
            measured=last[1] - first[1],
            measured_s=last[0] - first[0],
            seconds=final_s - started_s,
            confirmed=dict(zip(devices, self._ear.highest, strict=True)) if is_stored else {},
            latency_ms=summary(self._ear.latencies_ms[int(done * self._order.warm_up) :]),
        )


def main() -> None:
    lines = iter(sys.stdin.buffer)
    setup = msgspec.json.decode(next(lines), type=Setup)
    _say(Event(name="ready"))
    load: Load | None = None
    for line in lines:
        order = msgspec.json.decode(line, type=Order)
        if isinstance(order, Build):
            load = None  # the packets of the run before need not be kept beside the new ones
            load = Load(order, len(setup.users) - 1)
            _say(Event(name="built"))
            continue
        assert load is not None
        if isinstance(order, Birth):
            _let_all_be_born(setup, load)
            _say(Event(name="born"))
        else:
            sender = Sender(setup, load, order)
            try:
                _say(sender.run())
            finally:
                sender.close()


def _let_all_be_born(setup: Setup, load: Load) -> None:
    packets = [_birth(name, load.build, i) for i, name in enumerate(load.build.devices)]
    link = Link(_accesses(setup)[0], packets)
    while link.acked < link.total:
        link.pump(link.total)
        pause(_ROUND_S)
    link.close()


def _accesses(setup: Setup) -> Sequence[Access]:
    return [
        Access(host=setup.host, port=setup.port, user=user, password=password)
        for user, password in setup.users
    ]


def _publish(topic: str, body: bytes, number: int) -> bytes:
    packet = mqtt5.PublishPacket(
        topic, body, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number % PACKET_IDS + 1
    )
    return packet.write()


def _birth(device: str, build: Build, number: int) -> bytes:
    topic = topic_of(device, shard=shard_of(device), kind="birth")
    body = b'{"boot":%d,"firmware":"1.0.0","product":"bench"}' % build.boot
    return _publish(topic, body, number)


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
