"""The table as people read it: one line per failure mode, each figure with its interval. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from anomaly.judge.bootstrap import Interval
from anomaly.judge.report import Figures, Table
from anomaly.judge.tally import AlertFigures

COLUMNS = (
    "failure mode",
    "who",
    "failures caught",
    "recall",
    "precision",
    "false / device-year",
    "lead h: q10, median, q90",
    "too early",
    "P within h: average precision",
    "calibration error",
    "90 % interval holds",
    "cost / device-year",
)


_MANY_YEARS = 10
"""Device-years from which on hundredths say nothing."""


def table_rows(table: Table) -> Iterator[Sequence[str]]:
    """Return the lines under COLUMNS: each failure mode with its controls, then all modes together."""
    for mode in table.modes:
        yield from _lines(mode.mode, mode.reached, mode.controls)
    if len(table.modes) > 1:
        yield from _lines("all", table.total, table.controls)


def notes(table: Table) -> Iterator[str]:
    """Return the sentences that belong under the table."""
    total = table.total.alerts
    digits = 1 if total.device_years >= _MANY_YEARS else 2
    yield (
        f"{table.devices} devices of {table.product}, {total.device_years:,.{digits}f} device-years in which an"
        f" alert can be judged; intervals hold 90 % of draws of devices, seed {table.seed}"
    )
    yield from _rules(table)
    if total.late:
        yield f"alerts that came too late: {total.late}"
    if total.undecided:
        yield (
            "alerts that nobody can judge, the part being replaced or not observed long enough:"
            f" {total.undecided}"
        )
    if total.unseen:
        yield f"failures of devices that were not watched in time: {total.unseen}"
    if total.cost_per_device_year is not None:
        yield (
            f"cost: {total.cost_per_device_year:,.0f} per device-year; {total.cost_without or 0:,.0f} without"
            f" any alert, {total.cost_best or 0:,.0f} at best"
        )


def _rules(table: Table) -> Iterator[str]:
    """Say when an alert is right, once for all failure modes that share it."""
    found: dict[tuple[float, float], list[str]] = {}
    for mode in table.modes:
        found.setdefault((mode.horizon_hours, mode.lead_hours), []).append(mode.mode)
    for (horizon, lead), modes in found.items():
        of = "all failure modes" if len(found) == 1 and len(modes) > 1 else ", ".join(modes)
        yield (
            f"{of}: an alert is right from {horizon:g} h to {lead:g} h before the failure; earlier it is"
            " false, later the failure was missed"
        )


def what_if(before: AlertFigures, after: AlertFigures) -> str:
    """Say in one sentence what a change would have done: "14 more alerts, 3 more right, 11 more false; …"."""
    if before == after:
        return "nothing would have changed"
    parts = [
        _more(after.alerts - before.alerts, "alert", "alerts"),
        _more(after.right - before.right, "right", "right"),
        _more(after.false_alarms - before.false_alarms, "false", "false"),
    ]
    caught = _more(after.events_caught - before.events_caught, "failure caught", "failures caught")
    return f"{', '.join(parts)}; {caught}"


def _more(difference: int, one: str, many: str) -> str:
    noun = one if abs(difference) == 1 else many
    if difference == 0:
        return f"as many {many}" if many not in {"right", "false"} else f"as many {many} ones"
    return f"{abs(difference):,} {'more' if difference > 0 else 'fewer'} {noun}"


def _lines(mode: str, reached: Figures, controls: Mapping[str, Figures]) -> Iterator[Sequence[str]]:
    yield _line(mode, "forecare", reached)
    for name, figures in controls.items():
        yield _line("", name.replace("_", " "), figures)


def _line(mode: str, who: str, found: Figures) -> Sequence[str]:
    alerts, held = found.alerts, found.intervals
    leads = (alerts.lead_hours_q10, alerts.lead_hours_median, alerts.lead_hours_q90)
    by_horizon = sorted(found.horizons, key=lambda h: h.horizon_hours)
    life = found.life
    return (
        mode,
        who,
        f"{alerts.events_caught} of {alerts.events}",
        _with(alerts.event_recall, held.get("event_recall")),
        _with(alerts.alert_precision, held.get("alert_precision")),
        _with(alerts.false_alarms_per_device_year, held.get("false_alarms_per_device_year")),
        ", ".join(_text(lead, 0) for lead in leads) if alerts.events_caught else "",
        _text(alerts.share_too_early),
        _each([(h.horizon_hours, h.average_precision) for h in by_horizon]),
        _each([(h.horizon_hours, h.ece) for h in by_horizon], digits=3),
        "" if life is None else _with(life.coverage_90, held.get("coverage_90")),
        _with(alerts.cost_per_device_year, held.get("cost_per_device_year"), 0),
    )


def _with(value: float | None, interval: Interval | None, digits: int = 2) -> str:
    if value is None or interval is None:
        return _text(value, digits)
    low, high = _text(interval.low, digits), _text(interval.high, digits)
    return f"{_text(value, digits)} ({low} to {high})"


def _each(values: Sequence[tuple[float, float | None]], *, digits: int = 2) -> str:
    """Write what is known at each horizon: "24: 0.28; 168: 0.91"."""
    known = [(hours, value) for hours, value in values if value is not None]
    return "; ".join(f"{hours:g}: {value:,.{digits}f}" for hours, value in known)


def _text(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
