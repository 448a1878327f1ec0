"""What an owner sees: all own devices after signing in, or one case behind a message's link."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import records, store, story, words
from api.auth import PUBLIC, Ctx, ReaderOwner
from api.case_links import good_ticket
from api.evidence import Marker
from api.pages.charted import part_chart
from api.pages.render import render
from api.rest.model import When
from api.rest.tickets import SlotRow, offered
from api.store import DeviceFilter
from core.errors import ConflictError, InvalidError
from core.pool import Connection
from core.product import Product
from maintenance import service as maintenance

router = APIRouter(include_in_schema=False)

_DEVICES_MAX = 100
_FIRST_SLOTS = 3
_SLOTS = 12
_RANK = {"act": 0, "plan": 1, "none": 2, "watch": 3, "learning": 4, "ok": 5}

Token = Annotated[str, Path(min_length=10, max_length=400)]


@router.get("/home")
def home(person: ReaderOwner, request: Request, context: Ctx) -> HTMLResponse:
    now = context.clock()
    with context.pool.connection() as connection:
        devices = store.devices(
            connection, DeviceFilter(limit=_DEVICES_MAX), person=person, now=now
        )
        parts = store.parts(connection, [device.id for device in devices])
    cards = []
    for device in devices:
        own = [part for part in parts if part.device_id == device.id]
        level = words.worst_level(own, is_reporting=device.is_reporting)
        worst = next((p for p in own if p.ticket_id), own[0] if own else None)
        link = None
        if worst is not None and worst.ticket_id is not None:
            link = maintenance.sign_link(
                context.settings.key, ticket_id=worst.ticket_id, owner_id=person.owner_id
            )
        cards.append({"device": device, "level": level, "worst": worst, "link": link})
    cards.sort(key=lambda card: _RANK[str(card["level"])])
    return render(request, "home.html", person=person, cards=cards, wall=now)


@router.get("/t/{token}", dependencies=[PUBLIC])
def case_page(
    token: Token,
    request: Request,
    context: Ctx,
    at: When | None = None,
    technician: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """Show one case; opening the link changes nothing, as mail scanners open it too.

    A message's link to one time brings `at` and `technician`: that time is chosen beforehand.
    """
    return _case(request, context, token, wish=(at, technician) if at and technician else None)


@router.post("/t/{token}/visit", dependencies=[PUBLIC])
def book(
    token: Token,
    request: Request,
    context: Ctx,
    slot: Annotated[str, Form(max_length=80)],
) -> Response:
    ticket_id = good_ticket(context, token)
    starts_at, technician_id = _slot(slot)
    try:
        maintenance.book(
            context.pool,
            ticket_id=ticket_id,
            technician_id=technician_id,
            starts_at=starts_at,
            booked_by=f"link:{ticket_id}",
            now=context.clock(),
        )
    except ConflictError as error:
        return _case(request, context, token, problem=str(error), status=409)
    return RedirectResponse(f"/t/{token}#visit", 303)


@router.post("/t/{token}/visit/cancel", dependencies=[PUBLIC])
def cancel_visit(token: Token, request: Request, context: Ctx) -> Response:
    ticket_id = good_ticket(context, token)
    try:
        maintenance.cancel_appointment(
            context.pool,
            ticket_id=ticket_id,
            by=f"link:{ticket_id}",
            now=context.clock(),
            reason="cancelled by the owner",
        )
    except ConflictError as error:
        return _case(request, context, token, problem=str(error), status=409)
    return RedirectResponse(f"/t/{token}#visit", 303)


def _case(  # noqa: PLR0913 - the page, and what was tried on it
    request: Request,
    context: Ctx,
    token: str,
    *,
    problem: str = "",
    status: int = 200,
    wish: tuple[datetime, int] | None = None,
) -> HTMLResponse:
    ticket_id = good_ticket(context, token)
    with context.pool.connection() as connection:
        ticket = store.ticket(connection, ticket_id, person=None)
        device = store.device(connection, ticket.device, person=None, now=context.clock())
        product = store.product_of(connection, device.id)
        parts = store.parts(connection, [device.id])
        part = next((p for p in parts if p.failure_mode == ticket.failure_mode), None)
        if newest := words.newest_window(ticket, part):
            ticket = replace(ticket, fails_from=newest[0], fails_until=newest[1])
        opened = Marker(at=ticket.opened_at, label="we told you", level="plan")
        values: dict[str, Any] = {
            "ticket": ticket,
            "device": device,
            "product": product,
            "parts": parts,
            "part": part,
            "mode": next((m for m in product.failure_modes if m.name == ticket.failure_mode), None),
            "known": store.ticket_evidence(connection, ticket_id),
            "chart": part and part_chart(connection, device, product, part, extra=(opened,)),
            "appointment": store.appointment(connection, ticket_id),
            "history": _told(store.ticket_history(connection, ticket_id, for_owner=True)),
            "record": store.track_record(
                connection, product=ticket.product, failure_mode=ticket.failure_mode
            ),
            "facts": _facts(connection, device, product),
        }
    values["price"] = _price(product, ticket.failure_mode)
    is_bookable = ticket.state in ("open", "scheduled")
    first = offered(context, ticket_id, count=_FIRST_SLOTS) if is_bookable else []
    more = offered(context, ticket_id, count=_SLOTS) if first else []
    return render(
        request,
        "case.html",
        status=status,
        token=token,
        problem=problem,
        slots=_wished(first, more, wish=wish, now=device.event_now or context.clock()),
        now=device.event_now or context.clock(),
        wall=context.clock(),
        **values,
    )


def _facts(
    connection: Connection, device: records.DeviceRow, product: Product
) -> list[tuple[str, float, str]]:
    """Newest values of the metrics that the sheet shows to owners."""
    newest = store.newest_sample(connection, device.id, product)
    if newest is None:
        return []
    values = newest[1]
    return [
        (m.title, values[m.name], m.unit)
        for m in product.metrics
        if m.show and isinstance(values.get(m.name), int | float)
    ]


def _price(product: Product, failure_mode: str) -> float:
    """What visit and parts cost without a warranty."""
    mode = next((m for m in product.failure_modes if m.name == failure_mode), None)
    if mode is None:
        return 0.0
    return mode.cost_of_visit + sum(part.price * part.quantity for part in mode.kit)


def _told(history: list[records.HistoryEntry]) -> list[records.HistoryEntry]:
    """What concerns the owner, newest first; our own bookkeeping stays with us."""
    return [entry for entry in reversed(history) if story.is_for_owner(entry)]


def _wished(
    first: list[SlotRow], more: list[SlotRow], *, wish: tuple[datetime, int] | None, now: datetime
) -> list[SlotRow]:
    """Put the time that a message offered first; whether it is still free shows when it is booked."""
    slots = [*first, *(slot for slot in more if slot not in first)]
    if wish is None or not slots or wish[0] <= now:
        return slots
    known = [slot for slot in slots if (slot.starts_at, slot.technician_id) == wish]
    length = slots[0].ends_at - slots[0].starts_at
    wished = SlotRow(
        starts_at=wish[0], ends_at=wish[0] + length, technician_id=wish[1], technician=""
    )
    chosen = known[0] if known else wished
    return [chosen, *(slot for slot in slots if slot != chosen)]


def _slot(text: str) -> tuple[datetime, int]:
    instant, _, technician = text.partition("|")
    try:
        starts_at, technician_id = datetime.fromisoformat(instant), int(technician)
    except ValueError as error:
        raise InvalidError(
            "this is none of the offered times", hint="choose one of the list"
        ) from error
    if starts_at.tzinfo is None or not 0 < technician_id < 2**63:
        raise InvalidError("this is none of the offered times", hint="choose one of the list")
    return starts_at, technician_id
