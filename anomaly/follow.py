"""Normal as the device's own recent past: for recordings and products without known conditions. Pure.

Each metric has a reference that follows it slowly. What moves quicker than the reference stands out;
slow drift does not. While a metric stands out its reference stands still.

Two speeds look at it. The quick one, a short exponential mean, believes a large deviation at once.
The lasting one, the median of the last minutes, believes a small deviation that stays, and is blind
to a dip that is over before half of them: everyday disturbances are short, faults are not.
"""

from statistics import median

import numpy as np

from anomaly.features import Layout, Windows
from anomaly.records import FloatArray
from anomaly.state import DeviceState
from core.product import Evidence, FailureMode

LEARNED_WINDOWS_MIN = 12
QUICK = 8.0
"""Time constant of the smoothed value, windows."""
LASTING_SHARE = 0.8
"""The lasting view looks back over this share of the learning time."""
FAILED_SPREADS = 14.0
"""Deviation that counts as failed, in spreads of the smoothed value of a healthy device."""
QUICK_WEIGHT, LASTING_WEIGHT = 0.3, 1.6
"""What one spread of the quick and of the lasting view counts: a mode is seen from 19 quick or 3.5
lasting ones. docs/explanation/forecasts.md has the margins on real recordings."""
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
    _learn_lasting(state, windows, floor=floor / 2)
    return True


def _learn_lasting(state: DeviceState, windows: Windows, *, floor: FloatArray) -> None:
    """Learn how far the median of the last windows strays from the reference in healthy time."""
    slow = state.offsets[0] or 1.0
    length = _lasting(slow)
    state.recent, state.lasting_spread = [], []
    for place in range(windows.observed.shape[1]):
        values = windows.observed[:, place]
        values = values[np.isfinite(values)]
        residuals = np.zeros(len(values))
        reference = float(values[0]) if len(values) else 0.0
        strayed = []
        for row, value in enumerate(values):
            residuals[row] = value - reference
            reference += residuals[row] / slow
            strayed.append(float(np.median(residuals[max(0, row + 1 - length) : row + 1])))
        settled = strayed[length // 2 :]
        spread = float(np.std(settled)) if settled else 0.0
        state.lasting_spread.append(max(spread, float(floor[place])))
        state.recent.append([float(v) for v in values[-length:]])


def _lasting(slow: float) -> int:
    """Windows of the lasting view; `slow` is half of the learned windows."""
    return max(3, round(2 * slow * LASTING_SHARE))


def follow_window(
    layout: Layout, state: DeviceState, observed: FloatArray
) -> tuple[dict[str, float], FloatArray]:
    """Score one window; returns the degradation per mode and the score per metric."""
    slow = state.offsets[0] or 1.0
    length = _lasting(slow)
    scores = np.full(len(observed), np.nan)
    counted = np.zeros(len(observed))
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
        lasting = 0.0
        if harm := layout.harm[place]:
            recent = [*state.recent[place], float(value)][-length:]
            state.recent[place] = recent
            lasting = (median(recent) - reference) / state.lasting_spread[place]
        counted[place] = _counted(quick=smooth / spread, lasting=lasting, harm=harm)
        # What stands out for long has become normal: `weight` counts the windows of standing out.
        stands_out = _stands_out(layout, place, smooth, float(scores[place]), counted[place])
        state.weight[place] = state.weight[place] + 1 if stands_out else 0.0
        if not 0 < state.weight[place] <= HOLD_SLOW * slow:
            state.reference[place] = reference + residual / slow
    state.observed = [None if not np.isfinite(v) else float(v) for v in observed]
    state.spread = list(state.reference_spread)
    sizes = [_size(layout, state, mode, scores, counted) for mode in layout.product.failure_modes]
    names = [mode.name for mode in layout.product.failure_modes]
    return dict(zip(names, sizes, strict=True)), scores


def _counted(*, quick: float, lasting: float, harm: int) -> float:
    """Return the stronger of the two views, with its sign, in spreads that count.

    A small deviation that stays is believed only in the direction that means harm; where both mean
    it (`harm` 0), everyday wandering cannot be told from a fault, and only a large one counts.
    """
    lasting = lasting * LASTING_WEIGHT if lasting * harm > 0 else 0.0
    return max(quick * QUICK_WEIGHT, lasting, key=abs)


def _stands_out(layout: Layout, place: int, away: float, score: float, counted: float) -> bool:
    """Whether a metric is so far away that it would count in some mode."""
    return any(_share(e, away, score, counted) > _HOLD_SHARE for e in layout.evidence_of[place])


def _share(e: Evidence, away: float, score: float, counted: float) -> float:
    """How far one metric has gone towards what counts as failed.

    `away` and `score` are the quick view's deviation in the metric's unit and in spreads; `counted`
    is both views' in spreads, and is used where nobody knows at which deviation it has failed.
    """
    if e.failed_at is None:
        if _is_wrong_way(e, counted) or abs(counted) < _HOLD_AT:
            return 0.0
        return (abs(counted) - _HOLD_AT) / (FAILED_SPREADS - _HOLD_AT)
    if _is_wrong_way(e, away) or score < _HOLD_AT:
        return 0.0
    return abs(away) / e.failed_at


def _is_wrong_way(e: Evidence, away: float) -> bool:
    return (e.direction == "up" and away < 0) or (e.direction == "down" and away > 0)


def _size(
    layout: Layout, state: DeviceState, mode: FailureMode, scores: FloatArray, counted: FloatArray
) -> float:
    """Degradation of one mode: what the `agree` strongest of its metrics have in common."""
    shares = []
    for e in mode.evidence:
        place = layout.watched.index(e.metric)
        score = float(scores[place])
        known = np.isfinite(score)
        away = state.smooth[place] or 0.0
        shares.append(_share(e, away, score, float(counted[place])) if known else 0.0)
    ranked = sorted(shares, reverse=True)
    return ranked[min(mode.agree, len(ranked)) - 1] if ranked else 0.0


def _slow(learned: int) -> float:
    """Time constant of the reference: half of the learning time."""
    return max(QUICK * 2, learned / 2)
