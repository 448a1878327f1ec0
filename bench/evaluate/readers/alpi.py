"""Alarm logs of packaging machines: windows of codes, laid out in time.

The file lists a machine's windows in passes: each pass goes through the whole record in steps of a window,
and the next begins an hour later, so that windows of different passes overlap. The order in the file is
therefore not time. What tells where a pass begins is that a window (and the stretch after it) of one pass holds
the beginning of a window of the next. Within a pass windows do not overlap and their order is that of time:
each pass is a record of its own, and all records of a machine belong together.
"""

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

MINUTE_US = 60_000_000
WINDOW = 1720
"""Minutes that a window sees."""
AHEAD = 480
"""Minutes in which the codes to foresee come."""
STEP = 60
"""Minutes between two passes."""
MATCHED_MIN = 0.5
"""Share of windows with a partner below which a machine's order cannot be told."""
_WINDOWS_MIN = 4
"""Windows below which a pass says nothing of what recurs."""
_KEY = 6
"""Codes by which partners are looked up, and …"""
_SEQUENCE_MIN = 10
"""… codes below which a window is not told from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One pass through one machine's record."""

    name: str
    at_us: IntArray
    """Instants of the codes, rising."""
    code: IntArray
    windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What the file tells."""

    catalog: Catalog
    histories: list[History]
    machine: IntArray
    """Number of the machine of each history."""
    untold: list[str]
    """Machines in which passes cannot be told apart."""


def read(folder: Path) -> Logs:
    """Read every machine's passes.

    Raises
    ------
    InvalidError
        If there is no such file, or it lacks an array.
    """
    file = folder / "alarms.npz"
    if not file.is_file():
        raise InvalidError(f"{folder} has no alarms.npz", hint="--data is the folder that holds it")
    x, y, machine = _arrays(file)
    codes = tuple(int(code) for code in np.unique(np.concatenate([x.ravel(), y.ravel()])) if code)
    histories, numbers, untold = [], [], []
    for number, name in enumerate(np.unique(machine).tolist()):
        rows = np.flatnonzero(machine == name)
        records = records_of(str(name), x[rows], y[rows])
        if not records:
            untold.append(str(name))
        histories += [_history(one, codes) for one in records]
        numbers += [number] * len(records)
    return Logs(
        catalog=Catalog(sheet(codes)), histories=histories, machine=np.array(numbers),
        untold=untold,
    )  # fmt: skip


def _arrays(file: Path) -> tuple[IntArray, IntArray, NDArray[Any]]:
    """Windows, the stretches after them and their machines, as many of each."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            if missing := {"x", "y", "machine"} - set(held.files):
                raise InvalidError(
                    f"{file} has no {', '.join(sorted(missing))}", hint="take it whole"
                )
            x, y, machine = held["x"], held["y"], held["machine"]
    except (OSError, EOFError, ValueError, AttributeError, zlib.error, zipfile.BadZipFile):
        raise InvalidError(f"{file} is no archive of arrays", hint="is the file whole?") from None
    if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == len(machine) > 0:
        raise InvalidError(
            f"{file}: x is {x.shape}, y {y.shape}, machine {machine.shape}",
            hint="each window needs a row of x, a row of y and a machine",
        )
    return x, y, machine


def records_of(name: str, x: IntArray, y: IntArray) -> list[Record]:
    """Take a machine's windows apart into passes; none if they cannot be told apart."""
    partner = _partners([row[row > 0] for row in x], [row[row > 0] for row in y])
    has = partner >= 0
    if has.sum() < 2 * _SEQUENCE_MIN or has.mean() < MATCHED_MIN:
        return []
    length = float(np.median(np.flatnonzero(has) - partner[has]))
    return _records(name, x, y, _passes(partner, length), partner)


def _partners(x: list[IntArray], y: list[IntArray]) -> IntArray:
    """Newest earlier window whose codes, and those of its stretch, hold all codes of each window; -1: none."""
    held: dict[bytes, list[int]] = defaultdict(list)
    windows = [row.astype("<u2").tobytes() for row in x]
    longer = [window + row.astype("<u2").tobytes() for window, row in zip(windows, y, strict=True)]
    width = 2 * _KEY
    partner = np.full(len(x), -1, dtype=np.int64)
    for number, window in enumerate(windows):
        if len(window) >= 2 * _SEQUENCE_MIN:
            for earlier in reversed(held.get(window[:width], ())):
                if window in longer[earlier]:
                    partner[number] = earlier
                    break
        for at in range(0, len(longer[number]) - width + 1, 2):
            known = held[longer[number][at : at + width]]
            if not known or known[-1] != number:
                known.append(number)
    return partner


def _passes(partner: IntArray, length: float) -> list[int]:
    """Where each pass begins: at the first window whose partner lies in the pass before."""
    starts = [0]
    for number, earlier in enumerate(partner.tolist()):
        if earlier >= starts[-1] and number - starts[-1] > length / 2:
            starts.append(number)
    return starts


def _records(
    name: str, x: IntArray, y: IntArray, starts: Sequence[int], partner: IntArray
) -> list[Record]:
    """Lay out each pass of a machine as a record of its own, in the order of time.

    Within a pass windows follow each other. The last ones without a partner may belong to the next pass, so they
    are left out.
    """
    found = []
    ends = [*starts[1:], len(x)]
    for lap, (first, last) in enumerate(zip(starts, ends, strict=True)):
        linked = np.flatnonzero(partner[first:last] >= 0)
        stop = first + int(linked[-1]) + 1 if lap and len(linked) else last
        rows = range(first, stop)
        if len(rows) >= _WINDOWS_MIN:
            found.append(record(f"{name}-{lap}", [x[r] for r in rows], [y[r] for r in rows]))
    return found


def record(name: str, x: Sequence[IntArray], y: Sequence[IntArray]) -> Record:
    """Codes at instants: those of the stretch after a window are in its first minutes, others after them.

    A window that goes on where the stretch before it began holds that stretch's codes once more; where it does
    not, windows between were left out, and time is closed up. Only the order of codes is known, so they stand
    at equal distances.
    """
    at: list[FloatArray] = [_spread(len(_codes(x[0])), 0, WINDOW)]
    codes: list[IntArray] = [_codes(x[0])]
    for number in range(1, len(x) + 1):
        begin = number * WINDOW
        came = _codes(y[number - 1])
        at.append(_spread(len(came), begin, begin + AHEAD))
        codes.append(came)
        if number < len(x):
            own = _codes(x[number])
            goes_on = np.array_equal(own[: len(came)], came)
            rest = own[len(came) :] if goes_on else own
            at.append(_spread(len(rest), begin + AHEAD, begin + WINDOW))
            codes.append(rest)
    return Record(
        name=name,
        at_us=np.round(np.concatenate(at) * MINUTE_US).astype(np.int64),
        code=np.concatenate(codes),
        windows=len(x),
    )


def _codes(row: IntArray) -> IntArray:
    return row[row > 0].astype(np.int64)


def _spread(number: int, begin: float, end: float) -> FloatArray:
    """Evenly within a stretch: after its begin, and before its end."""
    return begin + (np.arange(number) + 0.5) * (end - begin) / max(number, 1)


def sheet(codes: Sequence[int]) -> Product:
    """Sheet of a machine: each code is a failure mode, and every alarm is reported as it comes."""
    window = timedelta(minutes=WINDOW)
    return Product(
        name="packaging_machine", title="Packaging machine", manufacturer="recording",
        interval=timedelta(minutes=1), window=window, forecast_every=window, learning=window,
        late_after=timedelta(hours=1), history_max=timedelta(days=3650),
        metrics=(Metric(name="alarm", title="Alarm", unit="code", low=0, high=1e6, kind="code"),),
        failure_modes=tuple(
            FailureMode(name=f"alarm_{code}", title=f"Alarm {code}", component=f"part_{code}",
                        evidence=(), cost_of_failure=100, cost_of_visit=10,
                        lead_time=timedelta(minutes=AHEAD))
            for code in codes
        ),
    )  # fmt: skip


def _history(record: Record, codes: Sequence[int]) -> History:
    place = {code: number for number, code in enumerate(codes)}
    return History(
        device=record.name,
        begins_us=0,
        until_us=(record.windows * WINDOW + AHEAD) * MINUTE_US,
        event_us=record.at_us,
        event_metric=np.zeros(len(record.code), dtype=np.int64),
        event_code=record.code,
        failure_us=record.at_us,
        failure_mode=np.array([place[code] for code in record.code.tolist()], dtype=np.int64),
    )
