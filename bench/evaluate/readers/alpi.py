"""Alarm logs of packaging machines: windows of codes, laid out in time.

The file lists a machine's windows in passes: each pass goes through the whole record in steps of a window,
and the next begins an hour later, so that windows of different passes overlap. The order in the file is
therefore not time. What tells the time is that a window (and the stretch after it) of one pass holds the
beginning of a window of the next: such pairs link the passes, and windows without a partner stand between
their neighbours. Windows that the record leaves out (machine off) leave no gap in this time.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from anomaly.learn.recurring import Stretches
from anomaly.records import IntArray
from core.errors import InvalidError

MINUTE_US = 60_000_000
WINDOW = 1720
"""Minutes that a window sees."""
AHEAD = 480
"""Minutes in which the codes to foresee come."""
STEP = 60
"""Minutes between two passes."""
DOUBT = 1.0
"""Windows by which a place in time may be wrong; that long the outcome of a window counts as unknown."""
MATCHED_MIN = 0.5
"""Share of windows with a partner below which a machine's order cannot be told."""
_KEY = 6
"""Codes by which partners are looked up, and …"""
_SEQUENCE_MIN = 10
"""… codes below which a window is not told from others."""


def read(folder: Path) -> tuple[tuple[int, ...], list[Stretches], list[str]]:
    """Return the codes, the machines in the order of time, and machines whose order cannot be told."""
    file = folder / "alarms.npz"
    if not file.is_file():
        raise InvalidError(f"{folder} has no alarms.npz", hint="--data is the folder that holds it")
    with np.load(file, allow_pickle=False) as held:
        if missing := {"x", "y", "machine"} - set(held.files):
            raise InvalidError(f"{file} has no {', '.join(sorted(missing))}", hint="take it whole")
        x, y, machine = held["x"], held["y"], held["machine"]
    codes = tuple(int(code) for code in np.unique(np.concatenate([x.ravel(), y.ravel()])) if code)
    found, untold = [], []
    for name in np.unique(machine).tolist():
        rows = np.flatnonzero(machine == name)
        place = places(x[rows], y[rows])
        if place is None:
            untold.append(str(name))
        else:
            found.append(_stretches(str(name), x[rows], y[rows], place, codes))
    return codes, found, untold


def places(x: IntArray, y: IntArray) -> np.ndarray | None:
    """Return when each window begins, in windows from the record's beginning; None if it cannot be told."""
    partner = _partners([row[row > 0] for row in x], [row[row > 0] for row in y])
    has = partner >= 0
    if has.sum() < 2 * _SEQUENCE_MIN or has.mean() < MATCHED_MIN:
        return None
    length = float(np.median(np.flatnonzero(has) - partner[has]))
    starts = _passes(partner, length)
    place = np.full(len(x), np.nan)
    ends = [*starts[1:], len(x)]
    number = np.searchsorted(starts, np.arange(len(x)), side="right") - 1
    for lap, (first, last) in enumerate(zip(starts, ends, strict=True)):
        rows = np.arange(first, last)
        if lap == 0:
            place[rows] = np.arange(len(rows), dtype=np.float64)
            continue
        linked = rows[(partner[rows] >= 0) & (number[partner[rows]] < lap)]
        if len(linked) < 2:
            return None
        steps = (lap - number[partner[linked]]) * STEP / WINDOW
        at = np.maximum.accumulate(place[partner[linked]] + steps)
        place[rows] = np.interp(rows, linked, at)
    return place


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


def _stretches(
    name: str, x: IntArray, y: IntArray, place: np.ndarray, codes: tuple[int, ...]
) -> Stretches:
    order = np.argsort(place, kind="stable")
    at = np.round((place[order] + 1) * WINDOW * MINUTE_US).astype(np.int64)
    came = np.stack([(y[order] == code).any(axis=1) for code in codes], axis=1)
    late = round((AHEAD + DOUBT * WINDOW) * MINUTE_US)
    seen = [row[row > 0].astype(np.int64) for row in x[order]]
    return Stretches(device=name, at_us=at, known_us=at + late, seen=seen, came=came)
