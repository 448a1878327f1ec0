"""Intervals for any figure, by drawing devices anew. Pure, given a seed.

Rows of one device are alike, so rows must not be drawn; devices are.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec
import numpy as np

from anomaly.records import IntArray

DRAWS = 400


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of a figure over draws of devices."""

    low: float
    high: float
    share: float
    """Of the draws that lie between."""
    draws: int
    """In which the figure exists."""
    seed: int


def draws_of(devices: int, *, seed: int, times: int = DRAWS) -> Iterator[IntArray]:
    """Draw as many devices as there are, with putting back: how often each was drawn."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield np.bincount(rng.integers(0, devices, devices), minlength=devices)


def intervals(
    figures: Callable[[IntArray], Mapping[str, float | None]],
    *,
    devices: int,
    seed: int,
    times: int = DRAWS,
    share: float = 0.9,
) -> dict[str, Interval]:
    """Compute figures on many draws of devices.

    Parameters
    ----------
    figures : callable
        From how often each device counts, shape (devices,), to figures by name; None where one does not exist.
    devices : int
        How many there are.
    seed : int
        The same seed gives the same interval; it is kept beside it.
    times : int
        Draws.
    share : float
        Of the draws that the interval holds, in (0, 1); half of the rest lies on each side.

    Returns
    -------
    dict of str to Interval
        Only figures that exist in at least half of the draws.
    """
    if devices < 1:
        return {}
    found: dict[str, list[float]] = {}
    for drawn in draws_of(devices, seed=seed, times=times):
        for name, value in figures(drawn).items():
            if value is not None and np.isfinite(value):
                found.setdefault(name, []).append(float(value))
    tails = [(1 - share) / 2, (1 + share) / 2]
    return {
        name: Interval(
            low=float(np.quantile(values, tails[0])),
            high=float(np.quantile(values, tails[1])),
            share=share,
            draws=len(values),
            seed=seed,
        )
        for name, values in found.items()
        if 2 * len(values) >= times
    }
