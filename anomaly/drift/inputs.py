"""Has what a metric shows moved away from what it showed while it was learned? Pure.

Two questions, and both must say yes: have the values moved by enough to matter (population stability
index over tenths of the reference, and more than scoring allows for), and do the devices agree about it
(sign test over devices, on level and on spread)? Windows of one device are no independent cases, so they
alone could prove anything.

References
----------
Siddiqi (2006), Credit Risk Scorecards, Wiley, for the index and its usual limits 0.1 and 0.25.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from anomaly.records import FloatArray

MOVED = 0.25
"""Index from which on a distribution counts as another one."""
SETTLED = 0.1
"""Index below which what had moved counts as back."""
WINDOWS_MIN = 24
"""Of a device, on each side, below which it has no vote."""
MISTAKE_MAX = 0.01
"""Chance that devices agree by chance alone, over all metrics of one look."""
_BINS = 10

State = Literal["steady", "drifted", "unclear"]
Kind = Literal["metric", "condition", "calibration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric of one device: while it was learned, and lately. Unknown values are left out."""

    reference: FloatArray
    recent: FloatArray

    @property
    def has_vote(self) -> bool:
        return min(len(self.reference), len(self.recent)) >= WINDOWS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far a metric has moved, over all devices."""

    index: float
    """Population stability index; 0: nothing has moved."""
    shift: float
    """Median over devices of how far their medians have moved, in the metric's unit."""
    spread_ratio: float
    """Median over devices of how much wider their middle half is now."""
    width: float
    """Median over devices of how wide their middle half was while learning, in the metric's unit."""
    devices: int
    """That have a vote."""
    agree: int
    """Of them, those that moved in the direction of the majority, or widened, whichever is clearer."""
    chance: float
    """That so many agree by chance alone."""

    @property
    def size(self) -> float:
        """How far level or edges have moved, whichever is more, in the metric's unit."""
        return max(abs(self.shift), abs(self.spread_ratio - 1) * self.width / 2)


def shift_of(pairs: Sequence[Pair]) -> Shift | None:
    """Compare a metric's windows; None where no device has enough of them."""
    voters = [pair for pair in pairs if pair.has_vote]
    if not voters:
        return None
    level = np.array([np.median(p.recent) - np.median(p.reference) for p in voters])
    spread = np.array([np.log(_width(p.recent) / _width(p.reference)) for p in voters])
    agree, chance = min((_votes(level), _votes(spread)), key=lambda vote: vote[1])
    return Shift(
        index=stability_index(
            np.concatenate([p.reference for p in voters]),
            np.concatenate([p.recent for p in voters]),
        ),
        shift=float(np.median(level)),
        spread_ratio=float(np.exp(np.median(spread))),
        width=float(np.median([_width(p.reference) for p in voters])),
        devices=len(voters),
        agree=agree,
        chance=chance,
    )


def stability_index(reference: FloatArray, recent: FloatArray) -> float:
    """Sum over tenths of the reference of (q - p) log(q / p); p and q are shares of both.

    Half a value is added to each tenth, so that an empty one is not infinitely far away.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = []
    for values in (reference, recent):
        number = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append((number + 0.5) / (len(values) + 0.5 * (len(edges) + 1)))
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def state_of(
    shift: Shift | None, *, before: State | None, metrics: int, tolerated: float = 0.0
) -> State:
    """Decide whether a metric has drifted.

    Parameters
    ----------
    before : str or None
        Its state at the look before: what has drifted stays so until it is clearly back.
    metrics : int
        Looked at together.
    tolerated : float
        Of the shift, in the metric's unit: what scoring allows for anyway, seasons and slow ageing.
    """
    if shift is None or not can_tell(shift.devices, metrics=metrics):
        return "unclear"
    if before == "drifted" and shift.index >= SETTLED:
        return "drifted"
    is_sure = shift.chance <= MISTAKE_MAX / max(metrics, 1)
    is_large = shift.index >= MOVED and shift.size >= tolerated
    return "drifted" if is_sure and is_large else "steady"


def can_tell(devices: int, *, metrics: int) -> bool:
    """Whether so many devices could outvote chance if all of them agreed."""
    return 4 * 0.5**devices <= MISTAKE_MAX / max(metrics, 1)


def _votes(moved: FloatArray) -> tuple[int, float]:
    """How many devices moved as most did, and the chance of it; both ways, on level and on spread."""
    moved = moved[moved != 0]
    if not len(moved):
        return 0, 1.0
    most = int(max((moved > 0).sum(), (moved < 0).sum()))
    return most, min(1.0, 2 * float(binomtest(most, len(moved)).pvalue))


def _width(values: FloatArray) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(max(high - low, 1e-9))
