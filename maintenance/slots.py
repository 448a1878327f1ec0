"""Offers times for a visit: who may come, when they are free, and which few to show. Pure.

Arrival windows lie on a fixed grid in the site's own time zone, so that two people who look at the
same technician see the same windows, and the database can refuse the second of two bookings.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import zip_longest
from zoneinfo import ZoneInfo

import msgspec

WINDOW = timedelta(hours=2)
DAY_START_HOUR, DAY_END_HOUR = 8, 18
SOONEST = timedelta(hours=24)
"""From the event time now to the first window on offer."""
BOOKING_GRACE = timedelta(hours=23)
"""An offered window stays bookable for so long while people make up their minds."""
HORIZON = timedelta(days=30)
_WORKDAYS = range(5)
_EARTH_RADIUS_KM = 6371.0


class SkillMatch(StrEnum):
    """Why this technician may be offered."""

    ALL_SKILLS = "all_skills"
    SOME_SKILLS = "some_skills"
    NO_SKILLS = "no_skills"


class Technician(msgspec.Struct, frozen=True, kw_only=True):
    technician_id: int
    name: str
    skills: tuple[str, ...] = ()
    latitude: float | None = None
    longitude: float | None = None


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed appointment."""

    technician_id: int
    starts_at: datetime
    ends_at: datetime


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A free arrival window of one technician."""

    starts_at: datetime
    ends_at: datetime
    technician_id: int
    technician_name: str
    match: SkillMatch = SkillMatch.ALL_SKILLS


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be scheduled, and where."""

    skills: frozenset[str]
    duration: timedelta
    due_at: datetime
    event_now: datetime
    timezone: ZoneInfo
    latitude: float | None = None
    longitude: float | None = None


def offer(
    visit: Visit, *, technicians: Sequence[Technician], busy: Sequence[Busy], count: int
) -> tuple[Slot, ...]:
    """Choose up to `count` windows, earliest first.

    Windows before the due date win; then different days and different times of the day. Each time is
    offered once, with the nearest technician who is free: the owner chooses when, not who.
    """
    able, match = able_technicians(visit, technicians)
    nearest_first = sorted(able, key=lambda t: (_distance_km(visit, t), t.technician_id))
    soonest = visit.event_now + SOONEST
    days: list[list[Slot]] = []
    for day in _days(soonest, visit.timezone):
        slots = _free(visit, day, soonest, nearest_first, busy=busy, match=match)
        if slots:
            days.append(_varied(_one_for_each_start(slots), turn=len(days)))
    in_time = [[slot for slot in day if slot.ends_at <= visit.due_at] for day in days]
    too_late = [[slot for slot in day if slot.ends_at > visit.due_at] for day in days]
    chosen = [*_round_robin(in_time), *_round_robin(too_late)][:count]
    return tuple(sorted(chosen, key=lambda slot: (slot.starts_at, slot.technician_id)))


def find(
    visit: Visit,
    *,
    technicians: Sequence[Technician],
    busy: Sequence[Busy],
    technician_id: int,
    starts_at: datetime,
) -> Slot | None:
    """Return that window if it is one that may be offered, with some grace for slow deciders."""
    able, match = able_technicians(visit, technicians)
    wanted = [t for t in able if t.technician_id == technician_id]
    soonest = visit.event_now + SOONEST - BOOKING_GRACE
    day = starts_at.astimezone(visit.timezone).date()
    if not soonest <= starts_at <= visit.event_now + SOONEST + HORIZON:
        return None
    slots = _free(visit, day, soonest, wanted, busy=busy, match=match)
    return next((slot for slot in slots if slot.starts_at == starts_at), None)


def able_technicians(
    visit: Visit, technicians: Sequence[Technician]
) -> tuple[list[Technician], SkillMatch]:
    """Return who has all the skills; if nobody has, the closest match; if none matches, everybody."""
    best = max((len(visit.skills & set(t.skills)) for t in technicians), default=0)
    able = [t for t in technicians if len(visit.skills & set(t.skills)) == best]
    if best == len(visit.skills):
        return able, SkillMatch.ALL_SKILLS
    return able, SkillMatch.SOME_SKILLS if best else SkillMatch.NO_SKILLS


def _days(soonest: datetime, timezone: ZoneInfo) -> Iterator[date]:
    first = soonest.astimezone(timezone).date()
    for offset in range(HORIZON.days):
        day = first + timedelta(days=offset)
        if day.weekday() in _WORKDAYS:
            yield day


def _free(  # noqa: PLR0913 - everything by keyword
    visit: Visit,
    day: date,
    soonest: datetime,
    technicians: Sequence[Technician],
    *,
    busy: Sequence[Busy],
    match: SkillMatch,
) -> list[Slot]:
    slots = []
    for starts_at, ends_at in _windows(visit, day):
        if starts_at < soonest or day.weekday() not in _WORKDAYS:
            continue
        slots += [
            Slot(
                starts_at=starts_at,
                ends_at=ends_at,
                technician_id=technician.technician_id,
                technician_name=technician.name,
                match=match,
            )
            for technician in technicians
            if not _is_busy(technician, starts_at, ends_at, busy)
        ]
    return slots


def _windows(visit: Visit, day: date) -> Iterator[tuple[datetime, datetime]]:
    """Yield the windows of a local day, in UTC; a long job takes several steps of the grid."""
    utc = ZoneInfo("UTC")
    hours = int(WINDOW / timedelta(hours=1))
    steps = max(1, math.ceil(visit.duration / WINDOW))
    length = min(steps * hours, DAY_END_HOUR - DAY_START_HOUR)
    for hour in range(DAY_START_HOUR, DAY_END_HOUR - length + 1, hours):
        starts_at = datetime.combine(day, time(hour), visit.timezone).astimezone(utc)
        yield starts_at, starts_at + timedelta(hours=length)


def _is_busy(
    technician: Technician, starts_at: datetime, ends_at: datetime, busy: Sequence[Busy]
) -> bool:
    return any(
        b.technician_id == technician.technician_id
        and b.starts_at < ends_at
        and starts_at < b.ends_at
        for b in busy
    )


def _one_for_each_start(slots: Sequence[Slot]) -> list[Slot]:
    """Keep the first slot of each start; they come with the nearest technician first."""
    first: dict[datetime, Slot] = {}
    for slot in slots:
        first.setdefault(slot.starts_at, slot)
    return list(first.values())


def _varied(slots: list[Slot], *, turn: int) -> list[Slot]:
    """Turn a day's windows so that days in a row begin at different times of the day."""
    begin = (turn * 2) % len(slots)
    return [*slots[begin:], *slots[:begin]]


def _round_robin(days: Sequence[Sequence[Slot]]) -> list[Slot]:
    return [slot for turn in zip_longest(*days) for slot in turn if slot is not None]


def _distance_km(visit: Visit, technician: Technician) -> float:
    """Return the distance along the great circle; infinity where a place is not known."""
    if visit.latitude is None or visit.longitude is None:
        return math.inf
    if technician.latitude is None or technician.longitude is None:
        return math.inf
    lat0, lat1 = math.radians(visit.latitude), math.radians(technician.latitude)
    half_lat = (lat1 - lat0) / 2
    half_lon = math.radians(technician.longitude - visit.longitude) / 2
    a = math.sin(half_lat) ** 2 + math.cos(lat0) * math.cos(lat1) * math.sin(half_lon) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(min(a, 1.0)))
