"""Tells bad sensors from failing devices, before a window is scored. Pure; all devices at once.

A sensor that does not move any more, jumps for single values and back, or begins to tell another unit says
nothing about the device: what it shows is kept out of the score, or counted back into the old unit. One metric
alone is excused; where several jump at once it is the device, and nothing is kept out.
"""

from dataclasses import dataclass

import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray

GOOD, STUCK, SPIKES, UNIT = range(4)
"""What is wrong with a sensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Values in another unit: `factor` times those of before, plus `offset`."""

    factor: float
    offset: float = 0.0

    @property
    def text(self) -> str:
        """Say it as a formula: "1.8 x + 32"."""
        scaled = "x" if self.factor == 1 else f"{self.factor:.6g} x"
        if not self.offset:
            return scaled
        return f"{scaled} {'-' if self.offset < 0 else '+'} {abs(self.offset):.6g}"


_FACTORS = (10.0, 100.0, 1000.0, 1e6, 60.0, 3.6, 14.5038, 6.89476)
"""Prefixes and percent; per minute and per second; km/h and m/s; psi, bar and kPa."""
CONVERSIONS = (
    *(Conversion(factor=f) for f in _FACTORS),
    *(Conversion(factor=1 / f) for f in _FACTORS),
    Conversion(factor=1.8, offset=32.0),
    Conversion(factor=1 / 1.8, offset=-32.0 / 1.8),
    Conversion(factor=1.0, offset=273.15),
    Conversion(factor=1.0, offset=-273.15),
)
_FACTOR = np.array([c.factor for c in CONVERSIONS])
_OFFSET = np.array([c.offset for c in CONVERSIONS])
_FITS = 3.0
"""Spreads within which a value in another unit has to lie of what would be normal."""
_TELLING = 0.05
"""Such spreads have to be so small a share of that value: else anything would fit."""
_FAR = 12.0
"""Spreads of single windows from which on a value is far off."""
_SAME = 1e-9
"""Values that differ relatively by less are the same: sums are rounded."""
_STILL_CHANCE = 1e-6
_STILL_MIN = 3
_FADES = 64.0
"""Windows over which a spike is forgotten."""
_SPIKES, _SPIKES_LAST = 2.5, 5.0
"""Recent ones from which on they are told; they then count for more, so that it lasts for some time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What is carried of each sensor from window to window; all of shape (devices, metrics)."""

    last: FloatArray
    same: FloatArray
    far: FloatArray
    spikes: FloatArray
    unit: FloatArray


def still_windows(values: FloatArray) -> FloatArray:
    """Learn for how many windows a metric may show one and the same value.

    Parameters
    ----------
    values : ndarray, shape (windows, devices, metrics)

    Returns
    -------
    ndarray, shape (devices, metrics)
        Repeats that are stranger than one in a million, and than twice the longest of the learning time;
        infinite for what hardly moves.
    """
    same = is_same(values[1:], values[:-1])
    longest, run = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for row in same:
        run = np.where(row, run + 1, 0.0)
        longest = np.maximum(longest, run)
    share = (same.sum(axis=0) + 1) / (len(same) + 2)
    rare = np.ceil(np.log(_STILL_CHANCE) / np.log(share))
    limit = np.maximum(np.maximum(rare, 2 * longest + 2), _STILL_MIN)
    return np.where(longest >= len(same) / 4, np.inf, limit)


def is_same(values: FloatArray, before: FloatArray) -> BoolArray:
    """Tell whether values are those of before but for rounding."""
    return np.asarray(np.abs(values - before) <= _SAME * np.abs(before))


def inspect(
    values: FloatArray,
    noticed: Noticed,
    *,
    normal: FloatArray,
    spread: FloatArray,
    still: FloatArray,
) -> tuple[FloatArray, IntArray, Noticed]:
    """Look at the sensors of one window.

    Parameters
    ----------
    values : ndarray, shape (devices, metrics)
        NaN where missing.
    noticed : Noticed
    normal, spread : ndarray, shape (devices, metrics)
        What is normal now, and the spread of single windows around it, in the metric's unit.
    still : ndarray, shape (devices, metrics)
        From `still_windows`.

    Returns
    -------
    usable : ndarray
        Values that say something about the device, in their old units; NaN where none does.
    reason : ndarray of int
        `GOOD` and so on; a spike is told from the third on.
    noticed : Noticed
    """
    known = np.isfinite(values)
    unit = _unit(values, noticed, normal=normal, spread=spread)
    place = np.maximum(unit.astype(np.int64) - 1, 0)
    usable = np.where(unit > 0, (values - _OFFSET[place]) / _FACTOR[place], values)
    is_far = np.abs(usable - normal) > _FAR * spread
    repeats = is_same(values, noticed.last)
    same = np.where(known, np.where(repeats, noticed.same + 1, 0.0), noticed.same)
    is_stuck = same >= still
    is_lone = is_far.sum(axis=1, keepdims=True) <= 1
    is_new = is_far & ((noticed.far == 0) | (repeats & np.isfinite(still)))
    is_stuck &= is_lone | ~is_far
    kept_out = (is_lone & is_new) | is_stuck
    was_spike = known & ~is_far & (noticed.far == 1)
    far = np.where(is_far, np.where(is_lone, np.minimum(noticed.far + 1, 2.0), 2.0), 0.0)
    spikes = np.where(known, noticed.spikes * (1 - 1 / _FADES), noticed.spikes) + was_spike
    spikes = np.where(was_spike & (spikes >= _SPIKES), np.maximum(spikes, _SPIKES_LAST), spikes)
    reason = np.full(values.shape, GOOD, dtype=np.int64)
    reason[spikes >= _SPIKES] = SPIKES
    reason[unit > 0] = UNIT
    reason[is_stuck] = STUCK
    return (
        np.where(kept_out, np.nan, usable),
        np.where(known, reason, GOOD),
        Noticed(
            last=np.where(known, values, noticed.last),
            same=same,
            far=np.where(known, far, noticed.far),
            spikes=spikes,
            unit=unit,
        ),
    )


def conversion_of(value: float, *, normal: float, spread: float) -> int:
    """Find the unit in which a value that is far off would be normal: place, plus 1; 0 for none."""
    told, width = np.array([normal]), np.array([spread])
    return int(_fitting(np.array([value]), normal=told, spread=width)[0])


def _unit(
    values: FloatArray, noticed: Noticed, *, normal: FloatArray, spread: FloatArray
) -> FloatArray:
    """Tell which unit each metric is told in; 0 for its own."""
    away = np.abs(values - normal)
    begins = (noticed.unit == 0) & (away > _FAR * spread) & (noticed.far == 0)
    goes_on = noticed.unit > 0
    if not begins.any() and not goes_on.any():
        return noticed.unit
    place = np.maximum(noticed.unit.astype(np.int64) - 1, 0)
    back = (values - _OFFSET[place]) / _FACTOR[place]
    is_over = np.isfinite(values) & (away <= np.abs(back - normal))
    found = np.where(goes_on & ~is_over, noticed.unit, 0.0)
    found[begins] = _fitting(values[begins], normal=normal[begins], spread=spread[begins])
    return found


def _fitting(values: FloatArray, *, normal: FloatArray, spread: FloatArray) -> FloatArray:
    """Find the unit in which each value would be normal; (n,)."""
    told = _FACTOR[:, None] * normal + _OFFSET[:, None]
    room = _FITS * spread * _FACTOR[:, None]
    misses = np.abs(values - told)
    size = np.maximum(np.abs(told), np.abs(_OFFSET)[:, None])
    fits = (misses <= room) & (room <= _TELLING * size)
    fits &= (np.abs(told - normal) > _FAR * spread) & (values != 0)  # what is dead shows 0
    best = np.argmin(np.where(fits, misses / _FACTOR[:, None], np.inf), axis=0)
    return np.where(fits.any(axis=0), best + 1.0, 0.0)
