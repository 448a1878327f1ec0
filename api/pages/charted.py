"""Reads what a chart of one part needs, for every page that shows one."""

from datetime import datetime

from api import evidence, records, store
from api.evidence import Chart, Marker
from core.pool import Connection
from core.product import Product

_DETECTIONS_MAX = 50


def part_chart(  # noqa: PLR0913 - what is drawn, and of which device
    connection: Connection,
    device: records.DeviceRow,
    product: Product,
    part: records.Part,
    *,
    metric: str | None = None,
    extra: tuple[Marker, ...] = (),
) -> Chart | None:
    """Chart the evidence of a part; None while nothing has been scored.

    Parameters
    ----------
    connection : Connection
    device : DeviceRow
    product : Product
    part : Part
        Its failure mode says which metrics are evidence.
    metric : str, optional
        Which of them; the first one when it is none of them.
    extra : tuple of Marker
        Events beside the detections, such as the opening of a ticket.
    """
    mode = next((m for m in product.failure_modes if m.name == part.failure_mode), None)
    if mode is None or device.event_now is None:
        return None
    chosen = evidence.evidence_of(mode, metric)
    begin = max(device.event_now - evidence.LOOK_BACK, device.first_measured_at or device.event_now)
    rows = store.expectation(
        connection,
        device.id,
        metric=chosen.metric,
        begin=begin,
        end=device.event_now,
        bucket=evidence.thinned_to(device.event_now - begin, product.window),
    )
    if not rows:
        return None
    detections = store.detections(connection, device.id, limit=_DETECTIONS_MAX)
    markers = [
        *evidence.markers_of(detections, mode, begin=rows[0].at),
        *_within(extra, rows[0].at),
    ]
    return evidence.evidence_chart(
        product,
        chosen,
        rows,
        part=part,
        markers=sorted(markers, key=lambda m: m.at),
        now=device.event_now,
        timezone=device.timezone,
        now_label=now_label(device),
    )


def now_label(device: records.DeviceRow) -> str:
    """Name of the line at the end of the data: a silent device's is not today."""
    return "Today" if device.is_reporting else "Last data"


def _within(markers: tuple[Marker, ...], begin: datetime) -> list[Marker]:
    return [marker for marker in markers if marker.at >= begin]
