"""Breaks things: one function a fault. Each says whether it really struck, and when its cause was gone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import orjson

from bench.chaos.disk import SmallDisk
from bench.chaos.generator import Generator
from bench.chaos.plan import FAILPOINTS, Fault, Strike
from bench.chaos.proxy import HEALTHY, Toxic
from bench.chaos.site import Site
from core.clock import monotonic_s, wall_now
from core.runtime.logs import log_size, log_tail

_ARMED_WITHIN_S = 20.0
_PATIENCE_S = 60.0
_STORM_WITHIN_S = 90.0
_FULL_WITHIN_S = 30.0
_LATENCY_S, _JITTER_S = 0.4, 0.3
_NARROW_BYTES_PER_S = 20_000
_FULL_DISK_WORDS = "No space left on device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What became of one strike."""

    has_struck: bool
    note: str = ""
    all_back_s: float | None = None
    """Of a storm: until all devices were connected again."""
    ingest_back_s: float | None = None
    """Of a storm: until ingest was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a fault may use."""

    site: Site
    generator: Generator
    disk: SmallDisk | None
    wait: Callable[[Callable[[], bool], float], bool]
    """Keep everything going until a condition holds, for so many seconds; tell whether it does."""

    def hold(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)


def break_it(strike: Strike, tools: Tools) -> Struck:
    """Let a fault strike, and return when its cause is gone."""
    return _BREAKERS[strike.fault](strike, tools)


def _kill_ingest(_strike: Strike, tools: Tools) -> Struck:
    tools.wait(lambda: tools.site.ingest_pid is not None, _ARMED_WITHIN_S)
    return Struck(has_struck=tools.site.kill_ingest())


def _kill_at_failpoint(strike: Strike, tools: Tools) -> Struck:
    """Start ingest with the fail point, and see it die there."""
    site = tools.site
    # Not always at the first visit: an early batch is what was left over, a later one is new.
    site.arm_ingest(f"{FAILPOINTS[strike.fault]}:kill:{0.2 + 0.8 * strike.strength:.3f}")
    tools.wait(lambda: site.ingest_pid is not None, _ARMED_WITHIN_S)
    site.kill_ingest()
    killed_s = len(site.deaths)
    tools.wait(lambda: len(site.deaths) > killed_s, _ARMED_WITHIN_S)
    tools.wait(lambda: site.ingest_pid is not None, _ARMED_WITHIN_S)
    before = len(site.deaths)
    tools.wait(lambda: len(site.deaths) > before, _ARMED_WITHIN_S)
    site.arm_ingest("")
    has_struck = len(site.deaths) > before and site.deaths[before].code == -9
    site.expected_kills += has_struck
    if not has_struck:
        site.kill_ingest()  # it must not die there later, when nobody looks
    return Struck(has_struck=has_struck)


def _kill_broker(_strike: Strike, tools: Tools, *, with_data: bool) -> Struck:
    has_struck = tools.site.kill_broker(with_data=with_data)
    tools.site.revive_servers()
    return Struck(has_struck=has_struck)


def _kill_database(_strike: Strike, tools: Tools) -> Struck:
    killed = tools.site.kill_database()
    tools.site.revive_servers()
    return Struck(has_struck=killed > 1, note=f"{killed} processes")


def _take_database_away(strike: Strike, tools: Tools) -> Struck:
    killed = tools.site.kill_database()
    tools.hold(strike.hold_s)
    was_away = not tools.site.is_database_up()
    tools.site.revive_servers()
    return Struck(has_struck=killed > 1 and was_away, note=f"away for {strike.hold_s:.0f} s")


def _poison_line(strike: Strike, tools: Tools, *, toxic: Toxic) -> Struck:
    proxy = tools.site.database_proxy
    before = proxy.bytes_held
    with _toxic(tools, toxic):
        tools.hold(strike.hold_s)
        # A line that carries nothing cannot be slow.
        tools.wait(lambda: proxy.bytes_held > before, _PATIENCE_S)
    if toxic.is_silent:
        proxy.reset()
    held = proxy.bytes_held - before
    return Struck(has_struck=held > 0, note=f"{held:,} bytes held back")


@contextmanager
def _toxic(tools: Tools, toxic: Toxic) -> Iterator[None]:
    tools.site.database_proxy.toxic = toxic
    try:
        yield
    finally:
        tools.site.database_proxy.toxic = HEALTHY


def _reset_database(_strike: Strike, tools: Tools) -> Struck:
    cut = 0

    def has_cut() -> bool:
        nonlocal cut
        cut = tools.site.database_proxy.reset()
        return cut > 0

    tools.wait(has_cut, _PATIENCE_S)
    return Struck(has_struck=cut > 0)


def _fill_disk(strike: Strike, tools: Tools) -> Struck:
    assert tools.disk is not None
    log = tools.site.paths.postgres_log
    before = log_size(log)
    said = tools.disk.fill()
    try:
        if said:
            return Struck(has_struck=False, note=said)
        tools.hold(strike.hold_s)
        is_full = tools.wait(
            lambda: _FULL_DISK_WORDS in log_tail(log, since=before), _FULL_WITHIN_S
        )
    finally:
        tools.disk.relieve()
    has_fallen = not tools.site.is_database_up()
    tools.site.revive_servers()
    note = "PostgreSQL gave up and was started again" if has_fallen else "PostgreSQL stayed up"
    return Struck(has_struck=is_full, note=note)


def _kill_devices(_strike: Strike, tools: Tools) -> Struck:
    tools.generator.kill()
    tools.generator.start()
    is_back = tools.wait(lambda: bool(tools.generator.progress), _PATIENCE_S)
    return Struck(has_struck=is_back)


def _raise_storm(_strike: Strike, tools: Tools) -> Struck:
    generator, site = tools.generator, tools.site
    count = len(generator.order.devices)
    tools.wait(lambda: generator.progress.get("connected") == count, _STORM_WITHIN_S)
    generator.storm(is_on=True)
    before = log_size(_ingest_log(site))
    site.kill_broker(with_data=False)
    has_struck = tools.wait(lambda: generator.progress.get("connected", 0) <= count // 10, 10.0)
    up_s = site.revive_servers()
    up_at = wall_now()
    is_over = tools.wait(lambda: generator.progress.get("connected") == count, _STORM_WITHIN_S)
    all_back_s = monotonic_s() - up_s
    generator.storm(is_on=False)
    return Struck(
        has_struck=has_struck,
        note=f"{count} devices",
        all_back_s=round(all_back_s, 2) if is_over else None,
        ingest_back_s=_connected_after_s(_ingest_log(site), before, up_at.timestamp()),
    )


def _ingest_log(site: Site) -> Path:
    return site.supervisor.log_dir / "ingest.log"


def _connected_after_s(log: Path, since: int, up_at: float) -> float | None:
    """Return how long after the broker was up ingest says that it was connected."""
    for line in log_tail(log, since=since).splitlines():
        try:
            said = orjson.loads(line)
            if said["event"] == "broker.connected":
                return max(0.0, round(datetime.fromisoformat(said["at"]).timestamp() - up_at, 2))
        except (ValueError, KeyError, TypeError):
            continue
    return None


_Breaker = Callable[[Strike, Tools], Struck]
_BREAKERS: Mapping[Fault, _Breaker] = {
    Fault.INGEST_KILL: _kill_ingest,
    **dict.fromkeys(FAILPOINTS, _kill_at_failpoint),
    Fault.BROKER_KILL: partial(_kill_broker, with_data=False),
    Fault.BROKER_WIPE: partial(_kill_broker, with_data=True),
    Fault.DATABASE_KILL: _kill_database,
    Fault.DATABASE_AWAY: _take_database_away,
    Fault.DATABASE_LATENCY: partial(
        _poison_line, toxic=Toxic(latency_s=_LATENCY_S, jitter_s=_JITTER_S)
    ),
    Fault.DATABASE_BANDWIDTH: partial(_poison_line, toxic=Toxic(bytes_per_s=_NARROW_BYTES_PER_S)),
    Fault.DATABASE_BLACKHOLE: partial(_poison_line, toxic=Toxic(is_silent=True)),
    Fault.DATABASE_RESET: _reset_database,
    Fault.DISK_FULL: _fill_disk,
    Fault.DEVICES_KILL: _kill_devices,
    Fault.RECONNECT_STORM: _raise_storm,
}
