"""Durations and instants as people and devices write them, converted once, at the door. Pure."""

import re
from datetime import UTC, datetime, timedelta

_UNIT_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "y": 31557600.0,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|w|y)\s*")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)


def parse_duration(text: str) -> timedelta:
    """Read "90 min", "7 d", "1.5 h".

    Raises
    ------
    ValueError
        If the text is not one number with one of the units ms, s, min, h, d, w, y.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        message = f'{text!r} is no duration: write a number and a unit, such as "90 min" or "7 d" (units: {", ".join(_UNIT_SECONDS)})'
        raise ValueError(message)
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration in its largest whole unit: "7 d", "90 min", "1 s"."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "min", "s"):
        size = round(_UNIT_SECONDS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"


def to_epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970, as they go over the wire."""
    return round((at - EPOCH).total_seconds() * 1000)


def from_epoch_ms(milliseconds: int) -> datetime:
    """Return the instant, UTC. Exact for every value that `datetime` can hold."""
    return EPOCH + timedelta(milliseconds=milliseconds)
