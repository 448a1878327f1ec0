"""The devices as a process of their own: reads an order and commands, sends, and keeps the ledger.

`python -m bench.chaos.load ORDER`; one JSON object a line on both sides. It ends when its input
ends, so none is left behind. Killed and started again it goes on from the ledger, with new boots.
"""

import os
import resource
import selectors
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson

from bench.chaos.device import Device, Hub, Identity, Spool
from bench.chaos.ledger import Entries, Ledger, read_ledger
from bench.chaos.paho_device import PahoDevice
from bench.chaos.payloads import Recipe
from core.clock import monotonic_s

_MAKE_EVERY_S = 0.05
_REPORT_EVERY_S = 0.1
_SELECT_S = 0.02
_LATE_MAX_S = 2.0
"""Messages that a stalled process has failed to make are made up for as far as this."""


class Order(msgspec.Struct, kw_only=True):
    """What to send, and where."""

    host: str
    port: int
    seed: int
    start_ms: int
    shares: dict[str, float]
    messages_per_s: float
    ledger: str
    devices: list[tuple[str, str, str]]
    """Name, shard, password."""
    over_paho: int = 0
    """Of these, the first so many speak through paho-mqtt."""


class Load:
    def __init__(self, order: Order) -> None:
        entries = read_ledger(Path(order.ledger))
        rng = Random(order.seed)  # noqa: S311 - jitter
        self._hub = Hub(
            host=order.host,
            port=order.port,
            recipe=Recipe(seed=order.seed, start_ms=order.start_ms, shares=order.shares),
            ledger=Ledger(Path(order.ledger)),
            selector=selectors.DefaultSelector(),
            rng=rng,
            now_s=monotonic_s(),
        )
        self._hub.on_confirmed = self._on_confirmed
        self._hub.counts["attempted"] = len(entries.attempted)
        self._hub.counts["acknowledged"] = len(entries.acknowledged)
        self.devices = list(_devices(order, self._hub, entries))
        self._per_s = order.messages_per_s
        self._file = Path(order.ledger)
        self._turn = 0
        self._made_s = self._reported_s = self._hub.now_s
        self._marks: dict[int, float] = {}
        self._commands = b""
        os.set_blocking(sys.stdin.fileno(), False)
        self._hub.selector.register(sys.stdin, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Send until the input ends."""
        is_over = False
        while not is_over:
            for key, events in self._hub.selector.select(_SELECT_S):
                self._hub.now_s = monotonic_s()
                if key.data is None:
                    is_over = not self._read_commands()
                else:
                    key.data.on_event(events)
            self._hub.now_s = monotonic_s()
            if self._hub.now_s - self._made_s >= _MAKE_EVERY_S:
                self._make()
                self._hub.ledger.sync()
                self._hub.now_s = monotonic_s()
                for device in self.devices:
                    device.tick()
            if self._hub.now_s - self._reported_s >= _REPORT_EVERY_S:
                self._reported_s = self._hub.now_s
                self._report()
        for device in self.devices:
            device.drop()
        self._hub.ledger.close()

    def _make(self) -> None:
        passed_s = min(_LATE_MAX_S, self._hub.now_s - self._made_s)
        count = int(passed_s * self._per_s)
        self._made_s = max(self._made_s + count / self._per_s, self._hub.now_s - _LATE_MAX_S)
        if self._hub.is_quiet:
            return
        for _ in range(count):
            self.devices[self._turn].make()
            self._turn = (self._turn + 1) % len(self.devices)

    def _read_commands(self) -> bool:
        read = os.read(sys.stdin.fileno(), 1 << 16)
        if not read:
            return False
        *lines, self._commands = (self._commands + read).split(b"\n")
        for line in lines:
            self._obey(orjson.loads(line))
        return True

    def _obey(self, command: dict[str, Any]) -> None:
        name = command["do"]
        if name == "mark":
            self._marks[command["number"]] = self._hub.now_s
        elif name == "storm":
            self._hub.has_storm = command["is_on"]
        elif name == "quiet":
            self._hub.is_quiet = True
        elif name == "escorts":
            self._send_escorts()

    def _send_escorts(self) -> None:
        entries = read_ledger(self._file)
        for device, boot, seq in sorted(entries.attempted):
            escort = self._hub.recipe.message(device, boot, seq).escort
            if escort is not None:
                self.devices[device].send_again(escort)

    def _on_confirmed(self, sent_s: float) -> None:
        for number, since_s in list(self._marks.items()):
            if sent_s > since_s:
                del self._marks[number]
                _say({"event": "back", "mark": number, "after_s": self._hub.now_s - since_s})

    def _report(self) -> None:
        _say(
            {
                "event": "progress",
                **self._hub.counts,
                "waiting": sum(device.waiting for device in self.devices),
                "escorts_waiting": sum(device.escorts_waiting for device in self.devices),
                "connected": sum(device.is_on for device in self.devices),
            }
        )


def _devices(order: Order, hub: Hub, entries: Entries) -> Iterator[Device]:
    ends: dict[int, dict[int, int]] = {}
    for index, boot, seq in entries.attempted:
        boots = ends.setdefault(index, {})
        boots[boot] = max(boots.get(boot, 0), seq + 1)
    for index, (name, shard, password) in enumerate(order.devices):
        boots = ends.get(index, {})
        spools = {
            boot: Spool(low=entries.confirmed_through.get((index, boot), -1) + 1, end=end)
            for boot, end in boots.items()
        }
        left = {boot: spool for boot, spool in spools.items() if spool.low < spool.end}
        identity = Identity(index=index, name=name, shard=shard, password=password)
        kind = PahoDevice if index < order.over_paho else Device
        yield kind(identity, hub, boot=max(boots, default=0) + 1, spools=left)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        high = wanted if hard == resource.RLIM_INFINITY else max(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, high))


def main() -> None:
    order = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)
    _raise_file_limit(len(order.devices) + 200)
    Load(order).run()


if __name__ == "__main__":
    main()
