"""Who may send what, as ingest knows it: the gateway's registry, read through a small cache.

A name that is not known is asked for at once, and then not again for a moment, so that messages of
a stranger cannot keep the database busy.
"""

from collections.abc import Mapping, Sequence

from core.pool import Connection
from core.product import Product
from gateway.session import Arrival
from gateway.topics import parse_topic
from ingest import store
from ingest.records import Device

_PRODUCTS_EVERY_S = 5.0
_DEVICES_EVERY_S = 60.0
_STRANGER_FOR_S = 2.0
_STRANGERS_MAX = 10_000
_SHEET_FLOOR_S = 1.0


class RegistryCache:
    """The devices and products of the platform. Not for use by two threads."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._by_topic: dict[str, Device] = {}
        self._by_id: dict[int, Device] = {}
        self._strangers: dict[str, float] = {}
        self._products: dict[str, Product] = {}
        self._products_s = -_PRODUCTS_EVERY_S
        self._devices_s: float | None = None

    @property
    def products(self) -> Mapping[str, Product]:
        return self._products

    def device_of(self, topic: str) -> Device | None:
        """Return the device that writes to a topic, as far as is known."""
        device = self._by_topic.get(topic)
        if device is not None:
            return device
        parsed = parse_topic(topic)
        if parsed is None or parsed.kind != "telemetry":
            return None
        device = self._devices.get(parsed.device)
        if device is None or device.shard != parsed.shard:
            return None
        self._by_topic[topic] = device
        return device

    def device(self, device_id: int) -> Device | None:
        return self._by_id.get(device_id)

    def prepare(self, connection: Connection, arrivals: Sequence[Arrival], *, now_s: float) -> None:
        """Read what a batch needs and is not known or too old."""
        if now_s - self._products_s >= _PRODUCTS_EVERY_S:
            self._load_products(connection, now_s=now_s)
        if self._devices_s is None or now_s - self._devices_s >= _DEVICES_EVERY_S:
            self._load_all_devices(connection, now_s=now_s)
        unknown: set[str] = set()
        for arrival in arrivals:
            if arrival.topic not in self._by_topic:
                parsed = parse_topic(arrival.topic)
                if parsed and parsed.device not in self._devices:
                    unknown.add(parsed.device)
        wanted = [name for name in unknown if self._strangers.get(name, now_s) <= now_s]
        if wanted:
            self._load_devices(connection, wanted, now_s=now_s)

    def refresh_sheets(self, connection: Connection, *, now_s: float) -> bool:
        """Read the sheets anew because a metric was unknown; tell whether any has changed."""
        if now_s - self._products_s < _SHEET_FLOOR_S:
            return False
        return self._load_products(connection, now_s=now_s)

    def forget(self) -> None:
        """Read everything anew before the next batch."""
        self._products_s, self._devices_s = -_PRODUCTS_EVERY_S, None

    def _load_products(self, connection: Connection, *, now_s: float) -> bool:
        found = {name: sheet for name, (_, sheet) in store.load_products(connection).items()}
        has_changed = found != self._products
        self._products, self._products_s = found, now_s
        return has_changed

    def _load_all_devices(self, connection: Connection, *, now_s: float) -> None:
        self._by_topic.clear()
        self._strangers.clear()
        self._devices, self._by_id = {}, {}
        self._add(store.load_devices(connection))
        self._devices_s = now_s

    def _load_devices(self, connection: Connection, names: Sequence[str], *, now_s: float) -> None:
        found = store.load_devices(connection, names)
        if any(device.product not in self._products for device in found):
            self._load_products(connection, now_s=now_s)
        self._add(found)
        if len(self._strangers) > _STRANGERS_MAX:
            self._strangers.clear()
        for name in names:
            if name not in self._devices:
                self._strangers[name] = now_s + _STRANGER_FOR_S

    def _add(self, devices: Sequence[Device]) -> None:
        for device in devices:
            if device.product in self._products:
                self._devices[device.name] = self._by_id[device.id] = device
