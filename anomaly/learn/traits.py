"""Features: what does not change about a device: lot, model, firmware at delivery, site. Pure.

No outcome is looked at: a category's number is its rank by how many devices have it, and one that was
not seen in training has a number of its own. Traits that are numbers stay numbers.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray

UNSEEN = 0.0
MISSING = -1.0


class Trait(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    values: tuple[str, ...] | None
    """Categories, that of most devices first; None: a number."""

    def number(self, value: str | None) -> float:
        """Return what stands for a value in the table of features."""
        if self.values is None:
            parsed = _parsed(value)
            return np.nan if parsed is None else parsed
        if value is None:
            return MISSING
        return float(self.values.index(value) + 1) if value in self.values else UNSEEN


class Traits(msgspec.Struct, frozen=True, kw_only=True, tag="traits"):
    """One column per trait that differs between devices."""

    traits: tuple[Trait, ...] = ()

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Traits":  # noqa: ARG003 - a group's form
        names = sorted({name for history in histories for name in history.traits})
        learned = []
        for name in names:
            counts = Counter(h.traits[name] for h in histories if name in h.traits)
            if len(counts) < 2:
                continue
            numeric = all(_parsed(value) is not None for value in counts)
            ranked = tuple(sorted(counts, key=lambda value: (-counts[value], value)))
            learned.append(Trait(name=name, values=None if numeric else ranked))
        return cls(traits=tuple(learned))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"trait_{trait.name}" for trait in self.traits)

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:  # noqa: ARG002
        """Features at the given instants; shape (instants, names)."""
        row = np.array([trait.number(history.traits.get(trait.name)) for trait in self.traits])
        return np.tile(row, (len(at_us), 1)) if len(row) else np.empty((len(at_us), 0))


def _parsed(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return number if number is None or np.isfinite(number) else None
