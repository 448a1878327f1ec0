"""What people and programs may do with tickets, visits and technicians: each call one transaction.

Raises `NotFoundError`, `ConflictError` (somebody else was first) and `InvalidError`, nothing else of
ours. `now` is wall time; instants of visits and findings lie on the device's event time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import get_args

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Pool
from core.settings import load_settings
from maintenance import changes, store
from maintenance.case import Case, zone
from maintenance.changes import Change
from maintenance.links import read_link, sign_link
from maintenance.notices import VisitTime, one_line
from maintenance.outbox import Sender, sender_of
from maintenance.records import Appointment, TechnicianDraft, Verdict
from maintenance.slots import Slot, find

__all__ = [
    "Appointment",
    "Slot",
    "TechnicianDraft",
    "Verdict",
    "acknowledge_alert",
    "add_technicians",
    "book",
    "cancel_appointment",
    "cancel_ticket",
    "read_link",
    "record_finding",
    "sign_link",
    "slots",
    "start_work",
]

SLOTS_MAX = 50
_NOTE_LENGTH_MAX = 4000
_ITEMS_MAX = 100
_AHEAD_MAX = timedelta(days=1)
"""A finding may be so far ahead of the device's newest data, and no further: later warnings are
silenced up to its instant."""
_TECHNICIANS_MAX = 10_000


def slots(pool: Pool, *, ticket_id: int, count: int = 6) -> tuple[Slot, ...]:
    """Return up to `count` free arrival windows, earliest first; none once the work is done."""
    if not 1 <= count <= SLOTS_MAX:
        raise InvalidError(f"count is {count}", hint=f"ask for 1 to {SLOTS_MAX} windows")
    with pool.connection() as connection:
        case = store.read_case(connection, ticket_id)
        if case.state not in ("open", "scheduled"):
            return ()
        return changes.offer(connection, case, count=count)


def book(  # noqa: PLR0913 - everything by keyword
    pool: Pool,
    *,
    ticket_id: int,
    technician_id: int,
    starts_at: datetime,
    booked_by: str,
    now: datetime,
    sender: Sender | None = None,
) -> Appointment:
    """Book a window that was offered; a visit booked before for this ticket is cancelled with it.

    Raises
    ------
    ConflictError
        If the window is not free (any more), or the ticket needs no visit (any more).
    """
    _check_instant("starts_at", starts_at)
    with _changing(pool, by=booked_by, now=now, sender=sender) as change:
        store.lock_ticket(change.connection, ticket_id)
        case = store.read_case(change.connection, ticket_id)
        if case.state not in ("open", "scheduled"):
            raise ConflictError(f"ticket {case.number} is {case.state}: no visit can be booked")
        slot = _free_slot(change, case, technician_id=technician_id, starts_at=starts_at)
        replaced = store.move_appointments(change.connection, case.work_order_id, "cancelled")
        if any(_is_same(old, slot) for old in replaced):
            raise ConflictError("this time is booked already", hint="nothing needs to be done")
        appointment = _insert_appointment(change, case, slot)
        if case.state == "open":
            store.move_ticket(change.connection, ticket_id, "scheduled")
            store.move_work_order(change.connection, case.work_order_id, "scheduled")
        changes.note(
            change,
            case,
            "appointment.rebooked" if replaced else "appointment.booked",
            at=case.event_now,
            reason=slot.match.value,
            detail={
                "appointment_id": appointment.appointment_id,
                "technician_id": technician_id,
                "starts_at": slot.starts_at.isoformat(),
                "replaces": [old.appointment_id for old in replaced],
            },
        )
        changes.tell_booked(
            change,
            case,
            _visit_time(slot),
            appointment_id=appointment.appointment_id,
        )
        return appointment


def cancel_appointment(  # noqa: PLR0913 - everything by keyword
    pool: Pool,
    *,
    ticket_id: int,
    by: str,
    now: datetime,
    reason: str = "",
    sender: Sender | None = None,
) -> None:
    """Cancel the booked visit; the ticket is open again and waits for another time.

    Raises
    ------
    ConflictError
        If no visit is booked, or the technician has begun.
    """
    with _changing(pool, by=by, now=now, sender=sender) as change:
        store.lock_ticket(change.connection, ticket_id)
        case = store.read_case(change.connection, ticket_id)
        if case.state != "scheduled":
            raise ConflictError(f"ticket {case.number} has no visit that could be cancelled")
        store.move_ticket(change.connection, ticket_id, "open")
        store.move_work_order(change.connection, case.work_order_id, "ready")
        for old in store.move_appointments(change.connection, case.work_order_id, "cancelled"):
            changes.note(
                change,
                case,
                "appointment.cancelled",
                at=case.event_now,
                reason=reason[:_NOTE_LENGTH_MAX],
                detail={"appointment_id": old.appointment_id},
            )
            changes.tell_visit_cancelled(
                change,
                case,
                VisitTime(starts_at=old.starts_at, ends_at=old.ends_at, technician_name=""),
                appointment_id=old.appointment_id,
            )


def start_work(pool: Pool, *, work_order_id: int, by: str, at: datetime, now: datetime) -> None:
    """Record that the technician has begun; `at` is event time.

    Raises
    ------
    ConflictError
        If the work has begun already or is closed.
    """
    _check_instant("at", at)
    with _changing(pool, by=by, now=now) as change:
        ticket_id = store.ticket_of_work_order(change.connection, work_order_id)
        ticket = store.lock_ticket(change.connection, ticket_id)
        store.move_work_order(change.connection, work_order_id, "in_progress", started_at=at)
        store.move_ticket(change.connection, ticket_id, "in_service")
        changes.note(change, ticket, "work.started", at=at)


def record_finding(  # noqa: PLR0913 - everything by keyword
    pool: Pool,
    *,
    work_order_id: int,
    verdict: Verdict,
    component: str,
    note: str,
    parts: Sequence[str],
    checklist_done: Sequence[str],
    found_at: datetime,
    by: str,
    now: datetime,
    sender: Sender | None = None,
) -> int:
    """Record what was found and close work order, ticket and alert; return the finding's id.

    The same finding sent twice is one finding, at its first instant: a phone without network
    repeats itself.

    Raises
    ------
    ConflictError
        If another finding stands already, or the ticket was cancelled.
    InvalidError
        If the verdict is none of ours, a text is too long or `found_at` lies in the future.
    """
    _check_finding(verdict, note=note, parts=parts, checklist_done=checklist_done)
    _check_instant("found_at", found_at)
    values = {
        "work_order_id": work_order_id,
        "verdict": verdict,
        "component": component,
        "note": note,
        "parts": Jsonb(list(parts)),
        "checklist_done": Jsonb(list(checklist_done)),
        "found_at": found_at,
        "by": by,
        "now": now,
    }
    with _changing(pool, by=by, now=now, sender=sender) as change:
        ticket = store.lock_ticket(
            change.connection, store.ticket_of_work_order(change.connection, work_order_id)
        )
        earlier = change.connection.execute(store.queries["finding_of"], values).fetchone()
        if earlier is not None:
            content = (verdict, component, note, list(parts), list(checklist_done))
            if earlier[1:] == content:
                return int(earlier[0])
            raise ConflictError(
                f"work order {work_order_id} has another finding already ({earlier[1]})",
                hint="add a new ticket for what was found since",
            )
        case = store.read_case(change.connection, ticket.ticket_id)
        if found_at > max(case.event_now, now) + _AHEAD_MAX:
            raise InvalidError(
                f"found_at is {found_at.isoformat()}, and the device is only at"
                f" {case.event_now.isoformat()}",
                hint="give the instant at which it was found, in the device's time",
            )
        values |= {"device_id": ticket.device_id, "failure_mode": ticket.failure_mode}
        row = change.connection.execute(store.queries["record_finding"], values).fetchone()
        assert row is not None, "an INSERT … RETURNING returns its row"
        changes.close(
            change,
            case,
            to="resolved",
            reason=verdict,
            at=found_at,
            detail={"finding_id": row[0], "component": component, "parts": list(parts)},
        )
        changes.tell_closed(
            change,
            case,
            reason=verdict,
            component=component,
            parts=parts,
            note=note,
        )
        return int(row[0])


def acknowledge_alert(pool: Pool, *, alert_id: int, by: str, now: datetime) -> None:
    """Record that somebody has seen the alert; it ends with the episode.

    Raises
    ------
    ConflictError
        If it was acknowledged before, or is cleared.
    """
    with _changing(pool, by=by, now=now) as change:
        values = {"alert_id": alert_id, "by": by, "now": now}
        row = change.connection.execute(store.queries["acknowledge_alert"], values).fetchone()
        if row is None:
            alert = change.connection.execute(store.queries["alert"], values).fetchone()
            if alert is None:
                raise NotFoundError(f"there is no alert {alert_id}")
            state = "cleared" if alert[2] else f"acknowledged by {alert[1]}"
            raise ConflictError(f"alert {alert_id} is {state} already")
        about = changes.About(device_id=row[0], ticket_id=row[1])
        changes.note(
            change,
            about,
            "alert.acknowledged",
            at=store.event_now(change.connection, row[0], otherwise=now),
        )


def cancel_ticket(  # noqa: PLR0913 - everything by keyword
    pool: Pool,
    *,
    ticket_id: int,
    by: str,
    reason: str,
    now: datetime,
    sender: Sender | None = None,
) -> None:
    """Close a ticket without a visit, for a reason that is kept.

    Raises
    ------
    ConflictError
        If it is closed already.
    InvalidError
        If no reason is given.
    """
    if not reason.strip():
        raise InvalidError("a ticket is cancelled for a reason", hint="say why in a few words")
    with _changing(pool, by=by, now=now, sender=sender) as change:
        store.lock_ticket(change.connection, ticket_id)
        case = store.read_case(change.connection, ticket_id)
        changes.close(
            change,
            case,
            to="cancelled",
            reason="cancelled",
            at=case.event_now,
            detail={"reason": reason[:_NOTE_LENGTH_MAX]},
        )
        changes.tell_closed(change, case, reason="cancelled")


def add_technicians(
    pool: Pool, *, drafts: Sequence[TechnicianDraft], now: datetime
) -> tuple[int, ...]:
    """Add technicians, or bring those with the same e-mail address up to date; return their ids.

    Raises
    ------
    InvalidError
        If an address or a time zone is none, or there are too many.
    """
    if len(drafts) > _TECHNICIANS_MAX:
        raise InvalidError(f"{len(drafts)} technicians at once", hint=f"at most {_TECHNICIANS_MAX}")
    for draft in drafts:
        _check_technician(draft)
    with _changing(pool, by="forecare", now=now) as change:
        ids = []
        for draft in drafts:
            values = msgspec.structs.asdict(draft) | {"skills": list(draft.skills)}
            row = change.connection.execute(store.queries["put_technician"], values).fetchone()
            assert row is not None, "an upsert always returns its row"
            ids.append(int(row[0]))
        return tuple(ids)


@contextmanager
def _changing(
    pool: Pool, *, by: str, now: datetime, sender: Sender | None = None
) -> Iterator[Change]:
    """One transaction; what the database's own rules refuse becomes a conflict."""
    try:
        with pool.connection() as connection:
            yield Change(
                connection=connection,
                actor=by,
                sender=sender or sender_of(load_settings()),
                now=now,
            )
    except (psycopg.errors.ExclusionViolation, psycopg.errors.UniqueViolation) as error:
        raise ConflictError(
            "somebody else was a moment faster", hint="load the page again and choose anew"
        ) from error
    except psycopg.errors.DeadlockDetected as error:
        raise ConflictError("two changes met each other", hint="try again") from error


def _free_slot(change: Change, case: Case, *, technician_id: int, starts_at: datetime) -> Slot:
    slot = find(
        case.visit,
        technicians=store.technicians(change.connection),
        busy=changes.busy_around(change.connection, case),
        technician_id=technician_id,
        starts_at=starts_at,
    )
    if slot is None:
        raise ConflictError(
            "this time is not free (any more)", hint="choose one of the times on offer"
        )
    return slot


def _insert_appointment(change: Change, case: Case, slot: Slot) -> Appointment:
    row = change.connection.execute(
        store.queries["book"],
        {
            "work_order_id": case.work_order_id,
            "technician_id": slot.technician_id,
            "starts_at": slot.starts_at,
            "ends_at": slot.ends_at,
            "booked_by": change.actor,
            "now": change.now,
        },
    ).fetchone()
    assert row is not None, "an INSERT … RETURNING returns its row"
    return Appointment(
        appointment_id=int(row[0]),
        ticket_id=case.ticket_id,
        work_order_id=case.work_order_id,
        technician_id=slot.technician_id,
        technician_name=slot.technician_name,
        starts_at=slot.starts_at,
        ends_at=slot.ends_at,
        state="confirmed",
    )


def _is_same(old: store.Visited, slot: Slot) -> bool:
    return (old.technician_id, old.starts_at) == (slot.technician_id, slot.starts_at)


def _visit_time(slot: Slot) -> VisitTime:
    return VisitTime(
        starts_at=slot.starts_at, ends_at=slot.ends_at, technician_name=slot.technician_name
    )


def _check_instant(name: str, at: datetime) -> None:
    if at.tzinfo is None:
        raise InvalidError(
            f"{name} has no time zone", hint="write it with an offset, such as +00:00"
        )


def _check_finding(
    verdict: str, *, note: str, parts: Sequence[str], checklist_done: Sequence[str]
) -> None:
    if verdict not in get_args(Verdict):
        raise InvalidError(f"verdict is {verdict!r}", hint=f"one of {', '.join(get_args(Verdict))}")
    if len(note) > _NOTE_LENGTH_MAX:
        raise InvalidError(
            f"the note has {len(note)} characters", hint=f"at most {_NOTE_LENGTH_MAX}"
        )
    for name, items in (("parts", parts), ("checklist_done", checklist_done)):
        if len(items) > _ITEMS_MAX:
            raise InvalidError(f"{name} has {len(items)} entries", hint=f"at most {_ITEMS_MAX}")


def _check_technician(draft: TechnicianDraft) -> None:
    if one_line(draft.email) != draft.email or draft.email.count("@") != 1 or " " in draft.email:
        raise InvalidError(
            f"technician {one_line(draft.name)!r} has the e-mail address {one_line(draft.email)!r}",
            hint="write one address, such as name@example.com",
        )
    if zone(draft.timezone).key != draft.timezone:
        raise InvalidError(
            f"technician {one_line(draft.name)!r} has the time zone {draft.timezone!r}",
            hint="write a name such as Europe/Berlin",
        )
