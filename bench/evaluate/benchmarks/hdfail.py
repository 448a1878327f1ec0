"""`forecare evaluate hdfail`: lives of hard drives from brand, type and temperature."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from anomaly.judge.calibration import (
    brier,
    calibration_error,
    kaplan_meier,
    known_within,
    reliability,
)
from anomaly.judge.ranking import c_index, c_index_within
from anomaly.learn.age import US_PER_HOUR, Age
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import GROUPS, Frame, Group, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.records import BoolArray, FloatArray
from bench.evaluate import emerging, foresee
from bench.evaluate.proportional import fit_proportional
from bench.evaluate.readers.hdfail import read
from bench.evaluate.report import Report, common_options, deliver

HORIZONS_DAYS = (90, 365, 730, 1095, 1460)
HORIZONS_HOURS = tuple(24.0 * days for days in HORIZONS_DAYS)
RANKED_BY = HORIZONS_DAYS.index(365)
"""Who fails sooner is told by the chance of failing within a year, about as long as half of the drives
were watched; on training drives it ranks better than the chance within four years."""
UNO_HOURS = 24.0 * 730
"""Half of the lives that were not ended by a failure were watched for less; beyond it few are."""
HELD_OUT_OF = 4
"""A quarter of the drives, drawn by the seed, is judged and never learned from."""
DECILES = 10


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """Lifetimes of 33,459 drives, most of them still running when the record ends.

    Learned from three quarters of the drives, judged on the others as they were an hour old: who fails
    sooner (C-index), and whether the chance of having failed at several ages is true (Brier score with
    censoring weights, deciles). Then all of them are replayed in time: how early a bad brand or type is
    flagged, and how many good ones are.
    """
    started = time.monotonic()
    catalog, histories = read(data)
    runs = [_run(catalog, histories, seed=seed) for seed in seeds]
    groups = emerging_issues(histories, seeds=seeds)
    found = foresee.over_seeds([run["figures"] for run in runs])
    report = Report(
        name="hdfail",
        figures={
            **found,
            **{f"emerging_{name}": value for name, value in groups["summary"].items()},
        },
        controls={
            name: foresee.over_seeds([run["controls"][name] for run in runs])
            for name in runs[0]["controls"]
        },
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={"per_seed": runs, "emerging": groups},
        notes=(
            "Judged at an age of one hour: whatever a life told later was not known.",
            (
                "c_index is Harrell's; c_index_uno is Uno's for the failures of the first two years, which does not"
                " hang on how long the drives were watched; c_index_any_age is Harrell's over a forecast"
                " of every drive every 720 days of its life."
            ),
            *emerging.NOTES,
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def emerging_issues(histories: Sequence[History], *, seeds: Sequence[int]) -> dict[str, Any]:
    """Replay all drives in time and see which brands and types the fleet layer flags, and when."""
    hours, has_failed = _lives(histories)
    return emerging.emerging(
        hours / 24,
        has_failed,
        {name: [h.traits[name] for h in histories] for name in ("brand", "type")},
        seeds=seeds,
    )


def _run(catalog: Catalog, histories: Sequence[History], *, seed: int) -> dict[str, Any]:
    fold = np.random.default_rng(seed).integers(0, HELD_OUT_OF, len(histories))
    learned_from = [h for h, part in zip(histories, fold.tolist(), strict=True) if part]
    held_out = [h for h, part in zip(histories, fold.tolist(), strict=True) if not part]
    model = _fit(catalog, learned_from, seed=seed, groups=GROUPS)
    frame, outcome = _young(catalog, model, held_out)
    failed = model.predict(frame).failed
    age = _fit(catalog, learned_from, seed=seed, groups=(Age,))
    by_age = age.predict(_young(catalog, age, held_out)[0]).failed
    rates = _by_brand(learned_from, held_out)
    random = np.random.default_rng(seed).random(failed.shape)
    cox = fit_proportional(catalog, learned_from, *_lives(learned_from)).risk(held_out)
    return {
        "seed": seed,
        "trees": model.hazard.trees,
        "figures": {
            **_figures(failed, outcome), "c_index_any_age": _any_age(catalog, model, held_out)
        },
        "controls": {
            "age": {
                **_figures(by_age, outcome), "c_index_any_age": _any_age(catalog, age, held_out)
            },
            "brand": _figures(rates, outcome),
            "cox": _ranks(cox, outcome),
            "always": _figures(np.ones(failed.shape), outcome),
            "random": _figures(random, outcome),
        },
        "deciles": _deciles(failed, outcome),
    }  # fmt: skip


def _lives(histories: Sequence[History]) -> tuple[FloatArray, BoolArray]:
    """Return how long each life was watched, hours, and whether a failure ended it."""
    hours = np.array([(h.until_us - h.begins_us) / US_PER_HOUR for h in histories])
    return hours, np.array([len(h.failure_us) > 0 for h in histories])


def _by_brand(learned_from: Sequence[History], held_out: Sequence[History]) -> FloatArray:
    """Control: every drive fails as often as its brand, at any age; one more failure at the rate of all."""
    hours, has_failed = _lives(learned_from)
    names = np.array([h.traits["brand"] for h in learned_from])
    rate = has_failed.sum() / hours.sum()
    rates = {
        name: (has_failed[names == name].sum() + 1) / (hours[names == name].sum() + 1 / rate)
        for name in np.unique(names).tolist()
    }
    own = np.array([rates.get(h.traits["brand"], rate) for h in held_out])
    return np.asarray(-np.expm1(-own[:, None] * np.array(HORIZONS_HOURS)[None, :]))


def _any_age(catalog: Catalog, model: ModeModel, histories: Sequence[History]) -> float | None:
    """C-index over all forecasts that production would have made: every drive every 720 days of its life."""
    frame = make_frame(catalog, model.spec, histories)
    outcome = outcome_of(catalog, histories, frame, mode=model.mode)
    return c_index(outcome.hours, outcome.has_failed, model.predict(frame).failed[:, RANKED_BY])


def _fit(
    catalog: Catalog, histories: Sequence[History], *, seed: int, groups: Sequence[type[Group]]
) -> ModeModel:
    last = max(history.until_us for history in histories)
    return fit_mode_model(
        catalog, histories, mode=catalog.modes[0], train_until_us=None, calibrate_until_us=last,
        seeds=(seed,), horizons_hours=HORIZONS_HOURS, groups=groups,
    )  # fmt: skip


def _young(
    catalog: Catalog, model: ModeModel, histories: Sequence[History]
) -> tuple[Frame, Outcome]:
    """One row per drive, an hour old."""
    first = [instants(catalog, history)[:1] for history in histories]
    frame = make_frame(catalog, model.spec, histories, at_us=first)
    return frame, outcome_of(catalog, histories, frame, mode=model.mode)


def _ranks(risk: FloatArray, outcome: Outcome) -> dict[str, Any]:
    hours, has_failed = outcome.hours, outcome.has_failed
    return {
        "events": int(has_failed.sum()),
        "c_index": c_index(hours, has_failed, risk),
        "c_index_uno": c_index_within(hours, has_failed, risk, horizon_hours=UNO_HOURS),
    }


def _figures(failed: FloatArray, outcome: Outcome) -> dict[str, Any]:
    figures: dict[str, Any] = {
        **_ranks(failed[:, RANKED_BY], outcome),
        "brier": {}, "brier_of_kaplan_meier": {}, "ece": {},
    }  # fmt: skip
    curve = kaplan_meier(outcome.hours, outcome.has_failed)
    for column, (days, hours) in enumerate(zip(HORIZONS_DAYS, HORIZONS_HOURS, strict=True)):
        known = known_within(outcome.hours, outcome.has_failed, horizon_hours=hours)
        chance, age = failed[:, column], f"{days} d"
        constant = np.full(len(chance), 1 - curve.at(np.array([hours]))[0])
        figures["brier"][age] = brier(chance, known.happened, known.weight)
        figures["brier_of_kaplan_meier"][age] = brier(constant, known.happened, known.weight)
        figures["ece"][age] = calibration_error(chance, known.happened, known.weight)
    return figures


def _deciles(failed: FloatArray, outcome: Outcome) -> dict[str, Any]:
    """What was forecast and what came, by tenths of the drives, per age."""
    tables = {}
    for column, (days, hours) in enumerate(zip(HORIZONS_DAYS, HORIZONS_HOURS, strict=True)):
        known = known_within(outcome.hours, outcome.has_failed, horizon_hours=hours)
        rows = reliability(failed[:, column], known.happened, known.weight, bins=DECILES)
        tables[f"{days} d"] = msgspec.to_builtins(rows)
    return tables
