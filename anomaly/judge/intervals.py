"""Judges detections of faults that last for a while: events caught, delay, false runs. Pure.

A recording says from when until when a fault was there. An alert that opens in that time catches it; one
that opens at any other time is false, also if it goes on into a fault: it was not the fault that it told.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.judge.lives import Watch
from anomaly.ordering import Place, keys_of
from anomaly.records import IntArray
from anomaly.runs import Runs

_US_PER_S, _US_PER_HOUR = 1e6, 3.6e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults that were there for a time, device after device, oldest first, not overlapping."""

    device: IntArray
    from_us: IntArray
    until_us: IntArray

    def __len__(self) -> int:
        return len(self.device)


class DetectionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the detections of a recording did."""

    events: int
    events_caught: int
    event_recall: float | None
    median_delay_s: float | None
    """From the beginning of a fault to the first alert that caught it, of caught ones."""
    false_runs: int
    healthy_hours: float
    """Watched time without a fault."""
    false_runs_per_hour: float | None
    false_alarms_per_device_year: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Each fault with the first alert that caught it, each alert with whether it was false."""

    delay_s: np.ndarray
    """NaN: not caught; shape (faults,)."""
    is_false: np.ndarray
    """Shape (alerts,)."""
    healthy_hours: float


def detect(runs: Runs, *, faults: Faults, watch: Watch, grace_us: int = 0) -> Detections:
    """Lay alerts beside faults.

    Parameters
    ----------
    runs : Runs
        Episodes.
    faults : Faults
        When something was wrong.
    watch : Watch
        When it was looked.
    grace_us : int
        An alert that opens so soon after a fault catches nothing and is not false either: what it saw was there.
    """
    begins, keys = keys_of(Place(faults.device, faults.from_us), Place(runs.device, runs.opened_us))
    place = np.searchsorted(begins, keys, side="right") - 1
    own = np.append(faults.device, -1)[place] == runs.device
    since_end = runs.opened_us - np.append(faults.until_us, 0)[place]
    inside = (place >= 0) & own & (since_end <= 0)
    excused = (place >= 0) & own & (since_end > 0) & (since_end <= grace_us)
    delay = np.full(len(faults), np.inf)
    waited = (runs.opened_us - np.append(faults.from_us, 0)[place]) / _US_PER_S
    np.minimum.at(delay, place[inside], waited[inside])
    watched = float((watch.until_us - watch.from_us).sum())
    faulty = watch.before(faults.device, faults.until_us + grace_us)
    faulty = faulty - watch.before(faults.device, faults.from_us)
    return Detections(
        delay_s=np.where(np.isinf(delay), np.nan, delay),
        is_false=~inside & ~excused,
        healthy_hours=(watched - float(faulty.sum())) / _US_PER_HOUR,
    )


def detection_figures(found: Detections) -> DetectionFigures:
    """Count."""
    caught = ~np.isnan(found.delay_s)
    false = int(found.is_false.sum())
    rate = false / found.healthy_hours if found.healthy_hours > 0 else None
    return DetectionFigures(
        events=len(caught),
        events_caught=int(caught.sum()),
        event_recall=float(caught.mean()) if len(caught) else None,
        median_delay_s=float(np.median(found.delay_s[caught])) if caught.any() else None,
        false_runs=false,
        healthy_hours=found.healthy_hours,
        false_runs_per_hour=rate,
        false_alarms_per_device_year=None if rate is None else rate * 24 * 365.25,
    )
