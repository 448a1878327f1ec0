"""Decides from forecasts whether somebody should visit a device: pure, and every decision says why.

A forecast changes nothing on its own. It has to make waiting dearer than acting, say so two times
out of three, and belong to no ticket that is open already. `docs/explanation/decisions-to-visits.md`
tells it with numbers.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import msgspec

from core.product import FailureMode
from core.tickets import Status, TicketPolicy
from maintenance.reasons import Action, Reason

CONFIRMATIONS = 2
"""So many of the last `CONFIRMATION_WINDOW` forecasts must want a visit before a ticket opens."""
CONFIRMATION_WINDOW = 3
CALM_FORECASTS = 4
"""So many calm forecasts in a row close a preventive alert by themselves; twice as many close a
corrective one. Calm means less than `CALM_SHARE` of what would open it: the gap stops flapping."""
CALM_SHARE = 0.5
LIVE = TicketPolicy(confirm=CONFIRMATIONS, of=CONFIRMATION_WINDOW, calm_forecasts=CALM_FORECASTS)
"""A backtest may ask what another policy would have done (`maintenance.replay`); live there is this one."""
SCHEDULING = timedelta(days=1)
"""From a decision to the earliest visit that can be booked."""
ACT_PROBABILITY = 0.25
"""From this probability of a failure within a day on, the level is *act now*."""
DUE_MIN = {"preventive": timedelta(days=2), "corrective": timedelta(days=1)}
DUE_MARGIN_SHARE = 0.1
"""Share of the wanted lead time that a visit should be done before the low quantile of life."""
DUE_STEP_SHARE = 0.1
"""A due date moves only by more than this share of the wanted lead time: no daily trickle."""
UNUSED_LATER = 0.5
"""Share of a part's life that is thrown away when about the wanted lead time is left of it."""
SETTLING_FORECASTS = 8
"""After a repair the smoothed features need so many forecasts until they show the new part."""
FAULT_SETTLING_FORECASTS = 2
NO_FAULT_LEAD_TIMES = 2
"""After *no fault found* the same preventive warning is not repeated for so many lead times."""

Level = Literal["watch", "plan", "act"]
Kind = Literal["preventive", "corrective"]

_LEVELS: tuple[Level, ...] = ("watch", "plan", "act")
_DAY_HOURS = 24.0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One row of anomaly.forecast."""

    forecast_id: int
    failure_mode: str
    made_at: datetime
    status: Status
    p_fail_1d: float | None = None
    p_fail_7d: float | None = None
    p_fail_30d: float | None = None
    life_hours_q10: float | None = None
    life_hours_q50: float | None = None
    life_hours_q90: float | None = None
    evidence: dict[str, Any] = {}


class OpenTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: int
    failure_mode: str
    component: str
    kind: Kind
    state: str
    level: Level
    due_at: datetime


class ClosedTicket(msgspec.Struct, frozen=True, kw_only=True):
    """The last closed ticket of a failure mode."""

    failure_mode: str
    closed_at: datetime
    close_reason: str


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of the forecasts before: enough to go on exactly where it stopped."""

    levels: tuple[str, ...] = ()
    """Level that each of the last forecasts wanted, "" for none; newest last."""
    calm: int = 0
    reason: str = ""
    """Reason of the last decision, so that an unchanged one is not written again and again."""

    def is_confirmed(self, policy: TicketPolicy) -> bool:
        return sum(1 for level in self.levels if level) >= policy.confirm

    def is_urgent(self, policy: TicketPolicy) -> bool:
        return sum(1 for level in self.levels if level == "act") >= policy.confirm


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    action: Action
    reason: Reason
    level: Level = "watch"
    kind: Kind = "preventive"
    ticket_id: int | None = None
    """The open ticket that is joined, held or cleared, or whose visit looks at the part too."""
    due_at: datetime | None = None
    cost_of_waiting: float = 0.0
    cost_of_acting: float = 0.0


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the device beside its forecasts."""

    open_tickets: Sequence[OpenTicket] = ()
    closed_tickets: Sequence[ClosedTicket] = ()
    forecast_every: timedelta
    event_now: datetime
    policy: TicketPolicy = LIVE
    late_through: datetime | None = None
    """Samples up to here arrived too late to alarm anybody; None: none did."""
    demoted_since: Mapping[str, datetime] = {}
    """Event time from which on a failure mode's rule opens no ticket any more: it was wrong too often."""

    def is_demoted(self, forecast: Forecast) -> bool:
        since = self.demoted_since.get(forecast.failure_mode)
        return since is not None and forecast.made_at > since

    def is_late(self, forecast: Forecast) -> bool:
        return self.late_through is not None and forecast.made_at <= self.late_through


def decide(
    forecast: Forecast, *, mode: FailureMode, streak: Streak, situation: Situation
) -> tuple[Decision, Streak]:
    """Decide about one forecast of one failure mode.

    Returns
    -------
    tuple of Decision and Streak
        The decision, and the streak for the next forecast of this failure mode.
    """
    policy = situation.policy
    costs = compare_costs(forecast, mode=mode, threshold=policy.threshold)
    streak = _follow(streak, forecast, mode=mode, costs=costs, policy=policy)
    decision = _choose(forecast, mode=mode, streak=streak, situation=situation, costs=costs)
    decision = msgspec.structs.replace(
        decision, cost_of_waiting=costs.waiting, cost_of_acting=costs.acting
    )
    return decision, msgspec.structs.replace(streak, reason=decision.reason.value)


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Expected cost in the product's currency."""

    waiting: float
    acting: float

    @property
    def wants_visit(self) -> bool:
        return self.waiting > self.acting

    @property
    def is_calm(self) -> bool:
        return self.waiting < CALM_SHARE * self.acting


def compare_costs(
    forecast: Forecast, *, mode: FailureMode, threshold: float | None = None
) -> Costs:
    """Weigh waiting for the next chance to act against a visit now.

    Whoever waits can next act with effect only after the wanted lead time and the time it takes to
    send somebody: until then the failure happens with probability `p_soon` and costs its full
    price. If it does not, a visit is still due later, with the probability that it fails within the 30
    days that are foreseen. A visit costs its own price and what the old part would still have given: its
    share of life beyond the lead time, at the price of the kit. One that comes later comes when no more
    than the lead time is left, so half of that share at most.

    With a threshold, which only a backtest asks for, `p_soon` is held against it, and no money counts.
    """
    p_soon = failure_probability(forecast, within=horizon_of(mode))
    if threshold is not None:
        return Costs(waiting=p_soon, acting=threshold)
    p_later = max(failure_probability(forecast, within=timedelta(days=30)) - p_soon, 0.0)
    kit = sum(part.price * part.quantity for part in mode.kit)
    lead_hours = mode.lead_time / timedelta(hours=1)
    life_hours = forecast.life_hours_q50
    unused = 1.0 if life_hours is None else life_hours / (life_hours + lead_hours)
    later = mode.cost_of_visit + kit * min(unused, UNUSED_LATER)
    return Costs(
        waiting=p_soon * mode.cost_of_failure + p_later * later,
        acting=mode.cost_of_visit + kit * unused,
    )


def horizon_of(mode: FailureMode) -> timedelta:
    """Until when a failure cannot be forestalled any more by whoever waits."""
    return mode.lead_time + min(SCHEDULING, mode.lead_time)


def failure_probability(forecast: Forecast, *, within: timedelta) -> float:
    """Read the probability of a failure within a horizon out of a forecast, in [0, 1].

    At 1, 7 and 30 days it is what the forecast says. In between, the quantiles of remaining life
    say where the probability rises: a part that has two good weeks left and will hardly outlast the
    month is no risk on the eighth day. Below a day the quantiles alone are used where given.
    Between known points the cumulative hazard is taken as straight.
    """
    hours = within / timedelta(hours=1)
    if hours < _DAY_HOURS:
        by_life = _probability_by_life(forecast, hours=hours)
        if by_life is not None:
            return by_life
    points = [(h, _hazard(p)) for h, p in _known_probabilities(forecast)]
    if not points:
        return _probability_by_life(forecast, hours=hours) or 0.0
    return 1.0 - math.exp(-_straight([(0.0, 0.0), *points], hours))


def _known_probabilities(forecast: Forecast) -> list[tuple[float, float]]:
    """Return (hours, probability), rising in both: the given horizons, and between them the
    quantiles, as far as the two do not contradict each other."""
    horizons = [
        (_DAY_HOURS * days, p)
        for days, p in (
            (1, forecast.p_fail_1d),
            (7, forecast.p_fail_7d),
            (30, forecast.p_fail_30d),
        )
        if p is not None
    ]
    between = [
        (life, min(max(p, p0), p1))
        for (h0, p0), (h1, p1) in pairwise(horizons)
        for life, p in _quantiles(forecast)
        if h0 < life < h1
    ]
    return sorted(horizons + between)


def urgency(forecast: Forecast, *, mode: FailureMode) -> Level:
    """Return how soon somebody should come, given that somebody should."""
    if forecast.status == "failed":
        return "act"
    near = min(timedelta(days=1), mode.lead_time / 2)
    return "act" if failure_probability(forecast, within=near) >= ACT_PROBABILITY else "plan"


def due_at(forecast: Forecast, *, mode: FailureMode, kind: Kind, event_now: datetime) -> datetime:
    """Return until when the visit should have happened: before the low quantile of life.

    Never earlier than the event time now plus a minimum, as nobody could come sooner.
    """
    soonest = max(event_now, forecast.made_at) + min(DUE_MIN[kind], mode.lead_time)
    if kind == "corrective":
        return soonest
    life = (
        mode.lead_time
        if forecast.life_hours_q10 is None
        else timedelta(hours=forecast.life_hours_q10)
    )
    latest = max(2 * mode.lead_time, timedelta(days=14))
    return max(soonest, forecast.made_at + min(life - DUE_MARGIN_SHARE * mode.lead_time, latest))


def worst_first(forecast: Forecast) -> tuple[datetime, bool, float, str]:
    """At one instant the failure comes first, then the likeliest one: it explains the others."""
    return (
        forecast.made_at,
        forecast.status != "failed",
        -(forecast.p_fail_7d or 0.0),
        forecast.failure_mode,
    )


def is_worse(decision: Decision, ticket: OpenTicket) -> bool:
    """Return whether a decision to join brings another level or kind."""
    return (decision.level, decision.kind) != (ticket.level, ticket.kind)


def is_moved(decision: Decision, ticket: OpenTicket, *, mode: FailureMode) -> bool:
    """Return whether a decision to join changes a ticket: worse, or due sooner by more than a step."""
    step = DUE_STEP_SHARE * mode.lead_time
    is_sooner = decision.due_at is not None and decision.due_at < ticket.due_at - step
    return is_sooner or is_worse(decision, ticket)


def higher(one: Level, other: Level) -> Level:
    return max(one, other, key=_LEVELS.index)


def _follow(
    streak: Streak, forecast: Forecast, *, mode: FailureMode, costs: Costs, policy: TicketPolicy
) -> Streak:
    if forecast.status == "no_data":
        return streak
    if forecast.status == "learning":
        return Streak(reason=streak.reason)
    level = urgency(forecast, mode=mode) if _wants_visit(forecast, costs=costs) else ""
    is_calm = forecast.status == "ok" and costs.is_calm
    return Streak(
        levels=(*streak.levels, level)[-policy.of :],
        calm=streak.calm + 1 if is_calm else 0,
        reason=streak.reason,
    )


def _wants_visit(forecast: Forecast, *, costs: Costs) -> bool:
    """A device that is said to be fine gets no visit for its base rate of failures alone."""
    return forecast.status == "failed" or (forecast.status == "declining" and costs.wants_visit)


def _choose(
    forecast: Forecast, *, mode: FailureMode, streak: Streak, situation: Situation, costs: Costs
) -> Decision:
    if forecast.status == "learning":
        return Decision(action=Action.NONE, reason=Reason.LEARNING)
    if forecast.status == "no_data":
        return Decision(action=Action.NONE, reason=Reason.NO_DATA)
    own = _ticket_of(forecast.failure_mode, situation)
    if situation.is_late(forecast):
        return _about_history(forecast, own, costs=costs)
    if own is not None:
        return _about_open_ticket(forecast, own, mode=mode, streak=streak, situation=situation)
    if not _wants_visit(forecast, costs=costs):
        reason = Reason.HEALTHY if forecast.status == "ok" else Reason.WAITING_IS_CHEAPER
        return Decision(action=Action.NONE, reason=reason)
    kind: Kind = "corrective" if forecast.status == "failed" else "preventive"
    return _about_new_ticket(forecast, mode=mode, kind=kind, streak=streak, situation=situation)


def _about_history(forecast: Forecast, own: OpenTicket | None, *, costs: Costs) -> Decision:
    """Late data changes no ticket: it counts towards the confirmations of what is live, no more."""
    if own is not None:
        return Decision(
            action=Action.HOLD, reason=Reason.LATE_DATA, level=own.level, ticket_id=own.ticket_id
        )
    if _wants_visit(forecast, costs=costs):
        return Decision(action=Action.HOLD, reason=Reason.LATE_DATA)
    reason = Reason.HEALTHY if forecast.status == "ok" else Reason.WAITING_IS_CHEAPER
    return Decision(action=Action.NONE, reason=reason)


def _about_open_ticket(
    forecast: Forecast,
    own: OpenTicket,
    *,
    mode: FailureMode,
    streak: Streak,
    situation: Situation,
) -> Decision:
    calm_needed = situation.policy.calm_forecasts * (2 if own.kind == "corrective" else 1)
    if streak.calm >= calm_needed:
        if own.state == "open":
            return Decision(action=Action.CLEAR, reason=Reason.RECOVERED, ticket_id=own.ticket_id)
        return Decision(
            action=Action.HOLD, reason=Reason.VISIT_BOOKED, level=own.level, ticket_id=own.ticket_id
        )
    has_failed = forecast.status == "failed"
    kind: Kind = "corrective" if has_failed else own.kind
    level = "act" if has_failed or streak.is_urgent(situation.policy) else own.level
    reason = Reason.ALREADY_OPEN
    if kind != own.kind:
        reason = Reason.REPORTED_FAULT
    elif level != own.level:
        reason = Reason.RISK_ROSE
    due = None
    if forecast.status in ("declining", "failed"):
        due = min(own.due_at, due_at(forecast, mode=mode, kind=kind, event_now=situation.event_now))
    return Decision(
        action=Action.JOIN,
        reason=reason,
        level=level,
        kind=kind,
        ticket_id=own.ticket_id,
        due_at=due,
    )


def _about_new_ticket(
    forecast: Forecast, *, mode: FailureMode, kind: Kind, streak: Streak, situation: Situation
) -> Decision:
    cooling = _cooling_down(forecast, mode=mode, kind=kind, situation=situation)
    if cooling is not None:
        return Decision(action=Action.HOLD, reason=cooling, kind=kind)
    level = urgency(forecast, mode=mode)
    is_believed = kind == "corrective" or streak.is_confirmed(situation.policy)
    if not is_believed:
        return Decision(action=Action.HOLD, reason=Reason.NOT_CONFIRMED, level=level, kind=kind)
    if kind == "preventive" and situation.is_demoted(forecast):
        return _about_next_visit(situation, level=level)
    due = due_at(forecast, mode=mode, kind=kind, event_now=situation.event_now)
    sharing = next((t for t in situation.open_tickets if t.component == mode.component), None)
    if sharing is not None:
        return Decision(
            action=Action.JOIN,
            reason=Reason.SAME_COMPONENT,
            level=higher(level, sharing.level),
            kind="corrective" if kind == "corrective" else sharing.kind,
            ticket_id=sharing.ticket_id,
            due_at=min(due, sharing.due_at),
        )
    if kind == "preventive" and any(t.kind == "corrective" for t in situation.open_tickets):
        return Decision(action=Action.HOLD, reason=Reason.MASKED_BY_FAILURE, level=level)
    reason = Reason.REPORTED_FAULT if kind == "corrective" else Reason.FAILURE_LIKELY
    return Decision(action=Action.OPEN, reason=reason, level=level, kind=kind, due_at=due)


def _about_next_visit(situation: Situation, *, level: Level) -> Decision:
    """A rule that was wrong too often opens no ticket: somebody who comes anyway shall look at the part."""
    waiting = [t for t in situation.open_tickets if t.state in ("open", "scheduled")]
    visit = min(waiting, key=lambda t: (t.state != "scheduled", t.due_at), default=None)
    return Decision(
        action=Action.INSPECT,
        reason=Reason.RULE_DEMOTED,
        level=level,
        ticket_id=visit.ticket_id if visit else None,
    )


def _cooling_down(
    forecast: Forecast, *, mode: FailureMode, kind: Kind, situation: Situation
) -> Reason | None:
    closed = next(
        (t for t in situation.closed_tickets if t.failure_mode == forecast.failure_mode), None
    )
    if closed is None:
        return None
    every = situation.forecast_every
    forecasts = FAULT_SETTLING_FORECASTS if kind == "corrective" else SETTLING_FORECASTS
    reason, pause = Reason.AFTER_VISIT, forecasts * every
    match closed.close_reason:
        case "no_fault_found":
            reason = Reason.AFTER_NO_FAULT_FOUND
            if kind == "preventive":
                pause = NO_FAULT_LEAD_TIMES * mode.lead_time
        case "cancelled":
            reason, pause = Reason.AFTER_CANCELLATION, mode.lead_time
        case "recovered" | "not_inspected":
            pause = timedelta(0)
    return reason if forecast.made_at <= closed.closed_at + pause else None


def _ticket_of(failure_mode: str, situation: Situation) -> OpenTicket | None:
    return next((t for t in situation.open_tickets if t.failure_mode == failure_mode), None)


def _hazard(probability: float) -> float:
    return -math.log1p(-min(probability, 0.999999))


def _probability_by_life(forecast: Forecast, *, hours: float) -> float | None:
    points = _quantiles(forecast)
    if not points:
        return None
    if hours >= points[-1][0]:
        return points[-1][1]
    return _straight([(0.0, 0.0), *points], hours)


def _quantiles(forecast: Forecast) -> list[tuple[float, float]]:
    known = (
        (forecast.life_hours_q10, 0.1),
        (forecast.life_hours_q50, 0.5),
        (forecast.life_hours_q90, 0.9),
    )
    return [(life, p) for life, p in known if life is not None]


def _straight(points: Sequence[tuple[float, float]], x: float) -> float:
    """Interpolate between points; beyond the last one go on with the last slope. Never falls."""
    slope = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        rise = max(y1 - y0, 0.0)
        if x <= x1:  # the share first: a slope over almost nothing would be infinite
            return y0 + rise * ((x - x0) / (x1 - x0)) if x1 > x0 else y0
        slope = rise / (x1 - x0) if x1 > x0 else 0.0
    x_last, y_last = points[-1]
    return y_last + slope * (x - x_last)
