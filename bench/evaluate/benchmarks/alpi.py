"""`forecare evaluate alpi`: which alarm codes a packaging machine raises in the next eight hours."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from anomaly.judge.ranking import macro_average_precision
from anomaly.learn.fit import fit_mode_models
from anomaly.learn.frame import instants
from anomaly.learn.frames import frames_of
from anomaly.learn.history import History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import outcomes_of
from anomaly.learn.recurring import Recurring
from anomaly.learn.shared import Instants
from anomaly.records import BoolArray, FloatArray, IntArray
from bench.evaluate import foresee
from bench.evaluate.readers.alpi import AHEAD, MINUTE_US, WINDOW, Logs, read
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

HORIZON_HOURS = AHEAD / 60
WINDOW_US = WINDOW * MINUTE_US
TRAIN_SHARE = 0.6
"""Of each machine's record, in time."""
GAP_WINDOWS = 4
"""Between learning and judging: a window and the stretch after it, and as much for doubt about the time."""
FOLDS = 3
"""Machines are left out in so many parts."""
EVENTS_MIN = 10
"""A code counts if so many of the judged stretches have it."""


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """Alarm logs of packaging machines: which codes come next.

    Each code is a failure mode, learned as `forecare model train` learns them. Judged twice: later in time on
    the same machines, and on machines that were left out of learning. Persistence (how often a code came on
    this machine so far) stands beside it.
    """
    started = time.monotonic()
    logs = read(data)
    machines = len(np.unique(logs.machine))
    if machines < FOLDS:
        raise InvalidError(
            f"{data} has {machines} machines whose windows can be put in the order of time",
            hint=f"at least {FOLDS} are needed",
        )
    runs = [_run(logs, seed=seed) for seed in seeds]
    found = foresee.over_seeds(runs)
    controls = {
        name: {
            "macro_ap": found[f"later.{name}"], "macro_ap_unseen": found[f"unseen.{name}"],
        }
        for name in ("persistence", "persistence_lately", "persistence_of_fleet", "random", "always")
    }  # fmt: skip
    report = Report(
        name="alpi",
        figures={
            "macro_ap": found["later.forecare"],
            "macro_ap_unseen": found["unseen.forecare"],
            "events": int(found["later.events"]),
            "events_unseen": int(found["unseen.events"]),
        },
        controls=controls,
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={"per_seed": runs, "machines": machines, "order_unknown": logs.untold},
        notes=(
            f"macro_ap: mean over codes that came in at least {EVENTS_MIN} of the judged stretches.",
            "Each pass through a machine's record is put in the order of time; the file's order is not time.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def _run(logs: Logs, *, seed: int) -> dict[str, Any]:
    cuts = [round(TRAIN_SHARE * _windows(h)) * WINDOW_US for h in logs.histories]
    past = [h.upto(cut) for h, cut in zip(logs.histories, cuts, strict=True)]
    models = _learn(logs, past, logs.machine, seed=seed)
    late = [_ends(h, after_us=c + GAP_WINDOWS * WINDOW_US)
            for h, c in zip(logs.histories, cuts, strict=True)]  # fmt: skip
    asked = Instants(histories=logs.histories, at_us=late)
    later = _judge([_forecast(logs, past, models, asked)], seed=seed)
    order = np.random.default_rng(seed).permutation(np.unique(logs.machine))
    judged = []
    for fold in range(FOLDS):
        is_out = np.isin(logs.machine, order[fold::FOLDS])
        others = [h for h, out in zip(logs.histories, is_out, strict=True) if not out]
        models = _learn(logs, others, logs.machine[~is_out], seed=seed)
        strangers = [h for h, out in zip(logs.histories, is_out, strict=True) if out]
        asked = Instants(histories=strangers, at_us=[_ends(h) for h in strangers])
        judged.append(_forecast(logs, others, models, asked))
    unseen = _judge(judged, seed=seed)
    return {f"later.{k}": v for k, v in later.items()} | {
        f"unseen.{k}": v for k, v in unseen.items()
    }


def _learn(
    logs: Logs, histories: Sequence[History], machine: IntArray, *, seed: int
) -> list[ModeModel]:
    """Learn all codes; machines have no time in common, and records of one are left out together."""
    models = fit_mode_models(
        logs.catalog, histories, train_until_us=None,
        calibrate_until_us=max(h.until_us for h in histories),
        seeds=(seed,), horizons_hours=(HORIZON_HOURS,), together=machine.tolist(),
    )  # fmt: skip
    return list(models.values())


def _windows(history: History) -> int:
    return history.until_us // WINDOW_US


def _ends(history: History, *, after_us: int = 0) -> IntArray:
    """Ends of windows: instants for which the file tells what came in the stretch after."""
    at = np.arange(1, _windows(history) + 1, dtype=np.int64) * WINDOW_US
    return at[at > after_us]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Per instant and code."""

    came: BoolArray
    chance: FloatArray
    own: FloatArray
    lately: FloatArray
    fleet: FloatArray


def _forecast(
    logs: Logs, learned_from: Sequence[History], models: Sequence[ModeModel], asked: Instants
) -> _Judged:
    frame, horizon = asked.frame(), (HORIZON_HOURS,)
    shape = (len(frame), len(models))
    outcomes = outcomes_of(logs.catalog, asked.histories, frame)
    came = outcomes.has_failed & (outcomes.hours <= HORIZON_HOURS)
    chance = np.empty(shape)
    for place, (model, rows) in enumerate(
        frames_of(logs.catalog, models, asked.histories, at_us=asked.at_us)
    ):
        chance[:, place] = 1 - model.survival(rows.x, horizon)[:, 0]
    past = Recurring.fit(
        logs.catalog, learned_from, at_us=[instants(logs.catalog, h) for h in learned_from],
        stretch_hours=HORIZON_HOURS,
    )  # fmt: skip
    tables = [
        past.table(logs.catalog, h, at) for h, at in zip(asked.histories, asked.at_us, strict=True)
    ]
    own, lately, fleet = (
        np.concatenate([table[:, :, past.kinds.index(name)] for table in tables])
        for name in ("own_share", "own_share_lately", "fleet_share")
    )
    return _Judged(came=came, chance=chance, own=own, lately=lately, fleet=fleet)


def _judge(parts: Sequence[_Judged], *, seed: int) -> dict[str, Any]:
    came = np.concatenate([part.came for part in parts])
    kept = came.sum(axis=0) >= EVENTS_MIN
    came = came[:, kept]
    named = {
        "forecare": np.concatenate([part.chance for part in parts])[:, kept],
        "persistence": np.concatenate([part.own for part in parts])[:, kept],
        "persistence_lately": np.concatenate([part.lately for part in parts])[:, kept],
        "persistence_of_fleet": np.concatenate([part.fleet for part in parts])[:, kept],
        "random": np.random.default_rng(seed).random(came.shape),
        "always": np.ones(came.shape),
    }
    return {
        "events": float(came.sum()),
        "codes": float(kept.sum()),
        **{name: macro_average_precision(score, came) for name, score in named.items()},
    }
