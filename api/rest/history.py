"""What devices have measured over long spans: steps for a chart, and all of it as a file to take along."""

import itertools
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import anyio
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from api import store
from api.auth import CallerAny, CallerManufacturer, Context, Ctx
from api.rest.model import DeviceName, ProductName, When, check_span
from core.clock import monotonic_s
from core.endpoints import database_url
from core.errors import RetryableError
from core.pool import connect
from core.product import Product
from ingest.export import service as exports
from ingest.export.request import Request, Resolution, make_request
from ingest.rollups.history import POINTS_MAX, Source, history

_AT_ONCE = 2
"""Exports that run at the same time, each over a connection of its own."""
_LASTS_MAX_S = 3600.0
"""A reader that takes longer is cut off: it would hold up the database's cleaning."""
_slots = threading.BoundedSemaphore(_AT_ONCE)

Metrics = Annotated[
    list[Annotated[str, Field(max_length=64)]] | None,
    Query(alias="metric", max_length=64, description="only this one; more than once"),
]
Begin = Annotated[When | None, Query(alias="from")]
End = Annotated[When | None, Query(alias="to")]

router = APIRouter(prefix="/api/v1", tags=["history"])


class ExportsBusyError(RetryableError):
    """As many exports are running as may run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    at: datetime
    low: float
    mean: float
    high: float
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHistory:
    metric: str
    unit: str
    resolution: Source
    """What it was read from: samples, hours or UTC days."""
    step_s: float
    items: list[HistoryStep]
    """Oldest first; a step without a value is left out."""


class _File(StreamingResponse):
    """A stream that lets go of what it holds as soon as its reader has gone, or has had enough."""

    blocks: Generator[bytes, None, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self.blocks.close)


@router.get("/devices/{name}/history")
def device_history(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    name: DeviceName,
    metric: Annotated[str, Query(max_length=64)],
    begin: Begin = None,
    end: End = None,
    resolution: Source = Source.AUTO,
    points: Annotated[int, Query(ge=2, le=POINTS_MAX)] = 800,
) -> DeviceHistory:
    """Return lowest, mean and highest value of a metric in at most about `points` steps.

    `auto` takes samples while they are few enough to read, else what was summed up by hour or UTC
    day. Without `from` and `to`: the newest year of the device.
    """
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
        end = end or (device.measured_through or context.clock()) + product.interval
        begin = begin or end - timedelta(days=365)
        check_span(begin, end)
        begin = min(store.visible_from(device, begin), end)
        found = history(
            connection,
            product,
            device.id,
            metric=metric,
            begin=begin,
            end=end,
            resolution=resolution,
            points=points,
        )
    return DeviceHistory(
        metric=metric,
        unit=product.metric(metric).unit,
        resolution=found.resolution,
        step_s=found.step.total_seconds(),
        items=[
            HistoryStep(at=s.at, low=s.low, mean=s.mean, high=s.high, values=s.values)
            for s in found.steps
        ],
    )


@router.get("/devices/{name}/export", response_class=StreamingResponse)
def export_device(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: CallerAny,
    context: Ctx,
    name: DeviceName,
    metrics: Metrics = None,
    begin: Begin = None,
    end: End = None,
    resolution: Resolution = Resolution.RAW,
) -> StreamingResponse:
    """Stream all that a device has measured as CSV, to whoever may see the device."""
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
    if device.owned_since:
        begin = store.visible_from(device, begin or device.owned_since)
    request = make_request(
        product, metrics=metrics or (), resolution=resolution, begin=begin, end=end
    )
    return _streamed(context, request, names=[device.name], file=device.name)


@router.get("/products/{product}/export", response_class=StreamingResponse)
def export_product(  # noqa: PLR0913, PLR0917 - each is one query parameter
    _person: CallerManufacturer,
    context: Ctx,
    product: ProductName,
    metrics: Metrics = None,
    begin: Begin = None,
    end: End = None,
    resolution: Resolution = Resolution.RAW,
) -> StreamingResponse:
    """Stream all that the devices of a product have measured as CSV."""
    with context.pool.connection() as connection:
        sheet: Product = store.product_sheet(connection, product)[0]
    request = make_request(
        sheet, metrics=metrics or (), resolution=resolution, begin=begin, end=end
    )
    return _streamed(context, request, names=None, file=product)


def _streamed(
    context: Context, request: Request, *, names: list[str] | None, file: str
) -> StreamingResponse:
    blocks = _blocks(context, request, names)
    # The first block now: whatever is wrong becomes an answer of its own, not a file that breaks off.
    first = next(blocks)
    name = f"{file}-{request.resolution.value}.csv"
    answer = _File(
        itertools.chain([first], blocks),
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
    answer.blocks = blocks
    return answer


def _blocks(
    context: Context, request: Request, names: list[str] | None
) -> Generator[bytes, None, None]:
    if not _slots.acquire(blocking=False):
        raise ExportsBusyError(
            f"{_AT_ONCE} exports are running already", hint="try again when one of them has ended"
        )
    ends_s = monotonic_s() + _LASTS_MAX_S
    try:
        url = database_url(context.settings)
        with connect(url, name="api export", autocommit=True) as connection:
            devices = exports.devices_of(connection, request, names)
            for block in exports.stream_csv(connection, request, devices):
                yield block
                if monotonic_s() > ends_s:
                    raise ExportsBusyError("the reader is too slow", hint="ask for a shorter span")
    finally:
        _slots.release()
