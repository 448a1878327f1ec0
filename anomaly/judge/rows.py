"""Judges forecasts row by row: probabilities per horizon, intervals of remaining life. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.judge.bootstrap import Interval, intervals
from anomaly.judge.calibration import (
    Known,
    brier,
    calibration_error,
    error_of,
    known_within,
    reliability,
)
from anomaly.judge.levels import levels_of
from anomaly.judge.life import coverage, coverage_by_life
from anomaly.judge.ranking import average_precision
from anomaly.judge.report import HorizonFigures, LifeFigures
from anomaly.judge.told import Ground, Told
from anomaly.records import BoolArray, FloatArray, IntArray

_LIFE_BINS = (0.0, 24.0, 72.0, 168.0, 336.0, 720.0, 2160.0, float("inf"))
"""Hours: a day, three, a week, two, a month, a quarter."""
_NEEDED = (0.05, 0.1, 0.5, 0.9, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonRows:
    """P(failure within a horizon), and what happened; one per row."""

    horizon_hours: float
    device: IntArray
    probability: FloatArray
    happened: BoolArray
    weight: FloatArray


def horizon_rows(ground: Ground, told: Told) -> tuple[HorizonRows, ...]:
    """Lay what was said beside what happened, for each horizon; only rows of which it is known."""
    outcome, inside = ground.outcome(told), ground.inside(told)
    found = []
    for number, hours in enumerate(told.horizons_hours):
        known = known_within(outcome.hours[inside], outcome.has_failed[inside], horizon_hours=hours)
        p = told.probability[inside, number]
        kept = ~np.isnan(p) & (known.weight > 0)
        found.append(
            HorizonRows(
                horizon_hours=hours,
                device=told.device[inside][kept],
                probability=p[kept],
                happened=known.happened[kept],
                weight=known.weight[kept],
            )
        )
    return tuple(found)


def joined_horizons(parts: Sequence[Sequence[HorizonRows]]) -> tuple[HorizonRows, ...]:
    """Take the rows of several failure modes as one lot, for each horizon that all of them have."""
    by_hours = [{rows.horizon_hours: rows for rows in part} for part in parts]
    shared = [hours for hours in by_hours[0] if all(hours in part for part in by_hours)]
    return tuple(
        HorizonRows(
            horizon_hours=hours,
            device=np.concatenate([part[hours].device for part in by_hours]),
            probability=np.concatenate([part[hours].probability for part in by_hours]),
            happened=np.concatenate([part[hours].happened for part in by_hours]),
            weight=np.concatenate([part[hours].weight for part in by_hours]),
        )
        for hours in shared
    )


def horizon_figures(rows: HorizonRows) -> HorizonFigures:
    """Judge P(failure within a horizon)."""
    p, y, w = rows.probability, rows.happened, rows.weight
    rate = float(np.average(y, weights=w)) if len(p) else None
    table = reliability(p, y, w)
    return HorizonFigures(
        horizon_hours=rows.horizon_hours,
        rows=len(p),
        rows_failed=int(y.sum()),
        rate=rate,
        average_precision=average_precision(p, y, w),
        brier=brier(p, y, w),
        brier_of_rate=None if rate is None else rate * (1 - rate),
        ece=error_of(table),
        ece_equal_width=calibration_error(p, y, w, kind="width"),
        reliability=table,
    )


def horizon_intervals(ground: Ground, rows: HorizonRows) -> dict[str, Interval]:
    """Bootstrap intervals, devices drawn anew; names end in @hours."""
    devices, hours = len(ground.histories), f"{rows.horizon_hours:g}"
    known = Known(happened=rows.happened, weight=rows.weight)
    levels = levels_of(rows.probability, known, rows.device, devices=devices)

    def figures(drawn: IntArray) -> dict[str, float | None]:
        found = levels.summed(drawn)
        columns = (found.probability, found.happened, found.weight)
        return {
            f"average_precision@{hours}": average_precision(*columns),
            f"brier@{hours}": brier(*columns),
            f"ece@{hours}": calibration_error(*columns),
        }

    return intervals(figures, devices=devices, seed=ground.seed, times=ground.draws)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeRows:
    """Remaining lives of which it is known whether their intervals held."""

    device: IntArray
    truth: FloatArray
    """Hours; infinite where it outlived the interval and no failure was seen."""
    quantiles: FloatArray
    """At 5, 10, 50, 90 and 95 %, hours; shape (rows, 5)."""


def life_rows(ground: Ground, told: Told) -> LifeRows | None:
    """Choose the rows whose 95 % quantile lies within the observation; None if not all quantiles were told.

    Chosen by what was said and not by what happened: rows of lives that ended would be the short-lived
    ones. A part that was replaced before its interval ended says nothing and is left out.
    """
    if told.life_hours is None or not set(_NEEDED) <= set(told.life_shares):
        return None
    quantiles = told.life_hours[:, [told.life_shares.index(share) for share in _NEEDED]]
    outcome, high = ground.outcome(told), quantiles[:, -1]
    reached = outcome.has_failed | (outcome.hours >= high)
    kept = ground.inside(told) & (high <= ground.left_hours(told)) & reached
    truth = np.where(outcome.has_failed, outcome.hours, np.inf)
    return LifeRows(device=told.device[kept], truth=truth[kept], quantiles=quantiles[kept])


def joined_lives(parts: Sequence[LifeRows | None]) -> LifeRows | None:
    """Take the rows of several failure modes as one lot; None if one of them has none."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return LifeRows(
        device=np.concatenate([part.device for part in known]),
        truth=np.concatenate([part.truth for part in known]),
        quantiles=np.concatenate([part.quantiles for part in known]),
    )


def life_figures(rows: LifeRows) -> LifeFigures:
    """Judge intervals of remaining life."""
    q5, q10, q50, q90, q95 = rows.quantiles.T
    ninety = coverage(rows.truth, low=q5, high=q95)
    eighty = coverage(rows.truth, low=q10, high=q90)
    error = np.abs(q50 - rows.truth)[np.isfinite(rows.truth)]
    return LifeFigures(
        rows=len(rows.truth),
        coverage_80=None if eighty is None else eighty.covered,
        coverage_90=None if ninety is None else ninety.covered,
        width_90=None if ninety is None else ninety.width,
        median_error_hours=float(np.median(error)) if len(error) else None,
        by_life=coverage_by_life(rows.truth, low=q5, high=q95, middle=q50, edges=_LIFE_BINS),
    )


def life_intervals(ground: Ground, rows: LifeRows) -> dict[str, Interval]:
    """Bootstrap intervals of the coverage, devices drawn anew."""
    devices = len(ground.histories)
    every = np.bincount(rows.device, minlength=devices)
    held = {
        name: np.bincount(rows.device, weights=_held(rows, low, high), minlength=devices)
        for name, low, high in (("coverage_80", 1, 3), ("coverage_90", 0, 4))
    }

    def figures(drawn: IntArray) -> dict[str, float | None]:
        total = float(drawn @ every)
        return {name: float(drawn @ held[name]) / total if total else None for name in held}

    return intervals(figures, devices=devices, seed=ground.seed, times=ground.draws)


def _held(rows: LifeRows, low: int, high: int) -> BoolArray:
    return (rows.quantiles[:, low] <= rows.truth) & (rows.truth <= rows.quantiles[:, high])
