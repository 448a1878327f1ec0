"""What earlier cases of a failure mode came to, and how often such forecasts came true. Pure.

Only what was known at an instant counts. Cases whose end is not known are left out, and so are
forecasts that could not have come true yet: failures are known sooner than their absence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import msgspec
import numpy as np

from anomaly.records import FloatArray, IntArray

DEGRADATION_BANDS = (0.06, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
"""Cases in the same band looked alike. What is below the first has no sign that could be compared."""
CHANCE_BANDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Of failing within a month."""
HORIZON_US = 30 * 86_400_000_000
"""Of the chance; and after so long without a sign a case came to nothing."""
_US_PER_DAY = 86_400_000_000

Outcome = Literal["failed", "worn", "nothing", "replaced"]
"""`worn`: found worn on a visit before it failed. `replaced`: its part went for another reason, so that
nobody knows what would have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Something that ends a case of a failure mode on a device."""

    at_us: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Declines:
    """Forecasts of one device that saw one part decline, oldest first."""

    at_us: IntArray
    """Shape (n,)."""
    degradation: FloatArray
    """0 as new, 1 failed; NaN where it was not known."""
    chance: FloatArray
    """Of failing within a month."""
    endings: Sequence[Ending]
    """Of the same part, oldest first."""
    watched_us: int
    """How far the device is scored."""


class Similar(msgspec.Struct, frozen=True, kw_only=True):
    """Earlier cases that were once as far gone."""

    low: float
    high: float
    cases: int
    failed: int
    first_days: float | None
    """Shortest and longest time from then until they failed; None: none did."""
    last_days: float | None
    worn: int
    nothing: int


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Earlier forecasts of about the same chance, one for each case."""

    low: float
    high: float
    cases: int
    right: int
    """Followed by the failure, or by wear that was found, within a month."""


_Band = TypeVar("_Band", Similar, TrackRecord)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Of one failure mode of a product."""

    similar: tuple[Similar, ...] = ()
    records: tuple[TrackRecord, ...] = ()

    def similar_to(self, degradation: float | None) -> Similar | None:
        return _within(self.similar, degradation)

    def record_of(self, chance: float | None) -> TrackRecord | None:
        return _within(self.records, chance)


def summarise_cases(devices: Sequence[Declines], *, through_us: int) -> Summary:
    """Sum up a failure mode's cases as they were known at an instant.

    Parameters
    ----------
    devices : sequence of Declines
    through_us : int
        Microseconds since 1970; what came later is left out.
    """
    ends: dict[int, list[tuple[Outcome, float]]] = {}
    came: dict[int, list[bool]] = {}
    for device in devices:
        for episode in _episodes(device, through_us):
            outcome = _outcome(device, episode, through_us)
            if outcome is not None and outcome.outcome != "replaced":
                for band, at_us in _entries(
                    device.at_us, device.degradation, episode, DEGRADATION_BANDS
                ):
                    days = (outcome.at_us - at_us) / _US_PER_DAY
                    ends.setdefault(band, []).append((outcome.outcome, days))
            for band, at_us in _entries(device.at_us, device.chance, episode, CHANCE_BANDS):
                truth = _came_true(device, at_us, through_us)
                if truth is not None:
                    came.setdefault(band, []).append(truth)
    return Summary(
        similar=tuple(_similar(band, ends[band]) for band in sorted(ends)),
        records=tuple(
            TrackRecord(
                low=CHANCE_BANDS[band], high=CHANCE_BANDS[band + 1], cases=len(came[band]),
                right=sum(came[band]),
            )
            for band in sorted(came)
        ),
    )  # fmt: skip


def _episodes(device: Declines, through_us: int) -> list[slice]:
    """Cut a device's forecasts into cases: an ending, or a month without a sign, lies between two."""
    number = int(np.searchsorted(device.at_us, through_us, side="right"))
    at = device.at_us[:number]
    cuts = set((np.flatnonzero(np.diff(at) > HORIZON_US) + 1).tolist())
    cuts |= set(np.searchsorted(at, [e.at_us for e in device.endings], side="left").tolist())
    borders = sorted({0, number, *cuts})
    return [slice(first, last) for first, last in pairwise(borders) if last > first]


def _outcome(device: Declines, episode: slice, through_us: int) -> Ending | None:
    """What a case came to; None while nobody knows."""
    last_us = int(device.at_us[episode.stop - 1])
    quiet_us = last_us + HORIZON_US
    known = min(through_us, device.watched_us)
    for ending in device.endings:
        if last_us <= ending.at_us <= min(quiet_us, through_us):
            return ending
    return Ending(at_us=quiet_us, outcome="nothing") if known >= quiet_us else None


def _entries(
    at_us: IntArray, values: FloatArray, episode: slice, bands: Sequence[float]
) -> list[tuple[int, int]]:
    """When a case was first in each band: pairs of band and instant."""
    band = np.searchsorted(bands, values[episode], side="right") - 1
    band = np.where(values[episode] >= bands[-1], len(bands) - 2, band)  # the last one has no end
    band = np.where(np.isfinite(values[episode]), band, -1)
    found, first = np.unique(band, return_index=True)
    instants = at_us[episode][first]
    return [(b, t) for b, t in zip(found.tolist(), instants.tolist(), strict=True) if b >= 0]


def _came_true(device: Declines, at_us: int, through_us: int) -> bool | None:
    """Whether a failure came within a month of a forecast; None where nobody can say."""
    ends_us = at_us + HORIZON_US
    if ends_us > through_us:
        return None
    for ending in device.endings:
        if at_us < ending.at_us <= ends_us:
            return None if ending.outcome == "replaced" else ending.outcome != "nothing"
    return False if device.watched_us >= ends_us else None


def _similar(band: int, ends: Sequence[tuple[Outcome, float]]) -> Similar:
    days = [d for outcome, d in ends if outcome == "failed"]
    return Similar(
        low=DEGRADATION_BANDS[band],
        high=DEGRADATION_BANDS[band + 1],
        cases=len(ends),
        failed=len(days),
        first_days=min(days, default=None),
        last_days=max(days, default=None),
        worn=sum(outcome == "worn" for outcome, _ in ends),
        nothing=sum(outcome == "nothing" for outcome, _ in ends),
    )


def _within(bands: Sequence[_Band], value: float | None) -> _Band | None:
    if value is None or not np.isfinite(value):
        return None
    top = max((band.high for band in bands), default=0.0)
    return next(
        (b for b in bands if b.low <= value < b.high or (b.high == top >= 1.0 <= value)), None
    )


def endings_of(
    *, component: str, mode: str, found: Sequence["Found"], reported_us: Sequence[int]
) -> list[Ending]:
    """Turn what was found and reported about one device into endings of one failure mode, oldest first."""
    made = [Ending(at_us=at_us, outcome="failed") for at_us in reported_us]
    for finding in found:
        outcome = _OUTCOMES.get(finding.verdict)
        if finding.failure_mode == mode and outcome is not None:
            made.append(Ending(at_us=finding.at_us, outcome=outcome))
        elif finding.component == component and finding.verdict in _REPLACING:
            made.append(Ending(at_us=finding.at_us, outcome="replaced"))
    return sorted(made, key=lambda ending: ending.at_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a technician found on a device."""

    failure_mode: str
    component: str
    verdict: str
    at_us: int


_OUTCOMES: Mapping[str, Outcome] = {
    "confirmed": "failed",
    "incipient": "worn",
    "no_fault_found": "nothing",
    "other_fault": "nothing",
}
_REPLACING = ("confirmed", "incipient", "other_fault")
