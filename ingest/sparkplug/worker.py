"""Listens to Sparkplug B beside the first ingest process, over connections of its own.

The hot path knows nothing of it: another session with the broker, another connection to the database.
"""

from collections.abc import Sequence

from core.failpoint import failpoint
from core.settings import Settings
from gateway.broker import SPARKPLUG_USER
from gateway.session import Arrival, SessionOptions
from gateway.sparkplug.messages import FILTERS
from ingest.batch import Stored
from ingest.inflow import Inflow
from ingest.registry import RegistryCache
from ingest.sparkplug.writer import SparkplugWriter
from ingest.worker import Worker

_RECEIVE_MAX = 500


class SparkplugWorker(Worker):
    """A worker for the messages of Sparkplug edge nodes."""

    def _listens(self, settings: Settings) -> tuple[str, SessionOptions]:
        del settings
        return SPARKPLUG_USER, SessionOptions(
            filters=FILTERS,
            heartbeat_topic=f"spBv1.0/forecare/NDATA/{SPARKPLUG_USER}",
            receive_max=_RECEIVE_MAX,
        )

    def _make_writer(self, settings: Settings) -> SparkplugWriter:
        del settings
        return SparkplugWriter(RegistryCache())

    def _gather(self) -> Inflow:
        """Wait for the whole batch: a birth in it says what its other messages mean."""
        batch = super()._gather()
        if batch:
            batch.fill()
        return batch

    def _answer(self, batch: Sequence[Arrival], stored: Stored) -> None:
        """Tell first, acknowledge then: a birth that nobody was told of comes again."""
        failpoint("sparkplug.before_answer")
        self._session.hand_over(stored.notices)
        self._session.acknowledge(batch)
