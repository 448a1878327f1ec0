"""`forecare ingest roll`: keeps the rollups of all products up to date, and lets go what is too old."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import psycopg
from psycopg import errors

from core.clock import monotonic_s, wall_now
from core.endpoints import database_url
from core.errors import NotFoundError
from core.log import get_logger
from core.pool import Connection
from core.settings import Settings
from ingest.retention import service as retention
from ingest.rollups import roll, store

log = get_logger("rollups")

_BUSY_S, _IDLE_S = 0.5, 5.0
_REST_SHARE = 1.0
"""After a transaction the worker rests as long as that took: half a core at most, beside ingest."""
_REST_S_MAX = 2.0
_LOOK_SHARE = 20.0
"""Looking for what is due may take a twentieth of the time, however many devices there are."""
_AWAY_S_MAX = 10.0
_KEEP_HOUSE_EVERY_S = 3600.0
_LOOK_AT_STREAMS_EVERY_S = 24 * 3600.0
_SOMEBODY_FASTER = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
)


class RollWorker:
    """One worker. Several may run: a device is claimed by a row lock."""

    def __init__(
        self, settings: Settings, stop: threading.Event, *, refresh: timedelta = roll.REFRESH_EVERY
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._refresh = refresh
        self._connection: Connection | None = None
        self._shapes: dict[int, int] = {}
        self._looked_s = 0.0
        self._keep_house_at_s = 0.0
        self._look_at_streams_at_s = 0.0

    def run(self) -> None:
        """Loop until stopped. A database that goes away is waited for."""
        away_s = 0.0
        while not self._stop.is_set():
            try:
                pause_s = self.turn()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self.close()
                if not away_s:
                    log.warning("database.away", reason=str(error).strip()[:300])
                away_s = min(_AWAY_S_MAX, away_s * 2 or 0.5)
                self._stop.wait(away_s)
                continue
            except Exception:
                self.close()
                log.exception("turn.failed")
                self._stop.wait(_AWAY_S_MAX)
                continue
            if away_s:
                log.info("database.back")
                away_s = 0.0
            self._stop.wait(pause_s)
        self.close()

    def run_once(self) -> None:
        """Do what there is to do now, incomplete hours included, and end."""
        self._refresh = timedelta(0)
        while self._turn() and not self._stop.is_set():
            pass
        self.close()

    def roll_again(self, product: str, *, since: datetime) -> int:
        """Let the next turns sum up everything since an instant; returns how many devices it has.

        Raises
        ------
        NotFoundError
            If there is no such product.
        """
        connection = self._database()
        with connection.transaction():
            rows = {row.product.name: row for row in store.rolled_products(connection)}
            if product not in rows:
                raise NotFoundError(
                    f'there is no product "{product}"', hint="`forecare product list` shows them"
                )
            return store.roll_again_since(connection, rows[product].id, since=since)

    def turn(self) -> float:
        """Bring every product up to date; returns for how long to rest, seconds."""
        rolled = self._turn()
        if rolled:
            log.debug("rollups.turn", devices_and_marks=rolled)
        return max(_BUSY_S if rolled else _IDLE_S, _LOOK_SHARE * self._looked_s)

    def _turn(self) -> int:
        connection = self._database()
        rolled = 0
        self._looked_s = 0.0
        with connection.transaction():
            products = store.rolled_products(connection)
        for row in products:
            if self._shapes.get(row.id) != row.revision:
                roll.ensure(connection, row.product)
                self._shapes[row.id] = row.revision
            rolled += self._late(connection, row)
            rolled += self._due(connection, row)
        if not rolled and monotonic_s() >= self._keep_house_at_s:
            self._keep_house(connection)
        return rolled

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._shapes.clear()

    def _late(self, connection: Connection, row: store.RolledProduct) -> int:
        begun_s = monotonic_s()
        marked = roll.marked_devices(connection, row)
        self._looked_s += monotonic_s() - begun_s
        return self._in_turn(marked, lambda device_ids: roll.roll_late(connection, row, device_ids))

    def _due(self, connection: Connection, row: store.RolledProduct) -> int:
        begun_s = monotonic_s()
        due = roll.due_devices(connection, row, now=wall_now(), refresh=self._refresh)
        self._looked_s += monotonic_s() - begun_s
        return self._in_turn(
            due, lambda device_ids: roll.roll_devices(connection, row, device_ids, now=wall_now())
        )

    def _keep_house(self, connection: Connection) -> None:
        """Let go what is not kept any longer; when somebody is in the way, the next time."""
        now = wall_now()
        try:
            gone = retention.apply(connection, now=now, with_rows=False)
            moved = retention.move_to_columns(connection, now=now)
            if monotonic_s() >= self._look_at_streams_at_s:
                retention.forget_streams(connection, now=now)
                self._look_at_streams_at_s = monotonic_s() + _LOOK_AT_STREAMS_EVERY_S
        except _SOMEBODY_FASTER as error:
            log.info("retention.later", reason=type(error).__name__)
            return
        self._keep_house_at_s = monotonic_s() + _KEEP_HOUSE_EVERY_S
        for line in gone:
            log.info("retention.gone", product=line.product, kind=line.kind, chunks=line.chunks,
                     bytes=line.bytes, before=str(line.through_at))  # fmt: skip
        if moved:
            log.info("columnstore.moved", chunks=moved)

    def _in_turn(self, lists: Sequence[list[int]], work: Callable[[list[int]], int]) -> int:
        total = 0
        for device_ids in lists:
            if self._stop.is_set():
                break
            begun_s = monotonic_s()
            try:
                total += work(device_ids)
            except _SOMEBODY_FASTER:
                continue
            self._stop.wait(min(_REST_S_MAX, _REST_SHARE * (monotonic_s() - begun_s)))
        return total

    def _database(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = roll.open_connection(database_url(self._settings))
        return self._connection
