"""Visits at which nothing was found: what they say of the device, and how much they count. Pure.

Such a finding is a soft negative: the warning was wrong, or the fault comes and goes. Two uses follow.
What was found is known from then on, so it is a feature: a device that looked worn and was found sound will
go on looking so. And rows in the time before the visit, on which the warning rested, are negatives that somebody
has looked at: they count twice, less the share of such visits after which the mode failed all the same. Rows
that were followed by a failure are failures, whatever a visit before had found.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.events import hours_since
from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray


class Doubts(msgspec.Struct, frozen=True, kw_only=True, tag="doubts"):
    """How long ago, and how often, nothing was found of each failure mode."""

    modes: tuple[str, ...] = ()
    """Of which nothing was found in training."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Doubts":
        seen = {int(mode) for history in histories for mode in np.unique(history.doubt_mode)}
        return cls(modes=tuple(catalog.modes[mode] for mode in sorted(seen)))

    @property
    def names(self) -> tuple[str, ...]:
        kinds = ("nothing_found_hours_ago", "nothing_found_so_far")
        return tuple(f"{mode}_{kind}" for mode in self.modes for kind in kinds)

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        found = np.empty((len(at_us), len(self.names)))
        for number, name in enumerate(self.modes):
            past = history.doubt_us[history.doubt_mode == catalog.modes.index(name)]
            found[:, 2 * number] = hours_since(past, at_us)
            found[:, 2 * number + 1] = np.searchsorted(past, at_us, side="right")
        return found


def looked_at(
    histories: Sequence[History],
    device: IntArray,
    at_us: IntArray,
    *,
    place: int,
    ahead_hours: float,
) -> FloatArray:
    """How much each row counts where no failure follows it; 1 where nobody looked.

    Parameters
    ----------
    device, at_us : ndarray, shape (rows,)
        Place of the history, and instant, of each row; device after device.
    place : int
        The failure mode, in the catalog.
    ahead_hours : float
        The longest horizon: so long before a visit its warning may have rested on what was seen.

    Returns
    -------
    ndarray, shape (rows,)
        From 1 to 2.
    """
    ahead_us = round(ahead_hours * US_PER_HOUR)
    visits = [history.doubt_us[history.doubt_mode == place] for history in histories]
    failures = [history.failure_us[history.failure_mode == place] for history in histories]
    fails = [
        _next(failed, visit) <= visit + ahead_us
        for visit, failed in zip(visits, failures, strict=True)
    ]
    known = [
        came | (visit + ahead_us <= history.until_us)
        for visit, came, history in zip(visits, fails, histories, strict=True)
    ]
    missed = (sum(int(np.sum(came)) for came in fails) + 1) / (
        sum(int(np.sum(is_known)) for is_known in known) + 2
    )
    weight = np.ones(len(at_us))
    borders = np.searchsorted(device, np.arange(len(histories) + 1))
    for number, (visit, came) in enumerate(zip(visits, fails, strict=True)):
        rows = slice(borders[number], borders[number + 1])
        next_visit = _next(visit[~came], at_us[rows])
        weight[rows] += (next_visit - at_us[rows] <= ahead_us) * (1 - missed)
    return weight


def _next(instants: IntArray, at: IntArray) -> IntArray:
    """First of the rising instants at or after each of `at`."""
    padded = np.append(instants, np.iinfo(np.int64).max // 2)
    return np.asarray(padded[np.searchsorted(instants, at, side="left")])
