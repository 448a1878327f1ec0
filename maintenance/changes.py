"""Changes of a ticket together with everything that hangs on it, within the caller's transaction.

Alert, ticket, work order, appointment, history and message change together or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from core.pool import Connection
from core.product import FailureMode
from maintenance import notices, slots, store
from maintenance.case import Case, evidence_sentences
from maintenance.decide import Decision, Forecast
from maintenance.invitation import visit_calendar
from maintenance.notices import Notice, VisitTime
from maintenance.outbox import Sender, queue_notice
from maintenance.reasons import inspection_step

SLOTS_IN_MAIL = 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One transaction under way: who changes something, and when."""

    connection: Connection
    actor: str
    sender: Sender
    now: datetime
    """Wall time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNow:
    """A device at its event time."""

    device_id: int
    event_now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a line of the history is about."""

    device_id: int
    ticket_id: int | None


def open_ticket(
    change: Change,
    forecast: Forecast,
    decision: Decision,
    *,
    mode: FailureMode,
    device: DeviceNow,
) -> int | None:
    """Open alert, ticket and work order and tell the owner; None if the ticket is open already."""
    at = forecast.made_at
    alert_id = _open_alert(change, decision, device_id=device.device_id, mode=mode, at=at)
    fails_from, fails_until = failure_window(forecast)
    row = change.connection.execute(
        store.queries["open_ticket"],
        {
            "alert_id": alert_id,
            "device_id": device.device_id,
            "failure_mode": mode.name,
            "component": mode.component,
            "kind": decision.kind,
            "level": decision.level,
            "reason": decision.reason.value,
            "title": mode.title,
            "evidence": Jsonb(snapshot(forecast)),
            "opened_at": at,
            "due_at": decision.due_at,
            "fails_from": fails_from,
            "fails_until": fails_until,
            "now": change.now,
        },
    ).fetchone()
    if row is None:
        return None
    ticket_id = int(row[0])
    change.connection.execute(
        store.queries["open_work_order"],
        {
            "ticket_id": ticket_id,
            "device_id": device.device_id,
            "title": mode.title,
            "kit": Jsonb(msgspec.to_builtins(mode.kit)),
            "skills": list(mode.skills),
            "checklist": Jsonb(list(mode.checklist)),
            "duration": mode.duration,
            "due_at": decision.due_at,
            "now": change.now,
        },
    )
    note(
        change,
        About(device_id=device.device_id, ticket_id=ticket_id),
        "ticket.opened",
        at=at,
        reason=decision.reason.value,
        detail={
            "level": decision.level,
            "kind": decision.kind,
            "forecast_id": forecast.forecast_id,
        },
    )
    tell_visit_needed(change, ticket_id, occasion="opened", event_now=max(device.event_now, at))
    return ticket_id


def raise_ticket(
    change: Change,
    forecast: Forecast,
    decision: Decision,
    *,
    about: About,
) -> None:
    """Bring level, kind, due date and window of an open ticket up to a worse forecast."""
    fails_from, fails_until = failure_window(forecast)
    values = {
        "ticket_id": about.ticket_id,
        "level": decision.level,
        "kind": decision.kind,
        "due_at": decision.due_at,
        "fails_from": fails_from,
        "fails_until": fails_until,
        "now": change.now,
    }
    for query in ("raise_ticket", "raise_work_order", "raise_alert"):
        change.connection.execute(store.queries[query], values)
    note(
        change,
        about,
        "ticket.raised",
        at=forecast.made_at,
        reason=decision.reason.value,
        detail={
            "level": decision.level,
            "kind": decision.kind,
            "forecast_id": forecast.forecast_id,
        },
    )


def extend_work_order(change: Change, ticket_id: int, mode: FailureMode) -> None:
    """Add the parts and steps of another failure mode of the same component."""
    change.connection.execute(
        store.queries["extend_work_order"],
        {
            "ticket_id": ticket_id,
            "kit": Jsonb(msgspec.to_builtins(mode.kit)),
            "checklist": Jsonb(list(mode.checklist)),
        },
    )


def add_inspection(
    change: Change, about: About, mode: FailureMode, *, at: datetime, reason: str
) -> bool:
    """Put the look at a part on the checklist of a visit, once; False when it is there or work has begun."""
    step = inspection_step(mode.title)
    cursor = change.connection.execute(
        store.queries["add_inspection"], {"ticket_id": about.ticket_id, "step": Jsonb([step])}
    )
    if cursor.rowcount:
        note(change, about, "work.extended", at=at, reason=reason, detail={"step": step})
    return cursor.rowcount == 1


def close(  # noqa: PLR0913 - everything by keyword
    change: Change,
    case: Case,
    *,
    to: str,
    reason: str,
    at: datetime,
    detail: dict[str, Any] | None = None,
) -> None:
    """Close ticket, work order, appointment and alert.

    Raises
    ------
    ConflictError
        If the ticket or its work order is closed already.
    """
    is_done = to == "resolved"
    store.close_ticket(change.connection, case.ticket_id, to, closed_at=at, close_reason=reason)
    store.move_work_order(
        change.connection, case.work_order_id, "done" if is_done else "cancelled", done_at=at
    )
    store.move_appointments(
        change.connection, case.work_order_id, "done" if is_done else "cancelled"
    )
    change.connection.execute(
        store.queries["clear_alert"],
        {"alert_id": case.alert_id, "cleared_at": at, "now": change.now},
    )
    note(
        change,
        case,
        f"ticket.{to}",
        at=at,
        reason=reason,
        detail=detail,
    )


def tell_visit_needed(
    change: Change,
    ticket_id: int,
    *,
    occasion: str,
    event_now: datetime,
    event_key: str = "",
) -> None:
    """Queue the message that somebody should come, with a few free times."""
    case = store.read_case(change.connection, ticket_id, event_now=event_now)
    notice = notices.visit_needed(
        case,
        slots=offer(change.connection, case, count=SLOTS_IN_MAIL),
        link=change.sender.link(ticket_id, owner_id=case.owner_id),
        occasion=occasion,
    )
    key = event_key or f"ticket:{ticket_id}:{occasion}"
    _queue(change, notice, case=case, event_key=key, event_at=event_now)


def tell_booked(change: Change, case: Case, visit: VisitTime, *, appointment_id: int) -> None:
    notice = notices.booked(
        case,
        visit=visit,
        link=change.sender.link(case.ticket_id, owner_id=case.owner_id),
        calendar=_calendar(change, case, visit, is_cancelled=False),
    )
    key = f"appointment:{appointment_id}:booked"
    _queue(change, notice, case=case, event_key=key, event_at=case.event_now)


def tell_visit_cancelled(
    change: Change, case: Case, visit: VisitTime, *, appointment_id: int
) -> None:
    notice = notices.visit_cancelled(
        case,
        visit=visit,
        link=change.sender.link(case.ticket_id, owner_id=case.owner_id),
        calendar=_calendar(change, case, visit, is_cancelled=True),
    )
    key = f"appointment:{appointment_id}:cancelled"
    _queue(change, notice, case=case, event_key=key, event_at=case.event_now)


def tell_closed(  # noqa: PLR0913 - everything by keyword
    change: Change,
    case: Case,
    *,
    reason: str,
    component: str = "",
    parts: Sequence[str] = (),
    note: str = "",
) -> None:
    notice = notices.closed(case, reason=reason, component=component, parts=parts, note=note)
    key = f"ticket:{case.ticket_id}:closed"
    _queue(change, notice, case=case, event_key=key, event_at=case.event_now)


def offer(connection: Connection, case: Case, *, count: int) -> tuple[slots.Slot, ...]:
    """Return free windows for the case."""
    visit = case.visit
    return slots.offer(
        visit,
        technicians=store.technicians(connection),
        busy=busy_around(connection, case),
        count=count,
    )


def busy_around(connection: Connection, case: Case) -> list[slots.Busy]:
    return store.busy(
        connection,
        starts_at=case.event_now,
        ends_at=case.event_now + slots.SOONEST + slots.HORIZON + timedelta(days=1),
        work_order_id=case.work_order_id,
    )


def failure_window(forecast: Forecast) -> tuple[datetime | None, datetime | None]:
    """Return from when until when the failure is expected (10 to 90 %), in event time."""
    if forecast.life_hours_q10 is None:
        return None, None
    until = (
        None
        if forecast.life_hours_q90 is None
        else forecast.made_at + forecast.life_hours_q90 * _HOUR
    )
    return forecast.made_at + forecast.life_hours_q10 * _HOUR, until


def snapshot(forecast: Forecast) -> dict[str, Any]:
    """Keep what was known when the ticket was opened: later forecasts do not rewrite it."""
    known = msgspec.to_builtins(forecast)
    evidence = known.pop("evidence")
    return {
        "forecast": known,
        "evidence": evidence,
        "sentences": list(evidence_sentences(evidence)),
    }


def _open_alert(
    change: Change,
    decision: Decision,
    *,
    device_id: int,
    mode: FailureMode,
    at: datetime,
) -> int:
    values = {
        "device_id": device_id,
        "failure_mode": mode.name,
        "opened_at": at,
        "level": decision.level,
        "now": change.now,
    }
    row = change.connection.execute(store.queries["open_alert"], values).fetchone()
    if row is None:
        row = change.connection.execute(store.queries["alert_of"], values).fetchone()
    assert row is not None, "the index refused a second open alert, so there is a first one"
    return int(row[0])


def _calendar(change: Change, case: Case, visit: VisitTime, *, is_cancelled: bool) -> str:
    row = change.connection.execute(
        store.queries["appointments_so_far"], {"work_order_id": case.work_order_id}
    ).fetchone()
    so_far = int(row[0]) if row else 0
    return visit_calendar(
        work_order_id=case.work_order_id,
        domain=change.sender.domain,
        starts_at=visit.starts_at,
        ends_at=visit.ends_at,
        title=f"{case.product.manufacturer}: {case.title}",
        place=case.address,
        sequence=2 * so_far + int(is_cancelled),
        status="CANCELLED" if is_cancelled else "CONFIRMED",
        now=change.now,
    )


def _queue(
    change: Change,
    notice: Notice,
    *,
    case: Case,
    event_key: str,
    event_at: datetime,
) -> None:
    queue_notice(
        change.connection,
        notice,
        case=case,
        event_key=event_key,
        event_at=event_at,
        sender=change.sender,
        now=change.now,
    )


def note(  # noqa: PLR0913 - everything by keyword
    change: Change,
    about: About | Case | store.LockedTicket,
    action: str,
    *,
    at: datetime,
    reason: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a line to the history, which is only ever added to."""
    change.connection.execute(
        store.queries["record_history"],
        {
            "device_id": about.device_id,
            "ticket_id": about.ticket_id,
            "at": at,
            "actor": change.actor,
            "action": action,
            "reason": reason,
            "detail": Jsonb(detail or {}),
            "now": change.now,
        },
    )
