"""Changes of a ticket together with everything that hangs on it, within the caller's transaction.

Alert, ticket, work order, appointment, history and message change together or not at all.
"""

from collections.abc import Sequence
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

SLOTS_IN_MAIL = 3
_HOUR = timedelta(hours=1)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, and when."""

    actor: str
    sender: Sender
    now: datetime
    """Wall time."""


def open_ticket(
    connection: Connection,
    forecast: Forecast,
    decision: Decision,
    *,
    device_id: int,
    mode: FailureMode,
    event_now: datetime,
    context: Context,
) -> int | None:
    """Open alert, ticket and work order and tell the owner; None if the ticket is open already."""
    at = forecast.made_at
    alert_id = _open_alert(
        connection, decision, device_id=device_id, mode=mode, at=at, now=context.now
    )
    fails_from, fails_until = failure_window(forecast)
    row = connection.execute(
        store.queries["open_ticket"],
        {
            "alert_id": alert_id,
            "device_id": device_id,
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
            "now": context.now,
        },
    ).fetchone()
    if row is None:
        return None
    ticket_id = int(row[0])
    connection.execute(
        store.queries["open_work_order"],
        {
            "ticket_id": ticket_id,
            "device_id": device_id,
            "title": mode.title,
            "kit": Jsonb(msgspec.to_builtins(mode.kit)),
            "skills": list(mode.skills),
            "checklist": Jsonb(list(mode.checklist)),
            "duration": mode.duration,
            "due_at": decision.due_at,
            "now": context.now,
        },
    )
    _note(
        connection,
        device_id=device_id,
        ticket_id=ticket_id,
        at=at,
        action="ticket.opened",
        reason=decision.reason.value,
        detail={
            "level": decision.level,
            "kind": decision.kind,
            "forecast_id": forecast.forecast_id,
        },
        context=context,
    )
    tell_visit_needed(
        connection, ticket_id, occasion="opened", event_now=max(event_now, at), context=context
    )
    return ticket_id


def raise_ticket(
    connection: Connection,
    forecast: Forecast,
    decision: Decision,
    *,
    ticket_id: int,
    device_id: int,
    context: Context,
) -> None:
    """Bring level, kind, due date and window of an open ticket up to a worse forecast."""
    fails_from, fails_until = failure_window(forecast)
    values = {
        "ticket_id": ticket_id,
        "level": decision.level,
        "kind": decision.kind,
        "due_at": decision.due_at,
        "fails_from": fails_from,
        "fails_until": fails_until,
        "now": context.now,
    }
    for query in ("raise_ticket", "raise_work_order", "raise_alert"):
        connection.execute(store.queries[query], values)
    _note(
        connection,
        device_id=device_id,
        ticket_id=ticket_id,
        at=forecast.made_at,
        action="ticket.raised",
        reason=decision.reason.value,
        detail={
            "level": decision.level,
            "kind": decision.kind,
            "forecast_id": forecast.forecast_id,
        },
        context=context,
    )


def extend_work_order(connection: Connection, ticket_id: int, mode: FailureMode) -> None:
    """Add the parts and steps of another failure mode of the same component."""
    connection.execute(
        store.queries["extend_work_order"],
        {
            "ticket_id": ticket_id,
            "kit": Jsonb(msgspec.to_builtins(mode.kit)),
            "checklist": Jsonb(list(mode.checklist)),
        },
    )


def close(
    connection: Connection,
    case: Case,
    *,
    to: str,
    reason: str,
    at: datetime,
    context: Context,
    detail: dict[str, Any] | None = None,
) -> None:
    """Close ticket, work order, appointment and alert.

    Raises
    ------
    ConflictError
        If the ticket or its work order is closed already.
    """
    is_done = to == "resolved"
    store.close_ticket(connection, case.ticket_id, to, closed_at=at, close_reason=reason)
    store.move_work_order(
        connection, case.work_order_id, "done" if is_done else "cancelled", done_at=at
    )
    store.move_appointments(connection, case.work_order_id, "done" if is_done else "cancelled")
    connection.execute(
        store.queries["clear_alert"],
        {"alert_id": case.alert_id, "cleared_at": at, "now": context.now},
    )
    _note(
        connection,
        device_id=case.device_id,
        ticket_id=case.ticket_id,
        at=at,
        action=f"ticket.{to}",
        reason=reason,
        detail=detail,
        context=context,
    )


def tell_visit_needed(
    connection: Connection,
    ticket_id: int,
    *,
    occasion: str,
    event_now: datetime,
    context: Context,
    event_key: str = "",
) -> None:
    """Queue the message that somebody should come, with a few free times."""
    case = store.read_case(connection, ticket_id, event_now=event_now)
    notice = notices.visit_needed(
        case,
        slots=offer(connection, case, count=SLOTS_IN_MAIL),
        link=context.sender.link(ticket_id),
        occasion=occasion,
    )
    key = event_key or f"ticket:{ticket_id}:{occasion}"
    _queue(connection, notice, case=case, event_key=key, event_at=event_now, context=context)


def tell_booked(
    connection: Connection, case: Case, visit: VisitTime, *, appointment_id: int, context: Context
) -> None:
    notice = notices.booked(
        case,
        visit=visit,
        link=context.sender.link(case.ticket_id),
        calendar=_calendar(connection, case, visit, is_cancelled=False, context=context),
    )
    key = f"appointment:{appointment_id}:booked"
    _queue(connection, notice, case=case, event_key=key, event_at=case.event_now, context=context)


def tell_visit_cancelled(
    connection: Connection, case: Case, visit: VisitTime, *, appointment_id: int, context: Context
) -> None:
    notice = notices.visit_cancelled(
        case,
        visit=visit,
        link=context.sender.link(case.ticket_id),
        calendar=_calendar(connection, case, visit, is_cancelled=True, context=context),
    )
    key = f"appointment:{appointment_id}:cancelled"
    _queue(connection, notice, case=case, event_key=key, event_at=case.event_now, context=context)


def tell_closed(
    connection: Connection,
    case: Case,
    *,
    reason: str,
    context: Context,
    component: str = "",
    parts: Sequence[str] = (),
    note: str = "",
) -> None:
    notice = notices.closed(case, reason=reason, component=component, parts=parts, note=note)
    key = f"ticket:{case.ticket_id}:closed"
    _queue(connection, notice, case=case, event_key=key, event_at=case.event_now, context=context)


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
    connection: Connection,
    decision: Decision,
    *,
    device_id: int,
    mode: FailureMode,
    at: datetime,
    now: datetime,
) -> int:
    values = {
        "device_id": device_id,
        "failure_mode": mode.name,
        "opened_at": at,
        "level": decision.level,
        "now": now,
    }
    row = connection.execute(store.queries["open_alert"], values).fetchone()
    if row is None:
        row = connection.execute(store.queries["alert_of"], values).fetchone()
    assert row is not None, "the index refused a second open alert, so there is a first one"
    return int(row[0])


def _calendar(
    connection: Connection, case: Case, visit: VisitTime, *, is_cancelled: bool, context: Context
) -> str:
    row = connection.execute(
        store.queries["appointments_so_far"], {"work_order_id": case.work_order_id}
    ).fetchone()
    so_far = int(row[0]) if row else 0
    return visit_calendar(
        work_order_id=case.work_order_id,
        domain=context.sender.domain,
        starts_at=visit.starts_at,
        ends_at=visit.ends_at,
        title=f"{case.product.manufacturer}: {case.title}",
        place=case.address,
        sequence=2 * so_far + int(is_cancelled),
        status="CANCELLED" if is_cancelled else "CONFIRMED",
        now=context.now,
    )


def _queue(
    connection: Connection,
    notice: Notice,
    *,
    case: Case,
    event_key: str,
    event_at: datetime,
    context: Context,
) -> None:
    queue_notice(
        connection,
        notice,
        case=case,
        event_key=event_key,
        event_at=event_at,
        sender=context.sender,
        now=context.now,
    )


def _note(
    connection: Connection,
    *,
    device_id: int,
    ticket_id: int,
    at: datetime,
    action: str,
    context: Context,
    reason: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    store.record_history(
        connection,
        device_id=device_id,
        ticket_id=ticket_id,
        at=at,
        actor=context.actor,
        action=action,
        reason=reason,
        detail=detail,
        now=context.now,
    )
