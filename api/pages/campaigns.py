"""Firmware campaigns, for the manufacturer: the list, and how one of them goes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import updates
from api.auth import Ctx, ReaderManufacturer, WriterManufacturer
from api.pages.render import render
from api.rest.model import Cursor, Id
from gateway.campaign import rollout
from gateway.campaign import service as campaigns
from gateway.campaign.store import CampaignFilter
from gateway.firmware import service as firmware

router = APIRouter(include_in_schema=False)

_ROWS = 30
_DEVICES = 100
_IMAGES = 12

State = Literal["", "draft", "running", "paused", "stopped", "done", "cancelled"]
DeviceState = Literal[
    "",
    "waiting",
    "offered",
    "downloading",
    "downloaded",
    "verified",
    "installing",
    "installed",
    "failed",
    "rolled_back",
    "skipped",
]


@router.get("/campaigns")
def campaign_list(
    person: ReaderManufacturer,
    request: Request,
    context: Ctx,
    state: State = "",
    before: Cursor = None,
) -> HTMLResponse:
    wanted = CampaignFilter(states=(state,) if state else None, before=before, limit=_ROWS)
    found = campaigns.campaigns(context.pool, wanted)
    counts = campaigns.counts_by_campaign(context.pool, [one.id for one in found])
    return render(
        request,
        "campaigns.html",
        person=person,
        updates=updates,
        campaigns=found,
        progress={number: updates.progress_of(states) for number, states in counts.items()},
        images=firmware.firmware_list(context.pool)[:_IMAGES],
        state=state,
        more=found[-1].id if len(found) == _ROWS else None,
    )


@router.get("/campaigns/{campaign_id}")
def campaign_page(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: ReaderManufacturer,
    request: Request,
    context: Ctx,
    campaign_id: Id,
    state: DeviceState = "",
    after: Annotated[str, Query(max_length=64)] = "",
) -> HTMLResponse:
    detail = campaigns.campaign(context.pool, campaign_id=campaign_id)
    campaign = detail.campaign
    devices = campaigns.members(
        context.pool,
        campaign_id=campaign_id,
        states=(state,) if state else None,
        after=after or None,
        limit=_DEVICES,
    )
    verdict = campaign.verdict
    return render(
        request,
        "campaign.html",
        person=person,
        now=context.clock(),
        updates=updates,
        campaign=campaign,
        all=updates.progress_of(rollout.by_state(detail.counts)),
        stages=updates.stages(campaign, detail.counts),
        verdict=verdict,
        sides=updates.sides(verdict, campaign.version) if verdict else (),
        events=detail.events,
        chunks=detail.chunks,
        devices=devices,
        state=state,
        more=devices[-1].device if len(devices) == _DEVICES else None,
    )


@router.post("/campaigns/{campaign_id}/start")
def start(person: WriterManufacturer, context: Ctx, campaign_id: Id) -> Response:
    campaigns.start(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())
    return _back(campaign_id)


@router.post("/campaigns/{campaign_id}/pause")
def pause(person: WriterManufacturer, context: Ctx, campaign_id: Id) -> Response:
    campaigns.pause(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())
    return _back(campaign_id)


@router.post("/campaigns/{campaign_id}/resume")
def resume(person: WriterManufacturer, context: Ctx, campaign_id: Id) -> Response:
    campaigns.resume(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())
    return _back(campaign_id)


@router.post("/campaigns/{campaign_id}/retry")
def retry(person: WriterManufacturer, context: Ctx, campaign_id: Id) -> Response:
    campaigns.retry(context.pool, campaign_id=campaign_id, by=person.actor, now=context.clock())
    return _back(campaign_id)


@router.post("/campaigns/{campaign_id}/cancel")
def cancel(
    person: WriterManufacturer,
    context: Ctx,
    campaign_id: Id,
    reason: Annotated[str, Form(min_length=1, max_length=500)],
) -> Response:
    campaigns.cancel(
        context.pool,
        campaign_id=campaign_id,
        by=person.actor,
        reason=reason,
        now=context.clock(),
    )
    return _back(campaign_id)


def _back(campaign_id: int) -> Response:
    return RedirectResponse(f"/campaigns/{campaign_id}", 303)
