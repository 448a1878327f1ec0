"""Controls: what simple rules reach that look at no sensor. A model must beat them. Pure, given a seed.

Each is scored on the same rows and goes through the same policy and judge as the model. Calendar and age are
rates per cell, learned on the training part: a cell counts for itself as far as it holds failures, else its
parent does. Persistence knows each device's own past.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anomaly.judge.calibration import Known, known_within
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.outcome import outcome_of
from anomaly.records import FloatArray, IntArray

US_PER_HOUR = 3.6e9
_AGE_CELLS = 24
"""By quantiles of all ages, and as many again by quantiles of the ages shortly before a failure."""
_PRIOR_FAILURES = 1.0
"""How many failures at the fleet's rate a device's own past is mixed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of one failure mode: the training part, or the test part."""

    catalog: Catalog
    histories: tuple[History, ...]
    frame: Frame
    mode: str


class Control(Protocol):
    """From rows to a probability of failure within the horizon, or to any score in [0, 1]."""

    def score(self, part: Part) -> FloatArray:
        """Score each row of the part's frame."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysOn:
    """Alarms from the first row on."""

    def score(self, part: Part) -> FloatArray:
        return np.ones(len(part.frame))


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Says anything; its threshold is chosen so that it alarms as often as the model."""

    seed: int

    def score(self, part: Part) -> FloatArray:
        return np.random.default_rng(self.seed).random(len(part.frame))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Knows the hour of the day and the day of the week (UTC)."""

    rate: FloatArray
    """Per hour of the week, from Monday on."""

    def score(self, part: Part) -> FloatArray:
        return np.asarray(self.rate[hour_of_week(part)])


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeOnly:
    """Knows how old the component is."""

    edges: FloatArray
    """Hours, rising."""
    rate: FloatArray
    """Below the first edge, between the edges, from the last one on."""

    def score(self, part: Part) -> FloatArray:
        return np.asarray(self.rate[np.searchsorted(self.edges, age_of(part), side="right")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """Expects of each device what it did so far."""

    failures_per_hour: float
    """Of the fleet, in the training part."""
    horizon_hours: float

    def score(self, part: Part) -> FloatArray:
        failures, hours = past_of(part)
        own = (failures + _PRIOR_FAILURES) / (hours + _PRIOR_FAILURES / self.failures_per_hour)
        return np.asarray(-np.expm1(-own * self.horizon_hours))


def fit_controls(train: Part, *, horizon_hours: float, seed: int) -> dict[str, Control]:
    """Learn the controls on the training part.

    Parameters
    ----------
    train : Part
        Rows that end before the test part begins, by at least the horizon.
    horizon_hours : float
        Hours within which a failure is asked for.
    seed : int
    """
    failures, hours = _fleet(train)
    sample = _sample(train, horizon_hours)
    return {
        "always_on": AlwaysOn(),
        "random": Random(seed=seed),
        "calendar": _calendar(train, sample),
        "age": _age(train, sample),
        "persistence": Persistence(
            failures_per_hour=max(failures, 0.5) / max(hours, 1e-9), horizon_hours=horizon_hours
        ),
    }


def hour_of_week(part: Part) -> IntArray:
    """Hour of the week of each row, 0 to 167, from Monday on, UTC."""
    hours = part.frame.at_us // round(US_PER_HOUR)
    return np.asarray((hours + 3 * 24) % 168)  # 1970 began on a Thursday


def age_of(part: Part) -> FloatArray:
    """Hours since the component of each row was new: delivered, replaced, or repaired after a failure."""
    age = np.empty(len(part.frame))
    for rows, history, failures, replaced in _each(part):
        at = part.frame.at_us[rows]
        begins = np.unique(np.concatenate([[history.begins_us], failures, replaced]))
        place = np.searchsorted(begins, at, side="right") - 1
        age[rows] = (at - begins[np.maximum(place, 0)]) / US_PER_HOUR
    return age


def past_of(part: Part) -> tuple[FloatArray, FloatArray]:
    """Failures of the mode that each row's device had so far, and hours since it was first seen."""
    count, hours = np.empty(len(part.frame)), np.empty(len(part.frame))
    for rows, history, failures, _ in _each(part):
        at = part.frame.at_us[rows]
        count[rows] = np.searchsorted(failures, at, side="right")
        hours[rows] = (at - history.begins_us) / US_PER_HOUR
    return count, hours


def _each(part: Part) -> "list[tuple[IntArray, History, IntArray, IntArray]]":
    """Per device: its rows, its history, failures of the mode, replacements of the component."""
    place = part.catalog.modes.index(part.mode)
    component = part.catalog.product.failure_mode(part.mode).component
    number = part.catalog.components.index(component)
    order = np.argsort(part.frame.device, kind="stable")
    borders = np.searchsorted(part.frame.device[order], np.arange(len(part.histories) + 1))
    return [
        (
            order[borders[device] : borders[device + 1]],
            history,
            history.failure_us[history.failure_mode == place],
            history.service_us[history.service_component == number],
        )
        for device, history in enumerate(part.histories)
    ]


def _fleet(part: Part) -> tuple[float, float]:
    """Failures and hours of all devices up to the last row of each."""
    failures = hours = 0.0
    for rows, history, own, _ in _each(part):
        if not len(rows):
            continue
        last = int(part.frame.at_us[rows].max())
        failures += float((own <= last).sum())
        hours += (last - history.begins_us) / US_PER_HOUR
    return failures, hours


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Training rows with what happened within the horizon."""

    known: Known
    horizon_hours: float
    every_hours: float

    @property
    def base(self) -> float:
        total = self.known.weight.sum()
        return float(self.known.weight @ self.known.happened / total) if total > 0 else 0.0


def _sample(part: Part, horizon_hours: float) -> _Sample:
    outcome = outcome_of(part.catalog, part.histories, part.frame, mode=part.mode)
    known = known_within(outcome.hours, outcome.has_failed, horizon_hours=horizon_hours)
    every = part.catalog.every_us / US_PER_HOUR
    return _Sample(known=known, horizon_hours=horizon_hours, every_hours=every)


def _calendar(part: Part, sample: _Sample) -> Calendar:
    """Hours of the week lean on hours of working days and of week-ends, and those on all."""
    week = np.arange(168)
    kind = week % 24 + 24 * (week >= 5 * 24)
    hour = hour_of_week(part)
    days = _rates(kind[hour], sample, parent=np.full(48, sample.base), cell_hours=1.0)
    return Calendar(rate=_rates(hour, sample, parent=days[kind], cell_hours=1.0))


def _age(part: Part, sample: _Sample) -> AgeOnly:
    age = age_of(part)
    shares = np.arange(1, _AGE_CELLS) / _AGE_CELLS
    kinds = [age[sample.known.weight > 0], age[sample.known.happened]]
    quantiles = [np.quantile(one, shares) for one in kinds if len(one)]
    edges = np.unique(np.concatenate(quantiles)) if quantiles else np.empty(0)
    cell = np.searchsorted(edges, age, side="right")
    lasts = np.diff(edges, prepend=0.0, append=np.inf)
    parent = np.full(len(edges) + 1, sample.base)
    return AgeOnly(edges=edges, rate=_rates(cell, sample, parent=parent, cell_hours=lasts))


def _rates(
    cell: IntArray, sample: _Sample, *, parent: FloatArray, cell_hours: float | FloatArray
) -> FloatArray:
    """Share that failed per cell, mixed with the parent's as if one more failure had happened at its rate.

    `cell_hours` is how long a cell lasts: one failure marks at most so many of its rows.
    """
    weight = sample.known.weight
    total = np.bincount(cell, weights=weight, minlength=len(parent))
    failed = np.bincount(cell, weights=weight * sample.known.happened, minlength=len(parent))
    marked = np.minimum(sample.horizon_hours, cell_hours) / sample.every_hours
    marked = np.maximum(marked, 1.0) * _PRIOR_FAILURES
    rows = marked / np.maximum(parent, 1e-12)
    return np.asarray(np.where(parent > 0, (failed + marked) / (total + rows), 0.0))
