"""Devices: registered by the manufacturer, read by all whom they concern."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api import accounts, records, store
from api.auth import CallerAny, CallerManufacturer, Ctx
from api.enrolment import add_missing_accounts
from api.rest.model import (
    DeviceName,
    Email,
    Input,
    Latitude,
    Limit,
    Longitude,
    Page,
    Text,
    Timezone,
    When,
    check_span,
    page_of,
)
from api.store import DeviceFilter
from core.endpoints import device_mqtt_url
from gateway import broker
from gateway import service as gateway
from gateway.records import DeviceDraft, OwnerDraft, SiteDraft

_DEVICES_AT_ONCE_MAX = 1000
_POINTS_MAX = 4000

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])


class NewOwner(Input):
    name: Annotated[Text, Field(min_length=1)]
    email: Email
    phone: Text = ""
    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$")] = "en"
    timezone: Timezone = "UTC"
    password: str | None = None


class NewSite(Input):
    name: Text = ""
    address: Text = ""
    city: Text = ""
    timezone: Timezone = "UTC"
    latitude: Latitude = None
    longitude: Longitude = None
    access_note: Annotated[str, Field(max_length=500)] = ""


class NewDevice(Input):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    serial: Annotated[Text, Field(min_length=1)]
    lot: Text = ""
    firmware: Text = ""
    delivered_at: When | None = None
    owner: NewOwner | None = None
    site: NewSite | None = None


class NewDevices(Input):
    product: Text
    devices: Annotated[list[NewDevice], Field(min_length=1, max_length=_DEVICES_AT_ONCE_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What the device needs to connect; the password is shown this once and kept nowhere."""

    name: str
    shard: str
    """Two hex digits, the second level of its topics."""
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    mqtt_url: str
    items: list[Credential]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    metric: str
    unit: str
    items: list[records.Bucket]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDetail:
    device: records.DeviceRow
    parts: list[records.Part]


@router.post("", status_code=201)
def add_devices(_person: CallerManufacturer, context: Ctx, body: NewDevices) -> Enrolled:
    """Register delivered devices with their owners and sites, and let them in at the broker."""
    drafts = [_draft(device) for device in body.devices]
    credentials = gateway.add_devices(
        context.pool, product=body.product, drafts=drafts, now=context.clock()
    )
    _add_owner_accounts(context, body.devices)
    broker.sync_broker(context.pool, context.settings)
    return Enrolled(
        mqtt_url=device_mqtt_url(context.settings),
        items=[Credential(name=c.name, shard=c.shard, password=c.password) for c in credentials],
    )


@router.get("")
def list_devices(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    product: Annotated[str | None, Query(max_length=48)] = None,
    q: Annotated[str | None, Query(max_length=100)] = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100,
) -> Page[records.DeviceRow]:
    """List devices by name; `after` continues behind a name."""
    wanted = DeviceFilter(product=product, q=q, after=after, limit=limit)
    with context.pool.connection() as connection:
        items = store.devices(connection, wanted, person=person, now=context.clock())
    return page_of(items, limit=limit, cursor="name")


@router.get("/{name}")
def one_device(person: CallerAny, context: Ctx, name: DeviceName) -> DeviceDetail:
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        return DeviceDetail(device=device, parts=store.parts(connection, [device.id]))


@router.get("/{name}/samples")
def samples(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    name: DeviceName,
    metric: Annotated[str, Query(max_length=64)],
    begin: Annotated[When | None, Query(alias="from")] = None,
    end: Annotated[When | None, Query(alias="to")] = None,
    points: Annotated[int, Query(ge=2, le=_POINTS_MAX)] = 800,
) -> Samples:
    """Return a metric thinned to `points` steps with their lowest and highest value; gaps are null.

    Without `from` and `to`: the newest 30 days of the device.
    """
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
        # One step beyond the newest value, since `to` itself is not part of the span.
        end = end or (device.measured_through or context.clock()) + product.interval
        begin = begin or end - timedelta(days=30)
        check_span(begin, end)
        begin = min(store.visible_from(device, begin), end)
        found = store.samples(
            connection, device.id, product, metric=metric, begin=begin, end=end, points=points
        )
    return Samples(metric=metric, unit=product.metric(metric).unit, items=found)


@router.get("/{name}/detections")
def detections(
    person: CallerAny,
    context: Ctx,
    name: DeviceName,
    before: When | None = None,
    limit: Limit = 100,
) -> Page[records.Detection]:
    """List detections, newest first; `before` continues below an instant."""
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        items = store.detections(connection, device.id, before=before, limit=limit)
    return page_of(items, limit=limit, cursor="at")


@router.get("/{name}/forecasts")
def forecasts(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    name: DeviceName,
    failure_mode: Annotated[str | None, Query(max_length=64)] = None,
    before: When | None = None,
    limit: Limit = 100,
) -> Page[records.Forecast]:
    """List forecasts, newest first; `before` continues below an instant."""
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        items = store.forecasts(
            connection, device.id, failure_mode=failure_mode, before=before, limit=limit
        )
    return page_of(items, limit=limit, cursor="made_at")


def _draft(device: NewDevice) -> DeviceDraft:
    owner = device.owner.model_dump(exclude={"password"}) if device.owner else None
    site = device.site.model_dump() if device.site else None
    return DeviceDraft(
        **device.model_dump(exclude={"owner", "site"}),
        owner=OwnerDraft(**owner) if owner else None,
        site=SiteDraft(**site) if site else None,
    )


def _add_owner_accounts(context: Ctx, devices: list[NewDevice]) -> None:
    passwords = {d.owner.email: d.owner.password for d in devices if d.owner and d.owner.password}
    with context.pool.connection() as connection:
        ids = accounts.owner_ids(connection, list(passwords))
    add_missing_accounts(context, role="owner", ids=ids, passwords=passwords)
