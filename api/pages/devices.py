"""Devices: the list, and everything about one."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from api import evidence, records, store
from api.auth import Ctx, ReaderAny, ReaderManufacturer
from api.pages.charted import now_label, part_chart
from api.pages.render import render
from api.rest.model import DeviceName
from api.store import DeviceFilter, TicketFilter
from gateway.device_commands import service as device_commands
from gateway.twin import service as twin
from ingest import service as ingest
from ingest.limits import service as limits
from ingest.rollups.history import history

router = APIRouter(include_in_schema=False)

_ROWS = 100
_POINTS = 500
_DETECTIONS = 20
_TICKETS = 10
_NEWS = timedelta(days=1)
"""How long a wrong clock or a limit that was met is shown after it was last seen."""


@router.get("/devices")
def device_list(
    person: ReaderManufacturer,
    request: Request,
    context: Ctx,
    q: Annotated[str, Query(max_length=100)] = "",
    after: Annotated[str, Query(max_length=64)] = "",
) -> HTMLResponse:
    wanted = DeviceFilter(q=q.strip() or None, after=after or None, limit=_ROWS)
    with context.pool.connection() as connection:
        found = store.devices(connection, wanted, person=person, now=context.clock())
    return render(
        request,
        "devices.html",
        person=person,
        now=context.clock(),
        devices=found,
        q=q,
        more=found[-1].name if len(found) == _ROWS else None,
    )


@router.get("/devices/{name}")
def device_page(  # noqa: PLR0913, PLR0917 - each is one query parameter
    person: ReaderAny,
    request: Request,
    context: Ctx,
    name: DeviceName,
    part: Annotated[str, Query(max_length=64)] = "",
    metric: Annotated[str, Query(max_length=64)] = "",
    raw: Annotated[str, Query(max_length=64)] = "",
    days: Annotated[int, Query(ge=1, le=3660)] = 3,
) -> HTMLResponse:
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
        parts = store.parts(connection, [device.id])
        chosen = next((p for p in parts if p.failure_mode == part), parts[0] if parts else None)
        chart = part_chart(connection, device, product, chosen, metric=metric) if chosen else None
        decided = {d.failure_mode: d for d in store.decisions(connection, device.id)}
        detections = store.detections(connection, device.id, limit=_DETECTIONS)
        tickets = store.tickets(
            connection, TicketFilter(device=name, limit=_TICKETS), person=person
        )
        raw_metric = next((m for m in product.metrics if m.name == raw), product.metrics[0])
        samples: list[records.Bucket] = []
        if device.measured_through is not None:
            end = device.measured_through + product.interval
            found = history(
                connection,
                product,
                device.id,
                metric=raw_metric.name,
                begin=min(store.visible_from(device, end - timedelta(days=days)), end),
                end=end,
                points=_POINTS,
            )
            buckets = [records.Bucket(at=s.at, low=s.low, high=s.high) for s in found.steps]
            samples = store.with_gaps(buckets, found.step)
    is_ours = person.role == "manufacturer"
    commands = device_commands.commands(context.pool, device=name, limit=1) if is_ours else []
    now = device.event_now or context.clock()
    clock = ingest.clock(context.pool, device=name)
    met = limits.breaches(context.pool, device=name, limit=1) if is_ours else []
    return render(
        request,
        "device.html",
        person=person,
        wall=context.clock(),
        now=now,
        device=device,
        product=product,
        parts=parts,
        chosen=chosen,
        decision=decided.get(chosen.failure_mode) if chosen else None,
        left_to_next_visit={name for name, d in decided.items() if d.action == "inspect"},
        mode=chosen and product.failure_mode(chosen.failure_mode),
        chart=chart,
        metric=metric,
        detections=detections,
        tickets=tickets,
        config=twin.configuration(context.pool, name=name) if is_ours else None,
        settings={setting.name: setting for setting in product.settings},
        clock=clock if clock and context.clock() - clock.last_at < _NEWS else None,
        breach=met[0] if met and context.clock() - met[0].last_at < _NEWS else None,
        last_command=commands[0] if commands else None,
        raw=raw_metric,
        days=days,
        raw_chart=evidence.raw_chart(
            raw_metric,
            samples,
            now=now,
            timezone=device.timezone,
            now_label=now_label(device),
        ),
    )
