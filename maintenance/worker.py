"""Decides about new forecasts, device by device in event time: `forecare maintenance run`.

One transaction holds the progress of some devices, their decisions, tickets, messages and jobs. A
crash before its COMMIT leaves nothing, one after it leaves everything; nobody decides twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event

import msgspec

from core.clock import Clock, monotonic_s
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Connection, Pool
from core.product import FailureMode, Product, product_from_json
from maintenance import changes, store
from maintenance.away import DATABASE_AWAY
from maintenance.case import failure_mode_of
from maintenance.changes import Change
from maintenance.decide import (
    ClosedTicket,
    Decision,
    Forecast,
    OpenTicket,
    Situation,
    Streak,
    decide,
    is_moved,
    is_worse,
    worst_first,
)
from maintenance.outbox import Sender
from maintenance.reasons import Action, Reason

log = get_logger("maintenance")

DEVICES_MAX = 32
"""Devices decided in one transaction."""
INSTANTS_MAX = 200
"""Forecast instants of a device decided in one transaction; the rest comes with the next one."""
IDLE_S = 0.1
REMIND_AFTER = timedelta(days=3)
_BACK_OFF_S = (0.2, 5.0)
_SKIP_S = 30.0
"""A device whose decision fails is left alone for so long, so that it holds up nobody else."""


class _Device(msgspec.Struct, kw_only=True):
    """A claimed device while its forecasts are decided."""

    device_id: int
    product: Product
    event_now: datetime
    late_through: datetime | None
    decided_through: datetime
    streaks: dict[str, Streak]
    open_tickets: list[OpenTicket]
    closed_tickets: list[ClosedTicket]
    demoted_since: Mapping[str, datetime]

    def situation(self, forecast: Forecast) -> Situation:
        return Situation(
            open_tickets=self.open_tickets,
            closed_tickets=self.closed_tickets,
            forecast_every=self.product.forecast_every,
            event_now=max(self.event_now, forecast.made_at),
            late_through=self.late_through,
            demoted_since=self.demoted_since,
        )


class _Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast and what was decided about it."""

    forecast: Forecast
    mode: FailureMode
    decision: Decision


class Decider:
    """Decides the pending forecasts of some devices; keeps product sheets between the calls."""

    def __init__(self, *, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self._sheets: dict[int, tuple[int, Product]] = {}

    def decide_pending(
        self, connection: Connection, *, devices_max: int = DEVICES_MAX, without: Iterable[int] = ()
    ) -> tuple[int, ...]:
        """Decide what is pending for some devices and return their ids; the caller commits."""
        claims = store.claim_devices(connection, devices_max=devices_max, without=tuple(without))
        if not claims:
            return ()
        forecasts = store.pending_forecasts(connection, claims, instants_max=INSTANTS_MAX)
        change = Change(
            connection=connection, actor="forecare", sender=self._sender, now=self._clock()
        )
        rows: list[dict[str, object]] = []
        for device in self._devices(connection, claims):
            rows += _decide_device(change, device, forecasts.get(device.device_id, []))
        if rows:
            connection.cursor().executemany(store.queries["record_decision"], rows)
        device_ids = tuple(claim.device_id for claim in claims)
        _remind(change, device_ids)
        return device_ids

    def _devices(self, connection: Connection, claims: list[store.Claim]) -> Iterable[_Device]:
        ids = [claim.device_id for claim in claims]
        opened = store.open_tickets(connection, ids)
        closed = store.closed_tickets(connection, ids)
        rows = connection.execute(store.queries["devices"], {"device_ids": ids}).fetchall()
        known = {row[0]: row[1:] for row in rows}
        demoted = store.demoted_rules(connection, {row[1] for row in rows})
        for claim in claims:
            product_id, revision, event_now, late_through = known[claim.device_id]
            yield _Device(
                device_id=claim.device_id,
                product=self._sheet(connection, product_id, revision),
                event_now=event_now,
                late_through=late_through,
                decided_through=claim.decided_through,
                streaks=dict(claim.streaks),
                open_tickets=opened.get(claim.device_id, []),
                closed_tickets=closed.get(claim.device_id, []),
                demoted_since=demoted.get(product_id, {}),
            )

    def _sheet(self, connection: Connection, product_id: int, revision: int) -> Product:
        known = self._sheets.get(product_id)
        if known is None or known[0] != revision:
            row = connection.execute(store.queries["sheet"], {"product_id": product_id}).fetchone()
            assert row is not None, "a device's product is held by a foreign key"
            known = self._sheets[product_id] = (row[1], product_from_json(row[0]))
        return known[1]


def run(pool: Pool, *, sender: Sender, clock: Clock, stop: Event, idle_s: float = IDLE_S) -> None:
    """Decide until `stop` is set; survives the database going away and coming back."""
    decider = Decider(sender=sender, clock=clock)
    skipped: dict[int, float] = {}
    away_s = 0.0
    while not stop.is_set():
        skipped = {device: until for device, until in skipped.items() if until > monotonic_s()}
        try:
            decided = decide_once(pool, decider, without=skipped)
        except DATABASE_AWAY as error:
            if not away_s:
                log.warning("database.away", reason=str(error))
            away_s = min(max(2 * away_s, _BACK_OFF_S[0]), _BACK_OFF_S[1])
            stop.wait(away_s)
            continue
        except Exception:
            log.exception("decision.failed")
            _decide_one_by_one(pool, decider, skipped)
            continue
        if away_s:
            log.info("database.back")
            away_s = 0.0
        if not decided:
            stop.wait(idle_s)


def decide_once(
    pool: Pool,
    decider: Decider,
    *,
    without: Iterable[int] = (),
    devices_max: int = DEVICES_MAX,
) -> tuple[int, ...]:
    """Decide one batch in one transaction; return the devices, none when all is decided."""
    with pool.connection() as connection:
        decided = decider.decide_pending(connection, devices_max=devices_max, without=without)
        if decided:
            failpoint("maintenance.before_commit")
    if decided:
        failpoint("maintenance.after_commit")
    return decided


def _decide_one_by_one(pool: Pool, decider: Decider, skipped: dict[int, float]) -> None:
    """Decide each device on its own, so that only the broken one is left out."""
    while True:
        claimed: list[int] = []
        try:
            with pool.connection() as connection:
                claims = store.claim_devices(connection, devices_max=1, without=tuple(skipped))
                claimed = [claim.device_id for claim in claims]
                if not decider.decide_pending(connection, devices_max=1, without=skipped):
                    return
        except DATABASE_AWAY:
            return
        except Exception:
            for device_id in claimed:
                log.exception("device.skipped", device_id=device_id, seconds=_SKIP_S)
                skipped[device_id] = monotonic_s() + _SKIP_S
            if not claimed:
                return


def _decide_device(
    change: Change, device: _Device, forecasts: list[Forecast]
) -> list[dict[str, object]]:
    """Decide a device's forecasts one after the other; return the decisions worth a row."""
    rows = []
    for forecast in sorted(forecasts, key=worst_first):
        device.decided_through = forecast.made_at
        mode = failure_mode_of(device.product, forecast.failure_mode)
        if mode is None:  # the sheet has dropped it since
            continue
        before = device.streaks.get(mode.name, Streak())
        decision, device.streaks[mode.name] = decide(
            forecast, mode=mode, streak=before, situation=device.situation(forecast)
        )
        verdict = _Verdict(forecast=forecast, mode=mode, decision=decision)
        if _carry_out(change, device, verdict) or decision.reason != before.reason:
            rows.append(_row(device, verdict, now=change.now))
    store.record_progress(
        change.connection,
        device_id=device.device_id,
        decided_through=device.decided_through,
        streaks=device.streaks,
    )
    return rows


def _remind(change: Change, device_ids: Sequence[int]) -> None:
    values = {"device_ids": list(device_ids), "after": REMIND_AFTER}
    due = change.connection.execute(store.queries["tickets_to_remind"], values).fetchall()
    for (ticket_id,) in due:
        case = store.read_case(change.connection, ticket_id)
        changes.tell_visit_needed(change, ticket_id, occasion="reminder", event_now=case.event_now)


def _carry_out(change: Change, device: _Device, verdict: _Verdict) -> bool:
    """Carry out a decision; return whether it changed anything."""
    match verdict.decision.action:
        case Action.OPEN:
            return _open(change, device, verdict)
        case Action.JOIN:
            return _join(change, device, verdict)
        case Action.CLEAR:
            return _clear(change, device, verdict)
        case Action.INSPECT:
            return _inspect(change, device, verdict)
        case _:
            return False


def _open(change: Change, device: _Device, verdict: _Verdict) -> bool:
    ticket_id = changes.open_ticket(
        change,
        verdict.forecast,
        verdict.decision,
        mode=verdict.mode,
        device=changes.DeviceNow(device_id=device.device_id, event_now=device.event_now),
    )
    _read_open_tickets(change, device)
    if ticket_id is not None:
        log.info(
            "ticket.opened",
            device_id=device.device_id,
            failure_mode=verdict.mode.name,
            ticket_id=ticket_id,
            reason=verdict.decision.reason.value,
        )
    return ticket_id is not None


def _join(change: Change, device: _Device, verdict: _Verdict) -> bool:
    decision, mode = verdict.decision, verdict.mode
    ticket = next(t for t in device.open_tickets if t.ticket_id == decision.ticket_id)
    if decision.reason == Reason.SAME_COMPONENT:
        changes.extend_work_order(change, ticket.ticket_id, mode)
    if not is_moved(decision, ticket, mode=mode):
        return False
    about = changes.About(device_id=device.device_id, ticket_id=ticket.ticket_id)
    changes.raise_ticket(change, verdict.forecast, decision, about=about)
    _read_open_tickets(change, device)
    if is_worse(decision, ticket) and ticket.state == "open":
        changes.tell_visit_needed(
            change,
            ticket.ticket_id,
            occasion="raised",
            event_now=max(device.event_now, verdict.forecast.made_at),
            event_key=f"ticket:{ticket.ticket_id}:raised:{decision.level}:{decision.kind}",
        )
    return True


def _clear(change: Change, device: _Device, verdict: _Verdict) -> bool:
    ticket_id, at = verdict.decision.ticket_id, verdict.forecast.made_at
    assert ticket_id is not None, "only an open ticket can be cleared"
    case = store.read_case(change.connection, ticket_id, event_now=at)
    changes.close(change, case, to="cancelled", reason=Reason.RECOVERED.value, at=at)
    changes.tell_closed(change, case, reason=Reason.RECOVERED.value)
    device.open_tickets = [t for t in device.open_tickets if t.ticket_id != ticket_id]
    mode = verdict.mode.name
    closed = ClosedTicket(failure_mode=mode, closed_at=at, close_reason=Reason.RECOVERED.value)
    others = (t for t in device.closed_tickets if t.failure_mode != mode)
    device.closed_tickets = [closed, *others]
    return True


def _inspect(change: Change, device: _Device, verdict: _Verdict) -> bool:
    """Let the visit that comes anyway look at the part; without one it stays a hint."""
    ticket_id = verdict.decision.ticket_id
    if ticket_id is None:
        return False
    about = changes.About(device_id=device.device_id, ticket_id=ticket_id)
    return changes.add_inspection(
        change, about, verdict.mode, at=verdict.forecast.made_at, reason=verdict.decision.reason
    )


def _read_open_tickets(change: Change, device: _Device) -> None:
    device_id = device.device_id
    device.open_tickets = store.open_tickets(change.connection, [device_id]).get(device_id, [])


def _row(device: _Device, verdict: _Verdict, *, now: datetime) -> dict[str, object]:
    forecast, decision = verdict.forecast, verdict.decision
    return {
        "device_id": device.device_id,
        "failure_mode": forecast.failure_mode,
        "forecast_id": forecast.forecast_id,
        "decided_at": forecast.made_at,
        "action": decision.action.value,
        "reason": decision.reason.value,
        "cost_of_waiting": decision.cost_of_waiting,
        "cost_of_acting": decision.cost_of_acting,
        "now": now,
    }
