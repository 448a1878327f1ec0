"""Which times are offered for a visit."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from maintenance.slots import BOOKING_GRACE, Busy, SkillMatch, Technician, Visit, find, offer
from tests.fixtures.maintenance import NOON

BERLIN = ZoneInfo("Europe/Berlin")
TOM = Technician(technician_id=1, name="Tom", skills=("hvac",), latitude=48.0, longitude=7.85)
EVA = Technician(technician_id=2, name="Eva", skills=("hvac",), latitude=52.5, longitude=13.4)
PIA = Technician(technician_id=3, name="Pia", skills=("electric",))


def make_visit(**changes: Any) -> Visit:
    values: dict[str, Any] = {
        "skills": frozenset({"hvac"}),
        "duration": timedelta(minutes=90),
        "due_at": NOON + timedelta(days=7),
        "event_now": NOON,
        "timezone": BERLIN,
        "latitude": 47.99,
        "longitude": 7.85,
    }
    return Visit(**values | changes)


def test_windows_lie_in_working_hours_of_the_site() -> None:
    slots = offer(make_visit(), technicians=[TOM], busy=[], count=20)

    assert len(slots) == 20
    for slot in slots:
        local = slot.starts_at.astimezone(BERLIN)
        assert local.weekday() < 5
        assert 8 <= local.hour <= 16
        assert slot.starts_at >= NOON + timedelta(hours=24)


def test_the_nearer_technician_is_offered_first() -> None:
    slots = offer(make_visit(), technicians=[EVA, TOM], busy=[], count=3)

    assert {slot.technician_name for slot in slots} == {"Tom"}


def test_the_farther_one_stands_in_when_the_nearer_is_busy() -> None:
    busy = [Busy(technician_id=1, starts_at=NOON, ends_at=NOON + timedelta(days=40))]

    slots = offer(make_visit(), technicians=[EVA, TOM], busy=busy, count=3)

    assert {slot.technician_name for slot in slots} == {"Eva"}


def test_offers_spread_over_days() -> None:
    slots = offer(make_visit(), technicians=[TOM, EVA], busy=[], count=3)

    assert len({slot.starts_at.date() for slot in slots}) == 3


def test_a_time_is_offered_once_however_many_technicians_are_free() -> None:
    soon = make_visit(due_at=NOON + timedelta(hours=26))

    slots = offer(soon, technicians=[TOM, EVA], busy=[], count=6)

    assert len({slot.starts_at for slot in slots}) == 6


def test_times_before_the_due_date_win() -> None:
    due = NOON + timedelta(days=2, hours=4)

    slots = offer(make_visit(due_at=due), technicians=[TOM], busy=[], count=3)

    assert all(slot.ends_at <= due for slot in slots)


def test_later_times_fill_up_when_the_due_date_is_too_close() -> None:
    slots = offer(make_visit(due_at=NOON), technicians=[TOM], busy=[], count=3)

    assert len(slots) == 3


def test_without_the_skill_the_closest_match_is_offered_and_it_says_so() -> None:
    visit = make_visit(skills=frozenset({"hvac", "gas"}))

    (slot,) = offer(visit, technicians=[PIA, TOM], busy=[], count=1)

    assert (slot.technician_name, slot.match) == ("Tom", SkillMatch.SOME_SKILLS)


def test_nobody_with_any_skill_means_everybody() -> None:
    visit = make_visit(skills=frozenset({"gas"}))

    (slot,) = offer(visit, technicians=[PIA], busy=[], count=1)

    assert (slot.technician_name, slot.match) == ("Pia", SkillMatch.NO_SKILLS)


def test_no_technicians_no_offers() -> None:
    assert offer(make_visit(), technicians=[], busy=[], count=6) == ()


def test_a_long_job_takes_several_windows() -> None:
    (slot,) = offer(make_visit(duration=timedelta(hours=5)), technicians=[TOM], busy=[], count=1)

    assert slot.ends_at - slot.starts_at == timedelta(hours=6)


def test_an_offered_window_stays_bookable_for_slow_deciders() -> None:
    (slot,) = offer(make_visit(), technicians=[TOM], busy=[], count=1)

    for passed, expected in (
        (timedelta(0), slot),
        (BOOKING_GRACE, slot),
        (timedelta(days=9), None),
    ):
        later = make_visit(event_now=NOON + passed)
        found = find(later, technicians=[TOM], busy=[], technician_id=1, starts_at=slot.starts_at)
        assert found == expected


def test_a_time_beside_the_grid_cannot_be_booked() -> None:
    beside = datetime(2026, 11, 25, 9, 17, tzinfo=UTC)

    assert find(make_visit(), technicians=[TOM], busy=[], technician_id=1, starts_at=beside) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]),
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.integers(0, 700), st.integers(1, 48)), max_size=8
    ),
)
def test_every_offer_is_free_and_can_be_booked(
    now: datetime, timezone: str, appointments: list[tuple[int, int, int]]
) -> None:
    visit = make_visit(event_now=now, timezone=ZoneInfo(timezone), due_at=now + timedelta(days=5))
    busy = [
        Busy(
            technician_id=technician,
            starts_at=now + timedelta(hours=start),
            ends_at=now + timedelta(hours=start + length),
        )
        for technician, start, length in appointments
    ]

    slots = offer(visit, technicians=[TOM, EVA], busy=busy, count=6)

    assert len(set(slots)) == len(slots) == 6
    for slot in slots:
        found = find(
            visit,
            technicians=[TOM, EVA],
            busy=busy,
            technician_id=slot.technician_id,
            starts_at=slot.starts_at,
        )
        assert found == slot
        assert 8 <= slot.starts_at.astimezone(ZoneInfo(timezone)).hour <= 16
