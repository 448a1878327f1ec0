"""How parts age: laws of wear, 0 as new to 1 failed, and one part's way through a failure. Pure.

`progress` is the share of the way from onset to failure that is done, 0 to 1, in time or in running
hours; a law turns it into wear. Every law is 0 at 0, 1 at 1, and never falls.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from firmware_sim.noise import FloatArray

Law: TypeAlias = Callable[[FloatArray], FloatArray]

_GROWTH = 2.1
_FADE_SHAPE, _FADE_SCALE = 0.8, 1.6


def exponential(progress: FloatArray) -> FloatArray:
    """Damage feeds on damage: bearings."""
    return np.asarray(np.expm1(_GROWTH * progress) / np.expm1(_GROWTH))


def linear(progress: FloatArray) -> FloatArray:
    """A constant rate: a leak drains, a filter clogs with every running hour."""
    return progress


def fading(progress: FloatArray) -> FloatArray:
    """Quick at first, then slower (Weibull, shape below 1): capacitors, insulation."""
    end = 1 - np.exp(-((1 / _FADE_SCALE) ** _FADE_SHAPE))
    return np.asarray((1 - np.exp(-((progress / _FADE_SCALE) ** _FADE_SHAPE))) / end)


def erosion(progress: FloatArray) -> FloatArray:
    """Slow at first, then faster as the shape is lost: impellers, seals."""
    return np.asarray(progress**1.5)
