"""What an owner may do with the signed link of a message, without signing in: one ticket, one visit."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path

from api import records, store
from api.auth import PUBLIC, Ctx
from api.case_links import good_ticket
from api.rest.tickets import Booking, SlotRow, booked, offered

router = APIRouter(prefix="/api/v1/links", tags=["links"])

Token = Annotated[str, Path(min_length=10, max_length=400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    ticket: records.TicketRow
    slots: list[SlotRow]
    appointment: records.Appointment | None


@router.get("/{token}", dependencies=[PUBLIC])
def read(token: Token, context: Ctx) -> Link:
    """Show the ticket behind a link, and the times that can be booked."""
    ticket_id = ticket_of(context, token)
    with context.pool.connection() as connection:
        ticket = store.ticket(connection, ticket_id, person=None)
        appointment = store.appointment(connection, ticket_id)
    is_open = ticket.state in ("open", "scheduled")
    slots = offered(context, ticket_id) if is_open and appointment is None else []
    return Link(ticket=ticket, slots=slots, appointment=appointment)


@router.post("/{token}/appointment", status_code=201, dependencies=[PUBLIC])
def book(token: Token, context: Ctx, body: Booking) -> records.Appointment:
    """Book one of the offered times; 409 when somebody was faster."""
    ticket_id = ticket_of(context, token)
    return booked(
        context,
        ticket_id,
        starts_at=body.starts_at,
        technician_id=body.technician_id,
        actor=f"link:{ticket_id}",
    )


def ticket_of(context: Ctx, token: str) -> int:
    """Return the ticket that a signed link names; NotFoundError for any other text."""
    return good_ticket(context, token)
