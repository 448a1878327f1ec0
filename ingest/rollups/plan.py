"""Decides which hours are to be summed up again. Pure.

A rollup is computed anew from the samples of its hour, never added to: so it does not matter how
often it is done, nor in which order the samples came. What has to be known is only which hours were
touched since: all from the hour on in which the last turn ended, and those under a late mark.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.units import EPOCH

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ROWS_PER_TURN = 500_000
"""Samples of all devices that one transaction reads, about."""
NEVER_ROLLED = -1
"""In place of a number of samples: there is more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A device that a worker has locked, and how far its data has come."""

    device_id: int
    rolled_through: datetime
    measured_through: datetime
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole hours of one device, the end not included."""

    device_id: int
    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stretch of a device's history that changed behind newer samples, both ends included."""

    id: int
    device_id: int
    from_at: datetime
    through_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """How far a device is when its spans have been written."""

    device_id: int
    rolled_through: datetime
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    spans: tuple[Span, ...]
    rolled: tuple[Rolled, ...]


def plan_rollups(claims: Sequence[Claim], *, interval: timedelta) -> Plan:
    """Choose the hours of a turn: as many as its limit on samples allows, the oldest first.

    Parameters
    ----------
    claims : sequence of Claim
    interval : timedelta
        Expected time between two samples of a device.
    """
    rows_each = max(1, ROWS_PER_TURN // max(1, len(claims)))
    length = max(HOUR, floor_to(EPOCH + rows_each * interval, HOUR) - EPOCH)
    spans, rolled = [], []
    for claim in claims:
        begins_at = floor_to(claim.rolled_through, HOUR)
        whole = floor_to(claim.measured_through, HOUR) + HOUR
        ends_at = min(whole, begins_at + length)
        is_whole = ends_at == whole
        spans.append(Span(device_id=claim.device_id, begins_at=begins_at, ends_at=ends_at))
        rolled.append(
            Rolled(
                device_id=claim.device_id,
                rolled_through=claim.measured_through if is_whole else ends_at,
                samples=claim.samples if is_whole else NEVER_ROLLED,
            )
        )
    return Plan(spans=tuple(spans), rolled=tuple(rolled))


def spans_of(marks: Iterable[Mark]) -> tuple[Span, ...]:
    """Turn marks into spans of whole hours that do not overlap."""
    return _joined(
        Span(
            device_id=mark.device_id,
            begins_at=floor_to(mark.from_at, HOUR),
            ends_at=floor_to(mark.through_at, HOUR) + HOUR,
        )
        for mark in marks
    )


def days_of(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the whole days that spans touch, without overlap."""
    return _joined(
        Span(
            device_id=span.device_id,
            begins_at=floor_to(span.begins_at, DAY),
            ends_at=ceil_to(span.ends_at, DAY),
        )
        for span in spans
    )


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.device_id, s.begins_at)):
        last = joined[-1] if joined else None
        if last is None or last.device_id != span.device_id or last.ends_at < span.begins_at:
            joined.append(span)
            continue
        joined[-1] = Span(
            device_id=span.device_id,
            begins_at=last.begins_at,
            ends_at=max(last.ends_at, span.ends_at),
        )
    return tuple(joined)


def split_at(
    spans: Sequence[Span], edge: datetime | None, *, step: timedelta
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Split spans into what lies before an edge, rounded up to a whole step, and what lies after."""
    if edge is None:
        return (), tuple(spans)
    edge = ceil_to(edge, step)
    before = [
        Span(device_id=s.device_id, begins_at=s.begins_at, ends_at=min(s.ends_at, edge))
        for s in spans
        if s.begins_at < edge
    ]
    after = [
        Span(device_id=s.device_id, begins_at=max(s.begins_at, edge), ends_at=s.ends_at)
        for s in spans
        if s.ends_at > edge
    ]
    return tuple(before), tuple(after)


def floor_to(at: datetime, step: timedelta) -> datetime:
    """Return the newest whole step that is not after an instant, counted from 1970 in UTC."""
    return at - (at - EPOCH) % step


def ceil_to(at: datetime, step: timedelta) -> datetime:
    return floor_to(at + step - timedelta.resolution, step)


def batched(items: Sequence[int], size: int) -> Iterable[list[int]]:
    """Cut a sequence into lists of at most `size`."""
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])
