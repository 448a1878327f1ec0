"""Scores one window of all devices against what was learned of each. Pure.

Each metric alone, smoothed; redundant metrics also together. While something stands out, the references
of what stands out stand still, so that a fault does not become normal while it is new.
"""

from dataclasses import dataclass

import numpy as np

from anomaly.records import FloatArray
from anomaly.stream.normal import JOINT_SPEEDS, SPEEDS, Moving, Normal, advance, count
from anomaly.stream.tails import surprise_of_ratio, surprise_of_spread

_HOLD_FROM = 1.3
"""A reference stands still if its metric has a part in it: once in twenty calm windows or less."""
_HOLD_PATIENCE = 8.0
"""It stands still for at most so many of its time constants."""
_ALONE = len(SPEEDS)


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
    counted = count(normal, values)
    known = np.isfinite(counted)
    after = advance(moving, counted, np.zeros_like(counted))
    away = after.smooth / normal.spread
    alone = surprise_of_spread(away, normal.freedom)
    families = _ALONE + len(JOINT_SPEEDS) * normal.is_joint
    own = alone[:_ALONE].max(axis=0) - np.log10(known.shape[1] * families)[:, None]
    surprise = np.where(known, np.maximum(own, 0.0), np.nan)
    surprise = _with_joint(normal, away[_ALONE:], surprise, families)
    score = np.where(known.any(axis=1), np.nan_to_num(surprise).max(axis=1), np.nan)
    stands_out = (score >= hold_from)[:, None] & (alone.max(axis=0) >= _HOLD_FROM)
    limit = _HOLD_PATIENCE * normal.patience
    held = np.where(stands_out, moving.held + 1, moving.held - 1)
    held = np.clip(held, 0, limit + 1)  # what has stood out for long is not held anew at once
    moved = advance(moving, counted, 1 / normal.patience, is_held=stands_out & (held <= limit))
    seen = Seen(
        score=score,
        surprise=surprise,
        away=np.where(known, away[0], np.nan),
        expected=normal.middle + moving.reference * normal.scale,
        spread=normal.spread[0] * normal.scale,
    )
    return seen, Moving(reference=moved.reference, smooth=moved.smooth, held=held)


def _with_joint(
    normal: Normal, away: FloatArray, surprise: FloatArray, families: FloatArray
) -> FloatArray:
    """Give the metric that has the largest part in the joint distance its surprise."""
    joint = np.flatnonzero(normal.is_joint)
    if not len(joint):
        return surprise
    number = surprise.shape[1]
    parts = np.einsum("sdm,sdmn,sdn->sdm", away, normal.precision, away)
    ratio = parts.sum(axis=2) / normal.joint_scale
    together = surprise_of_ratio(ratio, number, normal.joint_freedom) - np.log10(families)
    speed = np.argmax(together, axis=0)[joint]
    shares = np.where(np.isfinite(surprise[joint]), parts[speed, joint], -np.inf)
    top = np.argmax(shares, axis=1)
    raised = surprise.copy()
    raised[joint, top] = np.fmax(raised[joint, top], together[speed, joint])
    return raised
