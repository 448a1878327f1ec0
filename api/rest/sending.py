"""How a device sends: its limits, where it met them, and how far off its clock is."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from api import store
from api.auth import CallerAny, CallerManufacturer, Ctx
from api.rest.model import DeviceName, Limit, Page
from ingest import service as ingest
from ingest.clock_store import Clock
from ingest.limits import service as limits
from ingest.limits.store import Breach

router = APIRouter(prefix="/api/v1", tags=["sending"])

_BREACHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimit:
    """All its parts hold at once."""

    counts: str
    """messages or values"""
    allowed: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClock:
    ahead_seconds: float
    """Of the device's clock by its newest message; negative: behind."""
    first_at: datetime
    last_at: datetime
    messages: int
    """Stored with the platform's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    limits: list[DeviceLimit]
    breaches: list[Breach]
    clock: DeviceClock | None
    """Null: its clock was never off."""


@router.get("/devices/{name}/sending")
def sending(person: CallerAny, context: Ctx, name: DeviceName) -> Sending:
    """Return what a device may send, when it met a limit, and how far off its clock is."""
    with context.pool.connection() as connection:
        store.device(connection, name, person=person, now=context.clock())
    found = limits.limits_of(context.pool, subject="device", name=name)
    clock = ingest.clock(context.pool, device=name)
    return Sending(
        limits=[
            DeviceLimit(counts=one.counts, allowed=one.text, source=one.source) for one in found
        ],
        breaches=list(limits.breaches(context.pool, device=name, limit=_BREACHES)),
        clock=None if clock is None else _shown(clock),
    )


def _shown(clock: Clock) -> DeviceClock:
    return DeviceClock(
        ahead_seconds=clock.ahead.total_seconds(),
        first_at=clock.first_at,
        last_at=clock.last_at,
        messages=clock.messages,
    )


@router.get("/breaches")
def breaches(_person: CallerManufacturer, context: Ctx, limit: Limit = 100) -> Page[Breach]:
    """List who met a limit, the newest episode first."""
    return Page(items=list(limits.breaches(context.pool, limit=limit)), next=None)
