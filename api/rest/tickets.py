"""Tickets: what was found, why, what has been done, and when somebody comes."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api import records, store
from api.accounts import Person
from api.auth import CallerAny, CallerManufacturer, Ctx
from api.rest.model import Cursor, Id, Input, Limit, Page, When, page_of
from api.store import TicketFilter
from maintenance import service as maintenance

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets"])

State = Literal["open", "scheduled", "in_service", "resolved", "cancelled", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    starts_at: datetime
    ends_at: datetime
    technician_id: int
    technician: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketDetail:
    ticket: records.TicketRow
    evidence: records.TicketEvidence
    appointment: records.Appointment | None
    history: list[records.HistoryEntry]
    notifications: list[records.Notification]


class Cancellation(Input):
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Booking(Input):
    starts_at: When
    technician_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


@router.get("")
def list_tickets(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    state: State | None = None,
    device: Annotated[str | None, Query(max_length=64)] = None,
    before: Cursor = None,
    limit: Limit = 100,
) -> Page[records.TicketRow]:
    """List tickets, newest first; `before` continues below an id."""
    wanted = TicketFilter(state=state, device=device, before=before, limit=limit)
    with context.pool.connection() as connection:
        items = store.tickets(connection, wanted, person=person)
    return page_of(items, limit=limit, cursor="id")


@router.get("/{ticket_id}")
def one_ticket(person: CallerAny, context: Ctx, ticket_id: Id) -> TicketDetail:
    is_owner = person.role == "owner"
    with context.pool.connection() as connection:
        return TicketDetail(
            ticket=store.ticket(connection, ticket_id, person=person),
            evidence=_for(person, store.ticket_evidence(connection, ticket_id)),
            appointment=store.appointment(connection, ticket_id),
            history=store.ticket_history(connection, ticket_id, for_owner=is_owner),
            notifications=store.ticket_notifications(connection, ticket_id, for_owner=is_owner),
        )


@router.post("/{ticket_id}/acknowledge", status_code=204)
def acknowledge(person: CallerManufacturer, context: Ctx, ticket_id: Id) -> None:
    """Say that somebody has seen the alert behind the ticket."""
    with context.pool.connection() as connection:
        alert_id = store.ticket_evidence(connection, ticket_id).alert_id
    maintenance.acknowledge_alert(
        context.pool, alert_id=alert_id, by=person.actor, now=context.clock()
    )


@router.post("/{ticket_id}/cancel", status_code=204)
def cancel(person: CallerManufacturer, context: Ctx, ticket_id: Id, body: Cancellation) -> None:
    maintenance.cancel_ticket(
        context.pool,
        ticket_id=ticket_id,
        reason=body.reason,
        by=person.actor,
        now=context.clock(),
    )


@router.get("/{ticket_id}/slots")
def slots(person: CallerAny, context: Ctx, ticket_id: Id) -> Page[SlotRow]:
    """Offer times at which a technician with the skills is free."""
    with context.pool.connection() as connection:
        store.ticket(connection, ticket_id, person=person)
    return Page(items=offered(context, ticket_id))


@router.post("/{ticket_id}/appointment", status_code=201)
def book(person: CallerAny, context: Ctx, ticket_id: Id, body: Booking) -> records.Appointment:
    """Book one of the offered times; 409 when somebody was faster."""
    with context.pool.connection() as connection:
        store.ticket(connection, ticket_id, person=person)
    return booked(
        context,
        ticket_id,
        starts_at=body.starts_at,
        technician_id=body.technician_id,
        actor=person.actor,
    )


def _for(person: Person, evidence: records.TicketEvidence) -> records.TicketEvidence:
    """What a failure or a visit costs us is the manufacturer's own business."""
    if person.role == "manufacturer":
        return evidence
    return replace(evidence, cost_of_waiting=None, cost_of_acting=None)


def offered(context: Ctx, ticket_id: int, *, count: int = 12) -> list[SlotRow]:
    found = maintenance.slots(context.pool, ticket_id=ticket_id, count=count)
    return [
        SlotRow(
            starts_at=s.starts_at,
            ends_at=s.ends_at,
            technician_id=s.technician_id,
            technician=s.technician_name,
        )
        for s in found
    ]


def booked(
    context: Ctx, ticket_id: int, *, starts_at: datetime, technician_id: int, actor: str
) -> records.Appointment:
    maintenance.book(
        context.pool,
        ticket_id=ticket_id,
        technician_id=technician_id,
        starts_at=starts_at,
        booked_by=actor,
        now=context.clock(),
    )
    with context.pool.connection() as connection:
        appointment = store.appointment(connection, ticket_id)
    if appointment is None:
        message = "a booking has just been confirmed"
        raise RuntimeError(message)
    return appointment
