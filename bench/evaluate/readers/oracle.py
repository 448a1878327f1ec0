"""What a forecaster would say that is told the true wear of every part, and by which law parts of its kind wear.

Nobody can do better from the state alone: it knows when wear began, how far it has gone and how lives of this kind
scatter, not how this one goes on. What is left of its error is left to chance.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.history import Catalog
from anomaly.learn.outlook import HORIZONS_HOURS
from anomaly.records import LIFE_SHARES, FloatArray, IntArray
from bench.evaluate.readers.fleet import Truth
from firmware_sim.long_run import HEALTHY_SHARE, Habit, Spread
from firmware_sim.plan import Failure

_US = 1_000_000
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_POINTS = 15
"""Of each of the two things that it does not know about a part: its shape and its strength."""
_normal = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
_progress = np.linspace(1e-4, 1.0, 4000)
_CLAIMS = [STATUSES.index(name) for name in ("ok", "declining")]
_OK, _DECLINING = _CLAIMS


def oracle_track(catalog: Catalog, track: Track, truth: Truth, habits: Sequence[Habit]) -> Track:
    """Return a device's track with the oracle's chances and lives wherever the first layer claimed something."""
    status, p_fail, life = track.status.copy(), track.p_fail.copy(), track.life_hours.copy()
    at_s = track.made_us // _US
    for habit in habits:
        place = catalog.modes.index(habit.mode.name)
        claims = np.isin(track.status[:, place], _CLAIMS)
        status[claims, place], life[claims, place] = _OK, np.inf
        p_fail[claims, place] = _unworn(habit, truth, at_s[claims])
        for failure in truth.machine.failures:
            rows = claims & (at_s > failure.onset_s) & (at_s < failure.fails_s)
            if failure.mode != habit.mode.name or not rows.any():
                continue
            wear = truth.wear(habit.mode.name, track.made_us[rows])
            chance, lives = _worn(habit, failure, wear, at_s[rows])
            p_fail[rows, place], life[rows, place] = chance, lives
            status[rows, place] = _DECLINING
    return replace(track, status=status, p_fail=p_fail, life_hours=life)


def _worn(
    habit: Habit, failure: Failure, wear: FloatArray, at_s: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Chance within each horizon, (n, 3), and quantiles of remaining life in hours, (n, 5), of a part that wears."""
    age = (at_s - failure.onset_s)[:, None] / _DAY_S
    shape = np.repeat(np.exp(Spread.SHAPE * _normal), _POINTS)
    strength = np.tile(np.exp(Spread.STRENGTH * _normal), _POINTS)
    known = habit.mode.law(_progress)
    ratio = np.minimum(np.maximum(wear, 1e-6)[:, None] / strength, 1.0)
    done = np.interp(ratio, known, _progress)  # progress to the power of the shape
    whole = age * done ** (-1 / shape)
    steep = np.interp(done, _progress, np.gradient(known, _progress)) * strength
    off = np.log(whole / habit.warning_days) / Spread.WARNING
    # The density of whole, times how much whole changes per change of wear at this age.
    weight = np.exp(-0.5 * off**2) / np.maximum(steep * shape * done, 1e-12)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    left = np.maximum(whole - age, 0.0) * (_DAY_S / _HOUR_S)
    chance = np.stack([(weight * (left <= hours)).sum(axis=1) for hours in HORIZONS_HOURS], axis=1)
    order = np.argsort(left, axis=1)
    passed = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    ranked = np.take_along_axis(left, order, axis=1)
    rows = np.arange(len(left))
    lives = [
        ranked[rows, np.minimum((passed < share).sum(axis=1), left.shape[1] - 1)]
        for share in LIFE_SHARES
    ]
    return chance, np.stack(lives, axis=1)


def _unworn(habit: Habit, truth: Truth, at_s: IntArray) -> FloatArray:
    """Chance within each horizon of a part that shows no sign yet: it would have to begin and fail within it; (n, 3)."""
    new_s = np.full(len(at_s), truth.unit.delivered_s, dtype=np.int64)
    for failure in truth.machine.failures:
        if failure.mode == habit.mode.name and failure.repaired_s is not None:
            new_s = np.where(at_s >= failure.repaired_s, failure.repaired_s, new_s)
    scale = habit.life_years * 365.25
    age = np.maximum((at_s - new_s) / _DAY_S, 1.0) / scale
    per_day = (1 - HEALTHY_SHARE) * habit.life_shape / scale * age ** (habit.life_shape - 1)
    columns = []
    for hours in HORIZONS_HOURS:
        days = np.linspace(0.0, hours / 24, 200)[1:]
        quick = np.where(
            days < Spread.WARNING_DAYS_MIN,
            0.0,
            ndtr(np.log(days / habit.warning_days) / Spread.WARNING),
        )
        columns.append(-np.expm1(-per_day * quick.mean() * hours / 24))
    return np.stack(columns, axis=1)
