"""Files of recordings: CSV, plain or gzipped, with errors that name what is missing."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from core.errors import InvalidError


def find(folder: Path, name: str) -> Path:
    """Return the file of that name in a folder, or the gzipped one."""
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise InvalidError(
        f"{folder} has neither {name} nor {name}.gz",
        hint="--data is the folder of the recording; see docs/explanation/foresight",
    )


@contextmanager
def lines_of(file: Path) -> Iterator[TextIO]:
    """Open a file of text, plain or gzipped.

    Raises
    ------
    InvalidError
        If it is cut off, no text, or not what its name says; also while its lines are read.
    """
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as lines:
            yield lines
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise InvalidError(f"{file} cannot be read: {error}", hint="is the file whole?") from None


def rows_of(folder: Path, name: str, *, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file that must have these columns, each as long as the header.

    Raises
    ------
    InvalidError
        If the file cannot be read, lacks a column, or has a row of another length.
    """
    file = find(folder, name)
    with lines_of(file) as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise InvalidError(
                f"{file} has no column {', '.join(missing)}",
                hint=f"it should have {', '.join(columns)}",
            )
        for row in reader:
            if None in row or None in row.values():
                raise InvalidError(
                    f"{file}, line {reader.line_num}: not as many cells as the header has columns",
                    hint="is the file whole?",
                )
            yield row


def number(row: Mapping[str, str], column: str, *, where: str) -> float:
    """Return the number in a cell; an empty one is NaN.

    Raises
    ------
    InvalidError
        If it is none; `where` says in which row.
    """
    try:
        return float(row[column] or "nan")
    except ValueError:
        raise InvalidError(
            f"{where}: {column} is {row[column]!r}", hint="it should be a number, or empty"
        ) from None


def instant_us(text: str, *, where: str = "") -> int:
    """Return microseconds since 1970 of a date and time without zone, taken as UTC; `where` says in which row."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(
            f"{where}{': ' if where else ''}{text!r} is no date and time",
            hint="for instance 2015-06-01 06:00:00",
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
