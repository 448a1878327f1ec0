"""Rows of forecasts summed up per level of probability and device, so that drawing devices costs little. Pure."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from anomaly.judge.calibration import Known
from anomaly.records import BoolArray, FloatArray, IntArray

_LEVELS_MAX = 2000
"""More different probabilities than this are grouped, for the intervals alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed:
    """Forecasts as rows again: each level once as happened and once as not, with its weight."""

    probability: FloatArray
    happened: BoolArray
    weight: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Weights per device and level."""

    probability: FloatArray
    happened: sparse.csr_array
    otherwise: sparse.csr_array

    def summed(self, drawn: IntArray) -> Summed:
        """Sum up with each device as often as it was drawn."""
        yes, no = drawn @ self.happened, drawn @ self.otherwise
        count = len(self.probability)
        return Summed(
            probability=np.tile(self.probability, 2),
            happened=np.repeat([True, False], count),
            weight=np.concatenate([yes, no]),
        )


def levels_of(probability: FloatArray, known: Known, device: IntArray, *, devices: int) -> Levels:
    """Sum up rows.

    Parameters
    ----------
    probability : ndarray, shape (rows,)
        NaN rows are left out.
    known : Known
        What happened, with weights.
    device : ndarray of int, shape (rows,)
    devices : int
        How many there are.
    """
    kept = ~np.isnan(probability) & (known.weight > 0)
    p, y, w, d = probability[kept], known.happened[kept], known.weight[kept], device[kept]
    values, place = np.unique(p, return_inverse=True)
    if len(values) > _LEVELS_MAX:
        place = place * _LEVELS_MAX // len(values)
        values = np.bincount(place, weights=p) / np.bincount(place)
    shape = (devices, len(values))
    return Levels(
        probability=values,
        happened=sparse.csr_array((w * y, (d, place)), shape=shape),
        otherwise=sparse.csr_array((w * ~y, (d, place)), shape=shape),
    )
