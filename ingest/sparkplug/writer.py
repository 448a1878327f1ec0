"""Stores batches of Sparkplug messages: what nodes have declared, refusals and samples in one transaction.

A crash before the COMMIT leaves nothing behind. After it, messages of QoS 1 come again and are known as
repetitions; those of QoS 0 are gone with the connection, which the next `seq` shows.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from core.pool import Connection
from core.units import to_epoch_ms
from gateway.session import Arrival
from gateway.sparkplug.messages import parse_sparkplug_topic
from gateway.sparkplug.session import Node
from ingest import store as ingest_store
from ingest.batch import BatchWriter, Stored
from ingest.registry import RegistryCache
from ingest.sparkplug import store
from ingest.sparkplug.translate import Translation, rebirths, translate

NODES_MAX = 5000
"""Nodes kept in memory; beyond it all are forgotten and read again when they are heard."""
REBIRTH_EVERY_S = 5.0
"""A node is asked no more often."""


class SparkplugWriter:
    """Reads Sparkplug first and stores then. Not for use by two threads."""

    def __init__(self, registry: RegistryCache) -> None:
        self.registry = registry
        self._samples = BatchWriter(registry, beside=self)
        self._nodes: dict[str, Node | None] = {}
        self._waiting: Translation | None = None
        self._asked_s: dict[str, float] = {}

    def write(
        self, connection: Connection, arrivals: Sequence[Arrival], *, now: datetime, now_s: float
    ) -> Stored:
        """Store a batch; see `BatchWriter.write`."""
        self._know(connection, arrivals)
        spoken_for = _spoken_for(connection, arrivals)
        translation = translate(arrivals, self._nodes, spoken_for=spoken_for, now=now)
        self._waiting = translation
        try:
            stored = self._store(connection, translation, now=now, now_s=now_s)
        except Exception:
            self._nodes.clear()  # a database that comes back may have another past
            self._waiting = None
            raise
        asked = self._to_ask(translation, now_s=now_s)
        return replace(
            stored,
            messages=len(arrivals),
            refused=stored.refused + len(translation.refused),
            confirmations=(),
            notices=[*translation.presence, *rebirths(asked, now_ms=to_epoch_ms(now))],
        )

    def save(self, connection: Connection) -> None:
        """Write what is waiting; of a batch that is stored in halves, with the first half."""
        if self._waiting is not None:
            store.save_nodes(connection, self._waiting.nodes, before=self._nodes)
            ingest_store.add_dead_letters(connection, self._waiting.refused)

    def settle(self) -> None:
        """Remember what has been committed."""
        if self._waiting is not None:
            self._nodes.update(self._waiting.nodes)
            self._waiting = None

    def _store(
        self, connection: Connection, translation: Translation, *, now: datetime, now_s: float
    ) -> Stored:
        if translation.telemetry:
            return self._samples.write(connection, translation.telemetry, now=now, now_s=now_s)
        self.save(connection)
        connection.commit()
        self.settle()
        return Stored(rows=0, messages=0, refused=0, confirmations=(), notices=())

    def _know(self, connection: Connection, arrivals: Sequence[Arrival]) -> None:
        if len(self._nodes) > NODES_MAX:
            self._nodes.clear()
            self._asked_s.clear()
        heard = {topic.node for a in arrivals if (topic := parse_sparkplug_topic(a.topic))}
        unknown = sorted(heard - self._nodes.keys())
        if unknown:
            found = store.load_nodes(connection, unknown)
            self._nodes.update({name: found.get(name) for name in unknown})

    def _to_ask(self, translation: Translation, *, now_s: float) -> dict[str, str]:
        asked = {
            node: group
            for node, group in translation.stale.items()
            if now_s - self._asked_s.get(node, -REBIRTH_EVERY_S) >= REBIRTH_EVERY_S
        }
        self._asked_s.update(dict.fromkeys(asked, now_s))
        return asked


def _spoken_for(connection: Connection, arrivals: Sequence[Arrival]) -> set[tuple[str, str]]:
    topics = [parse_sparkplug_topic(arrival.topic) for arrival in arrivals]
    nodes = {topic.node for topic in topics if topic and topic.device}
    return store.load_spoken_for(connection, nodes) if nodes else set()
