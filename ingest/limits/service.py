"""What others may ask of limits: what holds for whom, to change it, and who has met one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.errors import InvalidError, NotFoundError
from core.pool import Connection, Pool
from core.product import Allowance, Limits, Product
from gateway.sheet_limits import read_allowances
from gateway.sheet_table import WrongError
from ingest.limits import store
from ingest.limits.store import Breach

Subject = Literal["device", "manufacturer"]
Counts = Literal["messages", "values"]
COUNTS: tuple[Counts, ...] = ("messages", "values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What holds for one sender, and where it comes from."""

    counts: Counts
    allowances: tuple[Allowance, ...]
    source: str
    """"the product sheet", "set for this device" …"""

    @property
    def text(self) -> str:
        return ", ".join(allowance.text for allowance in self.allowances)


def limits_of(pool: Pool, *, subject: Subject, name: str) -> tuple[Limit, ...]:
    """Return what holds for a device or a manufacturer.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    with pool.connection() as connection:
        subject_id = _find(connection, subject, name)
        sheets = store.sheets_of(connection, subject, subject_id)
        own = store.own_allowances(connection, subject, subject_id)
    return tuple(_limit(subject, counts, own.get(counts), sheets) for counts in COUNTS)


def set_limit(  # noqa: PLR0913 - a row's columns, by keyword
    pool: Pool,
    *,
    subject: Subject,
    name: str,
    counts: Counts,
    text: str,
    by: str,
    now: datetime,
) -> None:
    """Let another limit hold for one sender. Ingest follows within seconds, with full buckets.

    Raises
    ------
    InvalidError
        If the text is no allowance.
    NotFoundError
        If there is no such sender.
    """
    try:
        found = read_allowances(text)
    except WrongError as error:
        raise InvalidError(
            f"the limit on {counts} {error}", hint='write "200 per 1 s, 3000 per 60 s"'
        ) from error
    with pool.connection() as connection:
        store.set_allowance(
            connection,
            {
                "subject": subject,
                "subject_id": _find(connection, subject, name),
                "counts": counts,
                "allowances": ", ".join(allowance.text for allowance in found),
                "by": by,
                "now": now,
            },
        )


def unset_limit(pool: Pool, *, subject: Subject, name: str, counts: Counts) -> bool:
    """Let the product sheet hold again; return whether anything else had been set."""
    with pool.connection() as connection:
        subject_id = _find(connection, subject, name)
        values = {"subject": subject, "subject_id": subject_id, "counts": counts}
        return store.unset_allowance(connection, values)


def breaches(pool: Pool, *, device: str | None = None, limit: int = 100) -> tuple[Breach, ...]:
    """Return who has met a limit, the newest episode first."""
    with pool.connection() as connection:
        return store.breaches(connection, device=device, limit=limit)


def most_generous(sheets: list[Product], counts: Counts) -> tuple[Allowance, ...]:
    """Return what a manufacturer may send: its products' sheets may name different limits. Pure."""
    found = [_of_sheet(sheet.limits, "manufacturer", counts) for sheet in sheets]
    none = _of_sheet(Limits(), "manufacturer", counts)
    return max(
        found,
        key=lambda some: min((a.amount / a.per.total_seconds() for a in some), default=0.0),
        default=none,
    )


def _limit(subject: Subject, counts: Counts, own: str | None, sheets: list[Product]) -> Limit:
    if own is not None:
        return Limit(
            counts=counts, allowances=read_allowances(own), source=f"set for this {subject}"
        )
    if subject == "device":
        found = _of_sheet(sheets[0].limits, "device", counts)
    else:
        found = most_generous(sheets, counts)
    return Limit(counts=counts, allowances=found, source="the product sheet, or its default")


def _of_sheet(limits: Limits, subject: Subject, counts: Counts) -> tuple[Allowance, ...]:
    match subject, counts:
        case "device", "messages":
            return limits.device_messages
        case "device", "values":
            return limits.device_values
        case "manufacturer", "messages":
            return limits.manufacturer_messages
        case _:
            return limits.manufacturer_values


def _find(connection: Connection, subject: Subject, name: str) -> int:
    found = store.find_subject(connection, subject, name)
    if found is None:
        hint = "`forecare device list` shows the devices; a manufacturer is named in product sheets"
        raise NotFoundError(f'there is no {subject} "{name}"', hint=hint)
    return found
