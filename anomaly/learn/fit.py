"""Learns a product's failure modes: the same for production, backtests and every benchmark. Pure.

Learning is cut by time and by device, never by random rows: hazards learn from what was known at
`train_until`; the calibration from the stretch of time after it, each device judged by hazards that
did not see that device. Nothing after `calibrate_until` is looked at.

Each mode has a hazard of its own (`hazard`). Where failures recur there is also one that all modes learned
together, and each device's own rate (`shared`). What is said is a mixture; its shares are the likeliest ones
for what happened in the training slice to devices left out, and the mode's own hazard stands alone
unless the mixture is surely better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.calibration import Calibration, fit_calibration
from anomaly.learn.doubts import looked_at
from anomaly.learn.frame import (
    GROUPS,
    Frame,
    FrameSpec,
    Group,
    fit_spec,
    instants,
    make_frame,
)  # fmt: skip
from anomaly.learn.hazard import FOLDS, Hazard, fit_hazard
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel, Range
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.learn.shared import Instants, Said, Told, ToldMode, fit_shared, folds, recurs
from anomaly.learn.stack import mixture
from anomaly.records import FloatArray, IntArray

HORIZONS_HOURS = (24.0, 168.0, 720.0)
"""Those of every product's forecasts: a day, a week, a month."""
BLOCKS = 12
"""With fewer failing devices than folds, stretches of time are left out instead: so many."""
OWN_MODES_MAX = 30
"""With more modes that failed often enough there is no hazard for each: what they learn together stands."""


def fit_mode_models(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    train_until_us: int | None,
    calibrate_until_us: int,
    seeds: Sequence[int],
    modes: Sequence[str] | None = None,
    horizons_hours: Sequence[float] = HORIZONS_HOURS,
    groups: Sequence[type[Group]] = GROUPS,
    together: Sequence[int] | None = None,
) -> dict[str, ModeModel]:
    """Learn failure modes, by default all, one after the other; parameters as in `fit_mode_model`."""
    told = learn_together(
        catalog, histories, train_until_us=train_until_us, calibrate_until_us=calibrate_until_us,
        seeds=seeds, horizons_hours=horizons_hours, groups=groups, together=together,
    )  # fmt: skip
    return {
        mode: fit_mode_model(
            catalog, histories, mode=mode, train_until_us=train_until_us,
            calibrate_until_us=calibrate_until_us, seeds=seeds, horizons_hours=horizons_hours,
            groups=groups, together=together,
            told=None if told is None else told.of(catalog.modes.index(mode)),
        )
        for mode in (catalog.modes if modes is None else modes)
    }  # fmt: skip


def learn_together(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    train_until_us: int | None,
    calibrate_until_us: int,
    seeds: Sequence[int],
    horizons_hours: Sequence[float] = HORIZONS_HOURS,
    groups: Sequence[type[Group]] = GROUPS,
    together: Sequence[int] | None = None,
) -> Told | None:
    """Learn what all modes have in common; None where failures do not recur, or not all may be known."""
    train, check, _ = _slices(catalog, histories, train_until_us, calibrate_until_us)
    group = _group(histories, together)
    few = len(np.unique(group)) < FOLDS
    if tuple(groups) != GROUPS or few or not recurs(train.histories):
        return None
    return fit_shared(
        catalog, train, check, group=group, horizons_hours=tuple(sorted(horizons_hours)),
        seeds=seeds,
    )  # fmt: skip


def fit_mode_model(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    mode: str,
    train_until_us: int | None,
    calibrate_until_us: int,
    seeds: Sequence[int],
    horizons_hours: Sequence[float] = HORIZONS_HOURS,
    groups: Sequence[type[Group]] = GROUPS,
    together: Sequence[int] | None = None,
    told: ToldMode | None = None,
) -> ModeModel:
    """Learn one failure mode from histories; nothing later than `calibrate_until_us` is looked at.

    Parameters
    ----------
    train_until_us : int or None
        End of the slice that hazards learn from. None: devices have no time in common (lives that are
        known by age only); then the calibration looks at the same time, still at other devices.
    groups : sequence, optional
        Features that may be known. Without all of them nothing is learned from how failures recur.
    together : sequence of int, optional
        Per history: those of one number are left out together, because they are no independent cases
        (records of one machine, units of one plant). By default each stands for itself.
    told : ToldMode, optional
        What `learn_together` made of the same histories.
    """
    train, check, after_us = _slices(catalog, histories, train_until_us, calibrate_until_us)
    own = () if told is not None and told.often > OWN_MODES_MAX else groups
    seen = [h for h in train.histories if h.until_us > h.begins_us]
    spec = fit_spec(catalog, seen, groups=own)
    job = _Job(
        place=catalog.modes.index(mode), told=told, group=_group(histories, together),
        horizons=tuple(sorted(horizons_hours)), seeds=tuple(seeds), after_us=after_us,
        train=_Slice.of(catalog, spec, train, mode=mode),
        check=_Slice.of(catalog, spec, check, mode=mode),
    )  # fmt: skip
    return job.fit(
        mode, spec,
        seen_until=(calibrate_until_us if train_until_us is None else train_until_us, calibrate_until_us),
    )  # fmt: skip


def _slices(
    catalog: Catalog,
    histories: Sequence[History],
    train_until_us: int | None,
    calibrate_until_us: int,
) -> tuple[Instants, Instants, int | None]:
    """Return what is learned from, what calibrates, and after which instant the second begins."""
    last_us = calibrate_until_us if train_until_us is None else train_until_us
    train = _asked(catalog, [h.upto(last_us) for h in histories], after_us=None)
    if train_until_us is None:
        return train, train, None
    later = [h.upto(calibrate_until_us) for h in histories]
    return train, _asked(catalog, later, after_us=train_until_us), train_until_us


def _group(histories: Sequence[History], together: Sequence[int] | None) -> IntArray:
    return np.arange(len(histories)) if together is None else np.asarray(together)


def _asked(catalog: Catalog, histories: Sequence[History], *, after_us: int | None) -> Instants:
    rows = [instants(catalog, history) for history in histories]
    if after_us is not None:
        rows = [at[at > after_us] for at in rows]
    return Instants(at_us=rows, histories=histories)


def _failures(histories: Sequence[History], place: int, *, after_us: int | None = None) -> int:
    start = -np.inf if after_us is None else after_us
    return sum(int(np.sum((h.failure_mode == place) & (h.failure_us > start))) for h in histories)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """Rows of a stretch of time."""

    frame: Frame
    histories: Sequence[History]
    outcome: Outcome

    @classmethod
    def of(cls, catalog: Catalog, spec: FrameSpec, asked: Instants, *, mode: str) -> "_Slice":
        frame = make_frame(catalog, spec, asked.histories, at_us=asked.at_us)
        outcome = outcome_of(catalog, asked.histories, frame, mode=mode)
        return cls(frame=frame, histories=asked.histories, outcome=outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """The hazard of one mode, and what hazards that left the device out said."""

    hazard: Hazard
    train_chance: FloatArray | None
    """None: stretches of time were left out, or nothing was learned."""
    check_chance: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One mode on its way."""

    place: int
    """In the catalog."""
    told: ToldMode | None
    group: IntArray
    horizons: tuple[float, ...]
    seeds: tuple[int, ...]
    train: _Slice
    check: _Slice
    after_us: int | None

    def fit(self, mode: str, spec: FrameSpec, *, seen_until: tuple[int, int]) -> ModeModel:
        own = self._own()
        share = self._share_of_shared(own)
        failures = _failures(self.check.histories, self.place, after_us=self.after_us)
        calibration = self._calibration(own, share=share, failures=failures)
        told = self.told if share > 0 else None
        if told is not None:
            own_groups = spec.groups if share < 1 else ()
            spec = FrameSpec(groups=(*own_groups, told.recurring))
        return ModeModel(
            mode=mode,
            spec=spec,
            hazard=own.hazard,
            calibration=calibration,
            seen=Range(
                from_us=min((h.begins_us for h in self.train.histories), default=seen_until[0]),
                train_until_us=seen_until[0],
                calibrate_until_us=seen_until[1],
                devices=len(self.train.histories),
                rows=len(self.train.frame),
                failures=_failures(self.train.histories, self.place),
                calibration_rows=len(self.check.frame),
                calibration_failures=failures,
            ),
            seeds=self.seeds,
            shared=None if told is None else told.shared,
            shared_share=share,
        )

    def _own(self) -> _Own:
        """Learn the mode by itself; forecast both slices by hazards that left the device out."""
        train, check = self.train.frame, self.check.frame
        outcome = self._judged_by_visits()
        failures = _failures(self.train.histories, self.place)
        groups, are_devices = self._groups(outcome)
        start = [h.begins_us for h in self.train.histories]
        hours = sum(
            max(h.until_us - begins, 0) / US_PER_HOUR
            for h, begins in zip(self.train.histories, start, strict=True)
        )

        def fit(rows: IntArray, *, trees: int | None) -> Hazard:
            part = outcome.take(rows)
            return fit_hazard(
                train.x[rows], part, groups=groups[rows],
                failures=failures if train.x.shape[1] else 0, exposure_hours=hours,
                horizons_hours=self.horizons, seeds=self.seeds, trees=trees,
            )  # fmt: skip

        whole = fit(np.arange(len(train)), trees=None)
        if not are_devices or not whole.members:
            said = [1 - whole.survival(frame.x, self.horizons) for frame in (train, check)]
            rates = said[0] if not whole.members else None
            return _Own(hazard=whole, train_chance=rates, check_chance=said[1])
        chances = [np.empty((len(frame), len(self.horizons))) for frame in (train, check)]
        fold = folds(self.group)
        for number in range(FOLDS):
            part = fit(np.flatnonzero(fold[train.device] != number), trees=whole.trees)
            for frame, chance in zip((train, check), chances, strict=True):
                rows = np.flatnonzero(fold[frame.device] == number)
                chance[rows] = 1 - part.survival(frame.x[rows], self.horizons)
        return _Own(hazard=whole, train_chance=chances[0], check_chance=chances[1])

    def _judged_by_visits(self) -> Outcome:
        """What came in the training slice; rows before a visit that found nothing count for more."""
        outcome, train = self.train.outcome, self.train.frame
        if not any((history.doubt_mode == self.place).any() for history in self.train.histories):
            return outcome
        sureness = looked_at(
            self.train.histories, train.device, train.at_us, place=self.place,
            ahead_hours=max(self.horizons),
        )  # fmt: skip
        return replace(outcome, sureness=sureness)

    def _share_of_shared(self, own: _Own) -> float:
        """How much what all modes learned counts; all, where the mode by itself taught nothing."""
        if self.told is None or own.train_chance is None:
            return 0.0
        if not own.hazard.members:
            return 1.0 if self.told.is_better else 0.0
        rows = _places(self.told.train, self.train.frame)
        shares = mixture(
            (own.train_chance[rows], self.told.train.chance),
            self.train.outcome.take(rows),
            self.group[self.train.frame.device[rows]],
            horizons_hours=self.horizons,
        )
        return float(shares[1])

    def _calibration(self, own: _Own, *, share: float, failures: int) -> Calibration:
        outcome, chance = self.check.outcome, own.check_chance
        if self.told is not None and share >= 1:
            return self.told.calibration
        if self.told is not None and share > 0:
            rows = _places(self.told.check, self.check.frame)
            outcome = outcome.take(rows)
            chance = share * self.told.check.chance + (1 - share) * chance[rows]
        return fit_calibration(chance, outcome, horizons_hours=self.horizons, failures=failures)

    def _groups(self, outcome: Outcome) -> tuple[IntArray, bool]:
        """Return what is left out together: devices, or stretches of time when few devices failed."""
        train = self.train.frame
        group = self.group[train.device]
        failing = np.unique(group[outcome.has_failed])
        if len(failing) >= 2 * FOLDS or not len(train):
            return group, True
        first, last = train.at_us.min(), train.at_us.max()
        block = (train.at_us - first) * BLOCKS // (last - first + 1)
        return np.asarray(block), False


def _places(thin: Said, frame: Frame) -> IntArray:
    """Rows of a frame at some of its instants."""
    starts = np.searchsorted(frame.device, np.arange(len(thin.at_us) + 1))
    return np.concatenate(
        [
            start + np.searchsorted(frame.at_us[start:end], at)
            for at, start, end in zip(thin.at_us, starts[:-1], starts[1:], strict=True)
        ]
    )
