"""Reads what a product sheet says about how long rows are kept. Pure."""

from datetime import timedelta
from typing import Any

from core.product import Retention
from core.units import format_duration
from gateway.sheet_table import Table, WrongError, read_duration

FOR_EVER = "forever"
_FOR_EVER = timedelta.max
RAW = timedelta(days=400)
"""A year and the month in which somebody asks for it."""
HOURLY = timedelta(days=5 * 365)
WINDOWS = timedelta(days=5 * 365)
"""Lives are learned from; those of good parts are long."""
DEAD_LETTERS = timedelta(days=90)


def retention_of(sheet: Table, *, history_max: timedelta | None) -> Retention:
    """Read `[retention]`, which a sheet may leave out; None of it is shorter than what it rests on.

    Parameters
    ----------
    sheet : Table
    history_max : timedelta or None
        How far back a device may deliver: samples are kept at least as long. None: a fault.
    """
    table = sheet.table("retention")
    least = history_max or timedelta(0)
    raw = _kept(table, "raw", default=max(RAW, least))
    hourly = _kept(table, "hourly", default=max(HOURLY, raw))
    kept = Retention(
        raw=_or_none(raw),
        hourly=_or_none(hourly),
        daily=_or_none(_kept(table, "daily", default=_FOR_EVER)),
        windows=_or_none(_kept(table, "windows", default=max(WINDOWS, raw))),
        dead_letters=_or_none(_kept(table, "dead_letters", default=DEAD_LETTERS)),
    )
    if table is not None:
        table.close()
        _check_order(table, kept, least)
    return kept


def _check_order(table: Table, kept: Retention, history_max: timedelta) -> None:
    if kept.raw is not None and kept.raw < history_max:
        table.fault(
            ("raw",),
            f'"raw" is shorter than "history_max" ({format_duration(history_max)}): what a device may'
            " still deliver would be dropped at once",
        )
    for fine, coarse in (("raw", "hourly"), ("hourly", "daily"), ("raw", "windows")):
        base = getattr(kept, fine) or _FOR_EVER
        if (getattr(kept, coarse) or _FOR_EVER) < base:
            shown = FOR_EVER if base == _FOR_EVER else format_duration(base)
            table.fault(
                (coarse,),
                f'"{coarse}" is shorter than "{fine}" ({shown}), from which it is made',
            )


def _kept(table: Table | None, key: str, *, default: timedelta) -> timedelta:
    given = table.optional(key, _duration_or_for_ever) if table is not None else None
    return default if given is None else given


def _duration_or_for_ever(value: Any) -> timedelta:
    if value == FOR_EVER:
        return _FOR_EVER
    try:
        return read_duration(value)
    except WrongError as error:
        raise WrongError(f'{error}; or write "{FOR_EVER}"') from error


def _or_none(duration: timedelta) -> timedelta | None:
    return None if duration == _FOR_EVER else duration
