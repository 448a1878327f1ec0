"""Runs a plan against an installation of its own, and reports what became of every message."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from bench.chaos.count import Counts, count_up
from bench.chaos.disk import SmallDisk
from bench.chaos.faults import Struck, Tools, break_it
from bench.chaos.generator import Generator
from bench.chaos.judge import Observed, Recovery, Storm, Tally, Verdict, by_part, judge
from bench.chaos.ledger import read_ledger
from bench.chaos.load import Order
from bench.chaos.payloads import Recipe
from bench.chaos.plan import TRAITS, Fault, Plan, make_plan, without
from bench.chaos.show import Show
from bench.chaos.site import Site, running_site
from bench.chaos.store import read_letters, read_repeats, read_rows
from core.clock import monotonic_s, pause, wall_now
from core.pool import connect, make_pool
from core.runtime.progress import console_progress
from core.runtime.software import installed
from core.settings import Settings
from gateway import service as gateway
from gateway.broker import sync_broker
from gateway.records import DeviceCredential, DeviceDraft

_PRODUCT = "chaos"
_TICK_S = 0.05
_READY_S = 60.0
_BACK_S = 60.0
"""A part that is not back by then is not coming back."""
_STALLED_S = 45.0
"""So long without a confirmation the devices have stopped getting rid of anything."""
_LETTERS_S = 30.0
_HISTORY_DAYS = 60
_OVER_PAHO = 8
"""Devices that speak through paho-mqtt, as a product's would; the others are bare sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOrder:
    seed: int
    minutes: float
    devices: int
    messages_per_s: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    report: dict[str, Any]
    verdict: Verdict


def run_chaos(settings: Settings, order: ChaosOrder, *, console: Console) -> Outcome | None:
    """Run and count; None when a person has ended it. Everything that was started is stopped."""
    show = Show(console)
    # That stages die is what is wanted here; what becomes of it is shown.
    logging.getLogger("forecare.supervisor").setLevel(logging.ERROR)
    plan = make_plan(seed=order.seed, minutes=order.minutes, faults=order.faults)
    show.plan(plan, devices=order.devices, messages_per_s=order.messages_per_s)
    try:
        with (
            _signals_raise(),
            running_site(
                settings,
                seed=order.seed,
                wants_small_disk=Fault.DISK_FULL in order.faults,
                progress=console_progress(console),
                say=show.say,
            ) as (site, disk, why_not),
        ):
            skipped = {Fault.DISK_FULL: why_not} if why_not else {}
            for fault, reason in skipped.items():
                plan = without(plan, fault)
                show.say(f"{fault} is skipped: {reason}")
            return _Run(site, disk, order=order, plan=plan, skipped=skipped, show=show).run()
    except KeyboardInterrupt:
        show.say("stopped by you: everything that ran has ended, nothing was counted")
        return None
    finally:
        show.close()


class _Run:
    def __init__(  # noqa: PLR0913 - keyword-only parts of one run
        self,
        site: Site,
        disk: SmallDisk | None,
        *,
        order: ChaosOrder,
        plan: Plan,
        skipped: dict[Fault, str],
        show: Show,
    ) -> None:
        self._site = site
        self._order = order
        self._plan = plan
        self._skipped = skipped
        self._show = show
        self._folder = site.settings.runtime_path / "load"
        self._started_s = monotonic_s()
        start = wall_now().timestamp() // 60 * 60 - _HISTORY_DAYS * 86_400
        self._recipe = Recipe(seed=order.seed, start_ms=int(start) * 1000, shares=plan.shares())
        self._generator = Generator(self._load_order(), self._folder)
        self._tools = Tools(site=site, generator=self._generator, disk=disk, wait=self._wait)
        self._struck: list[tuple[Fault, Struck]] = []
        self._recoveries: list[Recovery] = []

    def run(self) -> Outcome:
        try:
            self._show.doing("bringing the devices up")
            self._site.start_stages()
            self._generator.start()
            self._wait(self._is_ready, _READY_S)
            self._started_s = monotonic_s()
            self._strike_all()
            is_drained = self._drain()
            counts = self._count()
        finally:
            self._generator.stop()
        self._show.close()
        observed = self._observed(counts, is_drained=is_drained)
        verdict = judge(observed)
        return Outcome(report=self._report(observed, verdict), verdict=verdict)

    def _strike_all(self) -> None:
        for strike in self._plan.strikes:
            self._show.doing("all is well")
            self._wait(lambda: False, strike.at_s - self._elapsed_s())
            self._show.doing(f"{strike.fault}: {TRAITS[strike.fault].about}")
            at_s = self._elapsed_s()
            struck = break_it(strike, self._tools)
            mark = self._generator.mark()
            self._wait(lambda mark=mark: mark in self._generator.back_after_s, _BACK_S)  # type: ignore[misc]
            back_s = self._generator.back_after_s.get(mark)
            self._struck.append((strike.fault, struck))
            self._recoveries.append(Recovery(fault=strike.fault, back_s=back_s))
            self._show.struck(strike, struck, back_s, at_s)
        self._show.doing("all is well")
        self._wait(lambda: False, self._plan.seconds - self._elapsed_s())

    def _drain(self) -> bool:
        """Let the devices send what they have; tell whether they got rid of all of it."""
        self._show.doing("nothing is broken any more: the devices send what they have left")
        self._generator.quiet()
        is_drained = self._send_what_is_left()
        self._generator.send_escorts()
        self._wait(lambda: False, 0.5)
        self._wait(lambda: self._generator.progress.get("escorts_waiting") == 0, _STALLED_S)
        return is_drained

    def _send_what_is_left(self) -> bool:
        least, moved_s = self._waiting(), monotonic_s()
        while not self._wait(lambda: self._waiting() == 0, 1.0):
            if self._waiting() < least:
                least, moved_s = self._waiting(), monotonic_s()
            elif monotonic_s() - moved_s > _STALLED_S:
                return False
        return True

    def _waiting(self) -> int:
        return self._generator.progress.get("waiting", 1)

    def _count(self) -> Counts:
        """Read everything; again while messages without a number may still be on their way."""
        self._show.doing("holding the ledger against the database")
        ends_s = monotonic_s() + _LETTERS_S
        while True:
            counts = self._count_once()
            if not counts.letters_missing or monotonic_s() > ends_s:
                return counts
            self._wait(lambda: False, 1.0)

    def _count_once(self) -> Counts:
        names = {name: place for place, (name, _, _) in enumerate(self._generator.order.devices)}
        with connect(self._site.database_url, name="chaos") as connection:
            return count_up(
                read_ledger(self._folder / "ledger"),
                self._recipe,
                rows=read_rows(connection, names),
                letters=list(read_letters(connection, names)),
                repeats=read_repeats(connection),
            )

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        ends_s = monotonic_s() + seconds
        while True:
            self._site.tick()
            self._generator.take_news()
            self._show.counted(self._generator.progress, elapsed_s=self._elapsed_s())
            if condition():
                return True
            if monotonic_s() >= ends_s:
                return False
            pause(_TICK_S)

    def _is_ready(self) -> bool:
        progress = self._generator.progress
        is_flowing = progress.get("acknowledged", 0) > 0 and self._waiting() < progress["attempted"]
        return is_flowing and progress["connected"] == self._order.devices

    def _elapsed_s(self) -> float:
        return monotonic_s() - self._started_s

    def _load_order(self) -> Order:
        self._folder.mkdir(parents=True, exist_ok=True)
        url = urlsplit(self._site.mqtt_url)
        assert url.hostname
        assert url.port
        return Order(
            host=url.hostname,
            port=url.port,
            seed=self._recipe.seed,
            start_ms=self._recipe.start_ms,
            shares=dict(self._recipe.shares),
            messages_per_s=self._order.messages_per_s,
            ledger=str(self._folder / "ledger"),
            over_paho=_OVER_PAHO,
            devices=[
                (c.name, c.shard, c.password) for c in _enrol(self._site, self._order.devices)
            ],
        )

    def _observed(self, counts: Counts, *, is_drained: bool) -> Observed:
        deaths = [d for d in self._site.deaths if d.stage == "ingest"]
        others = len(self._site.deaths) - len(deaths)
        return Observed(
            counts=counts,
            faults={fault: self._tally(fault, counts) for fault in self._plan.faults},
            recoveries=self._recoveries,
            storms=[
                Storm(all_back_s=struck.all_back_s, ingest_back_s=struck.ingest_back_s)
                for fault, struck in self._struck
                if fault is Fault.RECONNECT_STORM
            ],
            is_drained=is_drained,
            receive_max=self._site.watch.receive_max,
            in_flight_max=self._site.watch.unacknowledged_max,
            is_receive_max_obeyed=self._site.watch.is_obeyed,
            ingest_rss_mib_max=self._site.ingest_rss_mib_max,
            unexplained_deaths=others + max(0, len(deaths) - self._site.expected_kills),
        )

    def _tally(self, fault: Fault, counts: Counts) -> Tally:
        expected = self._plan.seconds * self._order.messages_per_s
        carried = {
            Fault.POISON: counts.poison,
            Fault.WRONG_CLOCK: counts.wrong_clock,
            Fault.DUPLICATES: self._generator.carried["doubled"],
            Fault.SHUFFLED: self._generator.carried["ahead"],
        }
        struck = sum(f is fault and s.has_struck for f, s in self._struck)
        return Tally(
            planned=self._plan.planned(fault, messages=expected),
            struck=carried.get(fault, struck),
        )

    def _report(self, observed: Observed, verdict: Verdict) -> dict[str, Any]:
        counts = observed.counts
        stamp = installed(self._site.paths.software)
        faults: dict[str, dict[str, Any]] = {
            fault.value: asdict(tally) for fault, tally in observed.faults.items()
        }
        for fault, reason in self._skipped.items():
            faults[fault.value] = {"planned": 0, "struck": 0, "skipped": reason}
        return {
            "seed": self._order.seed,
            "minutes": self._order.minutes,
            "devices": self._order.devices,
            "messages_per_s": self._order.messages_per_s,
            "start_ms": self._recipe.start_ms,
            "seconds": round(self._elapsed_s(), 1),
            "attempted": counts.attempted,
            "acknowledged": counts.acknowledged,
            "confirmed": counts.confirmed,
            "stored": counts.stored,
            "lost": counts.lost,
            "missing_after_resend": counts.missing_after_resend,
            "rows": counts.rows,
            "unexpected_rows": counts.unexpected_rows,
            "duplicates": {
                "absorbed": counts.repeats_absorbed,
                "rows_twice": counts.rows_twice,
            },
            "dead_letters": {
                "expected": counts.letters_expected,
                "found": counts.letters_found,
                "missing": counts.letters_missing,
                "unexpected": counts.letters_unexpected,
                "without_reason": counts.letters_without_reason,
                "by_reason": counts.letters_by_reason,
            },
            "faults": faults,
            "recovery_s": {
                part: {"strikes": n, "median": round(median, 2), "max": round(most, 2)}
                for part, (n, median, most) in by_part(observed.recoveries).items()
            },
            "storms": [asdict(storm) for storm in observed.storms],
            "ingest": {
                "rss_mib_max": round(observed.ingest_rss_mib_max, 1),
                "receive_max": observed.receive_max,
                "in_flight_max": observed.in_flight_max,
                "deaths_unexplained": observed.unexplained_deaths,
            },
            "plan": self._plan.as_json(),
            "versions": stamp.versions() if stamp else {},
            "goals_missed": list(verdict.goals_missed),
            "failures": list(verdict.failures),
            "is_passed": verdict.is_passed,
        }


def _enrol(site: Site, count: int) -> Sequence[DeviceCredential]:
    pool = make_pool(site.database_url, name="chaos")
    try:
        sheet = resources.files("bench.chaos").joinpath("chaos.toml").read_text(encoding="utf-8")
        gateway.register_product(pool, toml_text=sheet, source="chaos.toml", now=wall_now())
        drafts = [DeviceDraft(name=f"chaos-{i:05}", serial=f"C{i:05}") for i in range(count)]
        credentials = gateway.add_devices(pool, product=_PRODUCT, drafts=drafts, now=wall_now())
        sync_broker(pool, site.settings)
    finally:
        pool.close()
    return credentials


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn SIGTERM into the KeyboardInterrupt that Ctrl-C is, so that everything is stopped."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
