"""Normal as the device's own past: for products without known conditions and limits. Pure.

`anomaly.stream` scores how surprising a window is; here that becomes the degradation of failure modes. How
surprising is enough follows from the product's budget of false alarms, not from recordings. Many devices at once:
what comes out for a window depends on its own device's windows alone, to the bit.
"""

from dataclasses import dataclass

import numpy as np

from anomaly.explain import Explanations
from anomaly.features import Layout, Windows
from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.residuals import BadSensor, Seen, steps
from anomaly.state import DeviceState, Reason
from anomaly.stream.detector import Detector
from anomaly.stream.normal import SPEEDS
from anomaly.stream.quality import CONVERSIONS, SPIKES, STUCK, UNIT
from anomaly.stream.tails import threshold_for
from anomaly.stream.watch import Seen as Watched
from anomaly.yardstick import Yardstick
from core.product import Evidence, FailureMode

LEARNED_WINDOWS_MIN = 12
QUICK = SPEEDS[0]
"""Time constant of the smoothed value, windows."""
SEEN_AT = 0.12
"""Degradation at the threshold; `anomaly.moment.RAISE_AT` is the same."""
NOTHING_BELOW = 0.06
"""Degradation below which nothing is claimed; `anomaly.moment.CLEAR_AT` is the same."""
_SENSOR: dict[int, Reason] = {STUCK: "stuck", SPIKES: "spikes", UNIT: "unit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Devices that are compared with their own past, in the order in which windows number them."""

    detector: Detector
    """Goes on with every window."""
    is_anew: BoolArray
    """Metrics whose normal is being learned anew: nothing is claimed of them; (devices, watched)."""


def learn_reference(layout: Layout, state: DeviceState, windows: Windows) -> bool:
    """Learn what is normal from the device's own first time; False when it ran too little."""
    if len(windows) < LEARNED_WINDOWS_MIN:
        return False
    state.detector = Detector.learned(_learnable(layout, windows))
    return True


def learn_anew(layout: Layout, state: DeviceState, windows: Windows, places: list[int]) -> bool:
    """Learn some metrics' normal anew, and how all hang together; False when the device ran too little."""
    if len(windows) < LEARNED_WINDOWS_MIN:
        return False
    assert state.detector is not None
    state.detector.learn_anew(_learnable(layout, windows), np.array(places))
    return True


def _learnable(layout: Layout, windows: Windows) -> FloatArray:
    values = np.where(_is_possible(layout, windows.observed), windows.observed, np.nan)
    return np.asarray(values[:, None, :])


def following_one(state: DeviceState, metrics: int) -> Following:
    """Go on with one device where its state is."""
    if state.detector is None:  # kept by a release that knew levels alone: from here on it learns
        state.detector = _taken_over(state, metrics)
    anew = [at is not None for at in state.anew_until_us or [None] * metrics]
    return Following(detector=state.detector, is_anew=np.array([anew], dtype=np.bool_))


def look_back(yard: Yardstick, windows: Windows, following: Following) -> Seen:
    """Compare windows with the past of their devices.

    Parameters
    ----------
    yard : Yardstick
    windows : Windows
    following : Following
        Of the devices that `windows.owner` numbers; goes on to after their last windows.
    """
    layout, detector = yard.layout, following.detector
    threshold = alert_threshold(layout)
    is_possible = _is_possible(layout, windows.observed)
    is_anew = following.is_anew[windows.owner]
    values = np.where(is_possible & ~is_anew, windows.observed, np.nan)
    every = _Columns(len(windows), len(layout.watched))
    for rows, devices in steps(windows.owner):
        every.take(rows, detector.step_at(devices, values[rows], hold_from=threshold))
    sizes = np.empty((len(windows), len(layout.modes)))
    for place, mode in enumerate(layout.product.failure_modes):
        sizes[:, place] = _sizes(layout, mode, every, threshold)
    learned = np.isfinite(detector.normal_.middle)[windows.owner]
    return Seen(
        windows=windows,
        normal=np.where(is_anew, np.nan, every.expected),
        stuck=np.zeros(windows.observed.shape, dtype=np.bool_),
        smooth=every.smooth,
        weight=np.ones(windows.observed.shape),
        unseen=np.zeros(windows.observed.shape, dtype=np.int64),
        excess=np.zeros((len(windows), 0)),
        spreads=every.spread,
        scores=np.abs(every.away),
        found=Explanations(
            degradation=np.where(sizes < NOTHING_BELOW, 0.0, sizes), traces=sizes, sensors={}
        ),
        bad=_bad_sensors(
            layout,
            every,
            is_missing=np.isnan(windows.observed) & learned & ~is_anew,
            is_impossible=~is_possible,
        ),
    )


def alert_threshold(layout: Layout) -> float:
    """Surprise from which on a window counts."""
    decision = layout.product.window * QUICK
    return threshold_for(layout.product.false_alarms_per_year, decision=decision)


class _Columns:
    """What windows show, row by row of `windows`; each (n, watched)."""

    def __init__(self, rows: int, metrics: int) -> None:
        shape = (rows, metrics)
        self.surprise, self.away = np.empty(shape), np.empty(shape)
        self.expected, self.spread = np.empty(shape), np.empty(shape)
        self.smooth, self.unit = np.empty(shape), np.zeros(shape)
        self.reason = np.zeros(shape, dtype=np.int64)

    def take(self, rows: IntArray, seen: Watched) -> None:
        for name, column in vars(self).items():
            column[rows] = getattr(seen, name)


def _sizes(layout: Layout, mode: FailureMode, seen: _Columns, threshold: float) -> FloatArray:
    """Degradation of one mode: what the `agree` strongest of its metrics have in common; (n,)."""
    if not mode.evidence:
        return np.zeros(len(seen.away))
    shares = []
    for e in mode.evidence:
        place = layout.watched.index(e.metric)
        away, surprise = seen.away[:, place], seen.surprise[:, place]
        share = SEEN_AT * surprise / threshold
        if e.failed_at is not None:
            reached = np.abs(away * seen.spread[:, place]) / e.failed_at
            share = np.where(surprise >= threshold, reached, 0.0)
        shares.append(np.where(np.isnan(away) | _is_wrong_way(e, away), 0.0, share))
    ranked = np.sort(np.array(shares), axis=0)
    return np.asarray(ranked[-min(mode.agree, len(shares))])


def _is_wrong_way(e: Evidence, away: FloatArray) -> BoolArray:
    if e.direction == "both":
        return np.zeros(len(away), dtype=np.bool_)
    return np.asarray(away < 0 if e.direction == "up" else away > 0)


def _is_possible(layout: Layout, observed: FloatArray) -> BoolArray:
    """Within the sheet's range, or missing; (n, watched)."""
    metrics = [layout.product.metric(name) for name in layout.watched]
    low, high = np.array([m.low for m in metrics]), np.array([m.high for m in metrics])
    return ~((observed < low) | (observed > high))


def _bad_sensors(
    layout: Layout, seen: _Columns, *, is_missing: BoolArray, is_impossible: BoolArray
) -> dict[int, dict[str, BadSensor]]:
    """By row, what is wrong with which sensor."""
    found: dict[int, dict[str, BadSensor]] = {}
    rows, places = np.nonzero((seen.reason != 0) | is_missing | is_impossible)
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        conversion = ""
        if is_missing[row, place]:
            reason: Reason = "missing"
        elif is_impossible[row, place]:
            reason = "range"
        else:
            reason = _SENSOR[int(seen.reason[row, place])]
        if reason == "unit":
            conversion = CONVERSIONS[int(seen.unit[row, place]) - 1].text
        bad = BadSensor(reason=reason, conversion=conversion)
        found.setdefault(row, {})[layout.watched[place]] = bad
    return found


def _taken_over(state: DeviceState, metrics: int) -> Detector:
    """Make a detector of levels and spreads: as if a few windows around the level had been learned."""
    reference = state.reference or state.expected or [None] * metrics
    spreads = state.reference_spread or state.spread or [None] * metrics
    level = np.array([np.nan if v is None else v for v in reference])
    spread = np.array([v or 0.0 for v in spreads])
    steps_taken = np.tile([-1.0, 0.0, 1.0, 0.0], LEARNED_WINDOWS_MIN)
    return Detector.learned((level + steps_taken[:, None] * QUICK**0.5 * spread)[:, None, :])
