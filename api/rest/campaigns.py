"""Firmware images and campaigns. An image itself comes in by `forecare firmware add`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import CallerManufacturer, Ctx
from api.rest.model import Cursor, Id, Input, Limit, LongText, Page, ProductName, Text, page_of
from gateway.campaign import rollout
from gateway.campaign import service as campaigns
from gateway.campaign.judge import Verdict
from gateway.campaign.member import State
from gateway.campaign.records import Campaign, CampaignDraft, CampaignEvent, MemberRow
from gateway.campaign.store import CampaignFilter
from gateway.firmware import service as firmware

router = APIRouter(prefix="/api/v1", tags=["firmware"])

CampaignState = Literal["draft", "running", "paused", "stopped", "done", "cancelled"]
_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
_IMAGES_MAX = 500
_PLAN = CampaignDraft(product="", version="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    product: str
    version: str
    size_bytes: int
    chunks: int
    sha256: str
    signature: str
    public_key: str
    notes: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    id: int
    product: str
    version: str
    title: str
    state: str
    reason: str
    stage: int
    """The stage under way, from 0."""
    stages: tuple[float, ...]
    from_versions: tuple[str, ...]
    lots: tuple[str, ...]
    per_hour: int
    hold: timedelta
    watch: timedelta
    tolerated_failures: float
    false_stops: float
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    devices: Mapping[State, int]
    """Devices by state; empty before it is started."""
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignDetail:
    campaign: CampaignRow
    events: tuple[CampaignEvent, ...]
    chunks: int
    """Pieces of its image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    devices: int


class Plan(Input):
    product: ProductName
    version: _Name
    title: Text = ""
    from_versions: Annotated[tuple[_Name, ...], Field(max_length=50)] = ()
    lots: Annotated[tuple[_Name, ...], Field(max_length=50)] = ()
    stages: Annotated[tuple[_Share, ...], Field(min_length=1, max_length=20)] = _PLAN.stages
    per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = _PLAN.per_hour
    hold_hours: Annotated[float, Field(ge=0, le=2160, allow_inf_nan=False)] = 1.0
    watch_days: Annotated[float, Field(ge=0, le=90, allow_inf_nan=False)] = 1.0
    tries: Annotated[int, Field(ge=1, le=100)] = _PLAN.offers_max
    install_within_hours: Annotated[float, Field(ge=0.02, le=2160, allow_inf_nan=False)] = 24.0
    tolerated_failures: Annotated[float, Field(ge=0.001, le=0.5)] = _PLAN.tolerated_failures
    false_stops: Annotated[float, Field(ge=0.0001, le=0.2)] = _PLAN.false_stops


class Reason(Input):
    reason: LongText = ""


@router.get("/firmware")
def list_firmware(
    _person: CallerManufacturer, context: Ctx, product: str | None = None
) -> Page[Image]:
    """List the images, the newest of each product first."""
    found = firmware.firmware_list(context.pool, product=product)[:_IMAGES_MAX]
    items = [
        Image(
            product=one.product,
            version=one.version,
            size_bytes=one.size_bytes,
            chunks=one.chunks,
            sha256=one.sha256.hex(),
            signature=one.signature.hex(),
            public_key=one.public_key.hex(),
            notes=one.notes,
            created_at=one.created_at,
        )
        for one in found
    ]
    return Page(items=items)


@router.get("/campaigns")
def list_campaigns(
    _person: CallerManufacturer,
    context: Ctx,
    state: CampaignState | None = None,
    before: Cursor = None,
    limit: Limit = 100,
) -> Page[CampaignRow]:
    """List campaigns, newest first; `before` continues below an id."""
    wanted = CampaignFilter(states=(state,) if state else None, before=before, limit=limit)
    found = campaigns.campaigns(context.pool, wanted)
    counts = campaigns.counts_by_campaign(context.pool, [one.id for one in found])
    return page_of([_row(one, counts[one.id]) for one in found], limit=limit, cursor="id")


@router.post("/campaigns", status_code=201)
def create_campaign(person: CallerManufacturer, context: Ctx, body: Plan) -> CampaignRow:
    """Plan a campaign; nothing is offered before it is started."""
    draft = CampaignDraft(
        product=body.product,
        version=body.version,
        title=body.title,
        from_versions=body.from_versions,
        lots=body.lots,
        stages=body.stages,
        per_hour=body.per_hour,
        hold=timedelta(hours=body.hold_hours),
        watch=timedelta(days=body.watch_days),
        offers_max=body.tries,
        install_within=timedelta(hours=body.install_within_hours),
        tolerated_failures=body.tolerated_failures,
        false_stops=body.false_stops,
    )
    made = campaigns.create_campaign(context.pool, draft, by=person.actor, now=context.clock())
    return _row(made, {})


@router.get("/campaigns/{campaign_id}")
def one_campaign(_person: CallerManufacturer, context: Ctx, campaign_id: Id) -> CampaignDetail:
    detail = campaigns.campaign(context.pool, campaign_id=campaign_id)
    return CampaignDetail(
        campaign=_row(detail.campaign, rollout.by_state(detail.counts)),
        events=detail.events,
        chunks=detail.chunks,
    )


@router.get("/campaigns/{campaign_id}/devices")
def list_devices(
    _person: CallerManufacturer,
    context: Ctx,
    campaign_id: Id,
    state: State | None = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100,
) -> Page[MemberRow]:
    """List the campaign's devices by name; `after` continues behind one."""
    found = campaigns.members(
        context.pool,
        campaign_id=campaign_id,
        states=(state,) if state else None,
        after=after,
        limit=limit,
    )
    return page_of(list(found), limit=limit, cursor="device")


@router.post("/campaigns/{campaign_id}/start", status_code=204)
def start(person: CallerManufacturer, context: Ctx, campaign_id: Id) -> None:
    """Share the devices out over the stages and begin with the first one."""
    campaigns.start(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())


@router.post("/campaigns/{campaign_id}/pause", status_code=204)
def pause(person: CallerManufacturer, context: Ctx, campaign_id: Id, body: Reason) -> None:
    """Offer it to nobody else; devices in the middle of it go on."""
    campaigns.pause(
        context.pool,
        campaign_id=campaign_id,
        by=person.actor,
        reason=body.reason,
        now=context.clock(),
    )


@router.post("/campaigns/{campaign_id}/resume", status_code=204)
def resume(person: CallerManufacturer, context: Ctx, campaign_id: Id) -> None:
    """Go on after a pause, or in spite of an automatic stop."""
    campaigns.resume(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())


@router.post("/campaigns/{campaign_id}/cancel", status_code=204)
def cancel(person: CallerManufacturer, context: Ctx, campaign_id: Id, body: Reason) -> None:
    """End it: offers are withdrawn; what is being installed cannot be called back."""
    campaigns.cancel(
        context.pool,
        campaign_id=campaign_id,
        by=person.actor,
        reason=body.reason,
        now=context.clock(),
    )


@router.post("/campaigns/{campaign_id}/retry")
def retry(person: CallerManufacturer, context: Ctx, campaign_id: Id) -> Retried:
    """Let devices whose update failed or rolled back try again."""
    count = campaigns.retry(
        context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock()
    )
    return Retried(devices=count)


def _row(one: Campaign, counts: Mapping[State, int]) -> CampaignRow:
    return CampaignRow(
        id=one.id,
        product=one.product,
        version=one.version,
        title=one.title,
        state=one.state,
        reason=one.reason,
        stage=one.stage,
        stages=one.stages,
        from_versions=one.from_versions,
        lots=one.lots,
        per_hour=one.per_hour,
        hold=one.hold,
        watch=one.watch,
        tolerated_failures=one.tolerated_failures,
        false_stops=one.false_stops,
        created_at=one.created_at,
        started_at=one.started_at,
        ended_at=one.ended_at,
        devices={state: n for state, n in counts.items() if n},
        verdict=one.verdict,
    )
