"""Tables of several products and seeds as one: counts are added, means weighted by what they are means of. Pure."""

from collections.abc import Sequence
from typing import Any

from anomaly.judge.life import Coverage
from anomaly.judge.report import Figures, HorizonFigures, LifeFigures, Table

_Number = float | None


def pooled(parts: Sequence[Figures]) -> dict[str, Any]:
    """Return the figures of all parts together, under the names that every evaluation prints."""
    alerts = [part.alerts for part in parts]
    events, caught = sum(a.events for a in alerts), sum(a.events_caught for a in alerts)
    right, false = sum(a.right for a in alerts), sum(a.false_alarms for a in alerts)
    years = sum(a.device_years for a in alerts)

    def lead(name: str) -> _Number:
        return _mean([(getattr(a, name), a.events_caught) for a in alerts])

    def cost(name: str) -> _Number:
        return _mean([(getattr(a, name), a.device_years) for a in alerts])

    found = {
        "events": events,
        "events_caught": caught,
        "event_recall": _over(caught, events),
        "alerts": sum(a.alerts for a in alerts),
        "alert_precision": _over(right, right + false),
        "false_alarms": false,
        "false_alarms_per_device_year": _over(false, years),
        "device_years": years,
        "late": sum(a.late for a in alerts),
        "undecided": sum(a.undecided for a in alerts),
        "unseen": sum(a.unseen for a in alerts),
        **{name: lead(name) for name in ("lead_hours_q10", "lead_hours_median", "lead_hours_q90")},
        "recall_by_lead": {
            key: _mean([(a.recall_by_lead[key], a.events) for a in alerts])
            for key in alerts[0].recall_by_lead
        },
        **{name: cost(name) for name in ("cost_per_device_year", "cost_without", "cost_best")},
    }
    return (
        found | _chances([part.horizons for part in parts]) | lives_pooled([p.life for p in parts])
    )


def by_mode(tables: Sequence[Table]) -> dict[str, Any]:
    """Return the figures of each failure mode, the seeds of its product together."""
    parts: dict[str, list[Figures]] = {}
    for table in tables:
        for mode in table.modes:
            parts.setdefault(f"{table.product}.{mode.mode}", []).append(mode.reached)
    return {name: pooled(own) for name, own in parts.items()}


def by_seed(tables: Sequence[tuple[int, Table]]) -> list[dict[str, Any]]:
    """Return the total of each product and seed, with intervals by devices drawn anew."""
    return [
        {
            "seed": seed,
            "product": table.product,
            **pooled([table.total]),
            "intervals": {name: [i.low, i.high] for name, i in table.total.intervals.items()},
        }
        for seed, table in tables
    ]


def lives_pooled(parts: Sequence[LifeFigures | None]) -> dict[str, Any]:
    """Return coverage and width of intervals of remaining life."""
    known = [part for part in parts if part is not None and part.rows]
    names = ("coverage_80", "coverage_90", "width_90") if known else ()
    return {name: _mean([(getattr(one, name), one.rows) for one in known]) for name in names}


def coverage_by_life(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return how many 90 % intervals held the truth, and how wide they were, by predicted life in hours."""
    bins: dict[tuple[float, float], list[Coverage]] = {}
    for life in (table.total.life for table in tables):
        for one in life.by_life if life else ():
            bins.setdefault((one.low, one.high), []).append(one)
    return [
        {
            "from_hours": low,
            "until_hours": None if high == float("inf") else high,
            "rows": sum(one.rows for one in own),
            "coverage_90": _mean([(one.covered, one.rows) for one in own]),
            "width_90": _mean([(one.width, one.rows) for one in own]),
        }
        for (low, high), own in sorted(bins.items())
    ]


def _chances(parts: Sequence[Sequence[HorizonFigures]]) -> dict[str, Any]:
    rows: dict[str, list[HorizonFigures]] = {}
    for part in parts:
        for one in part:
            rows.setdefault(f"{one.horizon_hours:g}", []).append(one)
    return {
        name: {
            hours: _mean([(getattr(one, name), one.rows) for one in own])
            for hours, own in rows.items()
        }
        for name in ("average_precision", "brier", "ece")
    }


def _mean(pairs: Sequence[tuple[_Number, float]]) -> _Number:
    known = [(value, weight) for value, weight in pairs if value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _over(part: float, whole: float) -> _Number:
    return part / whole if whole else None
