"""One hazard for all failure modes of a product, or each device's own rate. Pure; plain arrays.

Where failures recur, how a mode came on this device so far says much, and what was learned of one
mode holds for others; rare modes lean on frequent ones. Whether trees tell more than the device's own rate alone
(persistence, which simple as it is often wins on machines never seen) is decided by devices left out.
What all modes learned together is also calibrated together: a rare mode has too few failures for a
curve of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from anomaly.judge.ranking import average_precision
from anomaly.learn.calibration import Calibration, fit_calibration, known_weights
from anomaly.learn.conformal import device_weights
from anomaly.learn.frame import Frame
from anomaly.learn.hazard import FAILURES_MIN, FOLDS, Hazard, fit_hazard
from anomaly.learn.history import Catalog, History
from anomaly.learn.outcome import Outcome, Outcomes, outcomes_of
from anomaly.learn.recurring import Recurring
from anomaly.learn.stack import mixture
from anomaly.records import FloatArray, IntArray

ROWS_MAX = 400_000
"""Rows (instant and mode) that are learned from; neighbouring instants look nearly the same."""
_OWN_SHARE = 0
"""Column of the device's own share of stretches."""


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned of all modes together."""

    hazard: Hazard
    """Without trees, each device's own rate stands."""
    stretch_hours: float

    def survival(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Chance of not having failed by each horizon, of rows of one mode's columns; (rows, horizons)."""
        if self.hazard.members:
            return self.hazard.survival(x, hours)
        rate = -np.log1p(-np.minimum(x[:, _OWN_SHARE], 1 - 1e-9)) / self.stretch_hours
        return np.asarray(np.exp(-rate[:, None] * np.asarray(hours)[None, :]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instants:
    """At which instants what is asked, and what came."""

    at_us: Sequence[IntArray]
    """Per history."""
    histories: Sequence[History]

    @property
    def device(self) -> IntArray:
        return np.repeat(np.arange(len(self.at_us)), [len(at) for at in self.at_us])

    def frame(self) -> Frame:
        """Instants alone, in the form in which outcomes are looked up."""
        device = self.device
        return Frame(
            device=device, at_us=np.concatenate([np.empty(0, dtype=np.int64), *self.at_us]),
            x=np.empty((len(device), 0)), names=(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What hazards said of one mode on devices that they had not seen."""

    at_us: Sequence[IntArray]
    """Instants per history."""
    chance: FloatArray
    """(instants, horizons)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMode:
    """What was learned of all modes, as far as one of them needs it."""

    shared: Shared
    recurring: Recurring
    """Of this mode alone."""
    train: Said
    check: Said
    is_better: bool
    """Surely, than each mode's rate over all devices."""
    often: int
    """Modes that failed often enough to be learned by themselves."""
    calibration: Calibration
    """Of all modes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was learned of all modes, and what was said of devices left out."""

    shared: Shared
    recurring: Recurring
    train_at_us: Sequence[IntArray]
    """Instants per history, thinned."""
    train_chance: FloatArray
    """By hazards that left the device out; (instants, modes, horizons)."""
    check_at_us: Sequence[IntArray]
    check_chance: FloatArray
    is_better: bool
    often: int
    calibration: Calibration

    def of(self, place: int) -> ToldMode:
        """Return what one mode needs, by its place in the catalog."""
        return ToldMode(
            shared=self.shared,
            recurring=self.recurring.of(self.recurring.modes[place]),
            train=Said(at_us=self.train_at_us, chance=self.train_chance[:, place]),
            check=Said(at_us=self.check_at_us, chance=self.check_chance[:, place]),
            is_better=self.is_better,
            often=self.often,
            calibration=self.calibration,
        )


def recurs(histories: Sequence[History]) -> bool:
    """Whether failures come again on one device often enough to learn from it."""
    again = sum(max(len(history.failure_us) - 1, 0) for history in histories)
    return again >= FAILURES_MIN


def fit_shared(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    train: Instants,
    check: Instants,
    *,
    group: IntArray,
    horizons_hours: Sequence[float],
    seeds: Sequence[int],
) -> Told:
    """Learn all modes together.

    Parameters
    ----------
    train, check : Instants
        To learn from, and to be forecast by hazards that left the device out.
    group : ndarray, shape (histories,)
        Histories of one number are left out together.
    """
    fold = folds(group)
    thin, check = (_thinned(asked, len(catalog.modes)) for asked in (train, check))
    frame = thin.frame()
    outcome = outcomes_of(catalog, thin.histories, frame)
    fit = partial(_fit, catalog, thin, outcome, horizons_hours=horizons_hours, seeds=seeds)
    whole, recurring = fit(np.arange(len(fold)), group=group, trees=None, like=None)
    shape = (len(catalog.modes), len(horizons_hours))
    said = {way: np.empty((len(frame), *shape)) for way in ("trees", "rate", "fleet")}
    checked = {way: np.empty((len(check.device), *shape)) for way in ("trees", "rate")}
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        hazard, part = fit(inside, group=group, trees=whole.trees, like=recurring)
        said["fleet"][fold[thin.device] == number] = _at_the_fleets_rate(part, horizons_hours)
        rate = msgspec.structs.replace(hazard, members=())
        for asked, found in ((thin, said), (check, checked)):
            x = _tables(catalog, part, asked, outside)
            rows = fold[asked.device] == number
            for way, one in (("trees", hazard), ("rate", rate)):
                shared = Shared(hazard=one, stretch_hours=part.stretch_hours)
                chance = 1 - shared.survival(x.reshape(-1, x.shape[2]), horizons_hours)
                found[way][rows] = chance.reshape(len(x), *shape)
    judge = _Judge(outcome=outcome, group=group[frame.device], horizons_hours=horizons_hours)
    is_worth_it = bool(whole.members) and judge.ranked(said["trees"]) > judge.ranked(said["rate"])
    way = "trees" if is_worth_it else "rate"
    if way == "rate":
        whole = msgspec.structs.replace(whole, members=())
    came = outcomes_of(catalog, check.histories, check.frame())
    calibration = fit_calibration(
        checked[way].reshape(-1, shape[1]), came.flat, horizons_hours=horizons_hours,
        failures=_failures(check),
    )  # fmt: skip
    return Told(
        shared=Shared(hazard=whole, stretch_hours=recurring.stretch_hours), recurring=recurring,
        train_at_us=thin.at_us, train_chance=said[way],
        check_at_us=check.at_us, check_chance=checked[way],
        is_better=judge.share_of(said["fleet"], said[way]) < 1,
        often=_often(thin.histories, len(catalog.modes)), calibration=calibration,
    )  # fmt: skip


def _often(histories: Sequence[History], modes: int) -> int:
    failures = np.zeros(modes)
    for history in histories:
        failures += np.bincount(history.failure_mode, minlength=modes)
    return int(np.sum(failures >= FAILURES_MIN))


def _failures(asked: Instants) -> int:
    """Failures of all modes after the first instant that is asked."""
    return sum(
        int(np.sum(history.failure_us > at[0]))
        for history, at in zip(asked.histories, asked.at_us, strict=True)
        if len(at)
    )


def folds(group: IntArray) -> IntArray:
    """Number of the part in which each history is left out; those of one group together."""
    _, place = np.unique(group, return_inverse=True)
    return np.asarray(place % FOLDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """What came after each instant for each mode: decides between two forecasters."""

    outcome: Outcomes
    group: IntArray
    """Of each instant."""
    horizons_hours: Sequence[float]

    def share_of(self, simple: FloatArray, other: FloatArray) -> float:
        """Share of the simpler one in a mixture; both (instants, modes, horizons)."""
        return float(mixture(*self._rows(simple, other), horizons_hours=self.horizons_hours)[0])

    def ranked(self, chance: FloatArray) -> float:
        """How well failures are ranked first, mean over modes: levels are set right by the calibration after.

        Average precision; each group counts the same.
        """
        weight, found = device_weights(self.group), []
        for mode in range(chance.shape[1]):
            outcome = self.outcome.of(mode)
            for column, horizon in enumerate(self.horizons_hours):
                failed = outcome.has_failed & (outcome.hours <= horizon)
                if failed.sum() >= FAILURES_MIN:
                    known = known_weights(outcome, horizon) * weight
                    found.append(average_precision(chance[:, mode, column], failed, known) or 0.0)
        return float(np.mean(found)) if found else 0.0

    def _rows(
        self, simple: FloatArray, other: FloatArray
    ) -> tuple[tuple[FloatArray, FloatArray], Outcome, IntArray]:
        modes, width = simple.shape[1:]
        groups = np.repeat(self.group, modes)
        return (simple.reshape(-1, width), other.reshape(-1, width)), self.outcome.flat, groups


def _at_the_fleets_rate(recurring: Recurring, horizons_hours: Sequence[float]) -> FloatArray:
    """Chance of each mode within each horizon on any device; (modes, horizons)."""
    rate = -np.log1p(-np.minimum(recurring.share.array, 1 - 1e-9)) / recurring.stretch_hours
    return np.asarray(-np.expm1(-rate[:, None] * np.asarray(horizons_hours)[None, :]))


def _fit(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    thin: Instants,
    outcome: Outcomes,
    inside: IntArray,
    *,
    group: IntArray,
    horizons_hours: Sequence[float],
    seeds: Sequence[int],
    trees: int | None,
    like: Recurring | None,
) -> tuple[Hazard, Recurring]:
    histories = [thin.histories[place] for place in inside]
    recurring = Recurring.fit(
        catalog, histories, at_us=[thin.at_us[place] for place in inside],
        stretch_hours=min(horizons_hours), like=like,
    )  # fmt: skip
    x = _tables(catalog, recurring, thin, inside)
    rows = np.isin(thin.device, inside)
    modes = outcome.hours.shape[1]
    watched = sum((h.until_us - h.seen_from_us) / 3.6e9 for h in histories)
    hazard = fit_hazard(
        x.reshape(-1, x.shape[2]),
        Outcome(hours=outcome.hours[rows].ravel(), has_failed=outcome.has_failed[rows].ravel()),
        groups=np.repeat(group[thin.device[rows]], modes),
        failures=sum(len(h.failure_us) for h in histories),
        exposure_hours=watched * modes,
        horizons_hours=horizons_hours, seeds=seeds, trees=trees,
    )  # fmt: skip
    return hazard, recurring


def _tables(
    catalog: Catalog, recurring: Recurring, asked: Instants, chosen: IntArray
) -> FloatArray:
    """Features of some histories' instants; (instants, modes, kinds)."""
    parts = [
        recurring.table(catalog, asked.histories[place], asked.at_us[place]) for place in chosen
    ]
    empty = np.empty((0, len(recurring.modes), len(recurring.kinds)))
    return np.concatenate([empty, *parts])


def _thinned(asked: Instants, modes: int) -> Instants:
    rows = sum(len(at) for at in asked.at_us)
    every = max(1, -(-rows * modes // ROWS_MAX))
    return Instants(
        at_us=[at[place % every :: every] for place, at in enumerate(asked.at_us)],
        histories=asked.histories,
    )
