"""Normal as the device's own recent past: for recordings and products without known conditions. Pure.

Each metric has a reference that follows it slowly. What moves quicker than the reference stands out;
slow drift does not. While a metric stands out its reference stands still.
"""

import numpy as np

from anomaly.features import Layout, Windows
from anomaly.records import FloatArray
from anomaly.state import DeviceState

LEARNED_WINDOWS_MIN = 12
QUICK = 4.0
"""Time constant of the smoothed value, windows."""
FAILED_SPREADS = 14.0
"""Deviation that counts as failed, in spreads of the smoothed value of a healthy device."""
_HOLD_AT = 4.0
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
    for place, value in enumerate(observed):
        if not np.isfinite(value):
            continue
        reference, spread = state.reference[place] or 0.0, state.reference_spread[place] or 1.0
        residual = float(value) - reference
        smooth = state.smooth[place] or 0.0
        smooth += (residual - smooth) / QUICK
        state.smooth[place] = smooth
        state.weight[place] += 1
        scores[place] = abs(smooth) / spread
        if scores[place] < _HOLD_AT:
            state.reference[place] = reference + residual / slow
    state.observed = [None if not np.isfinite(v) else float(v) for v in observed]
    state.expected = list(state.reference)
    state.spread = list(state.reference_spread)
    known = np.nan_to_num(scores)
    degradation = {}
    for mode in layout.product.failure_modes:
        places = [layout.watched.index(e.metric) for e in mode.evidence]
        ranked = np.sort(known[places])[::-1]
        strongest = ranked[min(mode.agree, len(ranked)) - 1]
        degradation[mode.name] = max(0.0, (strongest - _HOLD_AT) / (FAILED_SPREADS - _HOLD_AT))
    return degradation, scores


def _slow(learned: int) -> float:
    """Time constant of the reference: half of the learning time."""
    return max(QUICK * 2, learned / 2)
