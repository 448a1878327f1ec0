"""Runs the demo: servers, stages, fleet; shows progress; counts at the end; stops all it started."""

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.demo.access import Access, ensure_access, person_links
from bench.demo.campaign import DemoCampaigns, count_campaigns, ensure_key
from bench.demo.count import judge
from bench.demo.fleet import Fleet, Order, read_truth
from bench.demo.show import Show
from bench.demo.store import (
    read_notifications_sent,
    read_stored,
    read_tickets,
)
from core.clock import monotonic_s, pause
from core.endpoints import database_url, runtime_paths
from core.errors import PermanentError, RetryableError
from core.line import (
    ServerWatch,
    forget_data,
    handed_on,
    only_runner,
    require_free_port,
    stage_programs,
    start_servers,
    stop_servers,
)
from core.pool import connect
from core.runtime.ports import free_port
from core.runtime.progress import console_progress
from core.settings import Settings
from core.supervisor import Supervisor, run_until_signal

_READY_S = 180.0
"""A busy machine takes a minute to import and start all stages at once; a stage that dies ends the wait."""
_FLEET_KILLS_MAX, _FLEET_FAILURES_MAX = 20, 2
"""How often the simulator is started again after a kill, and after it gave up by itself."""
_LINKS_EVERY_S = 5.0
_PEOPLE = 3
_ONCE = "demo-once"
_AHEAD = 4
"""Parts that wear when the history of an interactive demo ends, so that there is something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrder:
    devices: int
    days: int
    seed: int
    is_once: bool
    is_fresh: bool


def run_demo(settings: Settings, order: DemoOrder, *, console: Console) -> dict[str, Any] | None:
    """Run the demo and return its counts, or None when a person ended it.

    A crash or a kill of this process leaves the servers running and the data whole: the stages end
    with it, and the next start goes on (or, with `is_once`, starts from nothing).
    """
    started_s = monotonic_s()
    settings = _own_settings(settings, order)
    show = Show(console)
    with handed_on(settings), _signals_raise(), only_runner(settings):
        require_free_port(settings)
        supervisor = Supervisor(settings.runtime_path / "log", on_event=show.stage_event)
        fleet: Fleet | None = None
        campaigns = DemoCampaigns(settings)
        try:
            if order.is_fresh:
                show.say("starting from nothing: the data of the last such run is removed")
                forget_data(settings, Path(settings.inbox_dir), _state_dir(settings))
            show.say("starting TimescaleDB and Mosquitto")
            start_servers(settings, progress=console_progress(console))
            show.say("starting the stages")
            for program in stage_programs(settings):
                supervisor.start(program)
            _wait_until_ready(settings, supervisor)
            access = ensure_access(settings)
            fleet = Fleet(
                order=_fleet_order(settings, order, access),
                log_file=settings.runtime_path / "log" / "simulate.log",
            )
            fleet.start()
            campaigns.start()
            show.welcome(settings.base_url, person_links(settings))
            by_person = _watch(settings, supervisor, fleet, show, campaigns, is_once=order.is_once)
            if by_person or not order.is_once:
                return None
            return _count(settings, fleet, seconds=monotonic_s() - started_s)
        finally:
            show.close()
            show.say("stopping …")
            campaigns.stop()
            if fleet is not None:
                fleet.stop()
            supervisor.stop()
            stop_servers(settings)


def _own_settings(settings: Settings, order: DemoOrder) -> Settings:
    """Give an unattended run a place and a port of its own; find a port for an interactive one."""
    if order.is_once:
        paths = runtime_paths(settings)
        settings = replace(settings, runtime_dir=str(paths.instance(_ONCE).root))
        if "FORECARE_HTTP_PORT" not in os.environ:
            settings = replace(settings, http_port=str(free_port()))
    inbox = settings.inbox_dir or str(settings.runtime_path / "inbox")
    return replace(settings, inbox_dir=inbox)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn SIGTERM into the KeyboardInterrupt that Ctrl-C is, so that `finally` stops everything."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, previous)


def _state_dir(settings: Settings) -> Path:
    return settings.runtime_path / "fleet"


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> None:
    deadline = monotonic_s() + _READY_S
    while monotonic_s() < deadline:
        supervisor.watch()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{settings.base_url}/readyz", timeout=2).close()  # noqa: S310 - our own http
            return
        pause(0.1)
    raise RetryableError(
        f"the pages did not come up within {_READY_S:.0f} s",
        hint=f"look into {settings.runtime_path / 'log'}",
    )


def _fleet_order(settings: Settings, order: DemoOrder, access: Access) -> Order:
    return Order(
        devices=order.devices,
        days=order.days,
        seed=order.seed,
        api_url=settings.base_url,
        inbox=Path(settings.inbox_dir),
        state=_state_dir(settings),
        email=access.email,
        password=access.password,
        is_live=not order.is_once,
        ahead=0 if order.is_once else _AHEAD,
        firmware_key=ensure_key(settings),
    )


def _watch(  # noqa: PLR0913 - everything that is watched
    settings: Settings,
    supervisor: Supervisor,
    fleet: Fleet,
    show: Show,
    campaigns: DemoCampaigns,
    *,
    is_once: bool,
) -> bool:
    """Keep everything alive until the fleet is through or a person ends it; return whether one did."""
    servers = ServerWatch(settings)
    links = _LinksOnce(settings, show)

    def tick() -> bool:
        servers.tick()
        links.tick()
        news = fleet.news()
        show.progress(news)
        campaigns.hear(news)
        code = fleet.poll()
        if code is None:
            return True
        if code == 0:
            return not is_once
        was_killed = code < 0
        if fleet.restarts >= (_FLEET_KILLS_MAX if was_killed else _FLEET_FAILURES_MAX):
            raise PermanentError(
                f"the simulator ended with code {code}: {fleet.last_words()}",
                hint=f"see {fleet.log_file}; --fresh begins with a new fleet",
            )
        show.stage_event("simulate", "restarted")
        fleet.revive()
        return True

    return run_until_signal(supervisor, on_tick=tick)


class _LinksOnce:
    """Prints the links of owner and technician as soon as each of them has something to see."""

    def __init__(self, settings: Settings, show: Show) -> None:
        self._settings = settings
        self._show = show
        self._next_look_s = monotonic_s() + _LINKS_EVERY_S
        self._is_done = False

    def tick(self) -> None:
        if self._is_done or monotonic_s() < self._next_look_s:
            return
        self._next_look_s = monotonic_s() + _LINKS_EVERY_S
        with contextlib.suppress(RetryableError):
            found = person_links(self._settings)
            if len(found) == _PEOPLE:
                self._is_done = True
                self._show.welcome(self._settings.base_url, found)


def _count(settings: Settings, fleet: Fleet, *, seconds: float) -> dict[str, Any]:
    truth = read_truth(fleet.order.state)
    with connect(database_url(settings), name="demo count") as connection:
        stored = read_stored(connection)
        tickets = read_tickets(connection)
        notifications = read_notifications_sent(connection)
    verdict = judge(truth.failures, tickets)
    lost = sum(
        max(0, confirmed - stored.samples_by_device.get(device, 0))
        for device, confirmed in truth.confirmed_by_device.items()
    )
    return {
        "devices": len(truth.confirmed_by_device),
        "samples_stored": stored.samples,
        "failures_injected": verdict.failures_injected,
        "failures_forecast": verdict.failures_forecast,
        "tickets": verdict.tickets,
        "false_tickets": verdict.false_tickets,
        "median_lead_hours": verdict.median_lead_hours,
        "notifications_sent": notifications,
        "lost": lost,
        **count_campaigns(settings),
        "seconds": round(seconds, 1),
    }
