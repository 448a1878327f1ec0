"""What all endpoints share: paging limits, identifiers, and the models that more than one returns."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.errors import InvalidError

PAGE_MAX = 500
_BIGINT_MAX = 2**63 - 1

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="rows at most")]
Id = Annotated[int, Path(ge=1, le=_BIGINT_MAX)]
Cursor = Annotated[int | None, Query(ge=1, le=_BIGINT_MAX)]
DeviceName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ProductName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Email = Annotated[
    str, Field(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")
]
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
LongText = Annotated[str, Field(max_length=4000)]
Timezone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]
Latitude = Annotated[float | None, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float | None, Field(ge=-180, le=180, allow_inf_nan=False)]
When = AwareDatetime


class Input(BaseModel):
    """A body: an unknown field is an error, so that a typing mistake is not silent."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Page(BaseModel, Generic[Item]):
    """Some rows, and where to go on: null when these are the last."""

    items: list[Item]
    next: str | None = None


def page_of(items: list[Item], *, limit: int, cursor: str) -> Page[Item]:
    """Return a page; `cursor` names the attribute with which the next one starts."""
    last = str(getattr(items[-1], cursor)) if len(items) == limit else None
    return Page(items=items, next=last)


def check_span(begin: datetime, end: datetime) -> None:
    if begin >= end:
        raise InvalidError("`from` is not before `to`", hint="swap them")
