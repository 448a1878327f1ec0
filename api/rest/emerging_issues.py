"""Groups of devices that fail more often than others of the same age."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import records, store
from api.auth import CallerManufacturer, Ctx
from api.rest.model import Page, ProductName

router = APIRouter(prefix="/api/v1", tags=["products"])

IssueStates = Annotated[
    list[Literal["flagged", "watched", "cleared"]] | None,
    Query(
        alias="state",
        max_length=3,
        description="only these; more than once. By default those that are flagged or watched",
    ),
]


@router.get("/products/{product}/emerging-issues")
def emerging_issues(
    _person: CallerManufacturer, context: Ctx, product: ProductName, states: IssueStates = None
) -> Page[records.EmergingIssue]:
    """Groups by lot, firmware, city or product that stand out in a failure mode, the clearest first."""
    with context.pool.connection() as connection:
        store.product_sheet(connection, product)
        return Page(
            items=store.emerging_issues(
                connection, product=product, states=states or ["flagged", "watched"]
            )
        )
