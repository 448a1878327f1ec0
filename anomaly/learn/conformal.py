"""How far off estimates of remaining life are, by predicted life: quantiles, intervals, chances. Pure.

Split or cross conformal: errors of estimates for devices that the estimator did not see. Devices are
exchangeable, their rows are not, so each device weighs the same however many rows it has, and the mass of
the one to come, 1 / (devices + 1), lies beyond the largest error. Errors are kept per group of
predicted life (Mondrian), since life is known to the hour near its end and hardly at all far from it; between
the middles of two groups the quantiles go over into each other.

References
----------
Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World. doi:10.1007/b106715
Lee, Barber, Willett (2023), Distribution-free inference with hierarchical data. arXiv:2306.06342
"""

from functools import cached_property

import msgspec
import numpy as np

from anomaly.learn.packed import Packed
from anomaly.records import FloatArray, IntArray

GROUPS_MAX = 12
DEVICES_MIN = 20
"""Of a group: the fewest for which a 5 % quantile is a value that was seen."""
SHARES = np.linspace(0.0, 1.0, 201)
"""Levels at which quantiles are kept."""


class Errors(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Quantiles of true life minus predicted life."""

    middles: tuple[float, ...]
    """Median predicted life of each group, rising, hours."""
    quantiles: Packed
    """Of the errors in hours at `SHARES`; (groups, shares)."""
    devices: tuple[int, ...]
    """In each group."""

    @property
    def is_proven(self) -> bool:
        """Whether there were devices enough for 90 % intervals that hold whatever the errors look like."""
        return min(self.devices) >= DEVICES_MIN - 1

    def quantile(self, life: FloatArray, share: float) -> FloatArray:
        """Remaining life that is not reached with this probability, hours, at least 0; (rows,)."""
        return np.asarray(np.maximum(life + self._error(life, np.array([share]))[:, 0], 0.0))

    def interval(
        self, life: FloatArray, level: float, *, up_to: float = np.inf
    ) -> tuple[FloatArray, FloatArray]:
        """Interval that holds the remaining life with this probability, between the quantiles that forecasts carry.

        It leaves out as much on either side. The shortest one would be chosen among errors that were seen, and hold
        less often than it says.

        Parameters
        ----------
        life : ndarray, shape (rows,)
            Predicted remaining life, hours.
        level : float
            For instance 0.9.
        up_to : float
            Lives beyond it need not be told apart, hours: an interval that ends there means "or more".

        Returns
        -------
        tuple of two ndarray, shape (rows,)
            Ends, hours, from 0 to `up_to`.
        """
        beside = (1 - level) / 2
        low, high = self.quantile(life, beside), self.quantile(life, 1 - beside)
        return np.minimum(low, up_to), np.minimum(high, up_to)

    def mean(self, life: FloatArray, *, up_to: float = np.inf) -> FloatArray:
        """Mean of the remaining life, each cut off at `up_to`, hours; (rows,)."""
        middle = (SHARES[1:] + SHARES[:-1]) / 2
        possible = np.clip(life[:, None] + self._error(life, middle), 0.0, up_to)
        return np.asarray(possible.mean(axis=1))

    def failed_within(self, life: FloatArray, hours: float) -> FloatArray:
        """Chance that the remaining life is at most so many hours; (rows,)."""
        reached = life[:, None] + self._error(life, SHARES)
        step = np.arange(len(SHARES))
        below = (reached <= hours).sum(axis=1)
        place = np.clip(below, 1, len(SHARES) - 1)
        rows = np.arange(len(life))
        before, after = reached[rows, place - 1], reached[rows, place]
        part = (hours - before) / np.maximum(after - before, 1e-9)
        chance = (step[place] - 1 + np.clip(part, 0, 1)) / (len(SHARES) - 1)
        return np.asarray(np.where(below == 0, 0.0, np.where(below == len(SHARES), 1.0, chance)))

    @cached_property
    def _table(self) -> FloatArray:
        table: FloatArray = self.quantiles.array
        return table

    def _error(self, life: FloatArray, shares: FloatArray) -> FloatArray:
        """Errors at the given shares, between groups in proportion; (rows, shares)."""
        place = shares * (len(SHARES) - 1)
        first = np.clip(np.floor(place).astype(np.int64), 0, len(SHARES) - 2)
        part = place - first
        columns = self._table[:, first] * (1 - part) + self._table[:, first + 1] * part
        middles = np.array(self.middles)
        if len(middles) == 1:
            return np.repeat(columns, len(life), axis=0)
        upper = np.clip(np.searchsorted(middles, life), 1, len(middles) - 1)
        lower = upper - 1
        weight = np.clip((life - middles[lower]) / (middles[upper] - middles[lower]), 0, 1)[:, None]
        return np.asarray(columns[lower] * (1 - weight) + columns[upper] * weight)


def fit_errors(life: FloatArray, truth: FloatArray, device: IntArray) -> Errors:
    """Learn how far off estimates are.

    Parameters
    ----------
    life : ndarray, shape (rows,)
        Estimates for devices that the estimator did not see, hours.
    truth : ndarray, shape (rows,)
        Their remaining life, hours.
    device : ndarray, shape (rows,)
        Rows of one device share a number.
    """
    weight = device_weights(device)
    _, place = np.unique(life, return_inverse=True)
    mass = np.bincount(place, weights=weight)
    groups = _groups(device)
    # Equal estimates, at a cap for instance, stay together: which group of several would they tell of?
    share = (np.cumsum(mass) - mass / 2) / mass.sum()
    group = np.minimum(share * groups, groups - 1).astype(np.int64)[place]
    middles: list[float] = []
    tables, devices = [], []
    for number in range(groups):
        own = group == number
        if not own.any():
            continue
        middles.append(float(np.median(life[own])))
        errors = weighted_quantiles((truth - life)[own], device[own], SHARES)
        tables.append(np.maximum.accumulate(errors))
        devices.append(len(np.unique(device[own])))
    return Errors(
        middles=tuple(middles),
        quantiles=Packed.of(np.stack(tables), "<f8"),
        devices=tuple(devices),
    )


def device_weights(device: IntArray) -> FloatArray:
    """Weight of each row such that every device weighs 1."""
    _, place, count = np.unique(device, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[place])


def weighted_quantiles(errors: FloatArray, device: IntArray, shares: FloatArray) -> FloatArray:
    """Quantiles of errors that hold for one device more.

    The smallest error that at least `share` of all mass is at or below (for shares above one half; for those
    below, mirrored), where each device has mass 1 / (devices + 1) and the rest lies beyond the largest.
    Where even the largest error is not enough, it stands, and `Errors.is_proven` is false.
    """
    upper = _upper(errors, device, np.maximum(shares, 0.5))
    lower = -_upper(-errors, device, np.maximum(1 - shares, 0.5))
    return np.where(shares >= 0.5, upper, lower)


def _upper(errors: FloatArray, device: IntArray, shares: FloatArray) -> FloatArray:
    order = np.argsort(errors, kind="stable")
    devices = len(np.unique(device))
    mass = np.cumsum(device_weights(device)[order]) / (devices + 1)
    place = np.searchsorted(mass, shares - 1e-12)
    return np.asarray(errors[order][np.minimum(place, len(errors) - 1)])


def _groups(device: IntArray) -> int:
    devices = len(np.unique(device))
    return int(np.clip(devices // DEVICES_MIN * 3, 1, GROUPS_MAX))
