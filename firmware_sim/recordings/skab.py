"""Reads recordings in the layout of the SKAB water-circulation bench: CSV with `;`, one row a second.

A row is a moment and eight sensors; files of faults have the columns `anomaly` and `changepoint` too.
Any folder of such files will do, nested or flat. Headers may differ in case, spaces and punctuation.
Labels stay with the reader: they are for judging forecasts and are never sent anywhere.
"""

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from firmware_sim.errors import RecordingError
from firmware_sim.noise import FloatArray, IntArray

PRODUCT = "skab"
"""Name of the product sheet that describes the bench."""
METRICS = {
    "accelerometer1rms": "accelerometer1_rms",
    "accelerometer2rms": "accelerometer2_rms",
    "current": "current_a",
    "pressure": "pressure_bar",
    "temperature": "temperature_c",
    "thermocouple": "thermocouple_c",
    "voltage": "voltage_v",
    "volumeflowraterms": "flow_rate",
    "volumeflowrate": "flow_rate",
    "flowrate": "flow_rate",
}
_METRIC_COUNT = 8
_MOMENT = {"datetime", "time", "timestamp"}
_LABELS = ("anomaly", "changepoint")
_DELIMITERS = ";\t,"
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run of the bench."""

    name: str
    """Path below the folder that was read, without suffix, such as `valve1/0`."""
    path: Path
    measured_at_ms: IntArray
    """As given, in the order of the file; a moment without a zone counts as UTC. Where a file has a
    moment twice, its first row stands: nothing is measured twice at the same time."""
    metrics: dict[str, FloatArray]
    """NaN where the file has no value."""
    anomaly: FloatArray | None
    """1 while a fault is induced; None if the file has no such column."""
    changepoint: FloatArray | None

    def __len__(self) -> int:
        return len(self.measured_at_ms)


def read_recordings(directory: Path) -> list[Recording]:
    """Read all CSV files of a folder and of the folders in it, in natural order; or a single file.

    Raises
    ------
    RecordingError
        If there is none, or one cannot be read; the message names file and line.
    """
    if directory.is_file():
        return [read_recording(directory)]
    if not directory.is_dir():
        raise RecordingError(
            f"no such folder: {directory}", hint="give the folder of the CSV files"
        )
    paths = sorted((p for p in directory.rglob("*") if _is_csv(p)), key=_natural)
    if not paths:
        raise RecordingError(
            f"{directory} holds no CSV file",
            hint="give the folder of the CSV files, or one of them",
        )
    return [read_recording(path, below=directory) for path in paths]


def read_recording(path: Path, *, below: Path | None = None) -> Recording:
    """Read one file."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            places = _places(next(csv.reader([first], delimiter=delimiter), []), path)
            rows = list(_rows(csv.reader(file, delimiter=delimiter), places, path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise RecordingError(f"{path}: {error}", hint="is it a CSV file in UTF-8?") from error
    if not rows:
        raise RecordingError(f"{path}, line 2: there is no row below the header")
    rows = list({row[0]: row for row in reversed(rows)}.values())[
        ::-1
    ]  # of one moment the first row
    names = [name for name in places if name != "measured_at"]
    values = np.asarray([row[1:] for row in rows], dtype=np.float64)
    columns = {name: values[:, place].copy() for place, name in enumerate(names)}
    return Recording(
        name=str(path.relative_to(below) if below else path.name).removesuffix(".gz")[
            : -len(".csv")
        ],
        path=path,
        measured_at_ms=np.asarray([row[0] for row in rows], dtype=np.int64),
        metrics={name: column for name, column in columns.items() if name not in _LABELS},
        anomaly=columns.get("anomaly"),
        changepoint=columns.get("changepoint"),
    )


def _places(header: Sequence[str], path: Path) -> dict[str, int]:
    """Find the columns: `measured_at` first, then metrics and labels in the file's order."""
    places: dict[str, int] = {}
    moments = [i for i, title in enumerate(header) if _plain(title) in _MOMENT]
    if not moments:
        raise RecordingError(
            f"{path}, line 1: no column datetime in {';'.join(header)!r}",
            hint="the first line must name the columns: datetime and the eight sensors",
        )
    places["measured_at"] = moments[0]
    for place, title in enumerate(header):
        plain = _plain(title)
        name = METRICS.get(plain) or (plain if plain in _LABELS else "")
        if name in places:
            raise RecordingError(f"{path}, line 1: two columns for {name}")
        if name:
            places[name] = place
    missing = sorted(set(METRICS.values()) - set(places))
    if missing:
        raise RecordingError(
            f"{path}, line 1: no column for {', '.join(missing)}",
            hint=f"the {_METRIC_COUNT} sensors are Accelerometer1RMS, Accelerometer2RMS, Current, Pressure,"
            " Temperature, Thermocouple, Voltage, Volume Flow RateRMS",
        )
    return places


def _rows(reader: Iterator[list[str]], places: dict[str, int], path: Path) -> Iterator[list[float]]:
    width = max(places.values()) + 1
    for line, row in enumerate(reader, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < width:
            raise RecordingError(
                f"{path}, line {line}: {len(row)} columns, the header has {width}",
                hint="was the file cut off?",
            )
        yield [
            _moment_ms(row[place], path, line) if name == "measured_at"
            else _number(row[place], name, path, line)
            for name, place in places.items()
        ]  # fmt: skip


def _moment_ms(text: str, path: Path, line: int) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise RecordingError(
            f"{path}, line {line}: {text!r} is no moment", hint="write 2020-03-09 10:14:33"
        ) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _number(text: str, name: str, path: Path, line: int) -> float:
    text = text.strip()
    if text == "" or text.lower() in {"nan", "null"}:
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise RecordingError(f"{path}, line {line}: {name} is {text!r}, no number") from error
    if math.isinf(value):
        raise RecordingError(f"{path}, line {line}: {name} is infinite")
    return value


def _plain(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum())


def _is_csv(path: Path) -> bool:
    is_named = path.name.lower().endswith((".csv", ".csv.gz")) and not path.name.startswith(".")
    return path.is_file() and is_named


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order `2.csv` before `10.csv`."""
    return [
        (int(piece), "") if piece.isdecimal() else (-1, piece.lower())
        for piece in _NUMBERS.split(str(path))
    ]
