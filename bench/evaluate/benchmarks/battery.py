"""`forecare evaluate battery`: cycles that a cell has left, each judged by the other cells and by its own path."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from anomaly.judge.life import coverage, rmse
from anomaly.learn.conformal import Errors
from anomaly.learn.frame import fit_spec, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.life import GROUPS
from anomaly.learn.remaining import Slice, choose_way, life_hours, path_frame
from anomaly.learn.trend import Trend, trend_hours
from anomaly.records import FloatArray, IntArray
from bench.evaluate.readers.battery import CYCLE_US, END_AH, product, read
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One cell from half of its life on, cycles."""

    whole: float
    truth: FloatArray
    quantiles: FloatArray
    """10, 50 and 90 %; (rows, 3)."""
    by_age: FloatArray
    """Mean life of the other cells, less the age; NaN where no other cell reached its end."""
    way: str


_CELLS_MIN = 2


@click.command()
@common_options
def command(data: Path, *, seeds: Sequence[int], as_json: bool, folder: Path) -> None:
    """Cycles to end of life of Li-ion cells.

    \b
    Every cell that reaches 1.4 Ah is forecast at each cycle from half of its life on, by its own path of
    wear or, where at least three other cells reached their end and that does better on them, by what they taught.
    """
    started = perf_counter()
    cells = read(data)
    if len(cells) < _CELLS_MIN:
        raise InvalidError(
            f"{data} has {len(cells)} cell", hint=f"at least {_CELLS_MIN} are needed, to learn from"
        )
    ended = [cell for cell in cells if len(cell.failure_us)]
    if not ended:
        raise InvalidError(
            f"no cell in {data} stays at or below {END_AH} Ah", hint="all lives are censored"
        )
    catalog = Catalog(product())
    judged = [_judge(catalog, [c for c in cells if c is not e], e, seeds=seeds) for e in ended]
    errors = [np.abs(j.quantiles[:, 1] - j.truth) / j.whole for j in judged]
    ages = np.concatenate([np.abs(j.by_age - j.truth) / j.whole for j in judged])
    truth = np.concatenate([j.truth for j in judged])
    band = np.concatenate([j.quantiles for j in judged])
    some = coverage(truth, low=band[:, 0], high=band[:, 2])
    assert some is not None
    figures: dict[str, Any] = {
        "life_error_median": float(np.median(np.concatenate(errors))),
        "rmse_raw": rmse(truth, band[:, 1]),
        "coverage_80": some.covered,
        "width_80": some.width,
        "events": len(ended),
    }
    by_age = float(np.nanmedian(ages)) if np.isfinite(ages).any() else None
    rows = [
        {"cell": cell.device, "life_cycles": j.whole, "error_median": float(np.median(error)),
         "error_q90": float(np.quantile(error, 0.9)), "way": j.way}
        for cell, j, error in zip(ended, judged, errors, strict=True)
    ]  # fmt: skip
    deliver(
        Report(
            name="battery", figures=figures, controls={"age": {"life_error_median": by_age}},
            seeds=seeds, seconds=perf_counter() - started, details={"cells": rows},
            notes=(
                f"{len(cells) - len(ended)} of {len(cells)} cells never stay at or below {END_AH} Ah",
                "life_error_median: median of |forecast - true| / life, from half of the life on",
            ),
        ),
        as_json=as_json, folder=folder,
    )  # fmt: skip


def _judge(
    catalog: Catalog, others: Sequence[History], cell: History, *, seeds: Sequence[int]
) -> _Judged:
    whole = cell.until_us / CYCLE_US
    at = _later(catalog, cell)
    ended = [o for o in others if len(o.failure_us)]
    spec = fit_spec(catalog, others, groups=GROUPS)
    frame = make_frame(catalog, spec, others)
    (mode,) = catalog.modes
    known = Slice.of(catalog, frame, others, mode=mode)
    told, _ = choose_way(catalog, spec, known, mode=mode, seeds=seeds)
    own = make_frame(catalog, spec, [cell])
    rows = np.flatnonzero(np.isin(own.at_us, at))
    if isinstance(told, Trend):
        path = path_frame(catalog, own, [cell], mode=mode)
        said = trend_hours(path, rows, mode=mode, path=told.path)
    else:
        said = life_hours(catalog, told, own, [cell], mode=mode)[rows]
    age = at / CYCLE_US
    lives = [o.until_us / CYCLE_US for o in ended]
    return _Judged(
        whole=whole,
        truth=whole - age,
        quantiles=_band(said, told.errors),
        by_age=np.maximum(np.mean(lives) - age, 0) if lives else np.full(len(age), np.nan),
        way=told.path if isinstance(told, Trend) else "learned from others",
    )


def _later(catalog: Catalog, cell: History) -> IntArray:
    """Instants from half of the life on."""
    at = instants(catalog, cell)
    return at[(at >= cell.until_us / 2) & (at < cell.until_us)]


def _band(said: FloatArray, errors: Errors | None) -> FloatArray:
    """The estimate between its 10 and 90 % quantiles; without known errors there is no telling."""
    if errors is None:
        return np.stack([np.zeros(len(said)), said, np.full(len(said), np.inf)], axis=1)
    low, high = errors.quantile(said, 0.1), errors.quantile(said, 0.9)
    return np.stack([np.minimum(low, said), said, np.maximum(high, said)], axis=1)
