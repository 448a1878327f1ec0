"""The newest evaluations as a part of docs/explanation/foresight.md. Pure but for reading kept results."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.ingest import history
from bench.ingest.history import RESULTS

MEANINGS: Mapping[str, str] = {
    "events": "failures, or faults, that could be foreseen or seen; those of unwatched devices are not among them",
    "events_caught": "of them, caught in time",
    "event_recall": "share of failures before which an alert opened in [T-W, T-H]",
    "recall_by_lead": "the same for other leads H, hours",
    "alerts": "alert episodes",
    "alert_precision": "right alerts among right and false ones; a late alert is a missed failure",
    "false_alarms_per_device_year": "false alerts in a year of watching one device",
    "false_runs": "alerts while nothing was wrong",
    "false_runs_per_hour": "the same per hour in which nothing was wrong",
    "median_delay_s": "from the beginning of a fault to the alert that caught it, seconds",
    "lead_hours_q10": "warning before the failure, of caught ones, hours: 10 % had less",
    "lead_hours_median": "half had less",
    "lead_hours_q90": "90 % had less",
    "share_too_early": "alerts earlier than W before a failure, among all that can be judged",
    "average_precision": "area under the precision-recall curve of P(failure within h), per h in hours",
    "macro_ap": "average precision, mean over the kinds of event",
    "brier": "mean squared error of P(failure within h), weighted for censored lives",
    "ece": "expected calibration error, 15 groups of equal weight",
    "c_index": "Harrell's C: of two lives, how often the shorter one had the higher risk",
    "c_index_uno": "Uno's C: the same as if no observation had ended early, for failures of the first two years",
    "c_index_any_age": "Harrell's C over the forecasts of all ages, remaining lives instead of whole ones",
    "rmse_raw": "root mean squared error of remaining life, labels as they are",
    "rmse_capped": "the same, labels and forecasts capped at 125 cycles",
    "nasa_raw": "NASA's asymmetric score, labels as they are: lower is better",
    "nasa_capped": "the same, capped at 125 cycles",
    "life_fraction_rmse": "root mean squared error of the share of life that is left",
    "coverage_80": "share of 80 % intervals of remaining life that held the truth",
    "coverage_90": "share of 90 % intervals that held it",
    "width_90": "mean width of 90 % intervals, in the unit of the recording",
    "f1": "row by row, as the benchmark's authors count; always alarming has 0.70 on SKAB",
    "far": "alarmed among healthy rows",
    "mar": "not alarmed among faulty rows",
    "detection_rate": "alarmed among faulty rows",
    "nab_standard": "NAB's score, its threshold tuned on the scored series as its rules want",
    "nab_low_fp": "the same, false alarms counting twice",
    "nab_low_fn": "the same, missed windows counting twice",
    "cost_per_device_year": "missed failures and visits, at the sheet's costs",
    "cost_without": "the same without any alert",
    "cost_best": "the same if each failure were caught and nothing else raised",
}
"""Figures that evaluations print, in the order in which they are shown."""


def kept_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return all kept evaluations, the oldest first."""
    parts = ("benchmark", "seeds", "controls")
    return history.kept_results(folder, "evaluate-*.json", parts=parts, what="an evaluation")


def newest(kept: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose the newest result per benchmark and its words (subset, split), of those with most seeds."""
    chosen: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for result in sorted(kept, key=lambda one: str(one["at"])):
        key = (str(result["benchmark"]), *_words(result))
        before = chosen.get(key)
        if before is None or len(result["seeds"]) >= len(before["seeds"]):
            chosen[key] = result
    return [chosen[key] for key in sorted(chosen)]


def page_part(kept: Sequence[Mapping[str, Any]], *, pages: Collection[str] = ()) -> str:
    """Return the tables of the newest results as Markdown.

    Parameters
    ----------
    kept : sequence of mapping
        Results, as `kept_results` finds them.
    pages : collection of str
        Benchmarks with a page of their own below docs/explanation/foresight.
    """
    lines = []
    for result in newest(kept):
        name = str(result["benchmark"])
        lines += [f"### {' '.join([name, *_words(result)])}", ""]
        seeds = ", ".join(str(seed) for seed in result["seeds"])
        more = f" [More about it](foresight/{name}.md)." if name in pages else ""
        day, seconds = str(result["at"])[:10], f"{result['seconds']:,.0f} s"
        lines += [
            f"Measured {day} at revision {result['revision']}, seeds {seeds}, {seconds}.{more}",
            "",
            *_table(result),
            "",
        ]
        for note in result.get("notes", ()):
            lines += [f"- {note}"]
        lines += [""] if result.get("notes") else []
    return "\n".join(lines) + ("\n" if lines else "")


def meanings_part() -> str:
    """Return what each figure means as a Markdown table."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items()]
    return "\n".join(["| figure | means |", "|---|---|", *rows]) + "\n"


def _table(result: Mapping[str, Any]) -> Iterator[str]:
    controls = dict(result["controls"])
    titles = ("figure", "forecare", *(name.replace("_", " ") for name in controls))
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for name in MEANINGS:
        if result.get(name) is None:
            continue
        cells = [result[name], *(own.get(name) for own in controls.values())]
        yield f"| {name} | {' | '.join(_text(cell) for cell in cells)} |"


def _words(result: Mapping[str, Any]) -> list[str]:
    return [value for value in result.get("options", {}).values() if isinstance(value, str)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.3g}"
