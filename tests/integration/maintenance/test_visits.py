"""From an open ticket to a finding: what people may do, and who wins when two try at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from core.errors import ConflictError, ForecareError, InvalidError, NotFoundError
from core.pool import Pool
from maintenance import service
from maintenance.service import Slot, TechnicianDraft
from maintenance.worker import Decider, decide_once
from tests.fixtures.maintenance import (
    EVERY,
    NOON,
    SENDER,
    add_device,
    add_forecast,
    add_product,
    add_technician,
)

FOUND_AT = NOON + timedelta(days=1)


@pytest.fixture
def tickets(pool: Pool) -> list[int]:
    """Two open tickets of two devices, and one technician."""
    with pool.connection() as connection:
        product = add_product(connection)
        add_technician(connection, "Tom")
        for name in ("hp-1", "hp-2"):
            device = add_device(connection, product, name)
            for step in range(2):
                add_forecast(connection, device, NOON + step * EVERY)
    decide_once(pool, Decider(sender=SENDER, clock=lambda: NOON))
    with pool.connection() as connection:
        return [row[0] for row in connection.execute("select id from maintenance.ticket")]


@pytest.fixture
def ticket(tickets: list[int]) -> int:
    return tickets[0]


def book(pool: Pool, ticket: int, slot: Slot) -> service.Appointment:
    return service.book(
        pool,
        ticket_id=ticket,
        technician_id=slot.technician_id,
        starts_at=slot.starts_at,
        booked_by=f"link:{ticket}",
        now=NOON,
        sender=SENDER,
    )


def find(pool: Pool, ticket: int, **changes: Any) -> int:
    values: dict[str, Any] = {
        "work_order_id": work_order_of(pool, ticket),
        "verdict": "incipient",
        "component": "fan",
        "note": "Bearing dry",
        "parts": ["NW-FAN-22"],
        "checklist_done": ["Switch off"],
        "found_at": FOUND_AT,
        "by": "technician:1",
        "now": NOON,
        "sender": SENDER,
    }
    return service.record_finding(pool, **values | changes)


def work_order_of(pool: Pool, ticket: int) -> int:
    return one(pool, "select id from maintenance.work_order where ticket_id = %s", ticket)[0]


def one(pool: Pool, query: str, *values: object) -> Any:
    with pool.connection() as connection:
        return connection.execute(query, values).fetchone()


def states(pool: Pool, ticket: int) -> Any:
    return one(
        pool,
        "select t.state, w.state, (select state from maintenance.appointment as a"
        " where a.work_order_id = w.id order by a.id desc limit 1)"
        " from maintenance.ticket as t join maintenance.work_order as w on w.ticket_id = t.id"
        " where t.id = %s",
        ticket,
    )


def events(pool: Pool, ticket: int) -> list[str]:
    with pool.connection() as connection:
        rows = connection.execute(
            "select split_part(event_key, ':', 3) from maintenance.notification"
            " where ticket_id = %s order by id",
            [ticket],
        ).fetchall()
    return [row[0] for row in rows]


def test_an_offered_time_can_be_booked(pool: Pool, ticket: int) -> None:
    slots = service.slots(pool, ticket_id=ticket)

    appointment = book(pool, ticket, slots[0])

    assert len(slots) == 6
    assert appointment.technician_name == "Tom"
    assert states(pool, ticket) == ("scheduled", "scheduled", "confirmed")
    assert events(pool, ticket) == ["opened", "booked"]
    calendar = one(
        pool, "select body_calendar from maintenance.notification order by id desc limit 1"
    )
    assert "STATUS:CONFIRMED" in calendar[0]


def test_a_booked_time_is_offered_to_nobody_else(pool: Pool, tickets: list[int]) -> None:
    slot = service.slots(pool, ticket_id=tickets[0])[0]
    book(pool, tickets[0], slot)

    offered = service.slots(pool, ticket_id=tickets[1], count=20)

    assert slot.starts_at not in {other.starts_at for other in offered}
    with pytest.raises(ConflictError):
        book(pool, tickets[1], slot)


def test_of_two_owners_who_want_the_same_time_one_gets_it(pool: Pool, tickets: list[int]) -> None:
    slot = service.slots(pool, ticket_id=tickets[0])[0]
    start = Barrier(2)

    def try_to_book(ticket: int) -> str:
        start.wait()
        try:
            book(pool, ticket, slot)
        except ConflictError:
            return "refused"
        return "booked"

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(try_to_book, tickets))

    assert sorted(results) == ["booked", "refused"]
    loser = tickets[results.index("refused")]
    assert states(pool, loser) == ("open", "ready", None)
    assert events(pool, loser) == ["opened"]


def test_the_database_itself_refuses_an_overlap(pool: Pool, tickets: list[int]) -> None:
    slot = service.slots(pool, ticket_id=tickets[0])[0]
    book(pool, tickets[0], slot)

    with pytest.raises(Exception, match="exclusion"), pool.connection() as connection:
        connection.execute(
            "insert into maintenance.appointment (work_order_id, technician_id, during, state,"
            " booked_by, created_at) values (%s, %s, tstzrange(%s, %s), 'confirmed', 'x', now())",
            [
                work_order_of(pool, tickets[1]),
                slot.technician_id,
                slot.starts_at + timedelta(hours=1),
                slot.ends_at + timedelta(hours=1),
            ],
        )


def test_a_new_time_replaces_the_old_one(pool: Pool, ticket: int) -> None:
    first, second = service.slots(pool, ticket_id=ticket, count=2)
    book(pool, ticket, first)

    book(pool, ticket, second)

    with pool.connection() as connection:
        rows = connection.execute(
            "select state from maintenance.appointment order by id"
        ).fetchall()
    assert rows == [("cancelled",), ("confirmed",)]
    assert first.starts_at in {s.starts_at for s in service.slots(pool, ticket_id=ticket, count=20)}


def test_the_same_time_twice_is_one_visit(pool: Pool, ticket: int) -> None:
    (slot,) = service.slots(pool, ticket_id=ticket, count=1)
    book(pool, ticket, slot)

    with pytest.raises(ConflictError):
        book(pool, ticket, slot)

    assert states(pool, ticket) == ("scheduled", "scheduled", "confirmed")


@pytest.mark.parametrize("hours", [0, 1, 24 * 60])
def test_a_time_that_was_not_offered_is_refused(pool: Pool, ticket: int, hours: int) -> None:
    slot = Slot(
        starts_at=NOON + timedelta(hours=hours, minutes=3),
        ends_at=NOON,
        technician_id=1,
        technician_name="",
    )

    with pytest.raises(ConflictError):
        book(pool, ticket, slot)


def test_a_cancelled_visit_leaves_the_ticket_open(pool: Pool, ticket: int) -> None:
    (slot,) = service.slots(pool, ticket_id=ticket, count=1)
    book(pool, ticket, slot)

    service.cancel_appointment(pool, ticket_id=ticket, by="owner:1", now=NOON, sender=SENDER)

    assert states(pool, ticket) == ("open", "ready", "cancelled")
    assert events(pool, ticket) == ["opened", "booked", "cancelled"]
    with pytest.raises(ConflictError):
        service.cancel_appointment(pool, ticket_id=ticket, by="owner:1", now=NOON, sender=SENDER)


def test_a_finding_closes_everything(pool: Pool, ticket: int) -> None:
    (slot,) = service.slots(pool, ticket_id=ticket, count=1)
    book(pool, ticket, slot)
    order = work_order_of(pool, ticket)
    service.start_work(pool, work_order_id=order, by="technician:1", at=slot.starts_at, now=NOON)
    assert states(pool, ticket) == ("in_service", "in_progress", "confirmed")

    find(pool, ticket)

    assert states(pool, ticket) == ("resolved", "done", "done")
    closed = one(
        pool,
        "select t.close_reason, t.closed_at, a.cleared_at from maintenance.ticket as t"
        " join maintenance.alert as a on a.id = t.alert_id where t.id = %s",
        ticket,
    )
    assert closed == ("incipient", FOUND_AT, FOUND_AT)
    assert events(pool, ticket) == ["opened", "booked", "closed"]
    actions = one(
        pool,
        "select array_agg(action order by id) from maintenance.history where ticket_id = %s",
        ticket,
    )
    assert actions[0] == [
        "ticket.opened",
        "appointment.booked",
        "work.started",
        "ticket.resolved",
    ]
    assert service.slots(pool, ticket_id=ticket) == ()


def test_the_same_finding_twice_is_one(pool: Pool, ticket: int) -> None:
    later = FOUND_AT + timedelta(minutes=1)

    assert find(pool, ticket) == find(pool, ticket, found_at=later)
    assert events(pool, ticket) == ["opened", "closed"]


def test_a_different_second_finding_is_refused(pool: Pool, ticket: int) -> None:
    find(pool, ticket)

    with pytest.raises(ConflictError, match="another finding"):
        find(pool, ticket, verdict="no_fault_found")


def test_work_cannot_begin_twice_or_after_its_end(pool: Pool, ticket: int) -> None:
    order = work_order_of(pool, ticket)
    service.start_work(pool, work_order_id=order, by="technician:1", at=NOON, now=NOON)

    with pytest.raises(ConflictError):
        service.start_work(pool, work_order_id=order, by="technician:1", at=NOON, now=NOON)
    find(pool, ticket)
    with pytest.raises(ConflictError):
        service.start_work(pool, work_order_id=order, by="technician:1", at=NOON, now=NOON)


def test_a_cancelled_ticket_takes_no_finding_and_no_visit(pool: Pool, ticket: int) -> None:
    (slot,) = service.slots(pool, ticket_id=ticket, count=1)
    service.cancel_ticket(
        pool, ticket_id=ticket, by="owner:1", reason="sold", now=NOON, sender=SENDER
    )

    with pytest.raises(ConflictError):
        book(pool, ticket, slot)
    with pytest.raises(ConflictError):
        find(pool, ticket)
    with pytest.raises(ConflictError):
        service.cancel_ticket(
            pool, ticket_id=ticket, by="owner:1", reason="again", now=NOON, sender=SENDER
        )
    assert states(pool, ticket) == ("cancelled", "cancelled", None)


def test_after_no_fault_found_the_same_warning_stays_silent(pool: Pool, ticket: int) -> None:
    find(pool, ticket, verdict="no_fault_found", found_at=NOON + 2 * EVERY)
    device = one(pool, "select device_id from maintenance.ticket where id = %s", ticket)[0]
    with pool.connection() as connection:
        for step in range(3, 9):
            add_forecast(connection, device, NOON + step * EVERY)

    decide_once(pool, Decider(sender=SENDER, clock=lambda: NOON))

    assert one(pool, "select count(*) from maintenance.ticket where device_id = %s", device) == (1,)
    assert one(
        pool,
        "select reason from maintenance.decision where device_id = %s order by id desc limit 1",
        device,
    ) == ("after_no_fault_found",)


def test_an_alert_is_acknowledged_once(pool: Pool, ticket: int) -> None:
    (alert,) = one(pool, "select alert_id from maintenance.ticket where id = %s", ticket)
    service.acknowledge_alert(pool, alert_id=alert, by="manufacturer:1", now=NOON)

    with pytest.raises(ConflictError, match="manufacturer:1"):
        service.acknowledge_alert(pool, alert_id=alert, by="manufacturer:2", now=NOON)
    with pytest.raises(NotFoundError):
        service.acknowledge_alert(pool, alert_id=10**9, by="manufacturer:2", now=NOON)


def test_technicians_are_known_by_their_address(pool: Pool) -> None:
    tom = TechnicianDraft(name="Tom", email="tom@northwarm.example", skills=("hvac",))
    changed = TechnicianDraft(name="Tom Weber", email="tom@northwarm.example", skills=("gas",))

    first = service.add_technicians(pool, drafts=[tom], now=NOON)
    second = service.add_technicians(pool, drafts=[changed], now=NOON)

    assert first == second
    assert one(pool, "select name, skills from maintenance.technician") == ("Tom Weber", ["gas"])


@pytest.mark.parametrize(
    "draft",
    [
        TechnicianDraft(name="Tom", email="tom"),
        TechnicianDraft(name="Tom", email="tom@x.example\nBcc: a@b.c"),
        TechnicianDraft(name="Tom", email="tom@x.example", timezone="Mars/Olympus"),
    ],
)
def test_a_technician_without_a_proper_address_or_zone_is_refused(
    pool: Pool, draft: TechnicianDraft
) -> None:
    with pytest.raises(InvalidError):
        service.add_technicians(pool, drafts=[draft], now=NOON)


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "maybe"},
        {"note": "x" * 5000},
        {"parts": ["p"] * 101},
        {"found_at": NOON.replace(tzinfo=None)},
        {"found_at": NOON + timedelta(days=400)},
    ],
)
def test_a_finding_that_makes_no_sense_is_refused(
    pool: Pool, ticket: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidError):
        find(pool, ticket, **changes)

    assert states(pool, ticket) == ("open", "ready", None)


def test_what_does_not_exist_is_not_found(pool: Pool) -> None:
    for call in (
        lambda: service.slots(pool, ticket_id=10**9),
        lambda: service.cancel_ticket(
            pool, ticket_id=10**9, by="x", reason="x", now=NOON, sender=SENDER
        ),
        lambda: service.start_work(pool, work_order_id=10**9, by="x", at=NOON, now=NOON),
    ):
        with pytest.raises(ForecareError) as caught:
            call()
        assert isinstance(caught.value, NotFoundError)
