"""What a technician sees: today's work in order, and one job with its finding."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import records, store, written
from api.accounts import Person
from api.auth import Ctx, ReaderTechnician, WriterTechnician
from api.pages.charted import part_chart
from api.pages.render import render
from api.rest.model import Id
from api.rest.work_orders import part_text
from api.store import WorkFilter
from core.errors import InvalidError
from maintenance import service as maintenance

router = APIRouter(include_in_schema=False)

_ORDERS_MAX = 500
_DONE_SHOWN = 5
_QUANTITY_MAX = 100


@router.get("/work")
def work(person: ReaderTechnician, request: Request, context: Ctx) -> HTMLResponse:
    with context.pool.connection() as connection:
        orders = store.work_orders(connection, WorkFilter(limit=_ORDERS_MAX), person=person)
    booked = sorted(
        (o for o in orders if o.state in ("scheduled", "in_progress") and o.starts_at is not None),
        key=_begins,
    )
    done = sorted((o for o in orders if o.state == "done"), key=_begins, reverse=True)
    now = max((o.event_now for o in booked if o.event_now), default=context.clock())
    days: dict[str, list[records.WorkOrder]] = {}
    for order in booked:
        days.setdefault(_day(order, now), []).append(order)
    return render(
        request,
        "work.html",
        person=person,
        now=now,
        days=days,
        next_id=booked[0].id if booked else None,
        done=done[:_DONE_SHOWN],
    )


@router.get("/work/{work_order_id}")
def job(
    person: ReaderTechnician, request: Request, context: Ctx, work_order_id: Id
) -> HTMLResponse:
    with context.pool.connection() as connection:
        order = store.work_order(connection, work_order_id, person=person)
        device = store.device(connection, order.device, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
        parts = store.parts(connection, [device.id])
        part = next((p for p in parts if p.failure_mode == order.failure_mode), None)
        return render(
            request,
            "job.html",
            person=person,
            order=order,
            device=device,
            product=product,
            part=part,
            known=store.ticket_evidence(connection, order.ticket_id),
            chart=part and part_chart(connection, device, product, part),
            components=sorted({mode.component for mode in product.failure_modes}),
            now=device.event_now or context.clock(),
        )


@router.post("/work/{work_order_id}/start")
def start(person: WriterTechnician, context: Ctx, work_order_id: Id) -> Response:
    order = _own(context, person, work_order_id)
    maintenance.start_work(
        context.pool,
        work_order_id=work_order_id,
        by=person.actor,
        at=order.event_now or context.clock(),
        now=context.clock(),
    )
    return RedirectResponse(f"/work/{work_order_id}", 303)


@router.post("/work/{work_order_id}/finding")
def record_finding(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterTechnician,
    context: Ctx,
    work_order_id: Id,
    verdict: Annotated[records.Verdict, Form()],
    component: Annotated[str, Form(max_length=200)] = "",
    note: Annotated[str, Form(max_length=4000)] = "",
    part: Annotated[list[str] | None, Form(max_length=100)] = None,
    quantity: Annotated[list[int] | None, Form(max_length=100)] = None,
    checklist: Annotated[list[str] | None, Form(max_length=100)] = None,
) -> Response:
    order = _own(context, person, work_order_id)
    maintenance.record_finding(
        context.pool,
        work_order_id=work_order_id,
        verdict=verdict,
        component=component or order.component,
        note=note,
        parts=_used(part or [], quantity or []),
        checklist_done=checklist or [],
        found_at=order.event_now or context.clock(),
        by=person.actor,
        now=context.clock(),
    )
    return RedirectResponse(f"/work/{work_order_id}", 303)


def _own(context: Ctx, person: Person, work_order_id: int) -> records.WorkOrder:
    with context.pool.connection() as connection:
        return store.work_order(connection, work_order_id, person=person)


def _used(parts: list[str], quantities: list[int]) -> list[str]:
    if len(parts) != len(quantities) or not all(0 <= q <= _QUANTITY_MAX for q in quantities):
        raise InvalidError("a quantity is missing or too large", hint=f"give 0 to {_QUANTITY_MAX}")
    return [part_text(p, q) for p, q in zip(parts, quantities, strict=True) if q > 0]


def _begins(order: records.WorkOrder) -> datetime:
    return order.starts_at or order.due_at


def _day(order: records.WorkOrder, now: datetime) -> str:
    """Heading of the day on which a visit lies, at its site."""
    own = written.date_text(_begins(order), order.timezone, "EEEE d MMMM")
    return f"Today, {own}" if own == written.date_text(now, order.timezone, "EEEE d MMMM") else own
