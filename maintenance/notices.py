"""Writes the messages to owners: subject, plain text and HTML out of a case. Pure.

Names come from strangers. A subject and every name is one line without control characters, HTML is
escaped by the template engine, and links stand on lines of their own.
"""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import msgspec
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time, get_timezone_name
from babel.numbers import format_currency
from jinja2 import Environment, PackageLoader, StrictUndefined

from maintenance.case import Case, evidence_sentences, zone
from maintenance.slots import Slot

_SUBJECT_LENGTH_MAX = 150
_NAME_LENGTH_MAX = 120
_SENTENCES_MAX = 3
_TRACK_RECORD_MIN = 5
"""Fewer inspected cases say nothing about how often we are right."""
_HOURLY_WINDOW = timedelta(days=3)
_DEFAULT_LOCALE = "en_GB"
_CONTROL = {"Cc", "Cf", "Cs", "Zl", "Zp"}

_LEVEL_WORDS = {"watch": "Watch", "plan": "Plan a visit", "act": "Act now"}
_LEVEL_COLOURS = {
    "watch": ("#173f96", "#e6eefc"),
    "plan": ("#7a4700", "#fdf0d8"),
    "act": ("#8c0c2e", "#fde7ec"),
    "ok": ("#0a5f3d", "#e2f5eb"),
}
_LEVEL_SIGNS = {"watch": "●", "plan": "▲", "act": "■", "ok": "✓"}
_FOUND = {
    "confirmed": "The technician found the fault and repaired it.",
    "incipient": "The technician found the wear that we had seen, before it became a failure.",
    "other_fault": "The technician found another fault than expected and took care of it.",
    "no_fault_found": "The technician looked closely and found no fault. Sorry for the trouble: we"
    " have noted it, so that the next warning is a better one.",
    "not_inspected": "The technician could not look at it this time.",
    "recovered": "The values have been back to normal for a while, so no visit is needed.",
    "cancelled": "The ticket was cancelled; no visit is planned.",
}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to be stored and sent."""

    subject: str
    text: str
    html: str
    calendar: str | None = None


class VisitTime(msgspec.Struct, frozen=True, kw_only=True):
    """A booked visit, as a message tells it."""

    starts_at: datetime
    ends_at: datetime
    technician_name: str


def visit_needed(
    case: Case, *, slots: Sequence[Slot], link: str, occasion: str = "opened"
) -> Notice:
    """Write that somebody should come.

    Parameters
    ----------
    case : Case
    slots : sequence of Slot
        A few free windows, shown as links to the ticket's page.
    link : str
        Address of the ticket's page.
    occasion : {"opened", "raised", "reminder"}
        Why this message is written.
    """
    name = product_name(case)
    plain = _sentence(case.mode.plain or case.title)
    has_failed = case.kind == "corrective"
    action = "Act now" if case.level == "act" else "Plan a visit"
    if has_failed:
        headline = f"Your {name} has a fault: {_lower_first(plain)}."
    elif case.level == "act":
        headline = f"Your {name} still works. {plain}, and it may fail within a day."
    else:
        headline = f"Your {name} works fine today. {plain}."
    subject = f"{action}: {_lower_first(plain)} ({name})"
    subject = f"{_PREFIX[occasion]}{subject}"
    return _render(
        "visit_needed",
        case,
        subject=subject,
        tone=case.level,
        chip=_LEVEL_WORDS[case.level],
        headline=headline,
        occasion=occasion,
        has_failed=has_failed,
        window=failure_window(case),
        minutes=round(case.duration.total_seconds() / 60),
        price=money(case),
        slots=[slot_words(case, slot) | {"link": _slot_link(link, slot)} for slot in slots],
        link=link,
        why=_why(case),
    )


def booked(case: Case, *, visit: VisitTime, link: str, calendar: str | None) -> Notice:
    """Write that a visit is booked."""
    when = slot_words(case, visit)
    name = product_name(case)
    notice = _render(
        "booked",
        case,
        subject=f"Visit booked: {when['day']}, {when['hours']} ({name})",
        tone="ok",
        chip="Visit booked",
        headline=f"{when['day']}, {when['hours']}",
        technician=one_line(visit.technician_name),
        minutes=round(case.duration.total_seconds() / 60),
        price=money(case),
        link=link,
    )
    return msgspec.structs.replace(notice, calendar=calendar)


def visit_cancelled(case: Case, *, visit: VisitTime, link: str, calendar: str | None) -> Notice:
    """Write that a booked visit will not take place."""
    when = slot_words(case, visit)
    notice = _render(
        "visit_cancelled",
        case,
        subject=f"Visit cancelled: {when['day']}, {when['hours']} ({product_name(case)})",
        tone="plan",
        chip="Visit cancelled",
        headline=f"The visit on {when['day']}, {when['hours']} is cancelled.",
        link=link,
    )
    return msgspec.structs.replace(notice, calendar=calendar)


def closed(case: Case, *, reason: str, component: str, parts: Sequence[str], note: str) -> Notice:
    """Write how a ticket ended: what was found, or that no visit is needed."""
    name = product_name(case)
    is_good = reason in ("confirmed", "incipient", "other_fault", "recovered")
    state = "Done" if is_good else "Closed"
    component = one_line(component)
    what = component if reason in ("confirmed", "incipient", "other_fault") else ""
    return _render(
        "closed",
        case,
        subject=f"{state}: {one_line(case.title)} ({name})",
        tone="ok" if is_good else "watch",
        chip=state,
        headline=_FOUND.get(reason, "The ticket is closed."),
        component=what,
        parts=[one_line(part) for part in parts],
        note=_several_lines(note),
        reason=reason,
    )


def product_name(case: Case) -> str:
    return one_line(case.product.title)


def one_line(text: str, *, length_max: int = _NAME_LENGTH_MAX) -> str:
    """Make a stranger's text safe for a header or a line: no control or direction characters."""
    cleaned = "".join(" " if unicodedata.category(c) in _CONTROL else c for c in text)
    cleaned = " ".join(cleaned.split())
    return cleaned if len(cleaned) <= length_max else cleaned[: length_max - 1].rstrip() + "…"


def failure_window(case: Case) -> str:
    """Say between when the failure is expected, in the site's time: a window, never one date."""
    if case.kind == "corrective" or case.fails_from is None:
        return ""
    locale, timezone = _locale(case), case.timezone
    if case.fails_until is not None and case.fails_from <= case.event_now:
        is_over = case.fails_until <= case.event_now
        until = format_date(case.fails_until.astimezone(timezone), "d MMMM", locale)
        return "any day now" if is_over else f"before {until}"
    if case.fails_until is None:
        return f"from {format_date(case.fails_from.astimezone(timezone), 'd MMMM', locale)} on"
    start, end = case.fails_from.astimezone(timezone), case.fails_until.astimezone(timezone)
    if end - start < _HOURLY_WINDOW:
        pattern = "EEE d MMM HH:mm"
        first = format_datetime(start, pattern, locale=locale, tzinfo=timezone)
        last = format_datetime(end, pattern, locale=locale, tzinfo=timezone)
        return f"between {first} and {last}"
    same_month = (start.year, start.month) == (end.year, end.month)
    first = format_date(start, "d" if same_month else "d MMMM", locale)
    last = format_date(end, "d MMMM" if start.year == end.year else "d MMMM y", locale)
    return f"between {first} and {last}"


def slot_words(case: Case, slot: Slot | VisitTime) -> dict[str, str]:
    """Return day and hours of a window in the site's time, the zone named when it differs."""
    locale, timezone = _locale(case), case.timezone
    start, end = slot.starts_at.astimezone(timezone), slot.ends_at.astimezone(timezone)
    hours = " – ".join(
        format_time(at, "HH:mm", tzinfo=timezone, locale=locale) for at in (start, end)
    )
    if (
        case.owner is not None
        and start.utcoffset() != start.astimezone(zone(case.owner.timezone)).utcoffset()
    ):
        hours += f" ({get_timezone_name(start, locale=locale, width='short')})"
    return {"day": format_date(start, "EEE d MMM", locale), "hours": hours}


def money(case: Case) -> str:
    """Return what the owner pays, in whole units of the product's currency."""
    return format_currency(
        case.price,
        case.product.currency,
        format="¤#,##0",
        locale=_locale(case),
        currency_digits=False,
    )


def _slot_link(link: str, slot: Slot) -> str:
    """Lead to the ticket's page with this window chosen; opening it books nothing."""
    chosen = {"at": slot.starts_at.isoformat(), "technician": slot.technician_id}
    return f"{link}?{urlencode(chosen)}"


def _why(case: Case) -> list[str]:
    sentences = [
        one_line(text, length_max=300)
        for text in evidence_sentences(case.evidence)[:_SENTENCES_MAX]
    ]
    record = case.track_record
    if record.inspected >= _TRACK_RECORD_MIN:
        sentences.append(
            f"Of the last {record.inspected} warnings like this that a technician looked at,"
            f" {record.right} were right."
        )
    return sentences


def _render(template: str, case: Case, *, subject: str, tone: str, **values: Any) -> Notice:
    colour, tint = _LEVEL_COLOURS[tone]
    address = one_line(case.address)
    values |= {
        "subject": one_line(subject, length_max=_SUBJECT_LENGTH_MAX),
        "colour": colour,
        "tint": tint,
        "sign": _LEVEL_SIGNS[tone],
        "manufacturer": one_line(case.product.manufacturer),
        "greeting": one_line(case.owner.name) if case.owner else "",
        "product": product_name(case),
        "number": case.number,
        "serial": one_line(case.serial),
        "address": address,
        "title": one_line(case.title),
        "is_covered": case.is_covered,
        "until_then": _sentence(case.mode.until_then, dot=True),
        "stop_if": _sentence(case.mode.stop_if, dot=True),
        "remedy": [one_line(step, length_max=300) for step in case.mode.remedy],
    }
    html, text = _environments()
    return Notice(
        subject=values["subject"],
        text=_tidy(text.get_template(f"{template}.txt").render(values)),
        html=html.get_template(f"{template}.html").render(values),
    )


@cache
def _environments() -> tuple[Environment, Environment]:
    loader = PackageLoader("maintenance")
    html = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = Environment(
        loader=loader,
        autoescape=False,  # noqa: S701 - plain text: escaping would show &amp; to people
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return html, text


def _locale(case: Case) -> Locale:
    """Return the owner's way to write dates and money, as long as the text is in their language."""
    try:
        locale = Locale.parse((case.owner.locale if case.owner else "").replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Locale.parse(_DEFAULT_LOCALE)
    if locale.language != "en" or locale.territory is None:
        return Locale.parse(_DEFAULT_LOCALE)
    return locale


def _tidy(text: str) -> str:
    """At most one empty line in a row, none at the ends, lines short enough for any mail server."""
    lines: list[str] = []
    for line in (raw.rstrip().replace("  ", " ") for raw in text.strip().splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _sentence(text: str, *, dot: bool = False) -> str:
    text = one_line(text, length_max=300).rstrip(".")
    return f"{text}." if dot and text else text


def _several_lines(text: str) -> str:
    return one_line(text, length_max=1000)


def _lower_first(text: str) -> str:
    """Begin a clause: "The fan" becomes "the fan", "LED driver" stays."""
    if len(text) > 1 and text[0].isupper() and not text[1].isupper():
        return text[0].lower() + text[1:]
    return text


_PREFIX = {"opened": "", "raised": "Update: ", "reminder": "Reminder: "}
