"""How far warnings can be trusted: how often they were wrong, what has drifted, and why a ticket opened."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import records, store
from api.auth import CallerManufacturer, Ctx
from api.rest.model import DeviceName, Page, ProductName
from maintenance.reasons import explain

router = APIRouter(prefix="/api/v1", tags=["products"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDecision:
    failure_mode: str
    decided_at: datetime
    """Event time."""
    action: str
    reason: str
    sentence: str
    """The reason, for people."""
    cost_of_waiting: float | None
    cost_of_acting: float | None


@router.get("/products/{product}/rules")
def rules(_person: CallerManufacturer, context: Ctx, product: ProductName) -> Page[records.Rule]:
    """How often the warnings of each failure mode were wrong, against the budget of the product sheet."""
    with context.pool.connection() as connection:
        store.product_sheet(connection, product)
        return Page(items=store.rules(connection, product=product))


DriftStates = Annotated[
    list[Literal["drifted", "steady", "unclear"]] | None,
    Query(alias="state", max_length=3, description="only these; more than once. By default all"),
]


@router.get("/products/{product}/drift")
def drift(
    _person: CallerManufacturer, context: Ctx, product: ProductName, states: DriftStates = None
) -> Page[records.Drift]:
    """Metrics that are compared with what was learned, and forecasts that are held against what came."""
    with context.pool.connection() as connection:
        store.product_sheet(connection, product)
        wanted = states or ["drifted", "steady", "unclear"]
        return Page(items=store.drifts(connection, product=product, states=wanted))


@router.get("/devices/{name}/decisions")
def decisions(
    person: CallerManufacturer, context: Ctx, name: DeviceName
) -> Page[ExplainedDecision]:
    """The newest decision about each failure mode: why there is a ticket, or why there is none."""
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        found = store.decisions(connection, device.id)
    return Page(
        items=[
            ExplainedDecision(
                failure_mode=one.failure_mode,
                decided_at=one.decided_at,
                action=one.action,
                reason=one.reason,
                sentence=explain(one.reason),
                cost_of_waiting=one.cost_of_waiting,
                cost_of_acting=one.cost_of_acting,
            )
            for one in found
        ]
    )
