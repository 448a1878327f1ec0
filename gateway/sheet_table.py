"""Takes a TOML table apart key by key, and notes every fault with its line and remedy. Pure."""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from core.product import Direction, MetricKind
from core.units import parse_duration
from gateway.sheet_lines import Lines

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_DIRECTIONS: tuple[Direction, ...] = ("up", "down", "both")
_KINDS: tuple[MetricKind, ...] = ("measure", "code")

T = TypeVar("T")
Path_ = tuple[str | int, ...]


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a remedy for a misspelt name."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(known)) or 'none'}"


@dataclass(slots=True)
class Faults:
    source: str
    lines: Lines
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path_, message: str) -> None:
        self.found.append((self.lines.of(path), message))

    def sorted(self) -> list[str]:
        return [f"{self.source}:{line}: {message}" for line, message in sorted(set(self.found))]


class Table:
    """One TOML table: takes its keys one by one, and complains about what nobody took."""

    def __init__(self, data: Mapping[str, Any], *, path: Path_, faults: Faults) -> None:
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
        except WrongError as error:
            self.fault((key,), f'"{key}": {error}')
            return default

    def optional(self, key: str, read: Callable[[Any], T]) -> T | None:
        self._known.add(key)
        return self.take(key, read) if key in self._data else None

    def peek(self, key: str, read: Callable[[Any], T]) -> T | None:
        """Return the value of a key whose faults are told elsewhere; None if it is wrong or missing."""
        try:
            return read(self._data.get(key))
        except WrongError:
            return None

    def tables(self, key: str) -> "list[Table]":
        self._known.add(key)
        rows = self._data.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.fault((key,), f'"{key}" must be a list of tables: write [[{key}]]')
            return []
        return [
            Table(row, path=(*self.path, key, i), faults=self.faults) for i, row in enumerate(rows)
        ]

    def table(self, key: str) -> "Table | None":
        self._known.add(key)
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fault((key,), f'"{key}" must be a table')
            return None
        return Table(value, path=(*self.path, key), faults=self.faults)

    def close(self) -> None:
        """Note a fault for every key that nobody asked for."""
        for key in self._data.keys() - self._known:
            self.fault(
                (key,), f'unknown key "{key}" in {self.label} — {did_you_mean(key, self._known)}'
            )

    @property
    def given_name(self) -> str:
        """The name as it stands there, sound or not; empty when there is none."""
        return str(self._data.get("name") or "")

    def fault(self, below: Path_, message: str) -> None:
        self.faults.add((*self.path, *below), message)

    @property
    def label(self) -> str:
        names = [part for part in self.path if isinstance(part, str)]
        return f"[{'.'.join(names)}]" if names else "the sheet"


class WrongError(Exception):
    """A value of the wrong kind; the message says what is wanted."""


def check_unique(tables: Sequence[Table], *, kind: str) -> None:
    """Note a fault for every name that stands a second time."""
    seen: dict[str, Table] = {}
    for table in tables:
        name = table.given_name
        if name and name in seen:
            first = table.faults.lines.of((*seen[name].path, "name"))
            table.fault(("name",), f'{kind} "{name}" stands twice, first in line {first}')
        seen.setdefault(name, table)


def read_any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongError(f"must be a text in quotes, not {value!r}")
    if "\0" in value:
        raise WrongError("must not contain the character U+0000")
    return value


def read_text(value: Any) -> str:
    if not read_any_text(value).strip():
        raise WrongError("must not be empty")
    return str(value)


def read_name(value: Any) -> str:
    if not _NAME.fullmatch(read_text(value)):
        raise WrongError(
            f'"{value}" must begin with a-z and have only a-z, 0-9 and _, at most 48 characters'
        )
    return str(value)


def read_currency(value: Any) -> str:
    if not re.fullmatch(r"[A-Z]{3}", read_text(value)):
        raise WrongError(f'"{value}" is no currency: write three capitals, such as "EUR"')
    return str(value)


def read_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise WrongError('must be a list of texts, such as ["one", "two"]')
    return tuple(read_text(item) for item in value)


def read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongError(f"must be true or false, not {value!r}")
    return value


def read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongError(f"must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise WrongError("must be a finite number") from None
    if not math.isfinite(number):
        raise WrongError("must be a finite number")
    return number


def read_amount(value: Any) -> float:
    if read_number(value) < 0:
        raise WrongError(f"must not be negative, but is {value}")
    return float(value)


def read_positive(value: Any) -> float:
    if read_number(value) <= 0:
        raise WrongError(f"must be greater than 0, but is {value}")
    return float(value)


def read_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1000:
        raise WrongError(f"must be a whole number from 1 to 999, not {value!r}")
    return value


def read_integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(
        isinstance(item, bool) or not isinstance(item, int) for item in value
    ):
        raise WrongError("must be a list of whole numbers, such as [21, 22]")
    return tuple(value)


def read_range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise WrongError("must be [lowest, highest], such as [-40, 85]")
    low, high = read_number(value[0]), read_number(value[1])
    if low >= high:
        raise WrongError(f"the lowest value {value[0]} is not below the highest {value[1]}")
    return low, high


def read_direction(value: Any) -> Direction:
    for direction in _DIRECTIONS:
        if value == direction:
            return direction
    raise WrongError(f'{value!r} is no direction — write "up", "down" or "both"')


def read_kind(value: Any) -> MetricKind:
    for kind in _KINDS:
        if value == kind:
            return kind
    raise WrongError(f'{value!r} is no kind of metric — write "measure" or "code"')


def read_duration(value: Any) -> timedelta:
    try:
        duration = parse_duration(read_text(value))
    except (ValueError, OverflowError) as error:
        raise WrongError(str(error)) from error
    if duration <= timedelta(0):
        raise WrongError("must be longer than nothing")
    return duration
