"""How numbers, money and times are written: Babel underneath, the site's time zone always. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_currency, format_decimal
from markupsafe import Markup

from api.records import Sentence

LOCALE = "en_GB"
_THIN_SPACE = "\u2009"


def zone(name: str) -> ZoneInfo:
    """Return the time zone of that name; UTC for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def day(at: datetime, timezone: str, *, year: bool = False) -> Markup:
    """Write "Thu 26 Nov"; the full instant stands in the title."""
    return _time(at, timezone, "EEE d MMM yyyy" if year else "EEE d MMM")


def moment(at: datetime, timezone: str) -> Markup:
    """Write "26 Nov, 08:00"."""
    return _time(at, timezone, "d MMM, HH:mm")


def clock(at: datetime, timezone: str) -> Markup:
    """Write "08:00"."""
    return _time(at, timezone, "HH:mm")


def date_text(at: datetime, timezone: str, pattern: str = "d MMM yyyy") -> str:
    text: str = format_datetime(at, pattern, tzinfo=zone(timezone), locale=LOCALE)
    return text


def ago(at: datetime, now: datetime, timezone: str) -> Markup:
    """Write "3 days ago" within a week, the date beyond it."""
    distance = at - now
    if abs(distance) < timedelta(minutes=1):
        text = "just now"
    elif abs(distance) < timedelta(days=7):
        text = format_timedelta(distance, locale=LOCALE, add_direction=True, threshold=1.2)
    else:
        text = date_text(
            at, timezone, "d MMM" if abs(distance) < timedelta(days=300) else "d MMM yyyy"
        )
    return _tag(at, timezone, text)


def span(begin: datetime, end: datetime, timezone: str, now: datetime | None = None) -> str:
    """Write a window of days: "9 – 21 Dec", "28 Nov – 6 Jan", "now – 27 Nov"."""
    if now is not None and end <= now:
        return "any time now"
    last = date_text(end, timezone, "d MMM")
    if now is not None and begin <= now:
        return last if last == date_text(now, timezone, "d MMM") else f"now – {last}"
    first = date_text(begin, timezone, "d MMM")
    if first == last:
        return first
    if first.split()[1:] == last.split()[1:]:
        first = first.split()[0]
    return f"{first} – {last}"


def span_long(begin: datetime, end: datetime, timezone: str) -> str:
    """Write a window of days for a sentence: "9 and 21 December", after the word between."""
    first, last = date_text(begin, timezone, "d MMMM"), date_text(end, timezone, "d MMMM")
    if first.split()[1:] == last.split()[1:]:
        first = first.split()[0]
    return f"{first} and {last}"


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """Write a number with at most so many decimals, and its unit behind a thin space."""
    if value is None:
        return "–"
    pattern = "#,##0." + "#" * digits if digits else "#,##0"
    text: str = format_decimal(value, format=pattern, locale=LOCALE)
    return f"{text}{_THIN_SPACE}{unit}" if unit else text


def percent(share: float | None) -> str:
    """Write a chance as a whole percentage; never 0 % or 100 %, which nobody can know."""
    if share is None:
        return "–"
    if share < 0.01:
        return f"< 1{_THIN_SPACE}%"
    return (
        f"{min(round(share * 100), 99)}{_THIN_SPACE}%" if share < 0.995 else f"> 99{_THIN_SPACE}%"
    )


def money(amount: float | None, currency: str) -> str:
    if amount is None:
        return "–"
    pattern = "¤\u00a0#,##0;−¤\u00a0#,##0"
    text: str = format_currency(amount, currency, pattern, locale=LOCALE, currency_digits=False)
    return text


def duration(value: timedelta) -> str:
    """Write "90 minutes", "2 hours"."""
    minutes = round(value / timedelta(minutes=1))
    if minutes >= 120 and minutes % 60 == 0:
        return f"{minutes // 60} hours"
    return f"{minutes} minutes"


def json_text(value: object) -> str:
    """Write a JSON value for people: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pairs(document: Mapping[str, object], titles: Mapping[str, str] | None = None) -> str:
    """Write the entries of a document on one line; null is what was given back."""
    named = titles or {}
    return ", ".join(
        f"{named.get(key, key)} given back"
        if value is None
        else f"{named.get(key, key)} = {json_text(value)}"
        for key, value in document.items()
    )


def sentence(text: str) -> str:
    """Begin with a capital letter and leave the rest, where names and units are, as it is."""
    return text[:1].upper() + text[1:]


def in_language(text: str, language: str) -> str:
    """Mark a text that is not in the language of its page, for those who have it read aloud."""
    if LOCALE.startswith(language):
        return text
    return Markup('<span lang="{}">{}</span>').format(language, text)


def said(sentence: Sentence) -> str:
    """Write what is said about devices."""
    return in_language(sentence.text, sentence.language)


def code_spans(text: str) -> Markup:
    """Set what stands between backticks as code, as the hints of errors write commands."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part
        for index, part in enumerate(text.split("`"))
    )


def json_block(value: object) -> Markup:
    """Write JSON that may stand in a page: no text in it can end the block."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - nothing that could close the block is left in it


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    message = f"{type(value).__name__} has no place in a page"
    raise TypeError(message)


def _time(at: datetime, timezone: str, pattern: str) -> Markup:
    return _tag(at, timezone, date_text(at, timezone, pattern))


def _tag(at: datetime, timezone: str, text: str) -> Markup:
    full = date_text(at, timezone, "EEEE d MMMM yyyy, HH:mm zzz")
    instant = at.astimezone(UTC).isoformat()
    return Markup('<time datetime="{}" title="{}">{}</time>').format(instant, full, text)
