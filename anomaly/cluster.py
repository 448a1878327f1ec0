"""Work on a Dask cluster, where `FORECARE_DASK` names one: scoring by devices, learning by failure modes.

Nothing here is imported from Dask unless there is an address. A worker of the cluster scores as a scorer
does: it claims its devices, reads, writes and commits in a transaction of its own, with the settings of its own
environment. So it may be killed at any moment: what it had not committed is done again by another one, and
what it had is found to be done. No password and no sample goes through the scheduler.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any

from joblib import parallel_config

from anomaly import service, store
from anomaly.state_store import DeviceProgress
from core.clock import Clock, monotonic_s
from core.endpoints import database_url
from core.errors import PermanentError, RetryableError
from core.failpoint import set_up_failpoints
from core.log import get_logger
from core.pool import connect
from core.product import Product
from core.settings import load_settings

PARTS_PER_THREAD = 2
"""So that a slow worker does not keep the others waiting for long."""
_CONNECT_S = 5.0
_AWAY_S = 60.0
"""After the cluster was not there, it is asked again no sooner."""
_TRIES = 3
_log = get_logger("cluster")


class ClusterAwayError(RetryableError):
    """The scheduler does not answer, or has no worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What became of one part of a product's devices."""

    turn: service.Turn
    looked_at: Mapping[int, int]
    """How far devices were delivered for which nothing is left to do."""


def score_part(product_id: int, devices: Sequence[DeviceProgress], now: datetime) -> Scored:
    """Score some devices of a product in one transaction: what a worker of the cluster does."""
    settings = load_settings()
    set_up_failpoints(settings.failpoint)
    looked_at: dict[int, int] = {}
    with connect(database_url(settings), name="anomaly on a cluster") as connection:
        row = next(row for row in store.read_products(connection) if row.id == product_id)
        turn = service.score_devices(connection, row, devices, now=now, looked_at=looked_at)
    return Scored(turn=turn, looked_at=looked_at)


def parts_of(
    product: Product, due: list[DeviceProgress], *, threads: int
) -> list[list[DeviceProgress]]:
    """Take devices off the front of `due`: a share for each thread, none larger than a turn."""
    share = -(-len(due) // threads)
    parts: list[list[DeviceProgress]] = []
    while due and len(parts) < threads * PARTS_PER_THREAD:
        part = service.next_devices(product, due[:share])
        del due[: len(part)]
        parts.append(part)
    return parts


@dataclass(kw_only=True)
class Cluster:
    """A connection to the scheduler, made when it is first needed."""

    address: str
    clock: Clock
    _client: Any = None
    _away_until_s: float = field(default=0.0)

    def threads(self) -> int:
        """Return with how many threads the cluster works; 0 while it is away."""
        if self._client is None and monotonic_s() < self._away_until_s:
            return 0
        try:
            found = self._connected().ncores()
        except (ClusterAwayError, OSError) as error:
            self._note_away(error)
            return 0
        return sum(found.values())

    def score(self, product_id: int, parts: Sequence[Sequence[DeviceProgress]]) -> Sequence[Scored]:
        """Score parts of a product's devices on the workers, and wait for all of them.

        Raises
        ------
        ClusterAwayError
            If it went away, or if a part was lost again and again; what was committed stays.
        """
        client, now = self._connected(), self.clock()
        futures = [
            client.submit(score_part, product_id, part, now, pure=False, retries=_TRIES)
            for part in parts
        ]
        try:
            found: Sequence[Scored] = client.gather(futures)
        except Exception as error:
            client.cancel(futures)
            self._note_away(error)
            raise ClusterAwayError(f"the cluster gave up: {error}") from error
        return found

    @contextmanager
    def learning(self, *shared: object) -> Iterator[None]:
        """Let what joblib runs in parallel run on the cluster; `shared` is sent to each worker once."""
        with parallel_config(
            backend="dask", client=self._connected(), scatter=list(shared),
            wait_for_workers_timeout=_CONNECT_S,
        ):  # fmt: skip
            yield

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        if self._client is not None and self._client.status == "running":
            return self._client
        try:
            distributed: Any = import_module("distributed")  # an optional extra
        except ImportError as error:
            raise PermanentError(
                "FORECARE_DASK is set, and Dask is not installed",
                hint="pip install 'forecare[dask]', or leave FORECARE_DASK empty",
            ) from error
        try:
            self._client = distributed.Client(
                self.address, timeout=_CONNECT_S, set_as_default=False, name="forecare"
            )
        except (OSError, TimeoutError) as error:
            raise ClusterAwayError(
                f"no Dask scheduler answers at {self.address}",
                hint="start one with `dask scheduler`, or leave FORECARE_DASK empty",
            ) from error
        return self._client

    def _note_away(self, error: Exception) -> None:
        _log.warning("cluster.away", address=self.address, error=str(error)[:200])
        self._away_until_s = monotonic_s() + _AWAY_S
        self.close()


def cluster_of(address: str, *, clock: Clock) -> Cluster | None:
    """Return the cluster that the settings name, if any."""
    return Cluster(address=address, clock=clock) if address else None
