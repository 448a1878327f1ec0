"""Features: hour of the day and of the week, in the time of the stream. Pure.

Only as points on a circle: a date would let a model learn by heart when the recorded failures were.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray

_US_PER_MINUTE = 60_000_000
_MINUTES_PER_DAY = 1440
_MINUTES_PER_WEEK = 7 * _MINUTES_PER_DAY
_MINUTES = np.arange(_MINUTES_PER_WEEK)
_CIRCLES = np.stack(
    [
        turn(2 * np.pi * (_MINUTES % period) / period)
        for period in (_MINUTES_PER_DAY, _MINUTES_PER_WEEK)
        for turn in (np.sin, np.cos)
    ],
    axis=1,
)
"""By minute of the week: looked up, so that a row's features do not depend on how many rows there are."""


class Calendar(msgspec.Struct, frozen=True, kw_only=True, tag="calendar"):
    """Where in the day and in the week an instant lies."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Calendar":  # noqa: ARG003 - a group's form
        return cls()

    @property
    def names(self) -> tuple[str, ...]:
        return ("day_sin", "day_cos", "week_sin", "week_cos")

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:  # noqa: ARG002
        """Features at the given instants; shape (instants, names)."""
        return np.asarray(_CIRCLES[(at_us // _US_PER_MINUTE) % _MINUTES_PER_WEEK])
