"""Which devices were watched at which age, what they share, and which of them failed. Pure.

Days throughout: instants count from an origin of the caller's choice, ages from the device's delivery.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """Something by which devices fall into groups: lot, firmware, city, product."""

    name: str
    values: tuple[str, ...]
    code: IntArray
    """Place in `values` per stretch of life, -1 where unknown; shape (stretches,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Stretches of lives in which one failure mode was watched; all arrays have one entry per stretch.

    A device has several stretches where something it shares has changed, such as its firmware. It
    leaves with its first failure of the mode: what comes after is a repaired device, not one of the
    lot that was delivered, and one bad device must not look like a bad group.
    """

    device: IntArray
    born: FloatArray
    """Day on which its life began; ages count from here."""
    since: FloatArray
    """Day from which it was watched: at risk after it."""
    until: FloatArray
    """Day up to which it was watched, that day included: the failure, or how far its data has come."""
    has_failed: BoolArray
    goes_on: BoolArray
    """The device is in service still, and shares today what it shared then."""
    traits: tuple[Trait, ...]

    def __len__(self) -> int:
        return len(self.device)

    def upto(self, day: float) -> "Lives":
        """Return what was known by the end of a day: nothing later than it."""
        keep = self.since < day
        return self.chosen(
            keep,
            until=np.minimum(self.until, day)[keep],
            has_failed=(self.has_failed & (self.until <= day))[keep],
            goes_on=(self.goes_on | (self.until > day))[keep],
        )

    def chosen(
        self,
        keep: BoolArray,
        *,
        until: FloatArray | None = None,
        has_failed: BoolArray | None = None,
        goes_on: BoolArray | None = None,
    ) -> "Lives":
        return Lives(
            device=self.device[keep],
            born=self.born[keep],
            since=self.since[keep],
            until=self.until[keep] if until is None else until,
            has_failed=self.has_failed[keep] if has_failed is None else has_failed,
            goes_on=self.goes_on[keep] if goes_on is None else goes_on,
            traits=tuple(replace(trait, code=trait.code[keep]) for trait in self.traits),
        )

    @property
    def age_since(self) -> FloatArray:
        return self.since - self.born

    @property
    def age_until(self) -> FloatArray:
        return self.until - self.born


def make_trait(name: str, labels: Sequence[str]) -> Trait:
    """Number the values of a trait; an empty label is unknown."""
    values = tuple(sorted({label for label in labels if label}))
    places = {value: place for place, value in enumerate(values)}
    code = np.array([places.get(label, -1) for label in labels], dtype=np.int64)
    return Trait(name=name, values=values, code=code)
