"""Instants of several kinds of event of one device, looked up for all kinds at once. Pure."""

import msgspec
import numpy as np

from anomaly.records import BoolArray, IntArray

_SPAN = 1 << 52
"""Microseconds (140 years): keys of different kinds are apart by this much."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Instants of several kinds of event, looked up for all kinds at once."""

    keys: IntArray
    """Kind and instant in one number, rising."""
    at_us: IntArray
    """In the order of the keys."""
    first: IntArray
    """Where each kind begins; (kinds,)."""
    base_us: int

    @classmethod
    def of(cls, at_us: IntArray, kind: IntArray, *, number: int) -> "Past":
        base = int(at_us.min()) if len(at_us) else 0
        keys = kind * _SPAN + (at_us - base)
        order = np.argsort(keys, kind="stable")
        first = np.searchsorted(keys[order], np.arange(number) * _SPAN)
        return cls(keys=keys[order], at_us=at_us[order], first=first, base_us=base)

    def until(self, at_us: IntArray) -> IntArray:
        """Place after the last event of each kind at or before each instant; (instants, kinds)."""
        offset = np.clip(at_us - self.base_us, -1, _SPAN - 2)
        wanted = (np.arange(len(self.first)) * _SPAN)[None, :] + offset[:, None]
        return np.searchsorted(self.keys, wanted, side="right")

    def last(self, at_us: IntArray) -> tuple[IntArray, BoolArray]:
        """Instant of the last event of each kind, and whether there was one; (instants, kinds)."""
        place = self.until(at_us)
        has_come = place > self.first[None, :]
        if not len(self.at_us):
            return np.zeros_like(place), has_come
        return np.where(has_come, self.at_us[np.maximum(place - 1, 0)], 0), has_come

    def covered(self, at_us: IntArray, *, stretch_us: int, from_us: int) -> IntArray:
        """Time before each instant that was followed by each kind within a stretch, microseconds."""
        starts = np.zeros(len(self.keys), dtype=np.bool_)
        starts[self.first[self.first < len(starts)]] = True
        before = np.where(starts, from_us, np.roll(self.at_us, 1)) if len(starts) else self.at_us
        gaps = np.clip(self.at_us - before, 0, stretch_us)
        total = np.concatenate([[0], np.cumsum(gaps)])
        return np.asarray(total[self.until(at_us)] - total[self.first][None, :])

    def following(self, at_us: IntArray, *, otherwise: int) -> IntArray:
        """Instant of the first event of each kind after each instant; (instants, kinds)."""
        place = self.until(at_us)
        ends = np.append(self.first[1:], len(self.keys))
        padded = np.append(self.at_us, otherwise)
        return np.asarray(np.where(place < ends[None, :], padded[place], otherwise))
