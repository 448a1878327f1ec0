"""Writes a visit as an iCalendar attachment (RFC 5545). Pure.

The UID belongs to the work order, so a new time replaces the old one in the owner's calendar.
"""

from datetime import UTC, datetime
from typing import Literal

from maintenance.notices import one_line

_FOLD_OCTETS = 73


def visit_calendar(  # noqa: PLR0913 - everything by keyword
    *,
    work_order_id: int,
    domain: str,
    starts_at: datetime,
    ends_at: datetime,
    title: str,
    place: str,
    sequence: int,
    status: Literal["CONFIRMED", "CANCELLED"],
    now: datetime,
) -> str:
    """Return the calendar text with CRLF line ends."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Forecare//visits//EN",
        "METHOD:PUBLISH",
        "BEGIN:VEVENT",
        f"UID:work-order-{work_order_id}@{domain}",
        f"SEQUENCE:{sequence}",
        f"DTSTAMP:{_utc(now)}",
        f"DTSTART:{_utc(starts_at)}",
        f"DTEND:{_utc(ends_at)}",
        f"SUMMARY:{_text(title)}",
        f"LOCATION:{_text(place)}",
        f"STATUS:{status}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{folded}\r\n" for line in lines for folded in _fold(line))


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(text: str) -> str:
    text = one_line(text).replace("\\", "\\\\")
    return text.replace(";", "\\;").replace(",", "\\,")


def _fold(line: str) -> list[str]:
    """Break after at most 75 octets, never inside a character."""
    parts, part, size = [], "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > _FOLD_OCTETS:
            parts.append(part)
            part, size = " ", 1
        part, size = part + character, size + octets
    return [*parts, part]
