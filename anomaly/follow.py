"""Normal as the device's own past: for products without known conditions and limits. Pure.

`anomaly.stream` scores how surprising a window is; here that becomes the degradation of failure modes. How
surprising is enough follows from the product's budget of false alarms, not from recordings.
"""

import numpy as np

from anomaly.features import Layout, Windows
from anomaly.records import FloatArray
from anomaly.state import DeviceState
from anomaly.stream.detector import Detector
from anomaly.stream.normal import SPEEDS
from anomaly.stream.tails import threshold_for
from anomaly.stream.watch import Seen
from core.product import Evidence, FailureMode

LEARNED_WINDOWS_MIN = 12
QUICK = SPEEDS[0]
"""Time constant of the smoothed value, windows."""
SEEN_AT = 0.12
"""Degradation at the threshold; `anomaly.moment.RAISE_AT` is the same."""


def learn_reference(state: DeviceState, windows: Windows) -> bool:
    """Learn what is normal from the device's own first time; False when it ran too little."""
    if len(windows) < LEARNED_WINDOWS_MIN:
        return False
    state.detector = Detector.learned(windows.observed[:, None, :])
    return True


def follow_window(
    layout: Layout, state: DeviceState, observed: FloatArray
) -> tuple[dict[str, float], FloatArray]:
    """Score one window; returns the degradation per mode, and per metric how many spreads it is away."""
    threshold = alert_threshold(layout)
    if state.detector is None:  # kept by a release that knew levels alone: from here on it learns
        state.detector = _taken_over(state, len(observed))
    seen = state.detector.step(observed[None, :], hold_from=threshold)
    away = seen.away[0]
    state.expected, state.spread = _listed(seen.expected[0]), _listed(seen.spread[0])
    state.reference, state.reference_spread = state.expected, state.spread
    state.smooth = _listed(np.where(np.isfinite(away), away * seen.spread[0], np.nan), state.smooth)
    state.observed = _listed(observed)
    sizes = {
        mode.name: _size(layout, mode, seen, threshold) for mode in layout.product.failure_modes
    }
    return sizes, np.abs(away)


def alert_threshold(layout: Layout) -> float:
    """Surprise from which on a window counts."""
    decision = layout.product.window * QUICK
    return threshold_for(layout.product.false_alarms_per_year, decision=decision)


def _size(layout: Layout, mode: FailureMode, seen: Seen, threshold: float) -> float:
    """Degradation of one mode: what the `agree` strongest of its metrics have in common."""
    shares = []
    for e in mode.evidence:
        place = layout.watched.index(e.metric)
        away = float(seen.away[0, place])
        if np.isnan(away) or _is_wrong_way(e, away):
            shares.append(0.0)
            continue
        surprise = float(seen.surprise[0, place])
        share = SEEN_AT * surprise / threshold
        if e.failed_at is not None:
            is_seen = surprise >= threshold
            share = abs(away * float(seen.spread[0, place])) / e.failed_at if is_seen else 0.0
        shares.append(share)
    ranked = sorted(shares, reverse=True)
    return ranked[min(mode.agree, len(ranked)) - 1] if ranked else 0.0


def _is_wrong_way(e: Evidence, away: float) -> bool:
    return (e.direction == "up" and away < 0) or (e.direction == "down" and away > 0)


def _taken_over(state: DeviceState, metrics: int) -> Detector:
    """Make a detector of levels and spreads: as if a few windows around the level had been learned."""
    level = np.array([np.nan if v is None else v for v in state.reference] or [np.nan] * metrics)
    spread = np.array([v or 0.0 for v in state.reference_spread] or [0.0] * metrics)
    steps = np.tile([-1.0, 0.0, 1.0, 0.0], LEARNED_WINDOWS_MIN)
    return Detector.learned((level + steps[:, None] * QUICK**0.5 * spread)[:, None, :])


def _listed(values: FloatArray, before: list[float | None] | None = None) -> list[float | None]:
    """Values for JSON: None, or what was before, where there is none."""
    filled = before or [None] * len(values)
    pairs = zip(values.tolist(), filled, strict=True)
    return [value if np.isfinite(value) else last for value, last in pairs]
