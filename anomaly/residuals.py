"""How far windows are from what is expected: residuals, smoothed from window to window. Pure.

Many devices at once, as arrays. What comes out for a window depends on its own device's windows
alone: only operations element by element, and sums in a fixed order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from anomaly.baseline import SMOOTHING_WINDOWS
from anomaly.explain import Explanations, explain_all
from anomaly.features import Windows
from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.state import Reason
from anomaly.yardstick import Yardstick

UNSEEN_MAX = 24
"""Windows after which a metric without values is a missing one."""
_EXCESS_WIDENS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSensor:
    """What is wrong with a sensor, where that is known before anything is explained."""

    reason: Reason
    conversion: str = ""
    """How its values come from those of its own unit, as a formula."""


@dataclass(slots=True, kw_only=True)
class Carried:
    """What smoothing carries from window to window; one column per device. Changed in place."""

    smooth: FloatArray
    """Smoothed residual; (watched, devices)."""
    weight: FloatArray
    """Windows that it is worth; (watched, devices)."""
    unseen: IntArray
    """Windows since a value was usable; (watched, devices)."""
    excess: FloatArray
    """Smoothed excess of the conditions; (conditions, devices)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What each window shows; rows as in `windows`."""

    windows: Windows
    normal: FloatArray
    """Expected value of each watched metric of this device; (n, watched)."""
    stuck: BoolArray
    """The metric or condition does not move, and healthy ones do; (n, watched + conditions)."""
    smooth: FloatArray
    weight: FloatArray
    unseen: IntArray
    excess: FloatArray
    """What smoothing carries after the window; (n, watched), (n, conditions)."""
    spreads: FloatArray
    """Standard deviation of the smoothed residual of a healthy device; (n, watched)."""
    scores: FloatArray
    """Smoothed residual in spreads, NaN where the metric is missing; (n, watched)."""
    found: Explanations
    bad: Mapping[int, Mapping[str, BadSensor]] = field(default_factory=dict)
    """By row and metric or condition."""

    def of(self, place: int) -> "Seen":
        """Return one device's own."""
        first, last = np.searchsorted(self.windows.owner, [place, place + 1])
        rows = slice(first, last)
        arrays = {
            name: getattr(self, name)[rows]
            for name in (
                "normal",
                "stuck",
                "smooth",
                "weight",
                "unseen",
                "excess",
                "spreads",
                "scores",
            )
        }
        return Seen(
            windows=self.windows.of(place),
            found=self.found.between(first, last),
            bad={row - first: bad for row, bad in self.bad.items() if first <= row < last},
            **arrays,
        )

    @property
    def ends(self) -> IntArray:
        return self.windows.index + 1


def look(
    yard: Yardstick,
    windows: Windows,
    *,
    expected: FloatArray,
    offsets: FloatArray,
    carried: Carried,
) -> Seen:
    """Smooth and explain windows.

    Parameters
    ----------
    yard : Yardstick
        With a baseline.
    windows : Windows
    expected : ndarray, shape (n, watched)
        What the fleet's baseline expects of each window.
    offsets : ndarray, shape (devices, watched)
    carried : Carried
        Of the devices that `windows.owner` numbers; goes on to after their last windows.
    """
    assert yard.baseline is not None
    normal = yard.baseline.normal(expected, offsets[windows.owner])
    stuck = windows.flat & yard.never_flat
    residuals = windows.observed - normal
    usable = ~np.isnan(residuals) & ~_blind(yard, stuck)
    smooth, weight, unseen, excess = _smooth(
        windows, carried, residuals=np.ascontiguousarray(residuals.T), usable=usable.T
    )
    deviations = np.where(weight > 0, smooth, np.nan)
    spreads = _spreads(yard, weight, excess)
    scores = np.abs(deviations) / spreads
    return Seen(
        windows=windows,
        normal=normal,
        stuck=stuck,
        smooth=smooth.T,
        weight=weight.T,
        unseen=unseen.T,
        excess=excess.T,
        spreads=spreads.T,
        scores=scores.T,
        found=explain_all(yard.patterns, deviations.T, spreads.T),
    )


def _blind(yard: Yardstick, stuck: BoolArray) -> BoolArray:
    """Metrics that are stuck or lean on a condition that is; (n, watched)."""
    number = len(yard.layout.watched)
    found = stuck[:, :number].copy()
    for place, leans in enumerate(yard.leans):
        for condition in leans:
            found[:, place] |= stuck[:, number + condition]
    return found


def _smooth(
    windows: Windows, carried: Carried, *, residuals: FloatArray, usable: BoolArray
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
    """Go through the windows of all devices side by side: the first of each, the second of each, …"""
    new_excess = np.ascontiguousarray(windows.excess.T)
    smooth, weight = np.empty_like(residuals), np.empty_like(residuals)
    unseen = np.empty(residuals.shape, dtype=np.int64)
    excess = np.empty_like(new_excess)
    for rows, devices in steps(windows.owner):
        used = usable[:, rows]
        before, old = carried.weight[:, devices], carried.smooth[:, devices]
        heavier = 1 + before * (1 - 1 / SMOOTHING_WINDOWS)
        gone = carried.unseen[:, devices] + 1
        smooth[:, rows] = np.where(used, old + (residuals[:, rows] - old) / heavier, old)
        weight[:, rows] = np.where(used, heavier, np.where(gone >= UNSEEN_MAX, 0.0, before))
        unseen[:, rows] = np.where(used, 0, gone)
        value, former = new_excess[:, rows], carried.excess[:, devices]
        excess[:, rows] = np.where(
            np.isnan(value), former, former + (value - former) / SMOOTHING_WINDOWS
        )
        carried.smooth[:, devices], carried.weight[:, devices] = smooth[:, rows], weight[:, rows]
        carried.unseen[:, devices], carried.excess[:, devices] = unseen[:, rows], excess[:, rows]
    return smooth, weight, unseen, excess


def steps(owner: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows and devices of all first windows, of all second windows, and so on."""
    if not len(owner):
        return
    starts = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    counts = np.diff(starts, append=len(owner))
    # Longest first: the devices that have a window left are then always the first ones.
    order = np.argsort(-counts, kind="stable")
    starts, lengths = starts[order], counts[order]
    for step in range(int(lengths[0])):
        rows = starts[: np.searchsorted(-lengths, -step, side="left")] + step
        yield rows, owner[rows]


def _spreads(yard: Yardstick, weight: FloatArray, excess: FloatArray) -> FloatArray:
    """Widen the spread where conditions are new or values few; (watched, n)."""
    widths = np.ones_like(weight)
    for place, leans in enumerate(yard.leans):
        has_value = weight[place] > 0
        few = np.sqrt(np.maximum(1.0, SMOOTHING_WINDOWS / np.where(has_value, weight[place], 1.0)))
        outside = np.zeros(weight.shape[1])
        if leans:
            outside = np.maximum.reduce([excess[c] for c in leans])
        widths[place] = np.where(has_value, (1 + _EXCESS_WIDENS * outside) * few, 1.0)
    return np.hypot(yard.sigma_smooth[:, None] * widths, yard.patterns.unmodelled[:, None])
