"""Claiming a device with its code, and handing it over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from api import claiming, store
from api.auth import CallerManufacturer, CallerOwner, CallerOwnerOrManufacturer, Ctx
from api.rest.devices import NewSite
from api.rest.model import DeviceName, Email, Input, Text, Timezone
from api.rest.session import address_of
from gateway.claims import service as claims
from gateway.claims.codes import shown_code
from gateway.claims.labels import claim_url
from gateway.records import OwnerDraft, SiteDraft

router = APIRouter(prefix="/api/v1", tags=["claims"])

Code = Annotated[str, Field(min_length=1, max_length=60)]


class Claim(Input):
    code: Code
    site: NewSite | None = None


class Transfer(Input):
    email: Email
    name: Text = ""
    timezone: Timezone = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    device: str
    product_title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    device: str
    code: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    owner: str
    email: str
    how: str
    began_at: datetime
    ended_at: datetime | None


@router.post("/claims", status_code=201)
def claim(person: CallerOwner, request: Request, context: Ctx, body: Claim) -> Taken:
    """Take the device whose code this is; 409 when the code was used or the device is somebody's."""
    site = SiteDraft(**body.site.model_dump()) if body.site else None
    done = claiming.claim(context, person, code=body.code, site=site, address=address_of(request))
    return Taken(device=done.device, product_title=done.product_title)


@router.post("/devices/{name}/hand-over", status_code=201)
def hand_over(person: CallerOwnerOrManufacturer, context: Ctx, name: DeviceName) -> HandOver:
    """Make a code for the next owner; codes before it are void. Until it is used nothing changes."""
    with context.pool.connection() as connection:
        store.device(connection, name, person=person, now=context.clock())
    made = claims.hand_over(
        context.pool,
        context.settings.key,
        name=name,
        owner_id=person.owner_id,
        now=context.clock(),
    )
    return HandOver(
        device=name,
        code=shown_code(made.code),
        url=claim_url(context.settings.base_url, made.code),
    )


@router.post("/devices/{name}/transfer", status_code=201)
def transfer(person: CallerManufacturer, context: Ctx, name: DeviceName, body: Transfer) -> Taken:
    """Give the device to another owner at once, without a code."""
    now = context.clock()
    to = OwnerDraft(name=body.name or body.email, email=body.email, timezone=body.timezone)
    done = claims.transfer(context.pool, name=name, to=to, actor=person.actor, now=now)
    claiming.call_off_visits(context, done, now=now)
    return Taken(device=done.device, product_title=done.product_title)


@router.get("/devices/{name}/owners")
def owners(_person: CallerManufacturer, context: Ctx, name: DeviceName) -> list[Owned]:
    """List whose the device was, oldest first."""
    return [
        Owned(owner=o.owner, email=o.email, how=o.how, began_at=o.began_at, ended_at=o.ended_at)
        for o in claims.ownerships(context.pool, name=name)
    ]
