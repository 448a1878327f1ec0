"""What the production policy makes of a row of forecasts: which tickets open, and when. Pure.

`maintenance.decide` decides about every forecast as it does live; nobody acts on a ticket here, so it
stays open until its values recover, its part fails or its component is replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.history import Catalog
from anomaly.policy import Episode
from anomaly.runs import STILL_OPEN, Runs
from core.units import EPOCH
from maintenance.decide import (
    ClosedTicket,
    Decision,
    Forecast,
    OpenTicket,
    Situation,
    Streak,
    decide,
)
from maintenance.reasons import Action

_REPAIRED = "done"


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One device's tickets."""

    catalog: Catalog
    device: str
    open: dict[str, tuple[OpenTicket, int]]
    closed: dict[str, ClosedTicket]
    streaks: dict[str, Streak]
    episodes: list[Episode]

    def take(self, track: Track, row: int, place: int) -> None:
        """Let the policy decide about one forecast."""
        mode = self.catalog.product.failure_modes[place]
        forecast = _forecast(track, row, place, mode.name)
        streak = self.streaks.get(mode.name, Streak())
        if forecast.status == "ok" and not self.open and not any(streak.levels):
            return  # nothing to open, nothing to close
        at = forecast.made_at
        decision, self.streaks[mode.name] = decide(
            forecast, mode=mode, streak=streak,
            situation=Situation(
                open_tickets=[ticket for ticket, _ in self.open.values()],
                closed_tickets=list(self.closed.values()),
                forecast_every=self.catalog.product.forecast_every, event_now=at,
            ),
        )  # fmt: skip
        self._record(decision, mode.name, mode.component, int(track.made_us[row]), at)

    def _record(
        self, decision: Decision, mode: str, component: str, at_us: int, at: datetime
    ) -> None:
        if decision.action is Action.OPEN:
            ticket = OpenTicket(
                ticket_id=len(self.episodes) + len(self.open) + 1, failure_mode=mode,
                component=component, kind=decision.kind, state="open", level=decision.level,
                due_at=decision.due_at or at,
            )  # fmt: skip
            self.open[mode] = (ticket, at_us)
        elif decision.action is Action.CLEAR:
            self._close(mode, at_us, at, reason="recovered")

    def repair(self, modes: Sequence[str], at_us: int) -> None:
        """The component was replaced: its tickets are done."""
        at = EPOCH + timedelta(microseconds=at_us)
        for mode in modes:
            self.streaks.pop(mode, None)
            if mode in self.open:
                self._close(mode, at_us, at.astimezone(UTC), reason=_REPAIRED)

    def _close(self, mode: str, at_us: int, at: datetime, *, reason: str) -> None:
        ticket, opened_us = self.open.pop(mode)
        self.closed[mode] = ClosedTicket(failure_mode=mode, closed_at=at, close_reason=reason)
        if ticket.kind == "preventive":
            self.episodes.append(
                Episode(device=self.device, mode=mode, opened_us=opened_us, cleared_us=at_us)
            )


def tickets_of(catalog: Catalog, track: Track) -> tuple[Episode, ...]:
    """Return the preventive tickets that one device's forecasts would have opened, oldest first."""
    desk = _Desk(
        catalog=catalog, device=track.history.device, open={}, closed={}, streaks={}, episodes=[]
    )
    modes_of = _modes_by_component(catalog)
    services = list(
        zip(
            track.history.service_us.tolist(),
            track.history.service_component.tolist(),
            strict=True,
        )
    )
    for row, made_us in enumerate(track.made_us.tolist()):
        while services and services[0][0] <= made_us:
            at_us, component = services.pop(0)
            desk.repair(modes_of[catalog.components[component]], at_us)
        for place in range(len(catalog.modes)):
            desk.take(track, row, place)
    left = [
        Episode(device=desk.device, mode=mode, opened_us=opened_us, cleared_us=None)
        for mode, (ticket, opened_us) in desk.open.items()
        if ticket.kind == "preventive"
    ]
    return tuple(sorted([*desk.episodes, *left], key=lambda episode: episode.opened_us))


def runs_of_mode(episodes: Sequence[Episode], *, mode: str, devices: Mapping[str, int]) -> Runs:
    """Lay the tickets of one failure mode out as columns, devices numbered as given."""
    own = sorted(
        (devices[e.device], e.opened_us, STILL_OPEN if e.cleared_us is None else e.cleared_us)
        for e in episodes
        if e.mode == mode and e.device in devices
    )
    columns = np.array(own, dtype=np.int64).reshape(-1, 3)
    return Runs(
        device=columns[:, 0], opened_us=columns[:, 1], cleared_us=columns[:, 2],
        row=np.zeros(len(columns), dtype=np.int64),
    )  # fmt: skip


def _modes_by_component(catalog: Catalog) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mode in catalog.product.failure_modes:
        found.setdefault(mode.component, []).append(mode.name)
    return found


def _forecast(track: Track, row: int, place: int, mode: str) -> Forecast:
    p = [None if np.isnan(value) else float(value) for value in track.p_fail[row, place]]
    life = [float(v) if np.isfinite(v) else None for v in track.life_hours[row, place]]
    return Forecast(
        forecast_id=0, failure_mode=mode,
        made_at=(EPOCH + timedelta(microseconds=int(track.made_us[row]))).astimezone(UTC),
        status=STATUSES[int(track.status[row, place])],  # type: ignore[arg-type]
        p_fail_1d=p[0], p_fail_7d=p[1], p_fail_30d=p[2],
        life_hours_q10=life[1], life_hours_q50=life[2], life_hours_q90=life[3],
    )  # fmt: skip
