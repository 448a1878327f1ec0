"""Scores one window of all devices against what was learned of each. Pure.

Each metric alone, smoothed and as a cumulative sum; redundant metrics also together. Values that say more about
their sensor than about the device are kept out. While something stands out, the references of what stands out
stand still, so that a fault does not become normal while it is new.
"""

from dataclasses import dataclass, replace

import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.stream.normal import INDEPENDENT, JOINT_SPEEDS, SPEEDS, Moving, Normal, advance, count
from anomaly.stream.quality import STUCK, Noticed, inspect
from anomaly.stream.tails import (
    sum_for,
    surprise_of_ratio,
    surprise_of_spread,
    surprise_of_sum,
)

_HOLD_FROM = 1.3
"""A reference stands still if its metric has a part in it: once in twenty calm windows or less."""
_HOLD_PATIENCE = 8.0
"""It stands still for at most so many of its time constants."""
_ALONE = len(SPEEDS)
_CUT = 4.0
"""A single window counts for no more than so many of these: one wild value says little."""
_SLACK = 1.0
"""Of the cumulative sums: they are quickest for shifts of twice as much."""
_BEYOND = 1.0
"""Surprise beyond the threshold at which sums stop: what is over is soon forgotten."""
_SUM_MAX = 60.0
_SWEEPS = 3


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one window showed; all of shape (devices, metrics) but for `score`."""

    score: FloatArray
    """Surprise of the device, at least 0, higher is stranger; NaN where nothing was measured; (devices,)."""
    surprise: FloatArray
    """Each metric's part in it: its own surprise, or that of all together where it has the largest part."""
    away: FloatArray
    """Smoothed deviation from the reference, in learned spreads, with its sign; NaN where missing."""
    expected: FloatArray
    """The reference before this window, in the metric's unit."""
    spread: FloatArray
    """Spread of the smoothed deviation, in the metric's unit."""
    smooth: FloatArray
    """Smoothed deviation, in the metric's unit; what it was where missing."""
    reason: IntArray
    """What is wrong with the sensor, as in `anomaly.stream.quality`."""
    unit: FloatArray
    """Place of the unit that it seems to be told in, plus 1; 0 for its own."""


def watch(
    normal: Normal, moving: Moving, values: FloatArray, *, hold_from: float
) -> tuple[Seen, Moving]:
    """Take one window in.

    Parameters
    ----------
    normal : Normal
    moving : Moving
    values : ndarray of float64, shape (devices, metrics)
        NaN where missing.
    hold_from : float
        Surprise of a device from which on its references stand still.
    """
    single = normal.spread[0] * INDEPENDENT
    expected = normal.middle + moving.reference * normal.scale
    usable, reason, moving = _inspected(normal, moving, values, expected, single)
    counted = count(normal, usable)
    known = np.isfinite(counted)
    after = advance(moving, counted, np.zeros_like(counted), cut=_CUT * single)
    families = _ALONE + 1 + len(JOINT_SPEEDS) * normal.is_joint[:, None]
    price = np.log10(known.shape[1] * families)
    after = _summed(after, counted, single, most=hold_from + price + _BEYOND)
    away = after.smooth / normal.spread
    alone = np.concatenate(
        [
            surprise_of_spread(away, normal.freedom),
            surprise_of_sum(
                np.maximum(after.high, after.low)[None],
                normal.freedom[:1],
                slack=_SLACK,
                decision=SPEEDS[0],
            ),
        ]
    )
    own = np.maximum(alone[:_ALONE].max(axis=0), alone[-1]) - price
    surprise = np.where(known, np.maximum(own, 0.0), np.nan)
    surprise = _with_joint(normal, away[_ALONE:], surprise, known)
    score = np.where(known.any(axis=1), np.nan_to_num(surprise).max(axis=1), np.nan)
    stands_out = (score >= hold_from)[:, None] & (alone.max(axis=0) >= _HOLD_FROM)
    limit = _HOLD_PATIENCE * normal.patience
    held = np.where(stands_out, moving.held + 1, moving.held - 1)
    held = np.clip(held, 0, limit + 1)  # what has stood out for long is not held anew at once
    moved = advance(
        moving,
        counted,
        1 / normal.patience,
        cut=_CUT * single,
        is_held=stands_out & (held <= limit),
    )
    seen = Seen(
        score=score,
        surprise=surprise,
        away=np.where(known, away[0], np.nan),
        expected=expected,
        spread=normal.spread[0] * normal.scale,
        smooth=moved.smooth[0] * normal.scale,
        reason=reason,
        unit=moved.unit,
    )
    return seen, replace(moved, held=held, high=after.high, low=after.low)


def _inspected(
    normal: Normal, moving: Moving, values: FloatArray, expected: FloatArray, single: FloatArray
) -> tuple[FloatArray, IntArray, Moving]:
    """Keep out what says more about its sensor; of one that is stuck nothing stays."""
    noticed = Noticed(
        last=moving.last,
        same=moving.same,
        far=moving.far,
        spikes=moving.spikes,
        unit=moving.unit,
    )
    usable, reason, noticed = inspect(
        values, noticed, normal=expected, spread=single * normal.scale, still=normal.still
    )
    moved = replace(
        moving,
        last=noticed.last,
        same=noticed.same,
        far=noticed.far,
        spikes=noticed.spikes,
        unit=noticed.unit,
    )
    is_stuck = reason == STUCK
    if is_stuck.any():
        moved.smooth = np.where(is_stuck, 0.0, moved.smooth)
        moved.high = np.where(is_stuck, 0.0, moved.high)
        moved.low = np.where(is_stuck, 0.0, moved.low)
    return usable, reason, moved


def _summed(moving: Moving, counted: FloatArray, single: FloatArray, *, most: FloatArray) -> Moving:
    """Add one window to the cumulative sums; they stop where the surprise is `most`."""
    stop = np.minimum(sum_for(most, slack=_SLACK, decision=SPEEDS[0]), _SUM_MAX)
    away = np.clip((counted - moving.reference) / single, -_CUT, _CUT)
    away = np.where(np.isfinite(away), away, 0.0)
    rest = np.where(np.isfinite(counted), _SLACK, 0.0)
    return replace(
        moving,
        high=np.clip(moving.high + away - rest, 0.0, stop),
        low=np.clip(moving.low - away - rest, 0.0, stop),
    )


def _with_joint(
    normal: Normal, away: FloatArray, surprise: FloatArray, known: BoolArray
) -> FloatArray:
    """Give the metric that has the largest part in the joint distance its surprise."""
    joint = np.flatnonzero(normal.is_joint)
    if not len(joint):
        return surprise
    number = surprise.shape[1]
    precision = normal.precision[:, joint]
    parts = _parts(_filled(away[:, joint], precision, known[joint]), precision)
    ratio = _added(parts) / normal.joint_scale[:, joint]
    families = np.log10(_ALONE + 1 + len(JOINT_SPEEDS))
    together = surprise_of_ratio(ratio, number, normal.joint_freedom[:, joint]) - families
    speed = np.argmax(together, axis=0)
    place = np.arange(len(joint))
    shares = np.where(np.isfinite(surprise[joint]), parts[speed, place], -np.inf)
    top = np.argmax(shares, axis=1)
    raised = surprise.copy()
    raised[joint, top] = np.fmax(raised[joint, top], together[speed, place])
    return raised


def _filled(away: FloatArray, precision: FloatArray, known: BoolArray) -> FloatArray:
    """Let metrics that are not known be what the others say of them: they then add no distance."""
    unknown = np.flatnonzero(~known.all(axis=0))
    if not len(unknown):
        return away
    filled = away.copy()
    for _ in range(_SWEEPS if len(unknown) > 1 else 1):
        for metric in unknown:
            own = precision[:, :, metric, metric]
            others = _added(precision[:, :, metric] * filled) - own * filled[:, :, metric]
            told = -others / own
            filled[:, :, metric] = np.where(known[:, metric], filled[:, :, metric], told)
    return filled


def _parts(away: FloatArray, precision: FloatArray) -> FloatArray:
    """Each metric's part in the squared distance; sums run in one order, however many devices there are."""
    total = np.zeros_like(away)
    for metric in range(away.shape[2]):
        total += precision[:, :, :, metric] * away[:, :, metric, None]
    return np.asarray(away * total)


def _added(values: FloatArray) -> FloatArray:
    """Sum over the last axis, one after the other."""
    total = np.zeros(values.shape[:-1])
    for metric in range(values.shape[-1]):
        total += values[..., metric]
    return total
