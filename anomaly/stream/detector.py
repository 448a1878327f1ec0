"""The first layer of detection: devices against their own normal, no failure ever seen. Pure.

`Detector` keeps one contract: it is learned from a device's first windows, then takes one window after
the other; scores are at least 0, higher is stranger, NaN where nothing was measured. All that it knows are
arrays, and `to_bytes` keeps every bit of them.
"""

from dataclasses import fields
from io import BytesIO

import numpy as np

from anomaly.records import FloatArray
from anomaly.stream.normal import Moving, Normal, learn
from anomaly.stream.rarity import (
    Rarity,
    half_width,
    middle_of,
    rarity_from_array,
    rarity_to_array,
    take,
)
from anomaly.stream.watch import Seen, watch


class Detector:
    """Devices of one product that have learned at the same time; one device is a fleet of one."""

    def __init__(self, *, normal: Normal, moving: Moving, rarities: list[Rarity]) -> None:
        self.normal_ = normal
        self.moving_ = moving
        self.rarities_ = rarities
        """One per device where the product has a single metric, else none."""

    @classmethod
    def learned(cls, values: FloatArray) -> "Detector":
        """Learn from the first windows; shape (windows, devices, metrics), NaN where missing."""
        normal, moving = learn(values)
        rarities: list[Rarity] = []
        if values.shape[2] == 1:
            rarities = [Rarity() for _ in range(values.shape[1])]
            for row in values[:, :, 0]:
                for rarity, value in zip(rarities, row.tolist(), strict=True):
                    take(rarity, value)
        return cls(normal=normal, moving=moving, rarities=rarities)

    def step(self, values: FloatArray, *, hold_from: float) -> Seen:
        """Score the next window of all devices, and take it in; shape (devices, metrics)."""
        if self.rarities_:
            return self._step_alone(values)
        seen, self.moving_ = watch(self.normal_, self.moving_, values, hold_from=hold_from)
        return seen

    def _step_alone(self, values: FloatArray) -> Seen:
        numbers = values[:, 0].tolist()
        pairs = list(zip(self.rarities_, numbers, strict=True))
        middle = np.array([middle_of(rarity) for rarity in self.rarities_])
        width = np.array([max(half_width(rarity), 1e-9) for rarity in self.rarities_])
        score = np.array([take(rarity, value) for rarity, value in pairs])
        return Seen(
            score=score,
            surprise=score[:, None],
            away=((values[:, 0] - middle) / width)[:, None],
            expected=middle[:, None],
            spread=width[:, None],
        )

    def to_bytes(self) -> bytes:
        """Return all that is known, exact to the bit."""
        arrays = {f"normal.{f.name}": getattr(self.normal_, f.name) for f in fields(Normal)}
        arrays |= {f"moving.{f.name}": getattr(self.moving_, f.name) for f in fields(Moving)}
        arrays |= {f"rarity.{i}": rarity_to_array(r) for i, r in enumerate(self.rarities_)}
        stream = BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, kept: bytes) -> "Detector":
        with np.load(BytesIO(kept), allow_pickle=False) as arrays:
            number = sum(name.startswith("rarity.") for name in arrays.files)
            return cls(
                normal=Normal(**{f.name: arrays[f"normal.{f.name}"] for f in fields(Normal)}),
                moving=Moving(**{f.name: arrays[f"moving.{f.name}"] for f in fields(Moving)}),
                rarities=[rarity_from_array(arrays[f"rarity.{i}"]) for i in range(number)],
            )
