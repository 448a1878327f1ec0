"""`forecare evaluate ppd`: share of life used up of cutting blades, each judged by the other runs."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from anomaly.judge.life import rmse
from anomaly.learn.frame import fit_spec, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.life import GROUPS
from anomaly.learn.outcome import outcome_of
from anomaly.learn.remaining import Slice, fit_mode_life, life_frame
from anomaly.records import FloatArray
from bench.evaluate.readers.ppd import product, read
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

RUNS_MIN = 4


@click.command()
@common_options
def command(data: Path, *, seeds: Sequence[int], as_json: bool, folder: Path) -> None:
    """Wear of cutting blades that were run until they were blunt.

    \b
    Every run is judged by what was learned from the others: the share of its life that is used up,
    at every forecast. The error is the root mean square over all of them.
    """
    started = perf_counter()
    runs = read(data)
    if len(runs) < RUNS_MIN:
        raise InvalidError(f"{data} has {len(runs)} runs", hint=f"at least {RUNS_MIN} are needed")
    catalog = Catalog(product())
    truth, said, aged, rows = [], [], [], []
    for number, run in enumerate(runs):
        others = [other for other in runs if other is not run]
        age, left, used, members = _judge(catalog, others, run, seeds=seeds)
        mean = float(np.mean([other.until_us for other in others])) / 3.6e9
        truth.append(age / (age + left))
        said.append(used)
        aged.append(np.minimum(age / mean, 1.0))
        rows.append({"run": number + 1, "windows": len(age), "rmse": rmse(truth[-1], said[-1]),
                     "rmse_by_age": rmse(truth[-1], aged[-1]), "members": members})  # fmt: skip
    whole = np.concatenate(truth)
    deliver(
        Report(
            name="ppd",
            figures={"life_fraction_rmse": rmse(whole, np.concatenate(said)), "events": len(runs)},
            controls={"age": {"life_fraction_rmse": rmse(whole, np.concatenate(aged))}},
            seeds=seeds, seconds=perf_counter() - started, details={"runs": rows},
        ),
        as_json=as_json, folder=folder,
    )  # fmt: skip


def _judge(
    catalog: Catalog, others: Sequence[History], run: History, *, seeds: Sequence[int]
) -> tuple[FloatArray, FloatArray, FloatArray, list[dict[str, Any]]]:
    """Age, remaining life (hours) and forecast share used up of one run, and whose word counted how much."""
    spec = fit_spec(catalog, others, groups=GROUPS)
    frame = make_frame(catalog, spec, others)
    mode = catalog.modes[0]
    known = Slice.of(catalog, frame, others, mode=mode)
    fitted = fit_mode_life(catalog, spec, known, mode=mode, seeds=seeds)
    assert fitted is not None
    life, _ = fitted
    tested = make_frame(catalog, spec, [run])
    outcome = outcome_of(catalog, [run], tested, mode=mode)
    ended = outcome.has_failed
    age = tested.x[:, tested.names.index("age_hours")]
    members = [
        {"way": m.way, "about": m.about, "weight": m.share_weight,
         "features": [life.seen_names(m.about)[i.feature] for i in m.indicators]}
        for m in life.members if m.share_weight > 0
    ]  # fmt: skip
    used = life.used_up(life_frame(catalog, tested, mode=mode, names=life.names))
    return age[ended], outcome.hours[ended], used[ended], members
