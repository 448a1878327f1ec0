"""Replays decisions: which tickets a device's forecasts would have opened, and until when. Pure.

`maintenance.decide` decides about every forecast as it does live. Nobody acts on a ticket here; it stays open until
its values recover, or somebody was there. Where nothing can happen, which is most of the time, no forecast is
looked at: `maintenance.quiet` says where, and a test holds that against looking at all of them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import numpy as np

from core.product import FailureMode, Product
from core.tickets import STATUSES, ForecastRows, TicketPolicy, TicketSpan, Visit
from core.units import EPOCH
from maintenance.decide import (
    LIVE,
    ClosedTicket,
    Decision,
    Forecast,
    OpenTicket,
    Situation,
    Streak,
    decide,
    is_moved,
    worst_first,
)
from maintenance.quiet import BoolArray, may_want_visit
from maintenance.reasons import Action, Reason


class Replay:
    """What opens tickets: the entry point `tickets` of the group `forecare.deciders`."""

    @property
    def live(self) -> TicketPolicy:
        return LIVE

    def tickets(
        self, product: Product, rows: ForecastRows, *, policy: TicketPolicy
    ) -> tuple[TicketSpan, ...]:
        """Return the preventive tickets that one device's forecasts would have opened, oldest first."""
        return walk(product, rows, policy=policy, busy=may_want_visit(product, rows, policy=policy))


REPLAY = Replay()


def walk(
    product: Product, rows: ForecastRows, *, policy: TicketPolicy, busy: BoolArray
) -> tuple[TicketSpan, ...]:
    """Decide about a device's forecasts, one instant after the other.

    Parameters
    ----------
    busy : ndarray of bool, shape (n, modes)
        Forecasts that might want a visit. The others are looked at only while a ticket for their failure mode is
        open, or one of the last forecasts wanted a visit.
    """
    desk = _Desk(product=product, rows=rows, policy=policy, visits=list(rows.visits))
    instants = np.flatnonzero(busy.any(axis=1)).tolist()
    row, number = 0, len(rows.at_us)
    while row < number:
        if not desk.is_waiting:
            following = bisect_left(instants, row)
            if following == len(instants):
                break
            row = instants[following]
        desk.take(row, np.flatnonzero(busy[row]).tolist())
        row += 1
    return desk.spans()


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One device's tickets."""

    product: Product
    rows: ForecastRows
    policy: TicketPolicy
    visits: list[Visit]
    """Still to come."""
    open: dict[int, OpenTicket] = field(default_factory=dict)
    """By number."""
    closed: dict[str, ClosedTicket] = field(default_factory=dict)
    """The last one of each failure mode."""
    streaks: dict[int, Streak] = field(default_factory=dict)
    """By place of the failure mode, those that remember a forecast that wanted a visit."""
    begun: dict[tuple[int, str], int] = field(default_factory=dict)
    """Since when a preventive ticket is about a failure mode, microseconds."""
    ended: list[TicketSpan] = field(default_factory=list)
    tickets: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether even a calm forecast may change something."""
        return bool(self.open or self.streaks)

    def take(self, row: int, busy: Sequence[int]) -> None:
        """Decide about the forecasts of one instant, the worst one first."""
        at_us = int(self.rows.at_us[row])
        while self.visits and self.visits[0].at_us <= at_us:
            self._visit(self.visits.pop(0))
        own = {ticket.failure_mode for ticket in self.open.values()}
        modes = self.product.failure_modes
        places = [p for p, mode in enumerate(modes) if mode.name in own or p in self.streaks]
        places = sorted({*busy, *places})
        forecasts = [(self._forecast(row, place), place) for place in places]
        for forecast, place in sorted(forecasts, key=lambda pair: worst_first(pair[0])):
            self._decide(forecast, place, at_us)

    def spans(self) -> tuple[TicketSpan, ...]:
        """Return all preventive tickets, oldest first."""
        left = [
            TicketSpan(failure_mode=mode, opened_us=begun, cleared_us=None)
            for (_, mode), begun in self.begun.items()
        ]
        return tuple(sorted([*self.ended, *left], key=lambda s: (s.opened_us, s.failure_mode)))

    def _decide(self, forecast: Forecast, place: int, at_us: int) -> None:
        mode = self.product.failure_modes[place]
        situation = Situation(
            open_tickets=list(self.open.values()),
            closed_tickets=list(self.closed.values()),
            forecast_every=self.product.forecast_every,
            event_now=forecast.made_at,
            policy=self.policy,
        )
        before = self.streaks.get(place, Streak())
        decision, streak = decide(forecast, mode=mode, streak=before, situation=situation)
        if decision.action is Action.OPEN:
            self._open(decision, mode, at_us=at_us)
        elif decision.action is Action.JOIN:
            self._join(decision, mode, at_us=at_us)
        elif decision.action is Action.CLEAR and decision.ticket_id is not None:
            self._close(decision.ticket_id, at_us=at_us, reason=Reason.RECOVERED.value)
        is_open = any(ticket.failure_mode == mode.name for ticket in self.open.values())
        if is_open or any(streak.levels):
            self.streaks[place] = streak
        else:
            self.streaks.pop(place, None)

    def _open(self, decision: Decision, mode: FailureMode, *, at_us: int) -> None:
        assert decision.due_at is not None, "what opens is due"
        self.tickets += 1
        self.open[self.tickets] = OpenTicket(
            ticket_id=self.tickets,
            failure_mode=mode.name,
            component=mode.component,
            kind=decision.kind,
            state="open",
            level=decision.level,
            due_at=decision.due_at,
        )
        if decision.kind == "preventive":
            self.begun[self.tickets, mode.name] = at_us

    def _join(self, decision: Decision, mode: FailureMode, *, at_us: int) -> None:
        """A failure mode that joins is warned of, too: the technician brings its parts."""
        assert decision.ticket_id is not None, "only an open ticket can be joined"
        ticket = self.open[decision.ticket_id]
        if is_moved(decision, ticket, mode=mode):
            self.open[ticket.ticket_id] = msgspec.structs.replace(
                ticket,
                level=decision.level,
                kind=decision.kind,
                due_at=ticket.due_at if decision.due_at is None else decision.due_at,
            )
        if decision.reason is Reason.SAME_COMPONENT and decision.kind == "preventive":
            self.begun.setdefault((ticket.ticket_id, mode.name), at_us)

    def _visit(self, visit: Visit) -> None:
        ids = [t.ticket_id for t in self.open.values() if t.failure_mode in visit.failure_modes]
        for ticket_id in ids:
            self._close(ticket_id, at_us=visit.at_us, reason=visit.verdict)
        if visit.verdict == "confirmed":
            for mode in visit.failure_modes:
                self._remember(mode, visit.at_us, reason=visit.verdict)

    def _close(self, ticket_id: int, *, at_us: int, reason: str) -> None:
        ticket = self.open.pop(ticket_id)
        self._remember(ticket.failure_mode, at_us, reason=reason)
        for number, mode in [key for key in self.begun if key[0] == ticket_id]:
            opened_us = self.begun.pop((number, mode))
            self.ended.append(TicketSpan(failure_mode=mode, opened_us=opened_us, cleared_us=at_us))

    def _remember(self, mode: str, at_us: int, *, reason: str) -> None:
        self.closed[mode] = ClosedTicket(
            failure_mode=mode, closed_at=_instant(at_us), close_reason=reason
        )

    def _forecast(self, row: int, place: int) -> Forecast:
        chances = self.rows.p_fail[row, place].tolist()
        p = [None if np.isnan(value) else value for value in chances]
        lives = self.rows.life_hours[row, place].tolist()
        life = [value if np.isfinite(value) else None for value in lives]
        return Forecast(
            forecast_id=0,
            failure_mode=self.product.failure_modes[place].name,
            made_at=_instant(int(self.rows.at_us[row])),
            status=STATUSES[int(self.rows.status[row, place])],
            p_fail_1d=p[0],
            p_fail_7d=p[1],
            p_fail_30d=p[2],
            life_hours_q10=life[0],
            life_hours_q50=life[1],
            life_hours_q90=life[2],
        )


def _instant(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)
