"""The first layer of detection: devices against their own normal, no failure ever seen. Pure.

`Detector` keeps one contract: it is learned from a device's first windows, then takes one window after
the other; scores are at least 0, higher is stranger, NaN where nothing was measured. All that it knows are
arrays, and `to_bytes` keeps every bit of them.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from io import BytesIO
from typing import TypeVar

import numpy as np

from anomaly.records import FloatArray, IntArray
from anomaly.stream.normal import (
    JOINT,
    SPEEDS,
    SPEEDS_FIRST,
    Moving,
    Normal,
    at_rest,
    learn,
    nobody_joint,
)
from anomaly.stream.rarity import (
    Rarity,
    half_width,
    middle_of,
    rarity_from_array,
    rarity_to_array,
    take,
)
from anomaly.stream.watch import Seen, watch

_Arrays = TypeVar("_Arrays", Normal, Moving)


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

    def learn_anew(self, values: FloatArray, metrics: IntArray) -> None:
        """Learn the normal of some metrics of one device anew from windows, and how all hang together.

        Parameters
        ----------
        values : ndarray of float64, shape (windows, 1, metrics)
            Since the part that these metrics tell of was exchanged.
        metrics : ndarray of int
            Places; the others keep what they have.
        """
        new = Detector.learned(values)
        if self.rarities_:
            self.rarities_ = new.rarities_
        old_size = self.normal_.spread * self.normal_.scale
        joint = _rescaled(new.normal_, old_size, metrics)
        self.normal_ = replace(_merged(self.normal_, new.normal_, metrics), **joint)
        self.moving_ = _merged(self.moving_, new.moving_, metrics)

    def step(self, values: FloatArray, *, hold_from: float) -> Seen:
        """Score the next window of all devices, and take it in; shape (devices, metrics)."""
        if self.rarities_:
            return self._step_alone(values)
        seen, self.moving_ = watch(self.normal_, self.moving_, values, hold_from=hold_from)
        return seen

    def step_at(self, devices: IntArray, values: FloatArray, *, hold_from: float) -> Seen:
        """Score the next window of some devices, each once, and take it in; (len(devices), metrics)."""
        if len(devices) == len(self.normal_.middle) and (devices == np.arange(len(devices))).all():
            return self.step(values, hold_from=hold_from)
        part = self.of(devices)
        seen = part.step(values, hold_from=hold_from)
        _put(self.moving_, devices, part.moving_)
        return seen

    def of(self, devices: IntArray) -> "Detector":
        """Return some devices' own, at places."""
        return Detector(
            normal=_taken(self.normal_, devices),
            moving=_taken(self.moving_, devices),
            rarities=[self.rarities_[place] for place in devices.tolist()]
            if self.rarities_
            else [],
        )

    def rearranged(self, places: Sequence[int | None]) -> "Detector":
        """Return the same of other metrics: where each is now, None for one of which nothing is known."""
        devices = len(self.normal_.middle)
        taken = [place or 0 for place in places]
        new = [place for place, before in enumerate(places) if before is None]
        arrays = [
            {f.name: getattr(part, f.name)[..., taken] for f in fields(part) if f.name not in JOINT}
            for part in (self.normal_, self.moving_)
        ]
        normal = replace(self.normal_, **arrays[0], **nobody_joint(devices, len(places)))
        moving = replace(self.moving_, **arrays[1])
        rest = at_rest(np.zeros((devices, len(places))))
        for f in fields(Moving):
            getattr(moving, f.name)[..., new] = getattr(rest, f.name)[..., new]
        normal.middle[..., new], normal.still[..., new] = np.nan, np.inf
        return Detector(normal=normal, moving=moving, rarities=[])

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
            smooth=(values[:, 0] - middle)[:, None],
            reason=np.zeros(values.shape, dtype=np.int64),
            unit=np.zeros(values.shape),
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
        with np.load(BytesIO(kept), allow_pickle=False) as file:
            arrays = dict(file)
        number = sum(name.startswith("rarity.") for name in arrays)
        rest = at_rest(arrays["moving.reference"])  # an earlier release kept less
        arrays.setdefault("normal.still", np.full_like(arrays["normal.middle"], np.inf))
        known = {f.name: arrays[f"normal.{f.name}"] for f in fields(Normal)}
        moving = {name[7:]: array for name, array in arrays.items() if name.startswith("moving.")}
        return cls(
            normal=Normal(**known),
            moving=replace(rest, **moving),
            rarities=[rarity_from_array(arrays[f"rarity.{i}"]) for i in range(number)],
        )


def _merged(old: _Arrays, new: _Arrays, metrics: IntArray) -> _Arrays:
    """Take some metrics from `new`; what has no axis of metrics alone stays."""
    found = {}
    for f in fields(old):
        if f.name in JOINT:
            continue
        found[f.name] = getattr(old, f.name).copy()
        found[f.name][..., metrics] = getattr(new, f.name)[..., metrics]
    return replace(old, **found)


def _rescaled(new: Normal, old_size: FloatArray, metrics: IntArray) -> dict[str, FloatArray]:
    """Take how metrics hang together from `new`, with the others counted in the spreads that they keep."""
    found = {name: getattr(new, name) for name in JOINT}
    ratio = (old_size / (new.spread * new.scale))[len(SPEEDS) :]
    ratio[..., metrics] = 1.0
    if new.precision.shape[1]:
        found["precision"] = new.precision * ratio[..., :, None] * ratio[..., None, :]
    return found


def _taken(arrays: _Arrays, devices: IntArray) -> _Arrays:
    """Take some devices out."""
    found = {}
    for f in fields(arrays):
        array = getattr(arrays, f.name)
        axis = int(f.name in SPEEDS_FIRST)
        found[f.name] = (
            array if axis == 1 and array.shape[1] == 0 else array.take(devices, axis=axis)
        )
    return type(arrays)(**found)


def _put(moving: Moving, devices: IntArray, part: Moving) -> None:
    """Lay some devices back, in arrays of their own: what others hold stays."""
    for f in fields(Moving):
        array = getattr(moving, f.name).copy()
        if f.name in SPEEDS_FIRST:
            array[:, devices] = getattr(part, f.name)
        else:
            array[devices] = getattr(part, f.name)
        setattr(moving, f.name, array)
