"""Work orders: what a technician does, and what was found."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api import records, store
from api.auth import CallerTechnician, Ctx
from api.rest.model import Cursor, Id, Input, Limit, LongText, Page, Text, When, page_of
from api.store import WorkFilter
from maintenance import service as maintenance

router = APIRouter(prefix="/api/v1/work-orders", tags=["work orders"])


ShortText = Annotated[str, Field(max_length=500)]


class Start(Input):
    at: When


class UsedPart(Input):
    part: Annotated[Text, Field(min_length=1)]
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1


class NewFinding(Input):
    verdict: records.Verdict
    component: Text = ""
    note: LongText = ""
    parts: Annotated[list[UsedPart], Field(max_length=100)] = []  # noqa: RUF012 - pydantic copies defaults
    checklist_done: Annotated[list[ShortText], Field(max_length=100)] = []  # noqa: RUF012 - pydantic copies it
    found_at: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    work_order_id: int
    verdict: records.Verdict


@router.get("")
def list_work_orders(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerTechnician,
    context: Ctx,
    state: Annotated[
        Literal["ready", "scheduled", "in_progress", "done", "cancelled"] | None, Query()
    ] = None,
    device: Annotated[str | None, Query(max_length=64)] = None,
    after: Cursor = None,
    limit: Limit = 100,
) -> Page[records.WorkOrder]:
    """List work orders by their time; a technician sees his or her own, the manufacturer all."""
    wanted = WorkFilter(state=state, device=device, after=after, limit=limit)
    with context.pool.connection() as connection:
        items = store.work_orders(connection, wanted, person=person)
    return page_of(items, limit=limit, cursor="id")


@router.get("/{work_order_id}")
def one_work_order(person: CallerTechnician, context: Ctx, work_order_id: Id) -> records.WorkOrder:
    with context.pool.connection() as connection:
        return store.work_order(connection, work_order_id, person=person)


@router.post("/{work_order_id}/start", status_code=204)
def start(person: CallerTechnician, context: Ctx, work_order_id: Id, body: Start) -> None:
    """Say that work has begun; `at` is event time."""
    with context.pool.connection() as connection:
        store.work_order(connection, work_order_id, person=person)
    maintenance.start_work(
        context.pool,
        work_order_id=work_order_id,
        at=body.at,
        by=person.actor,
        now=context.clock(),
    )


@router.post("/{work_order_id}/finding", status_code=201)
def record_finding(
    person: CallerTechnician, context: Ctx, work_order_id: Id, body: NewFinding
) -> Recorded:
    """Record what was found; it closes the work order and teaches the forecasts."""
    with context.pool.connection() as connection:
        order = store.work_order(connection, work_order_id, person=person)
    maintenance.record_finding(
        context.pool,
        work_order_id=work_order_id,
        verdict=body.verdict,
        component=body.component or order.component,
        note=body.note,
        parts=[part_text(p.part, p.quantity) for p in body.parts],
        checklist_done=body.checklist_done,
        found_at=body.found_at,
        by=person.actor,
        now=context.clock(),
    )
    return Recorded(work_order_id=work_order_id, verdict=body.verdict)


def part_text(part: str, quantity: int) -> str:
    """Write a used part as histories and messages keep it: "2 × NW-FAN-22"."""
    return part if quantity == 1 else f"{quantity} × {part}"
