"""Features: how old the device is. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray

US_PER_HOUR = 3.6e9


class Age(msgspec.Struct, frozen=True, kw_only=True, tag="age"):
    """Hours since the device's life began."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Age":  # noqa: ARG003 - a group's form
        return cls()

    @property
    def names(self) -> tuple[str, ...]:
        return ("age_hours",)

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:  # noqa: ARG002
        """Features at the given instants; shape (instants, names)."""
        return np.asarray(((at_us - history.begins_us) / US_PER_HOUR)[:, None])
