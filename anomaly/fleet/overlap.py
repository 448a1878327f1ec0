"""Which groups are the same devices, and which of two explains the other. Pure.

A lot that alone got a new firmware cannot be told from the firmware by its failures. Two groups are
each judged again with the other held constant (compared only among devices on the same side of the
other group): what still stands out stands by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anomaly.fleet.lives import Lives, Trait
from anomaly.fleet.rates import Counts, bands_of, count, rate_ratios
from anomaly.fleet.standing import Group, Standing
from anomaly.records import BoolArray

Kind = Literal["inseparable", "explained_by", "explains", "apart"]
SHARED_MIN = 0.8
"""Of a flagged group's devices, to call another group "the same devices" …"""
FILLED_MIN = 0.5
"""… of whose devices they must be at least this share: what half the fleet shares explains no lot."""
ISSUES_MAX = 30
"""Flagged groups of one failure mode that are held against each other."""
OVERLAPS_MAX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Another group with many of the same devices."""

    trait: str
    value: str
    shared: int
    """Devices in both."""
    devices: int
    """Devices of the other group."""
    kind: Kind


def overlaps(lives: Lives, flagged: Sequence[Standing]) -> dict[Group, tuple[Overlap, ...]]:
    """Hold the flagged groups of one failure mode against all groups that share devices with them."""
    chosen = sorted(flagged, key=lambda s: -s.log_evidence)[:ISSUES_MAX]
    members = _Members(lives)
    are_flagged = {(s.group.trait, s.group.value) for s in chosen}
    return {
        s.group: _of_group(members, (s.group.trait, s.group.value), are_flagged) for s in chosen
    }


def _of_group(
    members: "_Members", key: tuple[str, str], are_flagged: set[tuple[str, str]]
) -> tuple[Overlap, ...]:
    own = members.of(key)
    found = []
    for other in members.keys:
        theirs = members.of(other)
        shared = len(own & theirs)
        if other == key or not shared or len(theirs) == members.total:
            continue
        is_same = shared >= SHARED_MIN * len(own) and shared >= FILLED_MIN * len(theirs)
        if not is_same and other not in are_flagged:
            continue
        kind = members.relation(key, other)
        if is_same or kind != "apart":
            found.append(
                Overlap(
                    trait=other[0], value=other[1], shared=shared, devices=len(theirs), kind=kind
                )
            )
    found.sort(key=lambda o: (-o.shared, o.devices, o.trait, o.value))
    return tuple(found[:OVERLAPS_MAX])


class _Members:
    """Who belongs to which group, looked up once each."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._bands = bands_of(lives)
        self._traits = {trait.name: trait for trait in lives.traits}
        self._sets: dict[tuple[str, str], frozenset[int]] = {}
        self.keys = [(trait.name, value) for trait in lives.traits for value in trait.values]
        self.total = len(np.unique(lives.device))

    def of(self, key: tuple[str, str]) -> frozenset[int]:
        if key not in self._sets:
            self._sets[key] = frozenset(self._lives.device[self._rows(key)].tolist())
        return self._sets[key]

    def relation(self, key: tuple[str, str], other: tuple[str, str]) -> Kind:
        """Say which of two groups still stands out when the other is held constant."""
        own_stands, other_stands = self._stands(key, other), self._stands(other, key)
        if own_stands:
            return "apart" if other_stands else "explains"
        return "explained_by" if other_stands else "inseparable"

    def _stands(self, key: tuple[str, str], held: tuple[str, str]) -> bool:
        trait = self._traits[key[0]]
        counts = _side_by_side(self._lives, trait, self._bands, self._rows(held))
        return bool(rate_ratios(counts).low[trait.values.index(key[1])] > 1)

    def _rows(self, key: tuple[str, str]) -> BoolArray:
        trait = self._traits[key[0]]
        return np.asarray(trait.code == trait.values.index(key[1]))


def _side_by_side(lives: Lives, trait: Trait, bands: np.ndarray, held: BoolArray) -> Counts:
    """Count within and without the group that is held constant, as if they were bands of age."""
    parts = []
    for side in (held, ~held):
        chosen = lives.chosen(side)
        place = [t.name for t in lives.traits].index(trait.name)
        parts.append(count(chosen, chosen.traits[place], bands))
    return Counts(
        failures=np.concatenate([p.failures for p in parts], axis=1),
        exposure=np.concatenate([p.exposure for p in parts], axis=1),
        other_failures=np.concatenate([p.other_failures for p in parts], axis=1),
        other_exposure=np.concatenate([p.other_exposure for p in parts], axis=1),
    )
