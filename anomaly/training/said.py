"""What the first layer said, looked up: the champion until something better has been learned. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.outlook import HORIZONS_HOURS
from anomaly.records import LIFE_SHARES, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The forecasts of one device, oldest first."""

    made_us: IntArray
    """Shape (n,)."""
    p_fail: FloatArray
    """Chance of failing within each of `HORIZONS_HOURS`, NaN where nothing was claimed; (n, modes, 3)."""
    life_hours: FloatArray
    """Quantiles of remaining life at `LIFE_SHARES`, inf where the end is not in sight; (n, modes, shares)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayer:
    """The forecasts of a product's devices, by name."""

    catalog: Catalog
    said: Mapping[str, Said]

    def of(self, mode: str) -> "FirstLayerMode":
        return FirstLayerMode(layer=self, place=self.catalog.modes.index(mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayerMode:
    """One failure mode's; asked like any champion."""

    layer: FirstLayer
    place: int

    def chance(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        """Chance of failing within `hours` at the frame's instants; NaN where nothing was said then."""
        chance = np.full(len(frame), np.nan)
        for said, rows, at in self._found(histories, frame):
            chance[rows] = chance_within(said.p_fail[at, self.place], hours)
        return chance

    def life(self, histories: Sequence[History], frame: Frame) -> FloatArray:
        """Quantiles of remaining life at the frame's instants, hours; NaN where nothing was said then."""
        life = np.full((len(frame), len(LIFE_SHARES)), np.nan)
        for said, rows, at in self._found(histories, frame):
            life[rows] = said.life_hours[at, self.place]
        return life

    def _found(
        self, histories: Sequence[History], frame: Frame
    ) -> Iterator[tuple[Said, IntArray, IntArray]]:
        """Rows at whose instants something was said of a device, and its places there."""
        for number, history in enumerate(histories):
            said = self.layer.said.get(history.device)
            rows = np.flatnonzero(frame.device == number)
            if said is None or not len(said.made_us) or not len(rows):
                continue
            at = np.minimum(np.searchsorted(said.made_us, frame.at_us[rows]), len(said.made_us) - 1)
            known = said.made_us[at] == frame.at_us[rows]
            yield said, rows[known], at[known]


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
