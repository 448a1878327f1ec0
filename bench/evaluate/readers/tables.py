"""Files of recordings: CSV, plain or gzipped, with errors that name what is missing."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

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


def rows_of(folder: Path, name: str, *, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file that must have these columns."""
    file = find(folder, name)
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise InvalidError(
                f"{file} has no column {', '.join(missing)}",
                hint=f"it should have {', '.join(columns)}",
            )
        yield from reader


def instant_us(text: str) -> int:
    """Return microseconds since 1970 of a date and time without zone, taken as UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(
            f"{text!r} is no date and time", hint="for instance 2015-06-01 06:00:00"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
