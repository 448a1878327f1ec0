"""The manufacturer's first page: how the fleet is, and who needs us first."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from api import store
from api.auth import Ctx, ReaderManufacturer
from api.pages.render import render
from api.store import NeedFilter, TicketFilter

router = APIRouter(include_in_schema=False)

_ROWS = 12
_ROWS_MAX = 200
_RECENT_TICKETS = 8


@router.get("/fleet")
def fleet(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: ReaderManufacturer,
    request: Request,
    context: Ctx,
    q: Annotated[str, Query(max_length=100)] = "",
    level: Literal["", "act", "plan", "watch"] = "",
    product: Annotated[str, Query(max_length=48)] = "",
    rows: Annotated[int, Query(ge=1, le=_ROWS_MAX)] = _ROWS,
) -> HTMLResponse:
    now = context.clock()
    wanted = NeedFilter(
        q=q.strip() or None, level=level or None, product=product or None, limit=rows
    )
    with context.pool.connection() as connection:
        products = store.products(connection)
        figures = store.figures(connection, now=now)
        needy, total = store.needs_us(connection, wanted, now=now)
        learning = store.learning(connection)
        intake = store.intake(connection)
        issues = store.emerging_issues(
            connection, product=product or None, states=("flagged", "watched")
        )
        demoted = store.rules(connection, product=product or None, demoted_only=True)
        compared = store.drifts(
            connection, product=product or None, states=("drifted", "steady", "unclear")
        )
        tickets = store.tickets(connection, TicketFilter(limit=_RECENT_TICKETS), person=person)
        sparks = store.health_sparks(
            connection, [(p.device_id, p.failure_mode, p.event_now) for p in needy if p.event_now]
        )
    return render(
        request,
        "fleet.html",
        person=person,
        now=now,
        figures=figures,
        needy=needy,
        total=total,
        sparks=sparks,
        learning=learning,
        intake=intake,
        tickets=tickets,
        demoted=demoted,
        drifted=[x for x in compared if x.state == "drifted"],
        compared=compared,
        flagged=[i for i in issues if i.state == "flagged"],
        watched=[i for i in issues if i.state == "watched"],
        products=products,
        q=q,
        level=level,
        product=product,
        more=min(rows + 25, _ROWS_MAX),
    )
