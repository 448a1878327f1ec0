"""`forecare evaluate nitrogen`: faults of a generator that follow the working day."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from anomaly.learn.age import Age
from anomaly.learn.calendar import Calendar
from anomaly.learn.frame import GROUPS, Group
from anomaly.learn.services import Services
from anomaly.policy import Policy
from anomaly.threshold import Budget
from bench.evaluate import foresee
from bench.evaluate.foresee import Case, Judged
from bench.evaluate.readers.nitrogen import Recording
from bench.evaluate.report import Report, common_options, deliver

TRAIN_SHARE = 0.75
"""Of the first file; the rest of it calibrates."""
LEAD_HOURS = 0.0
BUDGET = Budget(per_device_year=365.25 / 2, confidence=0.5)
"""One false run in two days: there is a fault a day."""
POLICY = Policy(open_above=0.5, clear_below=0.25, confirm=2, of=3)
_HEADLINE = ("events", "events_caught", "event_recall", "alert_precision",
             "false_alarms_per_device_year", "lead_hours_q10", "lead_hours_median")  # fmt: skip


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """One-minute telemetry of a nitrogen generator with about one fault a day.

    Learned and calibrated on train.csv, judged on val.csv, at every horizon that the labels have. The same
    model that is told nothing but the calendar stands beside it.
    """
    started = time.monotonic()
    recording = Recording(data)
    case = Case(
        catalog=recording.catalog,
        histories=[recording.history],
        train_until_us=recording.history.begins_us
        + round(TRAIN_SHARE * (recording.split_us - recording.history.begins_us)),
        split_us=recording.split_us,
        until_us=recording.history.until_us,
        horizons_hours=recording.horizons_hours,
        score_hours=recording.horizons_hours[0],
    )
    runs = [_run(case, seed=seed) for seed in seeds]
    controls = {
        "calendar": [_run(case, seed=seed, groups=(Calendar,)) for seed in seeds],
        "age": [_run(case, seed=seeds[0], groups=(Age, Services))],
        **{name: [found] for name, found in _plain_controls(case, seed=seeds[0]).items()},
    }
    report = Report(
        name="nitrogen",
        figures=foresee.over_seeds(runs),
        controls={name: foresee.over_seeds(found) for name, found in controls.items()},
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={"per_seed": runs},
        notes=(
            "age: the same model, told only the time since the last fault and since the recording began.",
            "Alerts may open up to the longest horizon ahead; false_runs are those that open earlier.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def _run(case: Case, *, seed: int, groups: Sequence[type[Group]] = GROUPS) -> dict[str, Any]:
    models = foresee.learn(case, seed=seed, groups=groups)
    checked = foresee.forecast(case, models, from_us=case.train_until_us, until_us=case.split_us)
    policy = foresee.freeze(case, checked, policy=POLICY, budget=BUDGET)
    return _figures(case, _judged(case, models), policy)


def _judged(case: Case, models: Sequence[Any]) -> list[Judged]:
    return foresee.forecast(
        case, models, from_us=case.split_us + case.gap_us, until_us=case.until_us
    )


def _figures(case: Case, judged: Sequence[Judged], policy: Policy) -> dict[str, Any]:
    found = foresee.alert_figures(case, judged, policy=policy, leads_hours=(LEAD_HOURS,))
    counted = foresee.plain(found[f"{LEAD_HOURS:g}"])
    return {
        **foresee.chances(case, judged),
        **{key: counted[key] for key in _HEADLINE},
        "false_runs": counted["false_alarms"],
    }


def _plain_controls(case: Case, *, seed: int) -> dict[str, dict[str, Any]]:
    """Always, random and persistence."""
    models = foresee.learn(case, seed=seed)
    judged = _judged(case, models)
    checked = foresee.forecast(case, models, from_us=case.train_until_us, until_us=case.split_us)
    policy = foresee.freeze(case, checked, policy=POLICY, budget=BUDGET)
    runs = foresee.opened(case, judged, policy=policy)
    past = foresee.persistence(case, judged, case.histories)
    once = Policy(open_above=0.5, clear_below=0.25, confirm=1, of=1)
    return {
        "always": _figures(case, foresee.always(judged), once),
        "random": _figures(case, foresee.at_random(judged, runs, seed=seed), once),
        "persistence": _figures(case, past, POLICY),
    }
