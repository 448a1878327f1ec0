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
from anomaly.judge.ranking import c_index
from anomaly.learn.age import US_PER_HOUR, Age
from anomaly.learn.frame import GROUPS, Frame, Group, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel, fit_mode_model
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.records import FloatArray
from bench.evaluate import emerging, foresee
from bench.evaluate.readers.hdfail import read
from bench.evaluate.report import Report, common_options, deliver

HORIZONS_DAYS = (90, 365, 730, 1095, 1460)
HORIZONS_HOURS = tuple(24.0 * days for days in HORIZONS_DAYS)
RANKED_BY = HORIZONS_DAYS.index(365)
"""Who fails sooner is told by the chance of failing within a year, about as long as half of the drives
were watched; on training drives it ranks better than the chance within four years."""
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
            *emerging.NOTES,
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def emerging_issues(histories: Sequence[History], *, seeds: Sequence[int]) -> dict[str, Any]:
    """Replay all drives in time and see which brands and types the fleet layer flags, and when."""
    return emerging.emerging(
        np.array([(h.until_us - h.begins_us) / US_PER_HOUR / 24 for h in histories]),
        np.array([len(h.failure_us) > 0 for h in histories]),
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
    random = np.random.default_rng(seed).random(failed.shape)
    return {
        "seed": seed,
        "trees": model.hazard.trees,
        "figures": _figures(failed, outcome),
        "controls": {"age": _figures(by_age, outcome), "random": _figures(random, outcome)},
        "deciles": _deciles(failed, outcome),
    }


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


def _figures(failed: FloatArray, outcome: Outcome) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "events": int(outcome.has_failed.sum()),
        "c_index": c_index(outcome.hours, outcome.has_failed, failed[:, RANKED_BY]),
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
