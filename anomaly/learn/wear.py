"""Features: what the first layer makes of each failure mode, now and over the last while. Pure.

The first layer knows which metrics a failure mode moves and how far; what it cannot know before
anything has failed is how such a path went on elsewhere. That is left to be learned from these.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.records import BoolArray, FloatArray, IntArray, Reals

_SPANS = (4, 12, 40, 120)
"""Forecast steps over which the health's change is looked at."""
SHOWN_BELOW = 0.95
"""Health from which on wear counts as seen."""


class Wear(msgspec.Struct, frozen=True, kw_only=True, tag="wear"):
    """Health of every failure mode: now, its changes over `_SPANS`, and for how long wear has been seen."""

    modes: tuple[str, ...]

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Wear":
        has_health = any(h.health.shape[1] for h in histories)
        return cls(modes=catalog.modes if has_health else ())

    @property
    def names(self) -> tuple[str, ...]:
        parts = ("health", *(f"health_change_{span}" for span in _SPANS), "wear_seen_hours")
        return tuple(f"{mode}.{part}" for mode in self.modes for part in parts)

    def reach(self, catalog: Catalog) -> int:
        """Windows before an instant without which its features would be others, where the first of them shows no wear."""
        return -(-_SPANS[-1] * catalog.every_us // catalog.window_us) + 1 if self.modes else 0

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        out = np.full((len(at_us), len(self.names)), np.nan)
        if not self.modes or not len(history.at_us) or not history.health.shape[1]:
            return out
        width = len(_SPANS) + 2
        for place, mode in enumerate(self.modes):
            health = history.health[:, catalog.modes.index(mode)].astype(np.float64)
            now = _latest(history.at_us, health, at_us)
            first = place * width
            out[:, first] = now
            for number, span in enumerate(_SPANS, start=1):
                before = _latest(history.at_us, health, at_us - span * catalog.every_us)
                out[:, first + number] = now - before
            since = _seen_since(history.at_us, health)
            seen = _latest(history.at_us, since, at_us)
            out[:, first + width - 1] = (at_us - seen) / 3.6e9
        return out


def has_begun_before(health: Reals) -> BoolArray:
    """Of which failure modes wear is seen in the first window already: since when is not told by what follows; (modes,)."""
    if not len(health):
        return np.zeros(health.shape[1], dtype=np.bool_)
    return is_seen(health[0])


def begins(health: Reals) -> IntArray:
    """Places of windows that tell since when wear has been seen in the last one.

    Of each failure mode of which it is seen there: the last window without it and the one after it, or the first two
    if all show it.
    """
    found = [np.empty(0, dtype=np.int64)]
    for mode in np.flatnonzero(has_begun_before(health[-1:])):
        without = np.flatnonzero(~is_seen(health[:, mode]))
        found.append(np.arange(2) + (without[-1] if len(without) else 0))
    return np.unique(np.concatenate(found))


def is_seen(health: Reals) -> BoolArray:
    """Whether wear is seen at some health, as precise as it may be stored; NaN is none."""
    return np.asarray(health.astype(np.float64) < SHOWN_BELOW)


def _latest(known_us: IntArray, values: FloatArray, at_us: IntArray) -> FloatArray:
    """Newest value at each instant; NaN before the first."""
    place = np.searchsorted(known_us, at_us, side="right") - 1
    return np.where(place >= 0, values[np.maximum(place, 0)], np.nan)


def _seen_since(at_us: IntArray, health: FloatArray) -> FloatArray:
    """Per window, since when wear has been seen without a break; NaN where it is not seen."""
    seen = is_seen(health)
    starts = seen & ~np.concatenate([[False], seen[:-1]])
    newest = np.maximum.accumulate(np.where(starts, np.arange(len(health)), -1))
    return np.where(seen, at_us[np.maximum(newest, 0)].astype(np.float64), np.nan)
