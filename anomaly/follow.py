"""Normal as the device's own recent past: for recordings and products without known conditions. Pure.

Each metric has a reference that follows it slowly. What moves quicker than the reference stands out;
slow drift does not. While a metric stands out its reference stands still.
"""

import numpy as np

from anomaly.features import Layout, Windows
from anomaly.records import FloatArray
from anomaly.state import DeviceState
from core.product import Evidence, FailureMode

LEARNED_WINDOWS_MIN = 12
QUICK = 8.0
"""Time constant of the smoothed value, windows."""
FAILED_SPREADS = 14.0
"""Deviation that counts as failed, in spreads of the smoothed value of a healthy device."""
_HOLD_AT = 4.5
_HOLD_SHARE = 0.06
HOLD_SLOW = 3.0
"""A reference stands still for at most so many of its time constants."""
_RELATIVE_FLOOR = 0.002


def learn_reference(state: DeviceState, windows: Windows) -> bool:
    """Learn level and spread from the device's own first time; False when it ran too little."""
    if len(windows) < LEARNED_WINDOWS_MIN:
        return False
    slow = _slow(len(windows))
    levels = np.nanmedian(windows.observed, axis=0)
    smooth, reference = np.zeros(len(levels)), np.array(windows.observed[0])
    reference = np.where(np.isfinite(reference), reference, levels)
    away = np.full(windows.observed.shape, np.nan)
    for row, observed in enumerate(windows.observed):
        residual = np.where(np.isfinite(observed), observed - reference, smooth)
        smooth = smooth + (residual - smooth) / QUICK
        reference = reference + np.where(np.isfinite(observed), residual / slow, 0.0)
        away[row] = smooth
    spread = np.nanstd(away[len(away) // 8 :], axis=0)
    floor = _RELATIVE_FLOOR * np.abs(levels) + 1e-12
    state.reference = [float(v) for v in reference]
    state.reference_spread = [float(v) for v in np.maximum(spread, floor)]
    state.offsets = [slow]
    return True


def follow_window(
    layout: Layout, state: DeviceState, observed: FloatArray
) -> tuple[dict[str, float], FloatArray]:
    """Score one window; returns the degradation per mode and the score per metric."""
    slow = state.offsets[0] or 1.0
    scores = np.full(len(observed), np.nan)
    state.expected = list(state.reference)
    for place, value in enumerate(observed):
        if not np.isfinite(value):
            continue
        reference, spread = state.reference[place] or 0.0, state.reference_spread[place] or 1.0
        residual = float(value) - reference
        smooth = state.smooth[place] or 0.0
        smooth += (residual - smooth) / QUICK
        state.smooth[place] = smooth
        scores[place] = abs(smooth) / spread
        # What stands out for long has become normal: `weight` counts the windows of standing out.
        stands_out = _stands_out(layout, place, smooth, float(scores[place]))
        state.weight[place] = state.weight[place] + 1 if stands_out else 0.0
        if not 0 < state.weight[place] <= HOLD_SLOW * slow:
            state.reference[place] = reference + residual / slow
    state.observed = [None if not np.isfinite(v) else float(v) for v in observed]
    state.spread = list(state.reference_spread)
    sizes = [_size(layout, state, mode, scores) for mode in layout.product.failure_modes]
    names = [mode.name for mode in layout.product.failure_modes]
    return dict(zip(names, sizes, strict=True)), scores


def _stands_out(layout: Layout, place: int, away: float, score: float) -> bool:
    """Whether a metric is so far away that it would count in some mode."""
    return any(_share(e, away, score) > _HOLD_SHARE for e in layout.evidence_of[place])


def _share(e: Evidence, away: float, score: float) -> float:
    """How far one metric has gone towards what counts as failed."""
    is_wrong_way = (e.direction == "up" and away < 0) or (e.direction == "down" and away > 0)
    if is_wrong_way or score < _HOLD_AT:
        return 0.0
    if e.failed_at is None:
        return (score - _HOLD_AT) / (FAILED_SPREADS - _HOLD_AT)
    return abs(away) / e.failed_at


def _size(layout: Layout, state: DeviceState, mode: FailureMode, scores: FloatArray) -> float:
    """Degradation of one mode: what the `agree` strongest of its metrics have in common."""
    shares = []
    for e in mode.evidence:
        place = layout.watched.index(e.metric)
        score = float(scores[place])
        known = np.isfinite(score)
        shares.append(_share(e, state.smooth[place] or 0.0, score) if known else 0.0)
    ranked = sorted(shares, reverse=True)
    return ranked[min(mode.agree, len(ranked)) - 1] if ranked else 0.0


def _slow(learned: int) -> float:
    """Time constant of the reference: half of the learning time."""
    return max(QUICK * 2, learned / 2)
