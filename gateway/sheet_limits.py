"""Reads what a product sheet says about how much may be sent. Pure."""

import re
from datetime import timedelta
from typing import Any

from core.product import Allowance, Limits
from core.units import parse_duration
from gateway.sheet_table import Table, WrongError

_ALLOWANCE = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s+per\s+(.+?)\s*")
_PER_MIN, _PER_MAX = timedelta(seconds=1), timedelta(days=1)
ALLOWANCES_MAX = 4
KINDS = ("device_messages", "device_values", "manufacturer_messages", "manufacturer_values")


def limits_of(sheet: Table) -> Limits:
    """Read `[limits]`, which a sheet may leave out, as it may each of its keys."""
    table = sheet.table("limits")
    if table is None:
        return Limits()
    given = {key: table.optional(key, read_allowances) for key in KINDS}
    table.close()
    return Limits(**{key: value for key, value in given.items() if value is not None})


def read_allowances(value: Any) -> tuple[Allowance, ...]:
    """Read "200 per 1 s, 3000 per 60 s"."""
    if not isinstance(value, str):
        raise WrongError(f'must be a text such as "200 per 1 s, 3000 per 60 s", not {value!r}')
    parts = value.split(",")
    if len(parts) > ALLOWANCES_MAX:
        raise WrongError(f"has {len(parts)} parts, more than {ALLOWANCES_MAX}")
    return tuple(_allowance(part) for part in parts)


def _allowance(text: str) -> Allowance:
    match = _ALLOWANCE.fullmatch(text)
    if match is None:
        raise WrongError(f'"{text.strip()}" is none: write an amount and a time, "3000 per 60 s"')
    amount = float(match[1].replace("_", ""))
    try:
        per = parse_duration(match[2])
    except (ValueError, OverflowError) as error:
        raise WrongError(str(error)) from error
    if amount < 1:
        raise WrongError(f'"{text.strip()}" lets nothing through: the amount must be at least 1')
    if not _PER_MIN <= per <= _PER_MAX:
        raise WrongError(f'"{text.strip()}": the time must lie between 1 s and 1 day')
    return Allowance(amount=amount, per=per)
