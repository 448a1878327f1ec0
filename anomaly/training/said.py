"""What the first layer said, looked up: the champion until something better has been learned. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.backtest.track import HORIZONS_HOURS
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The forecasts of one device, oldest first."""

    made_us: IntArray
    """Shape (n,)."""
    p_fail: FloatArray
    """Chance of failing within each of `HORIZONS_HOURS`, NaN where nothing was claimed; (n, modes, 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayer:
    """The forecasts of a product's devices, by name."""

    catalog: Catalog
    said: Mapping[str, Said]

    def of(self, mode: str) -> "FirstLayerMode":
        return FirstLayerMode(layer=self, place=self.catalog.modes.index(mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayerMode:
    """One failure mode's; called like any champion."""

    layer: FirstLayer
    place: int

    def __call__(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        """Chance of failing within `hours` at the frame's instants; NaN where nothing was said then."""
        chance = np.full(len(frame), np.nan)
        for number, history in enumerate(histories):
            said = self.layer.said.get(history.device)
            rows = np.flatnonzero(frame.device == number)
            if said is None or not len(said.made_us) or not len(rows):
                continue
            at = np.searchsorted(said.made_us, frame.at_us[rows])
            nearest = said.made_us[np.minimum(at, len(said.made_us) - 1)]
            known = nearest == frame.at_us[rows]
            chance[rows[known]] = chance_within(said.p_fail[at[known], self.place], hours)
        return chance


def chance_within(p_fail: FloatArray, hours: float) -> FloatArray:
    """Read the chance within some hours out of those at the horizons: the hazard between is constant.

    Parameters
    ----------
    p_fail : ndarray, shape (rows, 3)
    hours : float
        At least 0; beyond the last horizon the hazard goes on as between the last two.
    """
    hazard = -np.log1p(-np.minimum(p_fail, 0.999999))
    points = np.concatenate([np.zeros((len(p_fail), 1)), hazard], axis=1)
    at = np.array([0.0, *HORIZONS_HOURS])
    place = int(np.clip(np.searchsorted(at, hours) - 1, 0, len(at) - 2))
    share = (hours - at[place]) / (at[place + 1] - at[place])
    inside = points[:, place] + share * (points[:, place + 1] - points[:, place])
    return np.asarray(-np.expm1(-np.maximum(inside, 0.0)))
