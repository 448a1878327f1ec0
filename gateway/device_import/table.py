"""Reads a CSV file of devices: every fault with its line, its column and its remedy, all at once. Pure."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import InvalidError
from gateway.records import DeviceDraft, OwnerDraft, SiteDraft
from gateway.topics import DEVICE_NAME

COLUMNS: Mapping[str, str] = {
    "name": "becomes the MQTT user name; 1 to 64 of A-Z a-z 0-9 _ -",
    "serial": "serial number; empty: the name",
    "lot": "production lot",
    "firmware": "firmware version at delivery",
    "delivered": "day of delivery, 2026-01-31; starts the warranty",
    "owner_email": "who is told when it needs care; empty: nobody yet, the owner claims it",
    "owner_name": "how the owner is addressed",
    "owner_phone": "",
    "locale": "the owner's language; empty: en",
    "timezone": "of owner and site, Europe/Berlin; empty: UTC",
    "site": "name of the site",
    "address": "street and number",
    "city": "",
    "latitude": "degrees north",
    "longitude": "degrees east",
    "access_note": "for the technician",
}
ROWS_MAX = 100_000
_CELL_MAX = 200
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LOCALE = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    line: int
    column: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    line: int
    draft: DeviceDraft


def template() -> str:
    """Return a header line and one row as an example."""
    example = {
        "name": "hp-0001",
        "serial": "SN-2026-0001",
        "lot": "L1",
        "delivered": "2026-01-31",
        "owner_email": "ada@example.org",
        "owner_name": "Ada Example",
        "timezone": "Europe/Berlin",
        "city": "Ulm",
    }
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow(example)
    return out.getvalue()


def read_devices(text: str, *, source: str) -> tuple[tuple[Row, ...], tuple[Fault, ...]]:
    """Read devices, and everything that is wrong with them.

    Raises
    ------
    InvalidError
        If the header is not one: then no row can be read.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[Row] = []
    faults: list[Fault] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        header = _header(next(lines, []), source=source)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) >= ROWS_MAX:
                raise InvalidError(
                    f"{source} has more than {ROWS_MAX:,} devices", hint="split the file"
                )
            row, found = _row(header, cells, line=lines.line_num)
            faults += [*found, *_repeated(row, seen)]
            rows.append(row)
    except csv.Error as error:
        raise InvalidError(
            f"{source}, line {lines.line_num}: {error}",
            hint='a cell with a comma, a quote or a line break stands in quotes: "a, b"',
        ) from error
    return tuple(rows), tuple(faults)


def _header(cells: Sequence[str], *, source: str) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if header.count(name) > 1})
    if "name" not in header or unknown or twice:
        wrong = (
            f"the column {', '.join(unknown)} is unknown"
            if unknown
            else f"the column {', '.join(twice)} stands there twice"
            if twice
            else 'there is no column "name"'
        )
        raise InvalidError(
            f"{source}, line 1: {wrong}",
            hint=f"columns are {', '.join(COLUMNS)}, with commas between;"
            " `forecare device import --template` prints an example",
        )
    return header


class _Cells:
    """The cells of one line, and what is wrong with them."""

    def __init__(self, cells: Mapping[str, str], *, line: int) -> None:
        self._cells = cells
        self.line = line
        self.faults: list[Fault] = []

    def fault(self, column: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(line=self.line, column=column, problem=problem, remedy=remedy))

    def text(self, column: str, default: str = "") -> str:
        value = self._cells.get(column, "").strip()
        if len(value) > _CELL_MAX or not value.isprintable():
            self.fault(
                column,
                f"{value[:40]!r} is too long or has a control character",
                f"give at most {_CELL_MAX} printable characters",
            )
            return default
        return value or default

    def checked(
        self, column: str, is_right: Callable[[str], bool], remedy: str, default: str = ""
    ) -> str:
        value = self.text(column, default)
        if value and not is_right(value):
            self.fault(column, f"{value!r} cannot be that", remedy)
        return value

    def day(self, column: str) -> datetime | None:
        value = self.text(column)
        if not value:
            return None
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.fault(column, f"{value!r} is no day", "write it as 2026-01-31")
            return None

    def degrees(self, column: str, limit: float) -> float | None:
        value = self.text(column)
        try:
            number = float(value) if value else None
        except ValueError:
            number = float("nan")
        if number is not None and not -limit <= number <= limit:
            self.fault(
                column, f"{value!r} is no angle", f"give degrees from -{limit:g} to {limit:g}"
            )
            return None
        return number


def _row(header: Sequence[str], cells: Sequence[str], *, line: int) -> tuple[Row, list[Fault]]:
    found = _Cells(dict(zip(header, cells, strict=False)), line=line)
    if len(cells) > len(header):
        found.fault(
            "",
            f"{len(cells)} cells under {len(header)} columns",
            'put a cell with a comma in quotes: "a, b"',
        )
    name = found.text("name")
    if not DEVICE_NAME.fullmatch(name):
        found.fault(
            "name", f"{name!r} cannot be a device name", "use 1 to 64 of A-Z, a-z, 0-9, _ and -"
        )
    draft = DeviceDraft(
        name=name,
        serial=found.text("serial", name),
        lot=found.text("lot"),
        firmware=found.text("firmware"),
        delivered_at=found.day("delivered"),
        owner=_owner(found),
        site=_site(found),
    )
    return Row(line=line, draft=draft), found.faults


def _owner(found: _Cells) -> OwnerDraft | None:
    email = found.checked(
        "owner_email", lambda v: bool(_EMAIL.fullmatch(v)), "give one like ada@example.org"
    )
    name, phone = found.text("owner_name"), found.text("owner_phone")
    locale = found.checked(
        "locale", lambda v: bool(_LOCALE.fullmatch(v)), "give one like en or de-DE", "en"
    )
    if not email:
        if name or phone:
            found.fault("owner_email", "an owner without an address", "give the e-mail address")
        return None
    return OwnerDraft(
        name=name or email, email=email, phone=phone, locale=locale, timezone=_zone(found)
    )


def _site(found: _Cells) -> SiteDraft | None:
    site = SiteDraft(
        name=found.text("site"),
        address=found.text("address"),
        city=found.text("city"),
        timezone=_zone(found),
        latitude=found.degrees("latitude", 90),
        longitude=found.degrees("longitude", 180),
        access_note=found.text("access_note"),
    )
    return site if site != SiteDraft(timezone=site.timezone) else None


def _zone(found: _Cells) -> str:
    value = found.text("timezone", "UTC")
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fault = Fault(
            line=found.line,
            column="timezone",
            problem=f"{value!r} is no time zone",
            remedy="give one like Europe/Berlin",
        )
        if fault not in found.faults:
            found.faults.append(fault)
        return "UTC"
    return value


def _repeated(row: Row, seen: dict[tuple[str, str], int]) -> list[Fault]:
    faults = []
    for column in ("name", "serial"):
        value = getattr(row.draft, column)
        first = seen.setdefault((column, value), row.line)
        if first != row.line:
            faults.append(
                Fault(
                    line=row.line,
                    column=column,
                    problem=f"{value!r} stands in line {first} already",
                    remedy="a name and a serial number belong to one device",
                )
            )
    return faults
