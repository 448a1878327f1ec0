"""Features of codes that come again and again: one hazard for all codes of a product, the code as a row. Pure.

A hundred codes, most of them rare, cannot have a hazard each. What they share is how a code recurs:
how often and how lately it came on this device, how often it follows on this device and on others.
So a row is a device, an instant and a code, and `anomaly.learn.hazard` learns from all codes together; one
that was never seen in training is as well described as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray

NAMES = (
    "own_rate", "own_rate_lately", "fleet_rate", "stretches_known", "times", "times_lately",
    "events_ago", "share", "events", "kinds", "expected",
)  # fmt: skip
OWN_PRIOR = 10.0
"""Stretches as which the fleet's rate counts beside the device's own."""
LATELY = 0.1
"""Weight of the newest stretch in the rate that forgets."""
NEVER = 1000.0
"""Stands for "not within the window" in `events_ago`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """One device: at each instant the codes seen lately in order, and which came in the stretch after it."""

    device: str
    at_us: IntArray
    """Rising; shape (n,)."""
    known_us: IntArray
    """When the stretch after it is over, so that what came is known."""
    seen: Sequence[IntArray]
    """Codes of the window before each instant, oldest first."""
    came: BoolArray
    """Whether each code of the catalog came in the stretch after it; (n, codes)."""


class Recurring(msgspec.Struct, frozen=True, kw_only=True, tag="recurring"):
    """How often each code comes, and what follows what, over a fleet."""

    codes: tuple[int, ...]
    rate: tuple[float, ...]
    """Share of stretches in which each code comes."""
    follows: tuple[tuple[float, ...], ...]
    """Row: a code seen in the window; column: chance that the other comes in the stretch after."""

    @classmethod
    def fit(cls, codes: Sequence[int], fleet: Sequence[Stretches]) -> "Recurring":
        """Count over training devices; every device weighs the same, however long it was watched."""
        rates, before, both = [], [], []
        for device in fleet:
            present = _counts(device.seen, codes) > 0
            rates.append(device.came.mean(axis=0))
            before.append(present.mean(axis=0))
            both.append(present.T.astype(np.float64) @ device.came / len(device.came))
        rate = np.mean(rates, axis=0)
        joint, alone = np.sum(both, axis=0), np.sum(before, axis=0)
        prior = OWN_PRIOR / max(sum(len(device.came) for device in fleet), 1)
        follows = (joint + prior * rate[None, :]) / (alone + prior)[:, None]
        return cls(
            codes=tuple(codes),
            rate=tuple(rate.tolist()),
            follows=tuple(tuple(row) for row in follows.tolist()),
        )

    def columns(self, device: Stretches) -> FloatArray:
        """Features per instant and code; shape (n, codes, names)."""
        counts = _counts(device.seen, self.codes)
        lately = _counts([seen[-len(seen) // 3 :] for seen in device.seen], self.codes)
        fleet = np.array(self.rate)
        own, forgetting, known = self._own(device)
        total = counts.sum(axis=1, keepdims=True)
        kinds = (counts > 0).sum(axis=1, keepdims=True)
        expected = (counts > 0).astype(np.float64) @ np.array(self.follows) / np.maximum(kinds, 1)
        columns = (
            own, forgetting, fleet[None, :], known[:, None], counts, lately,
            _events_ago(device.seen, self.codes), counts / np.maximum(total, 1), total, kinds,
            expected,
        )  # fmt: skip
        return np.stack([np.broadcast_to(column, counts.shape) for column in columns], axis=2)

    def _own(self, device: Stretches) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rates of the device's stretches that were over by each instant, and how many those are."""
        order = np.argsort(device.known_us, kind="stable")
        over = np.searchsorted(device.known_us[order], device.at_us, side="right")
        came = device.came[order].astype(np.float64)
        total = np.concatenate([np.zeros((1, came.shape[1])), np.cumsum(came, axis=0)])
        fleet = np.array(self.rate)
        own = (total[over] + OWN_PRIOR * fleet) / (over[:, None] + OWN_PRIOR)
        newest = np.empty_like(total)
        newest[0] = fleet
        for place, row in enumerate(came, start=1):
            newest[place] = (1 - LATELY) * newest[place - 1] + LATELY * row
        return own, newest[over], over.astype(np.float64)


def _counts(seen: Sequence[IntArray], codes: Sequence[int]) -> FloatArray:
    counts = np.zeros((len(seen), len(codes)))
    place = {code: column for column, code in enumerate(codes)}
    for row, window in enumerate(seen):
        for code in window.tolist():
            if code in place:
                counts[row, place[code]] += 1
    return counts


def _events_ago(seen: Sequence[IntArray], codes: Sequence[int]) -> FloatArray:
    """How many events ago each code came last."""
    ago = np.full((len(seen), len(codes)), NEVER)
    place = {code: column for column, code in enumerate(codes)}
    for row, window in enumerate(seen):
        for back, code in enumerate(reversed(window.tolist())):
            if code in place:
                ago[row, place[code]] = min(ago[row, place[code]], back)
    return ago
