"""Is a challenger better than what speaks now, on devices that neither ever saw? Pure.

Both say, at the same instants of the test slice, how likely a failure is within the time that the
scheduler needs. Judged is the mean squared error of that probability (Brier), with weights for lives that
were cut short; devices are drawn anew many times, because rows of one device are no independent cases. A challenger whose
quantiles of remaining life are surely worse does not speak either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import msgspec
import numpy as np

from anomaly.judge.calibration import calibration_error, known_within
from anomaly.judge.life import Losses, life_losses
from anomaly.judge.ranking import average_precision
from anomaly.learn.frame import Frame, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.learn.outlook import outlook_rows
from anomaly.learn.remaining import WATCHED
from anomaly.records import LIFE_SHARES, BoolArray, FloatArray, IntArray
from anomaly.training.slices import Slices, is_judge
from anomaly.training.speaker import hours_of
from core.product import FailureMode

EVENTS_MIN = 5
"""Failures of the test slice below which nothing is claimed."""
SURE = 0.9
"""Share of the draws in which a challenger must be better."""
DRAWS = 400
LIFE_ROWS_MAX = 8_000
"""Rows on which remaining lives are judged."""


class Champion(Protocol):
    """What speaks now, asked at the rows of a frame of the given histories; NaN where it says nothing."""

    def chance(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        """Chance of failing within so many hours; (rows,)."""
        ...

    def life(self, histories: Sequence[History], frame: Frame) -> FloatArray:
        """Quantiles of remaining life at `LIFE_SHARES`, hours, inf beyond any horizon; (rows, shares)."""
        ...


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a contest, on the same rows."""

    brier: float | None
    ece: float | None
    average_precision: float | None
    life_loss: float | None = None
    """Mean pinball loss of the quantiles of remaining life, hours, lives cut off where the test ends."""


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """How it went, kept with the model."""

    mode: str
    horizon_hours: float
    devices: int
    rows: int
    events: int
    """Different failures in the test slice."""
    champion: Score
    challenger: Score
    better_share: float
    """Share of the draws of devices in which the challenger's error was smaller."""
    life_better_share: float | None = None
    """Share of the draws in which its remaining lives were nearer to what came."""
    is_better: bool
    reason: str


def decision_hours(mode: FailureMode) -> float:
    """Until when a failure cannot be forestalled any more by whoever waits: lead time and scheduling."""
    lead = mode.lead_time + min(timedelta(days=1), mode.lead_time)
    return lead / timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    histories: list[History]
    frame: Frame
    outcome: Outcome
    events: int


def contest(  # noqa: PLR0913 - the parties of a contest, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    challenger: ModeModel,
    champion: Champion,
    slices: Slices,
    seed: int,
) -> Contest:
    """Let both forecast the test slice of the devices that are kept out of training.

    Parameters
    ----------
    histories : sequence of History
        Of all devices; those that teach are left out here.
    champion : callable
        What speaks now.
    seed : int
        Of the draws of devices.
    """
    mode = catalog.product.failure_mode(challenger.mode)
    hours = decision_hours(mode)
    rows = _test_rows(catalog, histories, challenger, slices)
    old = champion.chance(rows.histories, rows.frame, hours)
    new = 1 - challenger.survival(rows.frame.x, [hours])[:, 0]
    said = np.isfinite(old)
    known = known_within(
        rows.outcome.hours[said], rows.outcome.has_failed[said], horizon_hours=hours
    )
    told = _thinned(rows, said)
    lives = _lives(catalog, told, challenger, champion)
    scores = [
        Score(
            life_loss=own.mean,
            brier=_mean(known.weight * (p[said] - known.happened) ** 2, known.weight),
            ece=calibration_error(p[said], known.happened, known.weight),
            average_precision=average_precision(p[said], known.happened, known.weight),
        )
        for p, own in zip((old, new), lives, strict=True)
    ]
    share = _better_share(
        rows.frame.device[said],
        gain=known.weight * ((old[said] - known.happened) ** 2 - (new[said] - known.happened) ** 2),
        seed=seed,
    )
    life_share = _better_share(
        told.frame.device,
        gain=lives[0].weight * (lives[0].loss - lives[1].loss),
        seed=seed,
    )
    is_better, reason = _verdict(rows.events, challenger, scores, share, life_share)
    if not said.any():
        is_better, reason = False, "what speaks now said nothing in the time that judges"
    return Contest(
        mode=mode.name, horizon_hours=hours, devices=len(rows.histories), rows=int(said.sum()),
        events=rows.events, champion=scores[0], challenger=scores[1], better_share=share,
        life_better_share=life_share, is_better=is_better, reason=reason,
    )  # fmt: skip


def _test_rows(
    catalog: Catalog, histories: Sequence[History], model: ModeModel, slices: Slices
) -> _Rows:
    judges = [history for history in histories if is_judge(history.device)]
    at = [instants(catalog, history) for history in judges]
    at = [rows[rows > slices.calibrate_until_us] for rows in at]
    frame = make_frame(catalog, model.spec, judges, at_us=at)
    place = catalog.modes.index(model.mode)
    events = sum(
        int(np.sum((h.failure_mode == place) & (h.failure_us > slices.calibrate_until_us)))
        for h in judges
    )
    outcome = outcome_of(catalog, judges, frame, mode=model.mode)
    return _Rows(histories=judges, frame=frame, outcome=outcome, events=events)


def _thinned(rows: _Rows, said: BoolArray) -> _Rows:
    """Some of the rows of which something was said, evenly along every device: remaining lives take longer to tell."""
    places = np.flatnonzero(said)
    places = places[:: max(1, -(-len(places) // LIFE_ROWS_MAX))]
    return replace(rows, frame=rows.frame.take(places), outcome=rows.outcome.take(places))


def _lives(
    catalog: Catalog, rows: _Rows, challenger: ModeModel, champion: Champion
) -> list[Losses]:
    """How far remaining lives were off, as what speaks now and as the challenger told them."""
    hours = hours_of(catalog, challenger, rows.histories, rows.frame)
    told = (
        champion.life(rows.histories, rows.frame),
        outlook_rows(challenger, rows.frame.x, hours)[1],
    )
    outcome = rows.outcome
    until = WATCHED * float(outcome.hours.max(initial=1.0))
    return [
        life_losses(
            outcome.hours, outcome.has_failed, quantiles, shares=LIFE_SHARES, until_hours=until
        )
        for quantiles in told
    ]


def _better_share(device: IntArray, *, gain: FloatArray, seed: int) -> float:
    """Share of draws of devices, with putting back, in which the sum of gains is positive."""
    if not len(device):
        return 0.0
    _, place = np.unique(device, return_inverse=True)
    own = np.bincount(place, weights=gain)
    drawn = np.random.default_rng(seed).integers(0, len(own), (DRAWS, len(own)))
    return float(np.mean(own[drawn].sum(axis=1) > 0))


def _verdict(
    events: int, challenger: ModeModel, scores: Sequence[Score], share: float, life_share: float
) -> tuple[bool, str]:
    if not challenger.has_learned:
        return False, "there were too few failures to learn from"
    if events < EVENTS_MIN:
        return False, f"only {events} failures of devices it never saw; {EVENTS_MIN} are needed"
    old, new = scores[0].brier or 0.0, scores[1].brier or 0.0
    if share < SURE:
        return False, f"error {new:.4g} against {old:.4g}: not surely better ({share:.0%} of draws)"
    if life_share <= 1 - SURE:
        days = [(score.life_loss or 0.0) / 24 for score in scores]
        return False, (
            f"remaining life {days[1]:.3g} days off against {days[0]:.3g}: surely worse "
            f"({1 - life_share:.0%} of draws)"
        )
    return True, f"error {new:.4g} against {old:.4g}, better in {share:.0%} of draws"


def _mean(values: FloatArray, weight: FloatArray) -> float | None:
    total = float(weight.sum())
    return float(values.sum() / total) if total > 0 else None
