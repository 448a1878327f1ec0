"""Technicians, added by the manufacturer together with their accounts."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api import accounts
from api.auth import CallerManufacturer, Ctx
from api.enrolment import add_missing_accounts
from api.rest.model import Email, Input, Latitude, Longitude, Page, Text, Timezone
from maintenance import service as maintenance

router = APIRouter(prefix="/api/v1", tags=["technicians"])


class NewTechnician(Input):
    name: Annotated[Text, Field(min_length=1)]
    email: Email
    password: str
    phone: Text = ""
    skills: Annotated[list[Text], Field(max_length=50)] = []  # noqa: RUF012 - pydantic copies it
    timezone: Timezone = "UTC"
    latitude: Latitude = None
    longitude: Longitude = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicianRow:
    id: int
    email: str


@router.post("/technicians", status_code=201)
def add_technicians(
    _person: CallerManufacturer,
    context: Ctx,
    body: Annotated[list[NewTechnician], Field(max_length=200)],
) -> Page[TechnicianRow]:
    """Add technicians; one whose e-mail address is known already is brought up to date."""
    drafts = [
        maintenance.TechnicianDraft(
            **t.model_dump(exclude={"password", "skills"}), skills=tuple(t.skills)
        )
        for t in body
    ]
    maintenance.add_technicians(context.pool, drafts=drafts, now=context.clock())
    emails = [t.email for t in body]
    with context.pool.connection() as connection:
        ids = accounts.technician_ids(connection, emails)
    add_missing_accounts(
        context, role="technician", ids=ids, passwords={t.email: t.password for t in body}
    )
    return Page(items=[TechnicianRow(id=ids[email], email=email) for email in emails])
