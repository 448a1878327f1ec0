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

import msgspec
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
    thinned,
)  # fmt: skip
from anomaly.learn.hazard import FOLDS, Hazard, fit_hazard
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel, Range
from anomaly.learn.outcome import Outcome
from anomaly.learn.outlook import HORIZONS_HOURS, curve_through
from anomaly.learn.remaining import Slice, learn_life
from anomaly.learn.shared import Instants, Said, Told, ToldMode, fit_shared, folds, recurs
from anomaly.learn.stack import mixture
from anomaly.learn.trend import Trend
from anomaly.records import FloatArray, IntArray

BLOCKS = 12
"""With fewer failing devices than folds, stretches of time are left out instead: so many."""
OWN_MODES_MAX = 30
"""With more modes that failed often enough there is no hazard for each: what they learn together stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all modes of a product are learned from, and how."""

    catalog: Catalog
    spec: FrameSpec
    """Of what a mode by itself is learned from."""
    train: Instants
    check: Instants
    """That calibrates."""
    after_us: int | None
    """After which `check` begins; None: it is `train`."""
    seen_from_us: int
    """Begin of what is known of any device."""
    seen_until: tuple[int, int]
    """End of `train` and of `check`."""
    group: IntArray
    """Per history: those of one number are left out together."""
    horizons: tuple[float, ...]
    seeds: tuple[int, ...]
    may_recur: bool
    """Whether something may be learned from how failures recur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A ground with the features of all its rows: made once for all modes."""

    ground: Ground
    train: Frame
    check: Frame


def ground_of(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    train_until_us: int | None,
    calibrate_until_us: int,
    seeds: Sequence[int],
    horizons_hours: Sequence[float] = HORIZONS_HOURS,
    groups: Sequence[type[Group]] = GROUPS,
    together: Sequence[int] | None = None,
) -> Ground:
    """Cut histories, and learn what their features need; nothing later than `calibrate_until_us` is looked at.

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
    """
    last_us = calibrate_until_us if train_until_us is None else train_until_us
    past = [h.upto(last_us) for h in histories]
    spec = fit_spec(catalog, [h for h in past if h.until_us > h.begins_us], groups=groups)
    width = len(spec.names)
    train = check = _asked(catalog, past, after_us=None, width=width)
    if train_until_us is not None:
        later = [h.upto(calibrate_until_us) for h in histories]
        check = _asked(catalog, later, after_us=train_until_us, width=width)
    return Ground(
        catalog=catalog, spec=spec, train=train, check=check, after_us=train_until_us,
        seen_from_us=min(map(_known_from_us, past), default=last_us),
        seen_until=(last_us, calibrate_until_us), group=_group(histories, together),
        horizons=tuple(sorted(horizons_hours)), seeds=tuple(seeds),
        may_recur=tuple(groups) == GROUPS,
    )  # fmt: skip


def learn_together(ground: Ground) -> Told | None:
    """Learn what all modes have in common; None where failures do not recur, or not all may be known."""
    few = len(np.unique(ground.group)) < FOLDS
    if not ground.may_recur or few or not recurs(ground.train.histories):
        return None
    return fit_shared(
        ground.catalog, ground.train, ground.check, group=ground.group,
        horizons_hours=ground.horizons, seeds=ground.seeds,
    )  # fmt: skip


def lay_out(ground: Ground, told: ToldMode | None) -> Tables:
    """Compute the features of all rows; none where what the modes learn together stands alone."""
    if told is not None and told.often > OWN_MODES_MAX:
        ground = replace(ground, spec=FrameSpec(groups=()))
    train = check = make_frame(
        ground.catalog, ground.spec, ground.train.histories, at_us=ground.train.at_us
    )
    if ground.after_us is not None:
        check = make_frame(
            ground.catalog, ground.spec, ground.check.histories, at_us=ground.check.at_us
        )
    return Tables(ground=_without_windows(ground), train=train, check=check)


def _without_windows(ground: Ground) -> Ground:
    """Leave out what is in the tables now; what comes after their rows is all that is still asked for."""

    def bare(asked: Instants) -> Instants:
        some = np.empty(0, dtype=np.int64)
        none = np.empty((0, 0))
        kept = [replace(h, at_us=some, values=none, health=none) for h in asked.histories]
        return Instants(at_us=asked.at_us, histories=kept)

    return replace(ground, train=bare(ground.train), check=bare(ground.check))


def fit_mode(tables: Tables, mode: str, told: ToldMode | None) -> ModeModel:
    """Learn one failure mode; `told`: what `learn_together` made of the same ground for it."""
    ground = tables.ground
    train = check = Slice.of(ground.catalog, tables.train, ground.train.histories, mode=mode)
    if ground.after_us is not None:
        check = Slice.of(ground.catalog, tables.check, ground.check.histories, mode=mode)
    job = _Job(
        catalog=ground.catalog, place=ground.catalog.modes.index(mode), told=told, group=ground.group,
        horizons=ground.horizons, seeds=ground.seeds, after_us=ground.after_us,
        train=train, check=check,
    )  # fmt: skip
    return job.fit(
        mode, ground.spec, seen_from_us=ground.seen_from_us, seen_until=ground.seen_until
    )


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
    """Learn failure modes, by default all, one after the other; parameters as in `ground_of`."""
    ground = ground_of(
        catalog, histories, train_until_us=train_until_us, calibrate_until_us=calibrate_until_us,
        seeds=seeds, horizons_hours=horizons_hours, groups=groups, together=together,
    )  # fmt: skip
    wanted = catalog.modes if modes is None else tuple(modes)
    told = told_by_mode(catalog, learn_together(ground))
    tables = lay_out(ground, next(iter(told.values()), None))
    return {mode: fit_mode(tables, mode, told[mode]) for mode in wanted}


def told_by_mode(catalog: Catalog, told: Told | None) -> dict[str, ToldMode | None]:
    return {
        mode: None if told is None else told.of(place) for place, mode in enumerate(catalog.modes)
    }


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
) -> ModeModel:
    """Learn one failure mode by itself; parameters as in `ground_of`."""
    ground = ground_of(
        catalog, histories, train_until_us=train_until_us, calibrate_until_us=calibrate_until_us,
        seeds=seeds, horizons_hours=horizons_hours, groups=groups, together=together,
    )  # fmt: skip
    return fit_mode(lay_out(ground, None), mode, None)


def _group(histories: Sequence[History], together: Sequence[int] | None) -> IntArray:
    return np.arange(len(histories)) if together is None else np.asarray(together)


def _asked(
    catalog: Catalog, histories: Sequence[History], *, after_us: int | None, width: int
) -> Instants:
    rows = [instants(catalog, history) for history in histories]
    if after_us is not None:
        rows = [at[at > after_us] for at in rows]
    return Instants(at_us=thinned(rows, width=width), histories=histories)


def _known_from_us(history: History) -> int:
    """When what is known of a device begins: not at its delivery, which may have been long before."""
    return int(history.at_us[0]) if len(history.at_us) else history.seen_from_us


def _failures(histories: Sequence[History], place: int, *, after_us: int | None = None) -> int:
    start = -np.inf if after_us is None else after_us
    return sum(int(np.sum((h.failure_mode == place) & (h.failure_us > start))) for h in histories)


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

    catalog: Catalog
    place: int
    """In the catalog."""
    told: ToldMode | None
    group: IntArray
    horizons: tuple[float, ...]
    seeds: tuple[int, ...]
    train: Slice
    check: Slice
    after_us: int | None

    def fit(
        self, mode: str, spec: FrameSpec, *, seen_from_us: int, seen_until: tuple[int, int]
    ) -> ModeModel:
        own = self._own()
        share = self._share_of_shared(own)
        failures = _failures(self.check.histories, self.place, after_us=self.after_us)
        calibration = self._calibration(own, share=share, failures=failures)
        told = self.told if share > 0 else None
        own_spec = spec
        if told is not None:
            own_groups = spec.groups if share < 1 else ()
            spec = FrameSpec(groups=(*own_groups, told.recurring))
        model = ModeModel(
            mode=mode,
            spec=spec,
            hazard=own.hazard,
            calibration=calibration,
            seen=Range(
                from_us=seen_from_us,
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
        return self._with_life(model, own, own_spec, failures=failures)

    def _with_life(
        self, model: ModeModel, own: _Own, spec: FrameSpec, *, failures: int
    ) -> ModeModel:
        """Add what the lives that ended taught, where it tells more of remaining life than the mode's own hazard."""
        if not own.hazard.members or model.shared_share >= 1:
            return model
        calibration = model.calibration
        if model.shared is not None:
            calibration = fit_calibration(
                own.check_chance,
                self.check.outcome,
                horizons_hours=self.horizons,
                failures=failures,
            )
        chance = own.train_chance
        if chance is None:
            chance = 1 - own.hazard.survival(self.train.frame.x, self.horizons)
        learned = learn_life(
            self.catalog, spec, self.train, mode=model.mode, group=self.group, seeds=self.seeds,
            failed=lambda rows: curve_through(calibration.apply(chance[rows]), self.horizons),
        )  # fmt: skip
        if learned is None:
            return model
        told, share = learned
        if isinstance(told, Trend):
            return msgspec.structs.replace(model, trend=told, life_share=share)
        return msgspec.structs.replace(model, life=told, life_share=share)

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
            return fit_hazard(
                train.x, outcome, rows=rows, groups=groups,
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
