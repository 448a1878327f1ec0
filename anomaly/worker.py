"""Loops: learns products whose time has come, scores what is new, in short transactions."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg_pool import PoolTimeout

from anomaly import rescore, service, store
from anomaly.cluster import Cluster, ClusterAwayError, parts_of
from anomaly.daily import Job, jobs_due
from anomaly.drift import service as drift
from anomaly.features import Layout
from anomaly.fleet import service as fleet
from anomaly.laid_out import without_normal
from anomaly.life_store import learn_lives
from anomaly.precedent import service as precedent
from anomaly.precedent.service import Precedents
from anomaly.retention import let_go
from anomaly.rules import service as rules
from anomaly.state_store import DeviceProgress
from anomaly.training.live import Voices
from anomaly.training.trainer import Trainer
from core.clock import monotonic_s, wall_now
from core.log import get_logger
from core.pool import Pool

_BUSY_S = 0.2
_IDLE_S = 1.0
_AWAY_S_MAX = 10.0
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
_LEARN_EVERY_S = 2.0
_US_PER_DAY = 86_400_000_000
_log = get_logger("anomaly")


@dataclass
class Worker:
    """One scorer. Several may run: each device is claimed by a row lock."""

    pool: Pool
    stop: threading.Event
    looked_at: dict[int, int] = field(default_factory=dict)
    rests_until_s: dict[int, float] = field(default_factory=dict)
    """By product whose turn failed, when it is tried again."""
    told: dict[int, int] = field(default_factory=dict)
    """By product, the revision of its sheet of which it was said what has no normal."""
    voices: Voices = field(default_factory=Voices)
    lives_asked: dict[int, int] = field(default_factory=dict)
    """By product, the day of its stream on which it was asked what failures teach."""
    precedents: Precedents = field(default_factory=Precedents)
    trainer: Trainer = field(default_factory=Trainer)
    cluster: Cluster | None = None
    """Scores in this one's place, while it is there."""

    def run(self) -> None:
        """Loop until `stop` is set. A database that goes away is waited for."""
        away_s = 0.0
        while not self.stop.is_set():
            try:
                is_busy = self.turn()
            except _AWAY as error:
                self.looked_at.clear()  # what was not committed has not been looked at
                if not away_s:
                    _log.warning("database.away", error=type(error).__name__)
                away_s = min(_AWAY_S_MAX, away_s * 2 or 0.5)
                self.stop.wait(away_s)
                continue
            except Exception:  # noqa: BLE001 - whatever it was, there is a next turn
                self.looked_at.clear()
                _log.exception("turn.failed")
                self.stop.wait(_AWAY_S_MAX)
                continue
            if away_s:
                _log.info("database.back")
                away_s = 0.0
            self.stop.wait(_BUSY_S if is_busy else _IDLE_S)
        self.trainer.stop()
        if self.cluster is not None:
            self.cluster.close()

    def turn(self) -> bool:
        """Go once through all products; True when there was something to do.

        One whose turn fails is left alone for a while; the others are scored.
        """
        with self.pool.connection() as connection:
            products = store.read_products(connection)
        is_busy = False
        for row in products:
            if self.stop.is_set():
                break
            if monotonic_s() < self.rests_until_s.get(row.id, 0.0):
                continue
            try:
                is_busy |= self._turn_of(row)
            except _AWAY:
                raise
            except Exception:  # noqa: BLE001 - one product's trouble must not stop the others
                self.looked_at.clear()  # what was not committed has not been looked at
                self.rests_until_s[row.id] = monotonic_s() + _AWAY_S_MAX
                _log.exception("product.failed", product=row.product.name, again_in_s=_AWAY_S_MAX)
        return is_busy

    def _turn_of(self, row: store.ProductRow) -> bool:
        is_busy = self._learn(row)
        self._learn_lives(row)
        is_busy |= self._score(row)
        self._rescore(row)
        self._look_daily(row)
        self._train(row)
        return is_busy

    def _learn(self, row: store.ProductRow) -> bool:
        with self.pool.connection() as connection:
            known = store.read_baseline(connection, product_id=row.id)
            if known is not None:
                self._tell_without_normal(row, known)
                return False
            baseline = service.learn_product(connection, row, now=wall_now())
        if baseline is None:
            return False
        _log.info("baseline.learned", product=row.product.name, devices=baseline.devices,
                  windows=baseline.windows)  # fmt: skip
        return True

    def _tell_without_normal(self, row: store.ProductRow, known: store.BaselineRow) -> None:
        """Say once for each revision of a sheet which metrics are evidence by it but were never learned."""
        if self.told.get(row.id) == row.revision:
            return
        self.told[row.id] = row.revision
        layout = Layout(row.product)
        names = () if layout.follows else without_normal(layout, known.baseline)
        if names:
            _log.warning(
                "baseline.lacks", product=row.product.name, metrics=list(names),
                effect="nothing about these metrics is taken for strange; the others are judged as before",
                hint=f"`forecare anomaly fit {row.product.name}` learns them for devices that come from now on",
            )  # fmt: skip

    def _learn_lives(self, row: store.ProductRow) -> None:
        """Learn from new failures how far off forecasts of remaining life are; asked once a day of the stream."""
        day = row.newest_us // _US_PER_DAY
        if self.lives_asked.get(row.id) == day:
            return
        with self.pool.connection() as connection:
            found = learn_lives(
                connection,
                product_id=row.id,
                product=row.product,
                newest_us=row.newest_us,
                now=wall_now(),
            )
        self.lives_asked[row.id] = day
        if found is not None:
            _log.info("lives.learned", product=row.product.name, failures=found.failures)

    def _rescore(self, row: store.ProductRow) -> None:
        """Deal with late samples when what is live has been scored."""
        with self.pool.connection() as connection:
            done = rescore.rescore_product(connection, row, now=wall_now())
        if done.devices:
            _log.info("rescored", product=row.product.name, devices=done.devices,
                      windows=done.windows)  # fmt: skip

    def _look_daily(self, row: store.ProductRow) -> None:
        """Do what is done once for each day of the product's stream, each job in a transaction of its own."""
        with self.pool.connection() as connection:
            due = jobs_due(connection, row)
        looks: dict[Job, Callable[[store.ProductRow], None]] = {
            "groups": self._look,
            "rules": self._count,
            "precedents": self._sum_up,
            "drift": self._watch_drift,
            "retention": self._let_go,
        }
        for job, look in looks.items():
            if job in due:
                look(row)

    def _look(self, row: store.ProductRow) -> None:
        """Look at the product's groups of devices."""
        with self.pool.connection() as connection:
            seen = fleet.look_at_product(connection, row, now=wall_now())
        if seen is not None and seen.changed:
            _log.info("fleet.looked", product=row.product.name, groups=seen.groups,
                      flagged=seen.flagged, changed=seen.changed)  # fmt: skip

    def _train(self, row: store.ProductRow) -> None:
        """Let the product be trained, beside all this, when enough has come to light."""
        with self.pool.connection() as connection:
            self.trainer.look(connection, row, now=wall_now())

    def _count(self, row: store.ProductRow) -> None:
        """Hold the false alarms of the product's rules against their budgets."""
        with self.pool.connection() as connection:
            seen = rules.look_at_rules(connection, row, now=wall_now())
        if seen is not None:
            for mode in seen.demoted:
                _log.warning("rule.demoted", product=row.product.name, failure_mode=mode)

    def _sum_up(self, row: store.ProductRow) -> None:
        """Sum up what earlier cases of the product came to."""
        with self.pool.connection() as connection:
            changed = precedent.look_at_precedents(connection, row, now=wall_now())
        if changed:
            _log.info("precedents.changed", product=row.product.name, failure_modes=changed)

    def _let_go(self, row: store.ProductRow) -> None:
        """Let go what no product keeps any more, and what models remembered that no longer speak."""
        with self.pool.connection() as connection:
            gone = let_go(connection, row, now=wall_now())
        if gone.chunks:
            _log.info("windows.gone", product=row.product.name, chunks=gone.chunks)
        if gone.memories:
            _log.info("memories.gone", product=row.product.name, devices=gone.memories)

    def _watch_drift(self, row: store.ProductRow) -> None:
        """Compare the product's last weeks, and its forecasts, with what was learned."""
        with self.pool.connection() as connection:
            seen = drift.look_at_drift(connection, row, now=wall_now())
        if seen is not None and seen.drifted:
            _log.warning("drift.found", product=row.product.name, names=list(seen.drifted))

    def _score(self, row: store.ProductRow) -> bool:
        """Score until nothing is due, at most for as long as other products can wait."""
        begun = monotonic_s()
        with self.pool.connection() as connection:
            due = service.read_due(connection, row, looked_at=self.looked_at)
        is_busy = False
        while due and not self.stop.is_set() and monotonic_s() - begun < _LEARN_EVERY_S:
            done = self._score_there(row, due) or self._score_here(row, due)
            is_busy |= done.devices > 0
            _log.debug("scored", product=row.product.name, devices=done.devices,
                       samples=done.samples, forecasts=done.forecasts)  # fmt: skip
        return is_busy

    def _score_here(self, row: store.ProductRow, due: list[DeviceProgress]) -> service.Turn:
        devices = service.next_devices(row.product, due)
        with self.pool.connection() as connection:
            return service.score_devices(
                connection,
                row,
                devices,
                now=wall_now(),
                looked_at=self.looked_at,
                voices=self.voices,
                precedents=self.precedents,
            )

    def _score_there(self, row: store.ProductRow, due: list[DeviceProgress]) -> service.Turn | None:
        """Score on the cluster; None where there is none, or it is away."""
        threads = self.cluster.threads() if self.cluster is not None else 0
        if self.cluster is None or not threads:
            return None
        parts = parts_of(row.product, due, threads=threads)
        try:
            found = self.cluster.score(row.id, parts)
        except ClusterAwayError:
            due[:0] = [device for part in parts for device in part]
            return None
        for one in found:
            self.looked_at.update(one.looked_at)
        return service.together([one.turn for one in found])
