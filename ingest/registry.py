"""Who may send what, as ingest knows it: the gateway's registry, read through a small cache.

It holds the devices that send and no others, so its cost does not grow with the registry. A name
that is not known is asked for at once, and then not again for a moment, so that messages of a
stranger cannot keep the database busy. What changes about a known device is read from
`gateway.device_change`: a retired device is refused within seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from core.pool import Connection
from core.product import Product
from gateway.session import Arrival
from gateway.topics import parse_topic, topic_of
from ingest import store
from ingest.records import Device

DEVICES_MAX = 250_000
"""Devices kept, about 300 bytes each; beyond it the half that was read first is forgotten, and read
again when it sends."""
_PRODUCTS_EVERY_S = 5.0
_CHANGES_EVERY_S = 2.0
_STRANGER_FOR_S = 2.0
_STRANGERS_MAX = 10_000
_SHEET_FLOOR_S = 1.0


class RegistryCache:
    """The devices that send, and all products. Not for use by two threads."""

    def __init__(self, *, devices_max: int = DEVICES_MAX) -> None:
        self._devices_max = devices_max
        self._by_topic: dict[str, Device] = {}
        self._strangers: dict[str, float] = {}
        """Until when a topic is not asked for again."""
        self._products: dict[str, Product] = {}
        self._products_s = -_PRODUCTS_EVERY_S
        self._changes_s = -_CHANGES_EVERY_S
        self._seen_to: str | None = None
        """Transaction up to which changes are known; None: nothing is known."""

    @property
    def products(self) -> Mapping[str, Product]:
        return self._products

    def __len__(self) -> int:
        return len(self._by_topic)

    def device_of(self, topic: str) -> Device | None:
        """Return the device that writes to a topic, as far as is known."""
        return self._by_topic.get(topic)

    def prepare(self, connection: Connection, arrivals: Sequence[Arrival], *, now_s: float) -> None:
        """Read what a batch needs and is not known or too old."""
        if now_s - self._products_s >= _PRODUCTS_EVERY_S:
            self._load_products(connection, now_s=now_s)
        if now_s - self._changes_s >= _CHANGES_EVERY_S:
            self._follow_changes(connection, now_s=now_s)
        by_topic = self._by_topic
        if len(by_topic) > self._devices_max:
            # Before the batch is looked at: whoever is in it is read again, and refused by no mistake.
            for topic in list(islice(by_topic, self._devices_max // 2)):
                del by_topic[topic]
        wanted = self._wanted(arrivals, now_s=now_s)
        if wanted:
            self._load_devices(connection, wanted, now_s=now_s)

    def lacks(self, arrivals: Sequence[Arrival], *, now_s: float) -> bool:
        """Tell whether something must be read before these messages can be judged."""
        return bool(self._wanted(arrivals, now_s=now_s))

    def refresh_sheets(self, connection: Connection, *, now_s: float) -> None:
        """Read the sheets anew because a metric was unknown, if that was not just done."""
        if now_s - self._products_s >= _SHEET_FLOOR_S:
            self._load_products(connection, now_s=now_s)

    def forget(self) -> None:
        """Read everything anew before the next batch."""
        self._by_topic.clear()
        self._strangers.clear()
        self._seen_to = None
        self._products_s, self._changes_s = -_PRODUCTS_EVERY_S, -_CHANGES_EVERY_S

    def _wanted(self, arrivals: Sequence[Arrival], *, now_s: float) -> list[str]:
        by_topic = self._by_topic
        unknown = {arrival.topic for arrival in arrivals if arrival.topic not in by_topic}
        return [topic for topic in unknown if self._strangers.get(topic, now_s) <= now_s]

    def _load_products(self, connection: Connection, *, now_s: float) -> None:
        """Read the sheets; one that has not changed stays the same object."""
        before = self._products
        found = store.load_products(connection)
        self._products = {
            name: before[name] if before.get(name) == sheet else sheet
            for name, (_, sheet) in found.items()
        }
        self._products_s = now_s

    def _follow_changes(self, connection: Connection, *, now_s: float) -> None:
        """Forget what has changed. Called before anything is loaded, so nothing falls in between."""
        changed, self._seen_to = store.load_device_changes(connection, self._seen_to)
        for name, shard in changed:
            self._by_topic.pop(topic_of(name, shard=shard, kind="telemetry"), None)
        self._changes_s = now_s

    def _load_devices(self, connection: Connection, topics: Sequence[str], *, now_s: float) -> None:
        names = {topic: _name_of(topic) for topic in topics}
        found = store.load_devices(connection, [name for name in names.values() if name])
        if any(device.product not in self._products for device in found):
            self._load_products(connection, now_s=now_s)
        self._add(found)
        if len(self._strangers) > _STRANGERS_MAX:
            self._strangers.clear()
        for topic in topics:
            if topic not in self._by_topic:
                self._strangers[topic] = now_s + _STRANGER_FOR_S

    def _add(self, devices: Iterable[Device]) -> None:
        for device in devices:
            if device.product in self._products:
                topic = topic_of(device.name, shard=device.shard, kind="telemetry")
                self._by_topic[topic] = device


def _name_of(topic: str) -> str | None:
    parsed = parse_topic(topic)
    return parsed.device if parsed and parsed.kind == "telemetry" else None
