"""`forecare evaluate cmapss`: remaining life of turbofans that were run to failure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from anomaly.judge.alerts import US_PER_HOUR, Rule, judge
from anomaly.judge.life import coverage, coverage_by_life, nasa_score, rmse
from anomaly.judge.lives import lives_of, watch_of
from anomaly.judge.tally import tally
from anomaly.learn.conformal import Errors, fit_errors
from anomaly.learn.frame import Frame, fit_spec, make_frame
from anomaly.learn.history import Catalog
from anomaly.learn.life import GROUPS, LeftOut, Life
from anomaly.learn.remaining import Slice, fit_mode_life, life_hours
from anomaly.policy import Policy
from anomaly.records import FloatArray
from anomaly.runs import Rows, runs_of
from bench.evaluate.readers.cmapss import ALERT_CYCLES, CYCLE_US, Recording, product, read
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

LABEL_CAP = 125.0
"""Published figures count longer lives as this, cycles; nor need a workshop tell them apart."""
WITHIN = 30.0
"""An alert says: more likely than not, it fails within so many cycles."""
EARLIEST = 60
"""Warning longer than this is of no use, cycles."""
POLICY = Policy(open_above=0.5, clear_below=0.25, confirm=3, of=4)
EDGES = (0.0, 25.0, 50.0, 75.0, 100.0, 125.0)


@click.command()
@common_options
@click.option("--subset", default="FD001", show_default=True,
              help="Reads train_SUBSET.txt, test_SUBSET.txt and RUL_SUBSET.txt, plain or .gz.")  # fmt: skip
def command(data: Path, *, seeds: Sequence[int], as_json: bool, folder: Path, subset: str) -> None:
    """Remaining life of turbofans (C-MAPSS).

    \b
    Learns from train_SUBSET, whose units ran to failure, and judges
      the last row of each unit of test_SUBSET against RUL_SUBSET, once: RMSE, NASA score, intervals;
      alerts on the training units, each by a model that did not see the unit.
    Without RUL_SUBSET the first part cannot be judged and is left out.
    """
    started = perf_counter()
    recording = read(data, subset)
    catalog = Catalog(product())
    spec = fit_spec(catalog, recording.train, groups=GROUPS)
    frame = make_frame(catalog, spec, recording.train)
    (mode,) = catalog.modes
    taught = Slice.of(catalog, frame, recording.train, mode=mode)
    fitted = fit_mode_life(
        catalog, spec, taught, mode=mode, seeds=seeds,
        horizon_hours=LABEL_CAP * CYCLE_US / US_PER_HOUR,
    )  # fmt: skip
    if fitted is None:
        raise InvalidError(
            f"train_{subset} has only {len(recording.train)} units", hint="at least 3 are needed"
        )
    life, left_out = fitted
    details: dict[str, Any] = {"learned": _learned(life)}
    notes = ["one cycle is one hour: rates per device-year are per 8766 cycles"]
    alerts = _alerts(catalog, recording, frame, left_out, left_out.life_hours, life.errors)
    ages = fit_errors(left_out.by_age_hours, taught.outcome.hours[left_out.rows],
                      frame.device[left_out.rows])  # fmt: skip
    controls = {"age": _alerts(catalog, recording, frame, left_out, left_out.by_age_hours, ages)}
    figures: dict[str, Any] = dict.fromkeys(_LIFE_KEYS)
    if recording.left_cycles is not None and recording.test:
        tested = make_frame(catalog, spec, recording.test)
        last = np.append(np.flatnonzero(np.diff(tested.device)), len(tested) - 1)
        truth = recording.left_cycles
        said = life_hours(catalog, life, tested, recording.test, mode=mode)[last]
        means = life.mean(said, up_to=np.inf), life.mean(said, up_to=LABEL_CAP)
        figures = _life_figures(said, truth, life.errors, means=means)
        details["coverage_by_predicted_life"] = _by_life(said, truth, life)
        known = np.sort(np.array([h.until_us / CYCLE_US for h in recording.train]))
        by_age = _residual(known, tested.x[last, tested.names.index("age_hours")])
        means = ages.mean(by_age), ages.mean(by_age, up_to=LABEL_CAP)
        controls["age"] |= _life_figures(by_age, truth, ages, means=means)
        notes.append(f"test labels above {LABEL_CAP:g} cycles count as that where it says capped; "
                     "coverage and width likewise")  # fmt: skip
    else:
        notes.append(
            f"no RUL_{subset} or test_{subset} in {data.name}: remaining life on the test units "
            "(rmse, nasa, coverage, width) cannot be judged; on training units left out "
            f"the RMSE up to {life.cap_hours:g} cycles is {life.rmse_hours:.2f}"
        )
    deliver(
        Report(
            name="cmapss", figures={**figures, **alerts}, controls=controls, seeds=seeds,
            seconds=perf_counter() - started, options={"subset": subset}, details=details,
            notes=notes,
        ),
        as_json=as_json, folder=folder,
    )  # fmt: skip


_LIFE_KEYS = (
    "rmse_raw", "rmse_capped", "nasa_raw", "nasa_capped", "coverage_80", "coverage_90", "width_90",
    "coverage_90_raw", "width_90_raw",
)  # fmt: skip


def _life_figures(
    life: FloatArray,
    truth: FloatArray,
    errors: Errors,
    *,
    means: tuple[FloatArray, FloatArray],
) -> dict[str, Any]:
    """Judge last rows by the means of lives as they are and of lives cut off at the limit."""
    whole, capped = means
    cut = np.minimum(truth, LABEL_CAP)
    low_80, high_80 = errors.interval(life, 0.8, up_to=LABEL_CAP)
    low, high = errors.interval(life, 0.9, up_to=LABEL_CAP)
    raw_low, raw_high = errors.interval(life, 0.9)
    some_80 = coverage(cut, low=low_80, high=high_80)
    some_90 = coverage(cut, low=low, high=high)
    some_raw = coverage(truth, low=raw_low, high=raw_high)
    assert some_80 is not None
    assert some_90 is not None
    assert some_raw is not None
    values = (
        rmse(truth, whole), rmse(truth, capped, cap=LABEL_CAP), nasa_score(truth, whole),
        nasa_score(truth, capped, cap=LABEL_CAP), some_80.covered, some_90.covered, some_90.width,
        some_raw.covered, some_raw.width,
    )  # fmt: skip
    return dict(zip(_LIFE_KEYS, values, strict=True))


def _by_life(life: FloatArray, truth: FloatArray, model: Life) -> list[Mapping[str, Any]]:
    low, high = model.errors.interval(life, 0.9, up_to=LABEL_CAP)
    middle = model.mean(life, up_to=LABEL_CAP)
    bins = coverage_by_life(
        np.minimum(truth, LABEL_CAP), low=low, high=high, middle=middle, edges=EDGES
    )
    return [
        {"from": b.low, "to": b.high, "units": b.rows, "covered": b.covered, "width": b.width}
        for b in bins
    ]


def _residual(lives: FloatArray, age: FloatArray) -> FloatArray:
    """Mean of what the known lives that were longer than an age had left, cycles."""
    left = np.maximum(lives[None, :] - age[:, None], 0.0)
    return np.asarray(left.sum(axis=1) / np.maximum((left > 0).sum(axis=1), 1))


def _alerts(
    catalog: Catalog,
    recording: Recording,
    frame: Frame,
    left_out: LeftOut,
    life: FloatArray,
    errors: Errors,
) -> dict[str, Any]:
    """Judge episodes on training units, each by a model that did not see the unit."""
    rows = Rows(
        device=frame.device[left_out.rows],
        at_us=frame.at_us[left_out.rows],
        score=errors.failed_within(life, WITHIN),
    )
    lives = lives_of(catalog, recording.train, mode=catalog.modes[0])
    watch = watch_of(rows, every_us=catalog.every_us)
    rule = Rule(lead_us=ALERT_CYCLES * CYCLE_US, horizon_us=EARLIEST * CYCLE_US)
    found = tally(judge(runs_of(POLICY, rows, lives.breaks), lives=lives, watch=watch, rule=rule))
    return {
        "events": found.events,
        "events_caught": found.events_caught,
        "event_recall": found.event_recall,
        "alert_precision": found.alert_precision,
        "false_alarms_per_device_year": found.false_alarms_per_device_year,
        "lead_hours_q10": found.lead_hours_q10,
        "lead_hours_median": found.lead_hours_median,
    }


def _learned(life: Life) -> dict[str, Any]:
    return {
        "lives": life.lives,
        "cap_cycles": life.cap_hours,
        "memory_cycles": life.memory_hours,
        "has_second_look": life.second is not None,
        "rmse_left_out": life.rmse_hours,
        "rmse_left_out_by_age": life.rmse_age_hours,
        "members": [
            {
                "way": m.way,
                "about": m.about,
                "weight": m.weight,
            }
            for m in life.members
        ],
        "features": len(life.names),
    }
