"""Says what a backtest found: for people, and as one object for machines. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from anomaly.backtest.verdict import LEARNED_CONTROLS, Answer, Question
from anomaly.evidence import instant
from anomaly.judge.report import Figures, Table
from anomaly.judge.shown import notes, table_rows, what_if
from core.tickets import TicketPolicy

_COMPARED = (
    ("recall", "event_recall"),
    ("precision", "alert_precision"),
    ("false alarms per device-year", "false_alarms_per_device_year"),
    ("median lead in hours", "lead_hours_median"),
    ("cost per device-year", "cost_per_device_year"),
)


def rows_of(found: Answer) -> Iterator[Sequence[str]]:
    """Return the lines of the table."""
    return table_rows(found.table)


def lines(found: Answer, question: Question, *, left_out: int, seconds: float) -> Iterator[str]:
    """Return what belongs under the table, one sentence a line."""
    yield f"judged: {_time(question.from_us)} to {_time(question.until_us)}"
    yield from notes(found.table)
    yield f"tickets: {policy_words(found.policy)}"
    if found.table.controls:
        yield (
            "the rules beside them alert where the chance of failing within lead time and a day is at least cost of a"
            " visit / cost of a failure; the random one as often as tickets opened"
        )
    unclaimed = found.rows - found.rows_claimed
    yield (
        f"{found.rows_claimed:,} of {found.rows:,} forecasts claimed something; the other {unclaimed:,} (learning,"
        " silent, failed) do not count as watched"
    )
    if not found.table.total.alerts.events:
        yield "no failure is known in that time, so recall cannot be told"
    for mode, failures in found.not_judged.items():
        yield f"{mode}: no metric gives it away, so it is not judged; {failures} failures"
    if not set(LEARNED_CONTROLS) & set(found.table.controls):
        yield (
            "calendar, age and persistence had nothing before --from to learn from: choose a later --from"
        )
    if left_out:
        yield f"devices left out, their first samples having been let go: {left_out}"
    if found.changed is not None:
        yield what_if_words(found, question)
    seeds = ", ".join(str(seed) for seed in question.seeds)
    yield f"seeds {seeds}; {seconds:.1f} s"


def policy_words(policy: TicketPolicy) -> str:
    """Say when a ticket opens, and when it is over."""
    wanted = "waiting cost more than a visit"
    if policy.threshold is not None:
        wanted = f"a failure before anybody could come likelier than {policy.threshold:g}"
    return (
        f"open when {policy.confirm} of the last {policy.of} forecasts find {wanted}; over after"
        f" {policy.calm_forecasts} calm forecasts, or a visit"
    )


def what_if_words(found: Answer, question: Question) -> str:
    """Say what the change would have done: "threshold 0.2: 14 more alerts, …; recall 0.91 -> 0.94"."""
    assert question.change is not None
    assert found.changed is not None
    before, after = found.table.total.alerts, found.changed.total.alerts
    said = f"{question.change.text}: {what_if(before, after)}"
    pairs = [(name, getattr(before, key), getattr(after, key)) for name, key in _COMPARED]
    moved = [f"{name} {_number(old)} -> {_number(new)}" for name, old, new in pairs if old != new]
    return "; ".join([said, ", ".join(moved)]) if moved else said


def as_object(found: Answer, question: Question, *, seconds: float) -> dict[str, Any]:
    """Return everything under the names that evaluations print."""
    table = found.table
    whole: dict[str, Any] = {
        "product": table.product,
        "from": instant(question.from_us),
        "to": instant(question.until_us),
        "devices": table.devices,
        **_figures(table.total),
        "controls": {name: one.figures() for name, one in table.controls.items()},
        "modes": {
            mode.mode: {
                **_figures(mode.reached),
                "lead_hours": mode.lead_hours,
                "useful_hours": mode.horizon_hours,
                "controls": {name: one.figures() for name, one in mode.controls.items()},
            }
            for mode in table.modes
        },
        "forecasts": found.rows,
        "forecasts_claimed": found.rows_claimed,
        "policy": msgspec.to_builtins(found.policy),
        "not_judged": found.not_judged,
        "seeds": question.seeds,
        "seconds": seconds,
    }
    if found.changed is not None:
        whole["what_if"] = _changed(found.changed, found, question)
    return whole


def _changed(changed: Table, found: Answer, question: Question) -> dict[str, Any]:
    assert question.change is not None
    return {
        "change": msgspec.to_builtins(question.change),
        "text": what_if_words(found, question),
        **_figures(changed.total),
        "modes": {mode.mode: _figures(mode.reached) for mode in changed.modes},
    }


def _figures(one: Figures) -> dict[str, Any]:
    held = {name: [i.low, i.high] for name, i in one.intervals.items()}
    return {**one.figures(), "intervals": held}


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _time(at_us: int) -> str:
    return f"{instant(at_us):%Y-%m-%d %H:%M} UTC"
