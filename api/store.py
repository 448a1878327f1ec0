"""Reads the rows of all stages for the endpoints and pages. Writes nothing, commits nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg import sql
from psycopg.rows import class_row

from api import records, told
from api.accounts import Person
from api.auth import not_found
from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from maintenance.links import Link

Row = TypeVar("Row")
_queries = Queries("api")

_EVERYTHING: dict[str, int | None] = {"owner_id": None, "technician_id": None}
_PRODUCTS_MAX = 500
_HISTORY_MAX = 500
_ISSUES_MAX = 200
_BUCKETS_MAX = 4000
_GAP_BUCKETS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    name: str | None = None
    product: str | None = None
    q: str | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFilter:
    ticket_id: int | None = None
    state: str | None = None
    device: str | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFilter:
    work_order_id: int | None = None
    state: str | None = None
    device: str | None = None
    after: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedFilter:
    q: str | None = None
    level: str | None = None
    product: str | None = None
    limit: int = 12
    offset: int = 0


def progress(connection: Connection, product: str) -> records.Progress:
    pace = _one(connection, "product_pace", {"name": product}, records.ProductPace)
    if pace is None:
        raise not_found("product")
    parameters = {"product_id": pace.id, "late_after": pace.late_after}
    return _sure(_one(connection, "progress", parameters, records.Progress))


def products(connection: Connection, *, name: str | None = None) -> list[records.ProductRow]:
    parameters = {"name": name, "limit": _PRODUCTS_MAX}
    return _all(connection, "products", parameters, records.ProductRow)


def product_sheet(connection: Connection, name: str) -> tuple[Product, str]:
    """Return a product and its sheet as the manufacturer wrote it."""
    row = connection.execute(_queries["product_sheet"], {"name": name}).fetchone()
    if row is None:
        raise not_found("product")
    return product_from_json(row[0]), row[1]


def devices(
    connection: Connection, wanted: DeviceFilter, *, person: Person | None, now: datetime
) -> list[records.DeviceRow]:
    """Return devices by name, only those that the person may see; None is ourselves."""
    parameters = {
        "name": wanted.name,
        "product": wanted.product,
        "q": _like(wanted.q),
        "after": wanted.after,
        "limit": wanted.limit,
        "now": now,
    }
    return _all(connection, "devices", {**parameters, **_scope(person)}, records.DeviceRow)


def device(
    connection: Connection, name: str, *, person: Person | None, now: datetime
) -> records.DeviceRow:
    found = devices(connection, DeviceFilter(name=name, limit=1), person=person, now=now)
    if not found:
        raise not_found("device")
    return found[0]


def product_of(connection: Connection, device_id: int) -> Product:
    row = connection.execute(_queries["device_sheet"], {"device_id": device_id}).fetchone()
    if row is None:
        raise not_found("device")
    return product_from_json(row[0])


def parts(connection: Connection, device_ids: Sequence[int]) -> list[records.Part]:
    return _all(connection, "parts", {"device_ids": list(device_ids)}, records.Part)


def detections(
    connection: Connection, device_id: int, *, before: datetime | None = None, limit: int
) -> list[records.Detection]:
    parameters = {"device_id": device_id, "before": before, "limit": limit}
    return _all(connection, "detections", parameters, records.Detection)


def forecasts(
    connection: Connection,
    device_id: int,
    *,
    failure_mode: str | None = None,
    before: datetime | None = None,
    limit: int,
) -> list[records.Forecast]:
    parameters = {
        "device_id": device_id,
        "failure_mode": failure_mode,
        "before": before,
        "limit": limit,
    }
    return _all(connection, "forecasts", parameters, records.Forecast)


def samples(  # noqa: PLR0913 - what, where, from when, until when, how fine
    connection: Connection,
    device_id: int,
    product: Product,
    *,
    metric: str,
    begin: datetime,
    end: datetime,
    points: int,
) -> list[records.Bucket]:
    """Return a metric thinned to about `points` steps, each with its lowest and highest value.

    Raises
    ------
    NotFoundError
        If the product has no such metric; the name never reaches the database then.
    """
    if metric not in {m.name for m in product.metrics}:
        raise not_found("metric")
    bucket = max((end - begin) / points, product.interval, timedelta(milliseconds=1))
    statement = sql.SQL(_queries["samples"]).format(
        metric=sql.Identifier(metric), product=sql.Identifier(product.name)
    )
    parameters = {
        "device_id": device_id,
        "bucket": bucket,
        "from": begin,
        "to": end,
        "limit": _BUCKETS_MAX,
    }
    with connection.cursor(row_factory=class_row(records.Bucket)) as cursor:
        return with_gaps(cursor.execute(statement, parameters).fetchall(), bucket)


def with_gaps(buckets: Sequence[records.Bucket], step: timedelta) -> list[records.Bucket]:
    """Put an empty step where values are missing, so that no line is drawn across. Pure."""
    found: list[records.Bucket] = []
    for bucket in buckets:
        if found and bucket.at - found[-1].at > step * _GAP_BUCKETS:
            found.append(records.Bucket(at=found[-1].at + step, low=None, high=None))
        found.append(bucket)
    return found


def newest_sample(
    connection: Connection, device_id: int, product: Product
) -> tuple[datetime, dict[str, Any]] | None:
    statement = sql.SQL(_queries["newest_sample"]).format(product=sql.Identifier(product.name))
    row = connection.execute(statement, {"device_id": device_id}).fetchone()
    return (row[0], row[1]) if row else None


def expectation(  # noqa: PLR0913 - what, where, from when, until when, how fine
    connection: Connection,
    device_id: int,
    *,
    metric: str,
    begin: datetime,
    end: datetime,
    bucket: timedelta,
) -> list[records.NormalBucket]:
    parameters = {
        "device_id": device_id,
        "metric": metric,
        "from": begin,
        "to": end,
        "bucket": bucket,
        "limit": _BUCKETS_MAX,
    }
    return _all(connection, "expectation", parameters, records.NormalBucket)


def health_sparks(
    connection: Connection, wanted: Sequence[tuple[int, str, datetime]]
) -> dict[tuple[int, str], list[float]]:
    """Return 30 days of health, a value a day, per device and failure mode up to an instant."""
    parameters = {
        "device_ids": [device_id for device_id, _, _ in wanted],
        "failure_modes": [mode for _, mode, _ in wanted],
        "until": [until for _, _, until in wanted],
    }
    found: dict[tuple[int, str], list[float]] = {}
    for device_id, mode, _, health in connection.execute(_queries["health_sparks"], parameters):
        found.setdefault((device_id, mode), []).append(health)
    return found


def figures(connection: Connection, *, now: datetime) -> records.Figures:
    return _sure(_one(connection, "figures", {"now": now}, records.Figures))


def needs_us(
    connection: Connection, wanted: NeedFilter, *, now: datetime
) -> tuple[list[records.NeedyPart], int]:
    """Return the parts that need us first, dearest first, and how many there are in all."""
    parameters = {
        "q": _like(wanted.q),
        "level": wanted.level,
        "product": wanted.product,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "now": now,
    }
    total = _sure(connection.execute(_queries["needs_us_count"], parameters).fetchone())[0]
    return _all(connection, "needs_us", parameters, records.NeedyPart), total


def learning(connection: Connection) -> list[records.Learning]:
    return _all(connection, "learning", {}, records.Learning)


def intake(connection: Connection) -> records.Intake:
    return _sure(_one(connection, "intake", {}, records.Intake))


def readiness(connection: Connection) -> records.Readiness:
    return _sure(_one(connection, "readiness", {}, records.Readiness))


def tickets(
    connection: Connection, wanted: TicketFilter, *, person: Person | None
) -> list[records.TicketRow]:
    parameters = {
        "ticket_id": wanted.ticket_id,
        "state": wanted.state,
        "device": wanted.device,
        "before": wanted.before,
        "limit": wanted.limit,
    }
    return _all(connection, "tickets", {**parameters, **_scope(person)}, records.TicketRow)


def ticket(connection: Connection, ticket_id: int, *, person: Person | None) -> records.TicketRow:
    found = tickets(connection, TicketFilter(ticket_id=ticket_id, limit=1), person=person)
    if not found:
        raise not_found("ticket")
    return found[0]


def ticket_evidence(connection: Connection, ticket_id: int) -> records.TicketEvidence:
    found = _one(connection, "ticket_evidence", {"ticket_id": ticket_id}, records.TicketEvidence)
    if found is None:
        raise not_found("ticket")
    return found


def ticket_history(
    connection: Connection, ticket_id: int, *, for_owner: bool
) -> list[records.HistoryEntry]:
    parameters = {"ticket_id": ticket_id, "limit": _HISTORY_MAX, "for_owner": for_owner}
    return _all(connection, "ticket_history", parameters, records.HistoryEntry)


def ticket_notifications(
    connection: Connection, ticket_id: int, *, for_owner: bool
) -> list[records.Notification]:
    parameters = {"ticket_id": ticket_id, "limit": _HISTORY_MAX, "for_owner": for_owner}
    return _all(connection, "ticket_notifications", parameters, records.Notification)


def is_good_link(connection: Connection, link: Link) -> bool:
    """Whether the device is still whose it was when the link was made."""
    row = connection.execute(_queries["link_standing"], {"ticket_id": link.ticket_id}).fetchone()
    if row is None:
        return False
    owner_id, was_handed_over = row
    return link.owner_id == owner_id if link.owner_id is not None else not was_handed_over


def booked_visits(connection: Connection, device: str) -> list[int]:
    """Return the tickets of a device that wait for a visit."""
    rows = connection.execute(_queries["booked_visits"], {"device": device}).fetchall()
    return [row[0] for row in rows]


def visible_from(device: records.DeviceRow, begin: datetime) -> datetime:
    """Return from when on measured values may be shown to whom the row was read for. Pure."""
    return max(begin, device.owned_since) if device.owned_since else begin


def appointment(connection: Connection, ticket_id: int) -> records.Appointment | None:
    return _one(connection, "appointment", {"ticket_id": ticket_id}, records.Appointment)


def work_orders(
    connection: Connection, wanted: WorkFilter, *, person: Person
) -> list[records.WorkOrder]:
    parameters = {
        "work_order_id": wanted.work_order_id,
        "state": wanted.state,
        "device": wanted.device,
        "after": wanted.after,
        "limit": wanted.limit,
    }
    return _all(connection, "work_orders", {**parameters, **_scope(person)}, records.WorkOrder)


def work_order(connection: Connection, work_order_id: int, *, person: Person) -> records.WorkOrder:
    found = work_orders(connection, WorkFilter(work_order_id=work_order_id, limit=1), person=person)
    if not found:
        raise not_found("work order")
    return found[0]


def track_record(connection: Connection, *, product: str, failure_mode: str) -> records.TrackRecord:
    parameters = {"product": product, "failure_mode": failure_mode}
    return _sure(_one(connection, "track_record", parameters, records.TrackRecord))


def dead_letters(
    connection: Connection, *, before: int | None, limit: int
) -> list[records.DeadLetter]:
    parameters = {"before": before, "limit": limit}
    return _all(connection, "dead_letters", parameters, records.DeadLetter)


def emerging_issues(
    connection: Connection, *, product: str | None, states: Sequence[str]
) -> list[records.EmergingIssue]:
    parameters = {"product": product, "states": list(states), "limit": _ISSUES_MAX}
    return _all(connection, "emerging_issues", parameters, records.EmergingIssue)


def rules(
    connection: Connection, *, product: str | None, demoted_only: bool = False
) -> list[records.Rule]:
    """Return how often warnings were wrong, by product and failure mode."""
    parameters = {"product": product, "demoted_only": demoted_only, "limit": _ISSUES_MAX}
    return _all(connection, "rules", parameters, records.Rule)


def drifts(
    connection: Connection, *, product: str | None, states: Sequence[str]
) -> list[records.Drift]:
    """Return what was compared with what was learned, by product, kind and name."""
    parameters = {"product": product, "states": list(states), "limit": _ISSUES_MAX}
    return _all(connection, "drifts", parameters, records.Drift)


def decisions(connection: Connection, device_id: int) -> list[records.Decision]:
    """Return the newest decision about each failure mode of a device."""
    return _all(connection, "decisions", {"device_id": device_id}, records.Decision)


def _all(
    connection: Connection, query: str, parameters: Mapping[str, object], kind: type[Row]
) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return [told.row(row) for row in cursor.execute(_queries[query], parameters)]


def _one(
    connection: Connection, query: str, parameters: Mapping[str, object], kind: type[Row]
) -> Row | None:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        row = cursor.execute(_queries[query], parameters).fetchone()
        return None if row is None else told.row(row)


def _sure(row: Row | None) -> Row:
    if row is None:
        message = "an aggregate always gives one row"
        raise RuntimeError(message)
    return row


def _scope(person: Person | None) -> dict[str, int | None]:
    return _EVERYTHING if person is None else person.scope


def _like(text: str | None) -> str | None:
    if not text:
        return None
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
