"""`forecare evaluate azure-pdm`: failures of four components, foreseen from error codes and replacements."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from anomaly.learn.age import Age
from anomaly.learn.calendar import Calendar
from anomaly.learn.history import History
from anomaly.learn.model import ModeModel
from anomaly.learn.services import Services
from anomaly.policy import Policy
from anomaly.threshold import Budget
from bench.evaluate import foresee
from bench.evaluate.foresee import Case, Judged
from bench.evaluate.readers.azure_pdm import read
from bench.evaluate.readers.tables import instant_us
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

HORIZONS_HOURS = (12.0, 24.0, 48.0)
"""Half a day and a day are the leads asked for; two days is the longest warning that counts."""
LEADS_HOURS = (12.0, 24.0)
TRAIN_SHARE = 0.7
"""Of the time before the split; the rest calibrates."""
UNSEEN_OF = 3
"""Every third machine is kept from learning to be judged as one never seen."""
_WORDS = (
    "Figures without a lead are those with at least {lead} h;"
    " an alert counts when it opens at most {most:g} h before the failure."
)
BUDGET = Budget(per_device_year=0.8)
POLICY = Policy(open_above=0.5, clear_below=0.25, confirm=1, of=1)
"""An error comes at one instant and its meaning lasts a day: there is nothing to confirm by waiting."""


@click.command()
@common_options
@click.option("--split-date", required=True, callback=lambda _c, _p, value: _date(value),
              help="Judged is what comes after this day, for instance 2015-06-15.")  # fmt: skip
def command(
    data: Path, seeds: tuple[int, ...], split_date: int, *, as_json: bool, folder: Path
) -> None:
    """Machines with error codes, replacements and failures (Microsoft's guide, without telemetry).

    Failures of each component are a failure mode. Learned before the split, calibrated on the last
    part before it (there the threshold is frozen, too), judged after it; and judged on machines that
    were kept out of learning.
    """
    started = time.monotonic()
    case = _case(data, split_date)
    models = [foresee.learn(case, seed=seed) for seed in seeds]
    runs = [_judge(case, each, case.histories, case.histories) for each in models]
    unseen = [h for n, h in enumerate(case.histories) if n % UNSEEN_OF == 0]
    others = [h for n, h in enumerate(case.histories) if n % UNSEEN_OF]
    stranger = _run(case, others, unseen, seed=seeds[0])
    figures = foresee.over_seeds(runs)
    lead = f"{LEADS_HOURS[0]:g}"
    report = Report(
        name="azure-pdm",
        figures={**_headline(figures, lead), "by_lead_hours": figures["alerts"],
                 **figures["chances"], "unseen_machines": stranger},
        controls=_controls(case, models[0], seed=seeds[0]),
        seeds=seeds,
        seconds=time.monotonic() - started,
        options={"split_date": datetime.fromtimestamp(split_date / 1e6, tz=UTC).date().isoformat()},
        details={"per_seed": runs},
        notes=(
            _WORDS.format(lead=lead, most=max(HORIZONS_HOURS)),
            "unseen_machines: every third machine, kept out of learning and of the threshold, first seed.",
        ),
    )  # fmt: skip
    deliver(report, as_json=as_json, folder=folder)


def _date(value: str) -> int:
    return instant_us(value, where="--split-date")


def _case(data: Path, split_us: int) -> Case:
    catalog, histories = read(data)
    begins, ends = histories[0].begins_us, histories[0].until_us
    if not begins < split_us < ends:
        raise InvalidError(
            "--split-date lies outside the recording",
            hint="choose a day with some months of records before it and some weeks after",
        )
    return Case(
        catalog=catalog,
        histories=histories,
        train_until_us=begins + round(TRAIN_SHARE * (split_us - begins)),
        split_us=split_us,
        until_us=ends,
        horizons_hours=HORIZONS_HOURS,
        score_hours=24.0,
    )


def _run(
    case: Case,
    learned_from: Sequence[History],
    judged_on: Sequence[History],
    *,
    seed: int,
    groups: Sequence[Any] | None = None,
) -> dict[str, Any]:
    models = foresee.learn(
        case, seed=seed, histories=learned_from, **({} if groups is None else {"groups": groups})
    )
    return _judge(case, models, learned_from, judged_on)


def _judge(
    case: Case,
    models: Sequence[ModeModel],
    learned_from: Sequence[History],
    judged_on: Sequence[History],
) -> dict[str, Any]:
    """Freeze the threshold on the calibration slice, then judge what comes later."""
    checked = foresee.forecast(
        case, models, from_us=case.train_until_us, until_us=case.split_us, histories=learned_from
    )
    policy = foresee.freeze(case, checked, policy=POLICY, budget=BUDGET)
    judged = foresee.forecast(
        case, models, from_us=case.split_us + case.gap_us, until_us=case.until_us,
        histories=judged_on,
    )  # fmt: skip
    return _figures(case, judged, policy) | {"threshold": policy.open_above}


def _figures(case: Case, judged: Sequence[Judged], policy: Policy) -> dict[str, Any]:
    found = foresee.alert_figures(case, judged, policy=policy, leads_hours=LEADS_HOURS)
    return {
        "alerts": {lead: foresee.plain(one) for lead, one in found.items()},
        "chances": foresee.chances(case, judged),
    }


def _headline(figures: dict[str, Any], lead: str) -> dict[str, Any]:
    keys = ("events", "events_caught", "event_recall", "alert_precision",
            "false_alarms_per_device_year", "lead_hours_q10", "lead_hours_median")  # fmt: skip
    return {key: figures["alerts"][lead][key] for key in keys}


def _controls(case: Case, models: Sequence[ModeModel], *, seed: int) -> dict[str, dict[str, Any]]:
    """The same figures without sensors: always, random, calendar, age, persistence."""
    learned = {
        name: _run(case, case.histories, case.histories, seed=seed, groups=groups)
        for name, groups in (("calendar", (Calendar,)), ("age", (Age, Services)))
    }
    judged, checked = (
        foresee.forecast(case, models, from_us=first, until_us=last)
        for first, last in (
            (case.split_us + case.gap_us, case.until_us), (case.train_until_us, case.split_us),
        )
    )  # fmt: skip
    policy = foresee.freeze(case, checked, policy=POLICY, budget=BUDGET)
    runs = foresee.opened(case, judged, policy=policy)
    past = foresee.freeze(
        case, foresee.persistence(case, checked, case.histories), policy=POLICY, budget=BUDGET
    )
    others = {
        "always": (foresee.always(judged), POLICY),
        "random": (foresee.at_random(judged, runs, seed=seed), POLICY),
        "persistence": (foresee.persistence(case, judged, case.histories), past),
    }
    found = learned | {name: _figures(case, *pair) for name, pair in others.items()}
    lead = f"{LEADS_HOURS[0]:g}"
    return {
        name: _headline(one, lead) | {"by_lead_hours": one["alerts"]} | one["chances"]
        for name, one in found.items()
    }
