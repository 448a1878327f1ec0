"""Reads a product sheet (docs/reference/product-sheet.md) into the records of core.product. Pure but
for the two functions that open a shipped file.

Every error names file, line and remedy, and all errors of a sheet are told at once: whoever writes
one should not have to guess, nor to run the command ten times.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

from core.errors import InvalidError, NotFoundError
from core.product import Direction, Evidence, FailureMode, KitPart, Metric, Product, Running
from core.units import parse_duration
from gateway.sheet_lines import Lines, find_lines

METRICS_MAX = 64
RESERVED_METRICS = frozenset(
    {"device_id", "measured_at", "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"}
)
"""The key columns of every telemetry table, and what PostgreSQL itself puts into each table."""
REAL_MAX = 3.4e38
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_DIRECTIONS: tuple[Direction, ...] = ("up", "down", "both")
_HINT = "docs/reference/product-sheet.md shows every key with its meaning"

T = TypeVar("T")
Path_ = tuple[str | int, ...]


def parse_sheet(text: str, *, source: str) -> Product:
    """Read a product sheet.

    Parameters
    ----------
    text : str
        TOML.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InvalidError
        If anything is wrong; the message lists every fault as `source:line: what`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = line[1] if line else len(text.splitlines())
        raise InvalidError(f"{source}:{where}: {error}", hint=_HINT) from error
    faults = _Faults(source=source, lines=find_lines(text))
    product = _product(_Table(data, path=(), faults=faults))
    if faults.found or product is None:
        raise InvalidError("\n".join(faults.sorted()), hint=_HINT)
    return product


def sheet_path(name: str) -> Path:
    """Return the file of a sheet that ships with Forecare.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    folder = Path(str(resources.files("gateway"))) / "sheets"
    shipped = sorted(file.stem for file in folder.glob("*.toml"))
    if name not in shipped:
        raise NotFoundError(
            f"no sheet named {name!r} ships with Forecare", hint=f"there are: {', '.join(shipped)}"
        )
    return folder / f"{name}.toml"


def shipped_sheet(name: str) -> Product:
    file = sheet_path(name)
    return parse_sheet(file.read_text(encoding="utf-8"), source=file.name)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a remedy for a misspelt name."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(known)) or 'none'}"


@dataclass(slots=True)
class _Faults:
    source: str
    lines: Lines
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path_, message: str) -> None:
        self.found.append((self.lines.of(path), message))

    def sorted(self) -> list[str]:
        return [f"{self.source}:{line}: {message}" for line, message in sorted(set(self.found))]


class _Table:
    """One TOML table: takes its keys one by one, and complains about what nobody took."""

    def __init__(self, data: Mapping[str, Any], *, path: Path_, faults: _Faults) -> None:
        self._data = data
        self.path = path
        self.faults = faults
        self._known: set[str] = set()

    def take(self, key: str, read: Callable[[Any], T], *, default: T | None = None) -> T | None:
        """Return the value of a key; None, and a fault noted, if it is wrong or missing."""
        self._known.add(key)
        if key not in self._data:
            if default is None:
                self.fault((), f'"{key}" is missing in {self.label}')
            return default
        try:
            return read(self._data[key])
        except _WrongError as error:
            self.fault((key,), f'"{key}": {error}')
            return default

    def optional(self, key: str, read: Callable[[Any], T]) -> T | None:
        self._known.add(key)
        return self.take(key, read) if key in self._data else None

    def tables(self, key: str) -> "list[_Table]":
        self._known.add(key)
        rows = self._data.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.fault((key,), f'"{key}" must be a list of tables: write [[{key}]]')
            return []
        return [
            _Table(row, path=(*self.path, key, i), faults=self.faults) for i, row in enumerate(rows)
        ]

    def table(self, key: str) -> "_Table | None":
        self._known.add(key)
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fault((key,), f'"{key}" must be a table')
            return None
        return _Table(value, path=(*self.path, key), faults=self.faults)

    def close(self) -> None:
        """Note a fault for every key that nobody asked for."""
        for key in self._data.keys() - self._known:
            self.fault(
                (key,), f'unknown key "{key}" in {self.label} — {did_you_mean(key, self._known)}'
            )

    def fault(self, below: Path_, message: str) -> None:
        self.faults.add((*self.path, *below), message)

    @property
    def label(self) -> str:
        names = [part for part in self.path if isinstance(part, str)]
        return f"[{'.'.join(names)}]" if names else "the sheet"


class _WrongError(Exception):
    """A value of the wrong kind; the message says what is wanted."""


def _product(sheet: _Table) -> Product | None:
    head = sheet.table("product")
    metric_tables, mode_tables = sheet.tables("metric"), sheet.tables("failure_mode")
    sheet.close()
    if head is None:
        sheet.fault((), "[product] is missing")
        return None
    metrics = [(table, _metric(table)) for table in metric_tables]
    names = [str(table._data.get("name")) for table in metric_tables]  # noqa: SLF001 - same module
    _check_unique(metric_tables, names, kind="metric")
    if not metric_tables:
        sheet.fault((), "the sheet has no [[metric]]")
    if len(metric_tables) > METRICS_MAX:
        metric_tables[METRICS_MAX].fault(
            (), f"{len(metric_tables)} metrics, more than {METRICS_MAX}: split the product"
        )
    for table, metric in metrics:
        if metric is not None:
            _check_depends_on(table, metric, names)
    modes = [_failure_mode(table, names) for table in mode_tables]
    _check_unique(
        mode_tables,
        [str(table._data.get("name")) for table in mode_tables],  # noqa: SLF001 - same module
        kind="failure mode",
    )
    fields = _head(head, names)
    product = {
        **fields,
        "metrics": tuple(metric for _, metric in metrics if metric is not None),
        "failure_modes": tuple(mode for mode in modes if mode is not None),
    }
    return None if sheet.faults.found else Product(**product)


def _head(head: _Table, metrics: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": head.take("name", _name),
        "title": head.take("title", _text),
        "manufacturer": head.take("manufacturer", _text),
        "currency": head.take("currency", _currency, default="EUR"),
    }
    for key in ("interval", "window", "learning", "forecast_every", "late_after", "history_max"):
        values[key] = head.take(key, _duration)
    for key in ("future_max", "silent_after", "warranty"):
        given = head.optional(key, _duration)
        if given is not None:
            values[key] = given
    values["fault_metric"] = head.optional("fault_metric", _text)
    if values["fault_metric"] is not None:
        _check_known(head, "fault_metric", values["fault_metric"], metrics)
    values["running"] = _running(head, metrics)
    head.close()
    for small, large in (("interval", "window"), ("window", "learning"), ("window", "history_max")):
        if (
            values[small] is not None
            and values[large] is not None
            and values[small] > values[large]
        ):
            head.fault((large,), f'"{large}" is shorter than "{small}"')
    return values


def _running(head: _Table, metrics: Sequence[str]) -> Running | None:
    table = head.table("running")
    if table is None:
        return None
    metric, above = table.take("metric", _text), table.take("above", _number)
    table.close()
    if metric is None or above is None:
        return None
    _check_known(table, "metric", metric, metrics)
    return Running(metric=metric, above=above)


def _metric(table: _Table) -> Metric | None:
    name = table.take("name", _name)
    title, unit = table.take("title", _text), table.take("unit", _any_text)
    span = table.take("range", _range)
    precise = table.take("precise", _flag, default=False)
    depends_on = table.optional("depends_on", _texts)
    show = table.take("show", _flag, default=False)
    table.close()
    if name in RESERVED_METRICS:
        table.fault(
            ("name",), f'"{name}" is a column that every telemetry table has — choose another name'
        )
    if span is not None and not precise and max(abs(span[0]), abs(span[1])) > REAL_MAX:
        table.fault(("range",), '"range" is beyond ±3.4e38 — write precise = true')
    if name is None or title is None or unit is None or span is None:
        return None
    return Metric(
        name=name,
        title=title,
        unit=unit,
        low=span[0],
        high=span[1],
        precise=bool(precise),
        depends_on=depends_on or (),
        show=bool(show),
    )


def _failure_mode(table: _Table, metrics: Sequence[str]) -> FailureMode | None:
    evidence = [_evidence(row, metrics) for row in table.tables("evidence")]
    kit = [_kit_part(row) for row in table.tables("kit")]
    values: dict[str, Any] = {
        "name": table.take("name", _name),
        "title": table.take("title", _text),
        "component": table.take("component", _text),
        "agree": table.take("agree", _count, default=1),
        "fault_codes": table.take("fault_codes", _integers, default=()),
        "cost_of_failure": table.take("cost_of_failure", _amount),
        "cost_of_visit": table.take("cost_of_visit", _amount),
        "lead_time": table.take("lead_time", _duration),
        "duration": table.take("duration", _duration, default=timedelta(hours=1)),
        "skills": table.take("skills", _texts, default=()),
        "checklist": table.take("checklist", _texts, default=()),
        "remedy": table.take("remedy", _texts, default=()),
    }
    for key in ("plain", "until_then", "stop_if"):
        values[key] = table.take(key, _any_text, default="")
    table.close()
    if not evidence and not values["fault_codes"]:
        table.fault(
            (), "nothing tells of this failure: add [[failure_mode.evidence]] or fault_codes"
        )
    if evidence and values["agree"] and values["agree"] > len(evidence):
        table.fault(
            ("agree",),
            f'"agree" is {values["agree"]}, but there are {len(evidence)} evidence metrics',
        )
    if table.faults.found:
        return None
    return FailureMode(
        **values,
        evidence=tuple(row for row in evidence if row is not None),
        kit=tuple(part for part in kit if part is not None),
    )


def _evidence(table: _Table, metrics: Sequence[str]) -> Evidence | None:
    metric = table.take("metric", _text)
    direction = table.take("direction", _direction, default="both")
    failed_at = table.optional("failed_at", _positive)
    table.close()
    if metric is None:
        return None
    _check_known(table, "metric", metric, metrics)
    return Evidence(
        metric=metric, direction=cast(Direction, direction or "both"), failed_at=failed_at
    )


def _kit_part(table: _Table) -> KitPart | None:
    part, title = table.take("part", _text), table.take("title", _text)
    quantity = table.take("quantity", _count, default=1)
    price = table.take("price", _amount, default=0.0)
    table.close()
    if part is None or title is None:
        return None
    return KitPart(part=part, title=title, quantity=quantity or 1, price=price or 0.0)


def _check_known(table: _Table, key: str, metric: str, metrics: Sequence[str]) -> None:
    if metric not in metrics:
        table.fault((key,), f'there is no metric "{metric}" — {did_you_mean(metric, set(metrics))}')


def _check_depends_on(table: _Table, metric: Metric, metrics: Sequence[str]) -> None:
    for other in metric.depends_on:
        if other == metric.name:
            table.fault(("depends_on",), f'metric "{metric.name}" depends on itself — remove it')
        else:
            _check_known(table, "depends_on", other, metrics)


def _check_unique(tables: Sequence[_Table], names: Sequence[str], *, kind: str) -> None:
    seen: dict[str, _Table] = {}
    for table, name in zip(tables, names, strict=True):
        if name in seen and name != "None":
            first = table.faults.lines.of((*seen[name].path, "name"))
            table.fault(("name",), f'{kind} "{name}" stands twice, first in line {first}')
        seen.setdefault(name, table)


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"must be a text in quotes, not {value!r}")
    if "\0" in value:
        raise _WrongError("must not contain the character U+0000")
    return value


def _text(value: Any) -> str:
    if not _any_text(value).strip():
        raise _WrongError("must not be empty")
    return str(value)


def _name(value: Any) -> str:
    if not _NAME.fullmatch(_text(value)):
        raise _WrongError(
            f'"{value}" must begin with a-z and have only a-z, 0-9 and _, at most 48 characters'
        )
    return str(value)


def _currency(value: Any) -> str:
    if not re.fullmatch(r"[A-Z]{3}", _text(value)):
        raise _WrongError(f'"{value}" is no currency: write three capitals, such as "EUR"')
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _WrongError('must be a list of texts, such as ["one", "two"]')
    return tuple(_text(item) for item in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(f"must be true or false, not {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise _WrongError("must be a finite number") from None
    if not math.isfinite(number):
        raise _WrongError("must be a finite number")
    return number


def _amount(value: Any) -> float:
    if _number(value) < 0:
        raise _WrongError(f"must not be negative, but is {value}")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise _WrongError(f"must be greater than 0, but is {value}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1000:
        raise _WrongError(f"must be a whole number from 1 to 999, not {value!r}")
    return value


def _integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(
        isinstance(item, bool) or not isinstance(item, int) for item in value
    ):
        raise _WrongError("must be a list of whole numbers, such as [21, 22]")
    return tuple(value)


def _range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _WrongError("must be [lowest, highest], such as [-40, 85]")
    low, high = _number(value[0]), _number(value[1])
    if low >= high:
        raise _WrongError(f"the lowest value {value[0]} is not below the highest {value[1]}")
    return low, high


def _direction(value: Any) -> Direction:
    for direction in _DIRECTIONS:
        if value == direction:
            return direction
    raise _WrongError(f'{value!r} is no direction — write "up", "down" or "both"')


def _duration(value: Any) -> timedelta:
    try:
        duration = parse_duration(_text(value))
    except (ValueError, OverflowError) as error:
        raise _WrongError(str(error)) from error
    if duration <= timedelta(0):
        raise _WrongError("must be longer than nothing")
    return duration
