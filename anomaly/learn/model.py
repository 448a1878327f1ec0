"""What was learned of one failure mode, whole: features, hazard, calibration. Pure; stored as JSON.

Learning is cut by time and by device, never by random rows: the hazard learns from what was known at
`train_until`; the calibration from the stretch of time after it, each device judged by a hazard that
did not see that device. Nothing after `calibrate_until` is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.calibration import Calibration, fit_calibration
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
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.records import FloatArray, IntArray

HORIZONS_HOURS = (24.0, 168.0, 720.0)
"""Those of every product's forecasts: a day, a week, a month."""
BLOCKS = 12
"""With fewer failing devices than folds, stretches of time are left out instead: so many."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has seen."""

    from_us: int
    train_until_us: int
    calibrate_until_us: int
    devices: int
    rows: int
    failures: int
    """Learned from."""
    calibration_rows: int
    calibration_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Per row of a frame."""

    horizons_hours: tuple[float, ...]
    failed: FloatArray
    """Calibrated chance of failing within each horizon; (rows, horizons)."""


class ModeModel(msgspec.Struct, frozen=True, kw_only=True):
    """The forecaster of one failure mode of a product."""

    mode: str
    spec: FrameSpec
    hazard: Hazard
    calibration: Calibration
    seen: Range
    seeds: tuple[int, ...]

    def predict(self, frame: Frame) -> Prediction:
        """Forecast every row of a frame that was made with this model's spec."""
        horizons = self.calibration.horizons_hours
        return Prediction(horizons_hours=horizons, failed=1 - self.survival(frame.x, horizons))

    def survival(self, x: FloatArray, hours: Sequence[float]) -> FloatArray:
        """Calibrated chance of not having failed by any horizons; (rows, horizons), falling in hours.

        Between two calibrated horizons the cumulative hazard goes on as the hazard's does.
        """
        knots = self.calibration.horizons_hours
        wanted = np.asarray(hours, dtype=np.float64)
        raw = self.hazard.cumulative(x, (*knots, *wanted))
        raw, asked = raw[:, : len(knots)], raw[:, len(knots) :]
        chance = np.clip(self.calibration.apply(-np.expm1(-raw)), 0, 1 - 1e-12)
        zero = np.zeros((len(x), 1))
        before = np.concatenate([zero, raw], axis=1)
        after = np.concatenate([zero, -np.log1p(-chance)], axis=1)
        place = np.clip(np.searchsorted(knots, wanted, side="left"), 0, len(knots) - 1)
        step = np.maximum(before[:, place + 1] - before[:, place], 1e-300)
        share = (asked - before[:, place]) / step
        inside = after[:, place] + share * (after[:, place + 1] - after[:, place])
        ratio = after[:, -1:] / np.maximum(before[:, -1:], 1e-300)
        beyond = after[:, -1:] + np.minimum(ratio, 1e3) * (asked - before[:, -1:])
        return np.asarray(np.exp(-np.where(wanted > knots[-1], beyond, inside)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    frame: Frame
    outcome: Outcome
    failures: int
    hours: float


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
) -> ModeModel:
    """Learn one failure mode from histories; nothing later than `calibrate_until_us` is looked at.

    Without `train_until_us` devices have no time in common (lives that are known by age only): then the
    calibration looks at the same stretch of time as the learning, still at other devices.
    """
    horizons = tuple(sorted(horizons_hours))
    last_us = calibrate_until_us if train_until_us is None else train_until_us
    past = [h.upto(last_us) for h in histories]
    spec = fit_spec(catalog, [h for h in past if h.until_us > h.begins_us], groups=groups)
    train = _slice(catalog, spec, past, mode=mode, after_us=None)
    check = train
    if train_until_us is not None:
        later = [h.upto(calibrate_until_us) for h in histories]
        check = _slice(catalog, spec, later, mode=mode, after_us=train_until_us)
    hazard, chance = _fit_and_judge(train, check, horizons=horizons, seeds=seeds)
    calibration = fit_calibration(
        chance, check.outcome, horizons_hours=horizons, failures=check.failures
    )
    return ModeModel(
        mode=mode,
        spec=spec,
        hazard=hazard,
        calibration=calibration,
        seen=Range(
            from_us=min((h.begins_us for h in histories), default=last_us),
            train_until_us=last_us,
            calibrate_until_us=calibrate_until_us,
            devices=len(histories),
            rows=len(train.frame),
            failures=train.failures,
            calibration_rows=len(check.frame),
            calibration_failures=check.failures,
        ),
        seeds=tuple(seeds),
    )


def _slice(
    catalog: Catalog,
    spec: FrameSpec,
    histories: Sequence[History],
    *,
    mode: str,
    after_us: int | None,
) -> _Slice:
    rows = [instants(catalog, h) for h in histories]
    if after_us is not None:
        rows = [at[at > after_us] for at in rows]
    frame = make_frame(catalog, spec, histories, at_us=rows)
    outcome = outcome_of(catalog, histories, frame, mode=mode)
    place = catalog.modes.index(mode)
    start = -np.inf if after_us is None else after_us
    failures = sum(
        int(np.sum((h.failure_mode == place) & (h.failure_us > start))) for h in histories
    )
    hours = sum(max(h.until_us - max(h.begins_us, start), 0) / US_PER_HOUR for h in histories)
    return _Slice(frame=frame, outcome=outcome, failures=failures, hours=hours)


def _fit_and_judge(
    train: _Slice, check: _Slice, *, horizons: Sequence[float], seeds: Sequence[int]
) -> tuple[Hazard, FloatArray]:
    """Return the hazard of all devices, and chances for the later slice by hazards that left its device out."""
    groups, are_devices = _groups(train)

    def fit(rows: IntArray, *, trees: int | None) -> Hazard:
        outcome = Outcome(
            hours=train.outcome.hours[rows], has_failed=train.outcome.has_failed[rows]
        )
        return fit_hazard(
            train.frame.x[rows], outcome, groups=groups[rows], failures=train.failures,
            exposure_hours=train.hours, horizons_hours=horizons, seeds=seeds, trees=trees,
        )  # fmt: skip

    whole = fit(np.arange(len(train.frame)), trees=None)
    if not are_devices or not whole.members:
        return whole, 1 - whole.survival(check.frame.x, horizons)
    chance = np.empty((len(check.frame), len(horizons)))
    for fold in range(FOLDS):
        part = fit(np.flatnonzero(train.frame.device % FOLDS != fold), trees=whole.trees)
        rows = np.flatnonzero(check.frame.device % FOLDS == fold)
        chance[rows] = 1 - part.survival(check.frame.x[rows], horizons)
    return whole, chance


def _groups(train: _Slice) -> tuple[IntArray, bool]:
    """Return what is left out together: devices, or stretches of time when few devices failed."""
    failing = np.unique(train.frame.device[train.outcome.has_failed])
    if len(failing) >= 2 * FOLDS or not len(train.frame):
        return train.frame.device, True
    first, last = train.frame.at_us.min(), train.frame.at_us.max()
    block = (train.frame.at_us - first) * BLOCKS // (last - first + 1)
    return np.asarray(block), False
