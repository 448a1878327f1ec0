"""How rare a lone metric's value is among all that came before: for products with nothing beside it. Pure.

A single series has no companions, and its rhythms and levels are more than its learning time shows. So
it is asked how far a value lies from its nearest earlier values, and how often so far a distance was seen:
a conformal density estimate that goes on learning. No shape, period or scale is assumed.

References
----------
Burnaev and Ishimtsev (2016), Conformalized density- and distance-based anomaly detection. arXiv:1608.04585.
Pickands (1975), Ann. Statist. 3(1), for the tail beyond what was seen. doi:10.1214/aos/1176343003
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from anomaly.records import FloatArray

KEPT_MAX = 16_384
"""Values that are remembered; the oldest go first."""
_NEAREST = 3
_TAIL = 0.1
"""Distances beyond this share of all are taken for the tail, which falls off exponentially."""
_SEEN_MIN = 100
_ANEW = 64
"""The tail is fitted anew after so many values."""


@dataclass(slots=True, kw_only=True)
class Rarity:
    """One device; everything needed to go on."""

    values: deque[float] = field(default_factory=deque)
    """Newest last."""
    distances: deque[float] = field(default_factory=deque)
    tail_from: float = 0.0
    tail_mean: float = 0.0
    """Mean of what lies beyond `tail_from`; 0 before anything was fitted."""
    since_fit: int = 0
    ordered_values: list[float] = field(default_factory=list)
    ordered_distances: list[float] = field(default_factory=list)


def take(rarity: Rarity, value: float) -> float:
    """Score a value, then remember it; NaN for NaN, 0 while too little was seen."""
    if np.isnan(value):
        return value
    score = 0.0
    if len(rarity.values) > _NEAREST:
        distance = _distance(rarity.ordered_values, value)
        if len(rarity.distances) >= _SEEN_MIN:
            if rarity.tail_mean == 0 or rarity.since_fit >= _ANEW:
                _fit(rarity)
            score = _surprise(rarity, distance)
        rarity.since_fit += 1
        _remember(rarity.distances, rarity.ordered_distances, distance)
    _remember(rarity.values, rarity.ordered_values, value)
    return score


def middle_of(rarity: Rarity) -> float:
    """Median of what is remembered; NaN when that is nothing."""
    known = rarity.ordered_values
    return known[len(known) // 2] if known else float("nan")


def half_width(rarity: Rarity) -> float:
    """Half of the distance between the quarters: what is ordinary; 0 when nothing is known."""
    known = rarity.ordered_values
    return (known[3 * len(known) // 4] - known[len(known) // 4]) / 2 if known else 0.0


def rarity_to_array(rarity: Rarity) -> FloatArray:
    """Return all numbers as one array, exactly."""
    head = [float(len(rarity.values)), rarity.tail_from, rarity.tail_mean, float(rarity.since_fit)]
    return np.array([*head, *rarity.values, *rarity.distances])


def rarity_from_array(array: FloatArray) -> Rarity:
    count = 4 + int(array[0])
    values, distances = array[4:count].tolist(), array[count:].tolist()
    return Rarity(
        values=deque(values),
        distances=deque(distances),
        tail_from=float(array[1]),
        tail_mean=float(array[2]),
        since_fit=int(array[3]),
        ordered_values=sorted(values),
        ordered_distances=sorted(distances),
    )


def _distance(ordered: list[float], value: float) -> float:
    """Mean distance to the nearest earlier values."""
    place = bisect_left(ordered, value)
    around = ordered[max(0, place - _NEAREST) : place + _NEAREST]
    return sum(sorted(abs(other - value) for other in around)[:_NEAREST]) / _NEAREST


def _fit(rarity: Rarity) -> None:
    known = rarity.ordered_distances
    place = int(len(known) * (1 - _TAIL))
    rarity.tail_from = known[place]
    beyond = sum(known[place:]) / (len(known) - place) - rarity.tail_from
    floor = 1e-3 * rarity.tail_from + 1e-9
    rarity.tail_mean, rarity.since_fit = max(beyond, floor), 0


def _surprise(rarity: Rarity, distance: float) -> float:
    if distance > rarity.tail_from:
        further = (distance - rarity.tail_from) / rarity.tail_mean
        return float(-np.log10(_TAIL) + further / np.log(10))
    known = rarity.ordered_distances
    rank = 1 - bisect_left(known, distance) / (len(known) + 1)
    return float(-np.log10(max(rank, _TAIL)))


def _remember(newest: deque[float], ordered: list[float], value: float) -> None:
    newest.append(value)
    insort(ordered, value)
    if len(newest) > KEPT_MAX:
        del ordered[bisect_left(ordered, newest.popleft())]
