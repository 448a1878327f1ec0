"""Runs the SQL of maintenance: reads records, writes rows. Never commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from core.errors import ConflictError, NotFoundError
from core.pool import Connection
from core.product import product_from_json
from core.sql import Queries
from maintenance import life_cycle
from maintenance.case import Case, Owner, TrackRecord, failure_mode_of
from maintenance.decide import ClosedTicket, Forecast, OpenTicket, Streak
from maintenance.slots import Busy, Technician

queries = Queries("maintenance")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A device whose forecasts this transaction decides."""

    device_id: int
    decided_through: datetime
    streaks: dict[str, Streak]


class LockedTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: int
    device_id: int
    failure_mode: str
    alert_id: int
    state: str
    closed_at: datetime | None
    opened_at: datetime


class Visited(msgspec.Struct, frozen=True, kw_only=True):
    """An appointment that was moved to another state."""

    appointment_id: int
    technician_id: int
    starts_at: datetime
    ends_at: datetime


def claim_devices(
    connection: Connection, *, devices_max: int, without: Sequence[int]
) -> list[Claim]:
    """Lock devices that have undecided forecasts, skipping those of other workers."""
    connection.execute(queries["enrol_devices"])
    rows = connection.execute(
        queries["claim_devices"], {"devices_max": devices_max, "without": list(without)}
    ).fetchall()
    return [
        Claim(
            device_id=row[0],
            decided_through=row[1],
            streaks=msgspec.convert(row[2], dict[str, Streak]),
        )
        for row in rows
    ]


def pending_forecasts(
    connection: Connection, claims: Sequence[Claim], *, instants_max: int
) -> dict[int, list[Forecast]]:
    """Return the undecided forecasts per device, oldest first, whole instants only."""
    rows = connection.execute(
        queries["pending_forecasts"],
        {
            "device_ids": [claim.device_id for claim in claims],
            "decided_through": [claim.decided_through for claim in claims],
            "instants_max": instants_max,
        },
    ).fetchall()
    forecasts: dict[int, list[Forecast]] = {}
    for row in rows:
        forecast = Forecast(
            forecast_id=row[0],
            failure_mode=row[2],
            made_at=row[3],
            status=row[4],
            p_fail_1d=row[5],
            p_fail_7d=row[6],
            p_fail_30d=row[7],
            life_hours_q10=row[8],
            life_hours_q50=row[9],
            life_hours_q90=row[10],
            evidence=row[11] if isinstance(row[11], dict) else {},
        )
        forecasts.setdefault(row[1], []).append(forecast)
    return forecasts


def open_tickets(connection: Connection, device_ids: Sequence[int]) -> dict[int, list[OpenTicket]]:
    """Lock and return the open tickets per device."""
    tickets: dict[int, list[OpenTicket]] = {}
    for row in connection.execute(queries["open_tickets"], {"device_ids": list(device_ids)}):
        ticket = OpenTicket(
            ticket_id=row[0],
            failure_mode=row[2],
            component=row[3],
            kind=row[4],
            state=row[5],
            level=row[6],
            due_at=row[7],
        )
        tickets.setdefault(row[1], []).append(ticket)
    return tickets


def closed_tickets(
    connection: Connection, device_ids: Sequence[int]
) -> dict[int, list[ClosedTicket]]:
    tickets: dict[int, list[ClosedTicket]] = {}
    for row in connection.execute(queries["closed_tickets"], {"device_ids": list(device_ids)}):
        ticket = ClosedTicket(failure_mode=row[1], closed_at=row[2], close_reason=row[3] or "")
        tickets.setdefault(row[0], []).append(ticket)
    return tickets


def demoted_rules(
    connection: Connection, product_ids: Collection[int]
) -> dict[int, dict[str, datetime]]:
    """Return the failure modes whose rule opens no ticket any more, and since when, per product."""
    rows = connection.execute(queries["demoted_rules"], {"product_ids": list(product_ids)})
    found: dict[int, dict[str, datetime]] = {}
    for product_id, mode, since in rows:
        found.setdefault(product_id, {})[mode] = since
    return found


def record_progress(
    connection: Connection,
    *,
    device_id: int,
    decided_through: datetime,
    streaks: Mapping[str, Streak],
) -> None:
    connection.execute(
        queries["record_progress"],
        {
            "device_id": device_id,
            "decided_through": decided_through,
            "streaks": Jsonb(msgspec.to_builtins(dict(streaks))),
        },
    )


def read_case(connection: Connection, ticket_id: int, *, event_now: datetime | None = None) -> Case:
    """Read everything about a ticket.

    Parameters
    ----------
    connection : Connection
    ticket_id : int
    event_now : datetime, optional
        Event time that the caller already knows of; the case's own is never earlier.

    Raises
    ------
    NotFoundError
        If there is no such ticket.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries["case_of_ticket"], {"ticket_id": ticket_id}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no ticket {ticket_id}")
    return _case(row, event_now=event_now)


def lock_ticket(connection: Connection, ticket_id: int) -> LockedTicket:
    """Lock a ticket: the first lock of every change by people, so that none waits crosswise.

    Raises
    ------
    NotFoundError
        If there is no such ticket.
    """
    row = connection.execute(queries["lock_ticket"], {"ticket_id": ticket_id}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no ticket {ticket_id}")
    return LockedTicket(
        ticket_id=row[0],
        device_id=row[1],
        failure_mode=row[2],
        alert_id=row[3],
        state=row[4],
        closed_at=row[5],
        opened_at=row[6],
    )


def ticket_of_work_order(connection: Connection, work_order_id: int) -> int:
    row = connection.execute(
        queries["ticket_of_work_order"], {"work_order_id": work_order_id}
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no work order {work_order_id}")
    return int(row[0])


def move_ticket(connection: Connection, ticket_id: int, to: str) -> None:
    _guarded(connection, "move_ticket", "ticket", ticket_id, to, life_cycle.TICKET)


def close_ticket(
    connection: Connection, ticket_id: int, to: str, *, closed_at: datetime, close_reason: str
) -> None:
    _guarded(
        connection,
        "close_ticket",
        "ticket",
        ticket_id,
        to,
        life_cycle.TICKET,
        closed_at=closed_at,
        close_reason=close_reason,
    )


def move_work_order(
    connection: Connection,
    work_order_id: int,
    to: str,
    *,
    started_at: datetime | None = None,
    done_at: datetime | None = None,
) -> None:
    _guarded(
        connection,
        "move_work_order",
        "work order",
        work_order_id,
        to,
        life_cycle.WORK_ORDER,
        started_at=started_at,
        done_at=done_at,
    )


def move_appointments(connection: Connection, work_order_id: int, to: str) -> list[Visited]:
    """Move the work order's live appointment, if it has one."""
    rows = connection.execute(
        queries["move_appointments"],
        {
            "work_order_id": work_order_id,
            "to": to,
            "sources": life_cycle.sources(life_cycle.APPOINTMENT, to),
        },
    ).fetchall()
    return [
        Visited(appointment_id=row[0], technician_id=row[1], starts_at=row[2], ends_at=row[3])
        for row in rows
    ]


def event_now(connection: Connection, device_id: int, *, otherwise: datetime) -> datetime:
    """Return the device's event time: how far its data is stored or decided."""
    row = connection.execute(
        queries["event_now"], {"device_id": device_id, "otherwise": otherwise}
    ).fetchone()
    return otherwise if row is None else max(row[0], otherwise)


def technicians(connection: Connection) -> list[Technician]:
    return [
        Technician(
            technician_id=row[0],
            name=row[1],
            skills=tuple(row[2]),
            latitude=row[3],
            longitude=row[4],
        )
        for row in connection.execute(queries["technicians"])
    ]


def busy(
    connection: Connection, *, starts_at: datetime, ends_at: datetime, work_order_id: int
) -> list[Busy]:
    """Return the confirmed appointments of a span, without those of that work order."""
    rows = connection.execute(
        queries["busy"],
        {"starts_at": starts_at, "ends_at": ends_at, "work_order_id": work_order_id},
    ).fetchall()
    return [Busy(technician_id=row[0], starts_at=row[1], ends_at=row[2]) for row in rows]


def _guarded(  # noqa: PLR0913, PLR0917 - everything by keyword
    connection: Connection,
    query: str,
    noun: str,
    row_id: int,
    to: str,
    table: life_cycle.Transitions,
    **values: Any,
) -> None:
    sources = life_cycle.sources(table, to)
    cursor = connection.execute(
        queries[query], {"id": row_id, "to": to, "sources": sources, **values}
    )
    if cursor.rowcount != 1:
        raise ConflictError(
            f"{noun} {row_id} cannot become {to!r} any more",
            hint="somebody else was first, or it is closed: load the page again",
        )


def _case(row: dict[str, Any], *, event_now: datetime | None) -> Case:
    product = product_from_json(row["sheet"])
    mode = failure_mode_of(product, row["failure_mode"])
    if mode is None:
        raise NotFoundError(
            f"the product sheet of {product.name} has no failure mode {row['failure_mode']!r} any more",
            hint="add it to the sheet again, with `forecare product add`",
        )
    owner = None
    if row["owner_id"] is not None:
        owner = Owner(
            owner_id=row["owner_id"],
            name=row["owner_name"],
            email=row["email"],
            locale=row["locale"],
            timezone=row["owner_timezone"],
        )
    address = ", ".join(part for part in (row["address"], row["city"]) if part)
    return Case(
        ticket_id=row["ticket_id"],
        number=row["number"],
        kind=row["kind"],
        state=row["state"],
        level=row["level"],
        title=row["title"],
        opened_at=row["opened_at"],
        due_at=row["due_at"],
        fails_from=row["fails_from"],
        fails_until=row["fails_until"],
        evidence=row["evidence"],
        close_reason=row["close_reason"],
        alert_id=row["alert_id"],
        work_order_id=row["work_order_id"],
        work_order_state=row["work_order_state"],
        duration=row["duration"],
        skills=tuple(row["skills"]),
        device_id=row["device_id"],
        device_name=row["device_name"],
        serial=row["serial"],
        product=product,
        mode=mode,
        is_covered=_is_covered(row, warranty=product.warranty),
        owner=owner,
        address=address,
        site_timezone=row["site_timezone"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        event_now=max(filter(None, (row["event_now"], event_now, row["opened_at"]))),
        track_record=TrackRecord(right=row["correct"], inspected=row["inspected"]),
    )


def _is_covered(row: Mapping[str, Any], *, warranty: timedelta) -> bool:
    until = row["warranty_until"]
    if until is None and row["delivered_at"] is not None:
        until = row["delivered_at"] + warranty
    return until is not None and row["opened_at"] < until
