"""`forecare evaluate alpi`: which alarm codes a packaging machine raises in the next eight hours."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from anomaly.judge.ranking import macro_average_precision
from anomaly.learn.hazard import Hazard, fit_hazard
from anomaly.learn.outcome import Outcome
from anomaly.learn.recurring import NAMES, Recurring, Stretches
from anomaly.records import BoolArray, FloatArray
from bench.evaluate import foresee
from bench.evaluate.readers.alpi import AHEAD, MINUTE_US, WINDOW, read
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

HORIZON_HOURS = AHEAD / 60
TRAIN_SHARE = 0.6
"""Of each machine's record, in time."""
GAP_WINDOWS = 4
"""Between learning and judging: a window and the stretch after it, and as much for doubt about the time."""
FOLDS = 3
"""Machines are left out in so many parts."""
ROWS_MAX = 400_000
"""Rows (instant and code) that are drawn to learn from; neighbouring windows hold nearly the same codes."""
EVENTS_MIN = 10
"""A code counts if so many of the judged stretches have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    device: Stretches
    rows: np.ndarray


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """Alarm logs of packaging machines: which codes come next.

    One hazard for all codes. Judged twice: later in time on the same machines, and on machines that were
    left out of learning. Persistence (how often a code came on this machine so far) stands beside it.
    """
    started = time.monotonic()
    codes, machines, untold = read(data)
    if len(machines) < FOLDS:
        raise InvalidError(
            f"{data} has {len(machines)} machines whose windows can be put in the order of time",
            hint=f"at least {FOLDS} are needed",
        )
    runs = [_run(codes, machines, seed=seed) for seed in seeds]
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
        details={"per_seed": runs, "machines": len(machines), "order_unknown": untold},
        notes=(
            f"macro_ap: mean over codes that came in at least {EVENTS_MIN} of the judged stretches.",
            "Windows are put in the order of time by their overlaps; their order in the file is not time.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def _run(codes: Sequence[int], machines: Sequence[Stretches], *, seed: int) -> dict[str, Any]:
    cuts = [round(TRAIN_SHARE * len(m.at_us)) for m in machines]
    gap = GAP_WINDOWS * WINDOW * MINUTE_US
    early = [
        _Part(device=_upto(m, cut), rows=np.arange(cut))
        for m, cut in zip(machines, cuts, strict=True)
    ]
    late = [
        _Part(device=m, rows=np.flatnonzero(m.at_us > m.at_us[cut - 1] + gap))
        for m, cut in zip(machines, cuts, strict=True)
    ]
    later = _judge([_forecast(codes, early, late, seed=seed)], seed=seed)
    order = np.random.default_rng(seed).permutation(len(machines))
    judged = []
    for fold in range(FOLDS):
        left_out = [machines[n] for n in order[fold::FOLDS]]
        others = [m for m in machines if m not in left_out]
        whole = [[_Part(device=m, rows=np.arange(len(m.at_us))) for m in some]
                 for some in (others, left_out)]  # fmt: skip
        judged.append(_forecast(codes, *whole, seed=seed))
    unseen = _judge(judged, seed=seed)
    return {f"later.{k}": v for k, v in later.items()} | {
        f"unseen.{k}": v for k, v in unseen.items()
    }


def _upto(device: Stretches, rows: int) -> Stretches:
    return Stretches(
        device=device.device,
        at_us=device.at_us[:rows],
        known_us=device.known_us[:rows],
        seen=device.seen[:rows],
        came=device.came[:rows],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    came: BoolArray
    chance: FloatArray
    own: FloatArray
    lately: FloatArray
    fleet: FloatArray


def _forecast(
    codes: Sequence[int], learned_from: Sequence[_Part], judged: Sequence[_Part], *, seed: int
) -> _Judged:
    spec = Recurring.fit(codes, [part.device for part in learned_from])
    hazard = _fit(spec, learned_from, seed=seed)
    columns = [spec.columns(part.device)[part.rows] for part in judged]
    x = np.concatenate(columns)
    flat = x.reshape(-1, x.shape[2])
    chance = 1 - hazard.survival(flat, (HORIZON_HOURS,))[:, 0]
    return _Judged(
        came=np.concatenate([part.device.came[part.rows] for part in judged]),
        chance=chance.reshape(x.shape[:2]),
        own=x[:, :, NAMES.index("own_rate")],
        lately=x[:, :, NAMES.index("own_rate_lately")],
        fleet=x[:, :, NAMES.index("fleet_rate")],
    )


def _fit(spec: Recurring, parts: Sequence[_Part], *, seed: int) -> Hazard:
    rng = np.random.default_rng(seed)
    most = max(ROWS_MAX // (len(parts) * len(spec.codes)), 1)
    x, came, device = [], [], []
    for number, part in enumerate(parts):
        rows = np.sort(rng.permutation(part.rows)[:most])
        own = spec.columns(part.device)[rows]
        x.append(own.reshape(-1, own.shape[2]))
        came.append(part.device.came[rows].ravel())
        device.append(np.full(len(rows) * len(spec.codes), number))
    happened = np.concatenate(came)
    hours = np.where(happened, HORIZON_HOURS / 2, HORIZON_HOURS)
    return fit_hazard(
        np.concatenate(x), Outcome(hours=hours, has_failed=happened),
        groups=np.concatenate(device), failures=int(happened.sum()),
        exposure_hours=float(hours.sum()), horizons_hours=(HORIZON_HOURS,), seeds=(seed,),
    )  # fmt: skip


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
