"""Tickets, for the manufacturer: the list, and the whole story of one."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import store
from api.auth import Ctx, ReaderManufacturer, WriterManufacturer
from api.evidence import Marker
from api.pages.charted import part_chart
from api.pages.render import render
from api.rest.model import Cursor, Id
from api.store import TicketFilter, WorkFilter
from maintenance import service as maintenance
from maintenance.reasons import explain

router = APIRouter(include_in_schema=False)

_ROWS = 50

State = Literal["", "unfinished", "open", "scheduled", "in_service", "resolved", "cancelled"]


@router.get("/tickets")
def ticket_list(
    person: ReaderManufacturer,
    request: Request,
    context: Ctx,
    state: State = "",
    before: Cursor = None,
) -> HTMLResponse:
    wanted = TicketFilter(state=state or None, before=before, limit=_ROWS)
    with context.pool.connection() as connection:
        tickets = store.tickets(connection, wanted, person=person)
    more = tickets[-1].id if len(tickets) == _ROWS else None
    return render(request, "tickets.html", person=person, tickets=tickets, state=state, more=more)


@router.get("/tickets/{ticket_id}")
def ticket_page(
    person: ReaderManufacturer, request: Request, context: Ctx, ticket_id: Id
) -> HTMLResponse:
    with context.pool.connection() as connection:
        ticket = store.ticket(connection, ticket_id, person=person)
        device = store.device(connection, ticket.device, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
        parts = store.parts(connection, [device.id])
        part = next((p for p in parts if p.failure_mode == ticket.failure_mode), None)
        opened = Marker(at=ticket.opened_at, label="ticket opened", level="plan")
        orders = (
            store.work_orders(
                connection, WorkFilter(work_order_id=ticket.work_order_id, limit=1), person=person
            )
            if ticket.work_order_id
            else []
        )
        known = store.ticket_evidence(connection, ticket_id)
        return render(
            request,
            "ticket.html",
            person=person,
            ticket=ticket,
            device=device,
            product=product,
            part=part,
            known=known,
            why=explain(known.decision_reason or ticket.reason),
            chart=part and part_chart(connection, device, product, part, extra=(opened,)),
            history=store.ticket_history(connection, ticket_id, for_owner=False),
            notifications=store.ticket_notifications(connection, ticket_id, for_owner=False),
            appointment=store.appointment(connection, ticket_id),
            order=orders[0] if orders else None,
            now=_event_now(device.event_now, context.clock()),
        )


@router.post("/tickets/{ticket_id}/acknowledge")
def acknowledge(person: WriterManufacturer, context: Ctx, ticket_id: Id) -> Response:
    with context.pool.connection() as connection:
        alert_id = store.ticket_evidence(connection, ticket_id).alert_id
    maintenance.acknowledge_alert(
        context.pool, alert_id=alert_id, by=person.actor, now=context.clock()
    )
    return RedirectResponse(f"/tickets/{ticket_id}", 303)


@router.post("/tickets/{ticket_id}/cancel")
def cancel(
    person: WriterManufacturer,
    context: Ctx,
    ticket_id: Id,
    reason: Annotated[str, Form(min_length=1, max_length=500)],
) -> Response:
    maintenance.cancel_ticket(
        context.pool, ticket_id=ticket_id, reason=reason, by=person.actor, now=context.clock()
    )
    return RedirectResponse(f"/tickets/{ticket_id}", 303)


def _event_now(event_now: datetime | None, wall: datetime) -> datetime:
    return event_now or wall
