"""Builds what a time chart shows: measured, normal, forecast, limit, and events. Pure.

Instants leave as seconds since 1970, as the chart's script wants them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from api import written
from api.records import Bucket, Detection, NormalBucket, Part
from core.product import Evidence, FailureMode, Metric, Product

LOOK_BACK = timedelta(days=45)
LOOK_AHEAD_MAX = timedelta(days=60)
BAND_SPREADS = 2.0
STEPS_MAX = 350

_GAP_STEPS = 3.0
_FAN_STEPS = 40
_TABLE_ROWS = 14
_MARKERS_MAX = 6
_Band = tuple[float | None, float | None]
"""From and to of what is normal; None where nobody knows."""
_NO_BAND: _Band = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """An event, drawn as a numbered flag and explained below the chart."""

    at: datetime
    label: str
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One line of the same chart for those who would rather read it."""

    at: datetime
    low: float
    high: float
    normal_low: float | None = None
    normal_high: float | None = None
    is_forecast: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    unit: str
    timezone: str
    series: dict[str, Any]
    """What the script draws."""
    table: list[TableRow]
    markers: list[Marker] = field(default_factory=list)
    has_band: bool = False
    has_forecast: bool = False
    summary: str = ""


def thinned_to(span: timedelta, window: timedelta) -> timedelta:
    """Return the step of a chart over a span: no finer than the stored windows."""
    return max(window, span / STEPS_MAX)


def evidence_of(mode: FailureMode, metric: str | None) -> Evidence:
    """Return the evidence with that metric, or the first of the failure mode."""
    return next((e for e in mode.evidence if e.metric == metric), mode.evidence[0])


def evidence_chart(  # noqa: PLR0913 - what is drawn, and when and where it is
    product: Product,
    evidence: Evidence,
    rows: Sequence[NormalBucket],
    *,
    part: Part | None,
    markers: Sequence[Marker],
    now: datetime,
    timezone: str,
    now_label: str = "Today",
) -> Chart:
    """Draw one evidence metric with what is normal for it and where it is going."""
    metric = product.metric(evidence.metric)
    line = _Line()
    for row in _without_gaps(rows):
        line.add(row.at, row.low, row.high, _low_band(row), _high_band(row))
    limit = _limit(evidence, rows)
    fan = _fan(part, rows, limit, now) if part else None
    window = part.window if part and part.status == "declining" else None
    if window is not None:
        window = (max(window[0], now), min(window[1], now + LOOK_AHEAD_MAX))
    series: dict[str, Any] = {
        "t": line.at,
        "v": line.value,
        "lo": line.low,
        "hi": line.high,
        "mid": [None] * len(line.at),
        "flo": [None] * len(line.at),
        "fhi": [None] * len(line.at),
        "unit": metric.unit,
        "tz": timezone,
        "now": now.timestamp(),
        "nowLabel": now_label,
        "limit": limit,
        "limitLabel": f"Fails at {written.number(limit, _digits(limit), metric.unit)}"
        if limit is not None
        else "",
        "window": [w.timestamp() for w in window] if window and window[0] < window[1] else None,
        "markers": [{"t": m.at.timestamp(), "level": m.level} for m in markers[:_MARKERS_MAX]],
    }
    if fan is not None:
        fan.append_to(series)
    elif series["window"]:
        _reach(series, series["window"][1])
    return Chart(
        title=metric.title,
        unit=metric.unit,
        timezone=timezone,
        series=series,
        table=_table(rows) + (fan.table() if fan else []),
        markers=list(markers[:_MARKERS_MAX]),
        has_band=any(value is not None for value in line.low),
        has_forecast=fan is not None,
        summary=_summary(metric, rows, limit),
    )


def raw_chart(
    metric: Metric,
    rows: Sequence[Bucket],
    *,
    now: datetime,
    timezone: str,
    now_label: str = "Today",
) -> Chart:
    """Draw a metric as it was measured."""
    line = _Line()
    for row in rows:
        line.add(row.at, row.low, row.high, _NO_BAND, _NO_BAND)
    nothing: list[None] = [None] * len(line.at)
    series = {
        "t": line.at,
        "v": line.value,
        "lo": nothing,
        "hi": nothing,
        "mid": nothing,
        "flo": nothing,
        "fhi": nothing,
        "unit": metric.unit,
        "tz": timezone,
        "now": now.timestamp(),
        "nowLabel": now_label,
        "limit": None,
        "limitLabel": "",
        "window": None,
        "markers": [],
    }
    found = [row for row in rows if row.low is not None and row.high is not None]
    step = max(1, len(found) // _TABLE_ROWS)
    table = [
        TableRow(at=r.at, low=r.low, high=r.high)
        for r in found[::step]
        if r.low is not None and r.high is not None
    ]
    return Chart(
        title=metric.title, unit=metric.unit, timezone=timezone, series=series, table=table
    )


def markers_of(
    detections: Sequence[Detection], mode: FailureMode, *, begin: datetime
) -> list[Marker]:
    """Turn detections of one failure mode into flags, oldest first."""
    words = {
        ("wear", "raised"): ("left its normal range", "watch"),
        ("wear", "cleared"): ("back in its normal range", "ok"),
        ("reported_fault", "raised"): ("the device reports the fault", "act"),
        ("reported_fault", "cleared"): ("the fault is gone", "ok"),
    }
    found = [
        Marker(at=d.at, label=words[d.kind, d.change][0], level=words[d.kind, d.change][1])
        for d in detections
        if d.failure_mode == mode.name and d.at >= begin and (d.kind, d.change) in words
    ]
    return sorted(found, key=lambda m: m.at)[-_MARKERS_MAX:]


@dataclass(slots=True)
class _Line:
    """The chart's columns while they grow; a step with two values gives two points."""

    at: list[float] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)

    def add(
        self,
        at: datetime,
        low: float | None,
        high: float | None,
        low_band: _Band,
        high_band: _Band,
    ) -> None:
        instant = at.timestamp()
        points = [(low, low_band)]
        if low is not None and low != high:
            points.append((high, high_band))
        for place, (value, band) in enumerate(points):
            # The second one lies a second later: x must rise, and no chart shows a second.
            self.at.append(instant + place)
            self.value.append(value)
            self.low.append(band[0])
            self.high.append(band[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fan:
    begin: datetime
    end: datetime
    value: float
    limit: float
    life: tuple[timedelta, timedelta, timedelta]

    def at(self, instant: datetime, life: timedelta) -> float:
        return self.value + (self.limit - self.value) * ((instant - self.begin) / life)

    def append_to(self, series: dict[str, Any]) -> None:
        for k in range(_FAN_STEPS + 1):
            instant = self.begin + (self.end - self.begin) * (k / _FAN_STEPS)
            series["t"].append(max(instant.timestamp(), series["t"][-1] + 1 if series["t"] else 0))
            for name in ("v", "lo", "hi"):
                series[name].append(None)
            low, high = sorted((self.at(instant, self.life[0]), self.at(instant, self.life[2])))
            series["flo"].append(low)
            series["mid"].append(self.at(instant, self.life[1]))
            series["fhi"].append(high)

    def table(self) -> list[TableRow]:
        rows = []
        for share in (0.25, 0.5, 0.75, 1.0):
            instant = self.begin + (self.end - self.begin) * share
            ends = sorted((self.at(instant, self.life[0]), self.at(instant, self.life[2])))
            rows.append(TableRow(at=instant, low=ends[0], high=ends[1], is_forecast=True))
        return rows


def _reach(series: dict[str, Any], until: float) -> None:
    """Let the chart go on to an instant where nothing is drawn but the likely failure."""
    series["t"].append(max(until, series["t"][-1] + 1))
    for name in ("v", "lo", "hi", "mid", "flo", "fhi"):
        series[name].append(None)


def _fan(
    part: Part, rows: Sequence[NormalBucket], limit: float | None, now: datetime
) -> _Fan | None:
    """Lead from what is measured now to the limit, early, likely and late."""
    lives = (part.life_hours_q10, part.life_hours_q50, part.life_hours_q90)
    recent = [r.low for r in rows[-24:] if r.low is not None]
    if limit is None or not recent or part.status != "declining" or part.made_at is None:
        return None
    q10, q50, q90 = (timedelta(hours=hours) if hours else None for hours in lives)
    if not (q10 and q50 and q90):
        return None
    end = min(part.made_at + q90 * 1.1, now + LOOK_AHEAD_MAX)
    if end <= now:
        return None
    return _Fan(begin=now, end=end, value=median(recent), limit=limit, life=(q10, q50, q90))


def _limit(evidence: Evidence, rows: Sequence[NormalBucket]) -> float | None:
    expected = [r.expected for r in rows[-72:] if r.expected is not None]
    if evidence.failed_at is None or not expected:
        return None
    sign = -1.0 if evidence.direction == "down" else 1.0
    if evidence.direction == "both":
        newest = [r for r in rows if r.low is not None and r.expected is not None][-1:]
        sign = -1.0 if newest and (newest[0].low or 0) < (newest[0].expected or 0) else 1.0
    limit = fmean(expected) + sign * evidence.failed_at
    # Where health itself comes that far, as the conditions change, no level tells it from a failure.
    ends = [_high_band(r)[1] if sign > 0 else _low_band(r)[0] for r in rows]
    is_reached = any(end is not None and sign * (limit - end) <= 0 for end in ends)
    return None if is_reached else limit


def _low_band(row: NormalBucket) -> _Band:
    """What was normal where the step's lowest value was measured."""
    if row.low_expected is None:
        return _band(row.expected, row.spread)
    return _band(row.low_expected, row.low_spread)


def _high_band(row: NormalBucket) -> _Band:
    if row.high_expected is None:
        return _band(row.expected, row.spread)
    return _band(row.high_expected, row.high_spread)


def _band(expected: float | None, spread: float | None) -> _Band:
    if expected is None or spread is None:
        return _NO_BAND
    return expected - BAND_SPREADS * spread, expected + BAND_SPREADS * spread


def _without_gaps(rows: Sequence[NormalBucket]) -> list[NormalBucket]:
    """Put an empty row where steps are missing, so that the line is interrupted there."""
    if len(rows) < 3:
        return list(rows)
    usual = median((b.at - a.at).total_seconds() for a, b in pairwise(rows))
    found = [rows[0]]
    for row in rows[1:]:
        if (row.at - found[-1].at).total_seconds() > _GAP_STEPS * usual:
            at = found[-1].at + timedelta(seconds=usual)
            nothing = NormalBucket(
                at=at, low=None, high=None, expected=None, spread=None, score=None
            )
            found.append(nothing)
        found.append(row)
    return found


def _table(rows: Sequence[NormalBucket]) -> list[TableRow]:
    found = [r for r in rows if r.low is not None and r.high is not None]
    step = max(1, len(found) // _TABLE_ROWS)
    table = []
    for row in found[::-1][::step][::-1]:
        lo, hi = _low_band(row)[0], _high_band(row)[1]
        if row.low is not None and row.high is not None:
            table.append(
                TableRow(at=row.at, low=row.low, high=row.high, normal_low=lo, normal_high=hi)
            )
    return table


def _summary(metric: Metric, rows: Sequence[NormalBucket], limit: float | None) -> str:
    newest = next((r for r in reversed(rows) if r.low is not None), None)
    if newest is None or newest.high is None:
        return "No values yet."
    digits = _digits(newest.high)
    text = f"Now {written.number(newest.high, digits, metric.unit)}"
    lo, hi = _high_band(newest)
    if lo is not None and hi is not None:
        text += f", normal is {written.number(lo, digits)} to {written.number(hi, digits)}"
    if limit is not None:
        text += f", fails at {written.number(limit, digits)}"
    return text + "."


def _digits(value: float) -> int:
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
