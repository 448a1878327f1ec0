"""From a recording's histories to judged forecasts: the production's learning, forecasts and alerts. Pure.

What every benchmark of failures does: learn each failure mode up to an instant, calibrate on the stretch
after it, freeze the threshold there, and judge what comes later (or happens to devices never seen).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from anomaly.judge.alerts import (
    US_PER_HOUR,
    US_PER_YEAR,
    Judgement,
    Rule,
    false_where,
    judge,
    together,
)
from anomaly.judge.calibration import brier, calibration_error, known_within
from anomaly.judge.lives import Lives, lives_of, watch_of
from anomaly.judge.ranking import average_precision
from anomaly.judge.tally import AlertFigures, tally
from anomaly.learn.fit import fit_mode_models
from anomaly.learn.frame import GROUPS, Frame, Group, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.policy import Policy
from anomaly.records import FloatArray, IntArray
from anomaly.runs import Breaks, Rows, Runs, runs_of
from anomaly.threshold import Budget, threshold_for_budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A recording, and where it is cut."""

    catalog: Catalog
    histories: Sequence[History]
    train_until_us: int
    split_us: int
    """Learning and calibration end here."""
    until_us: int
    horizons_hours: tuple[float, ...]
    score_hours: float
    """The alert's score is P(failure within so many hours)."""

    @property
    def gap_us(self) -> int:
        """Between the last instant learned from and the first one judged."""
        return round(max(self.horizons_hours) * US_PER_HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Forecasts of one failure mode, with what came."""

    frame: Frame
    outcome: Outcome
    failed: FloatArray
    """Chance of failing within each horizon; (rows, horizons)."""
    lives: Lives

    def rows(self, column: int) -> Rows:
        return Rows(device=self.frame.device, at_us=self.frame.at_us, score=self.failed[:, column])

    def scored(self, failed: FloatArray) -> "Judged":
        """Return the same rows with other chances."""
        return Judged(frame=self.frame, outcome=self.outcome, failed=failed, lives=self.lives)


def learn(
    case: Case,
    *,
    seed: int,
    groups: Sequence[type[Group]] = GROUPS,
    histories: Sequence[History] | None = None,
) -> list[ModeModel]:
    """Learn every failure mode of the product."""
    chosen = case.histories if histories is None else histories
    models = fit_mode_models(
        case.catalog, chosen, train_until_us=case.train_until_us,
        calibrate_until_us=case.split_us, seeds=(seed,),
        horizons_hours=case.horizons_hours, groups=groups,
    )  # fmt: skip
    return list(models.values())


def forecast(
    case: Case,
    models: Sequence[ModeModel],
    *,
    from_us: int,
    until_us: int,
    histories: Sequence[History] | None = None,
) -> list[Judged]:
    """Forecast at every instant between two, and look up what came until the second."""
    chosen = case.histories if histories is None else histories
    known = [history.upto(until_us) for history in chosen]
    at = [rows[rows > from_us] for rows in (instants(case.catalog, h) for h in known)]
    judged = []
    for model in models:
        frame = make_frame(case.catalog, model.spec, known, at_us=at)
        judged.append(
            Judged(
                frame=frame,
                outcome=outcome_of(case.catalog, known, frame, mode=model.mode),
                failed=model.predict(frame).failed,
                lives=lives_of(
                    case.catalog, known, mode=model.mode, from_us=from_us, until_us=until_us
                ),
            )
        )
    return judged


def freeze(case: Case, checked: Sequence[Judged], *, policy: Policy, budget: Budget) -> Policy:
    """Choose one threshold for all modes on the calibration slice; the chances of all are comparable."""
    column = case.horizons_hours.index(case.score_hours)
    rule = Rule(lead_us=0, horizon_us=case.gap_us)
    devices, rows, wrong, breaks, years = 0, [], [], [], 0.0
    for one in checked:
        own = one.rows(column)
        wrong.append(false_where(own.device, own.at_us, lives=one.lives, rule=rule))
        rows.append(_moved(own, devices))
        breaks.append(Breaks(device=one.lives.device + devices, at_us=one.lives.ends_us))
        years = float(len(own.at_us) * case.catalog.every_us / US_PER_YEAR)
        devices += len(one.lives.devices)
    together_rows = Rows(
        device=np.concatenate([r.device for r in rows]),
        at_us=np.concatenate([r.at_us for r in rows]),
        score=np.concatenate([r.score for r in rows]),
    )
    return threshold_for_budget(
        policy, together_rows, is_false=np.concatenate(wrong), years=years, budget=budget,
        breaks=Breaks(
            device=np.concatenate([b.device for b in breaks]),
            at_us=np.concatenate([b.at_us for b in breaks]),
        ),
    ).policy  # fmt: skip


def alerts(case: Case, judged: Sequence[Judged], *, policy: Policy, lead_hours: float) -> Judgement:
    """Judge the alerts of all failure modes together."""
    column = case.horizons_hours.index(case.score_hours)
    every = case.catalog.every_us
    rule = Rule(lead_us=round(lead_hours * US_PER_HOUR), horizon_us=case.gap_us)
    parts = []
    for one in judged:
        rows = one.rows(column)
        runs = runs_of(policy, rows, one.lives.breaks)
        parts.append(judge(runs, lives=one.lives, watch=watch_of(rows, every_us=every), rule=rule))
    return together(parts)


def opened(case: Case, judged: Sequence[Judged], *, policy: Policy) -> list[Runs]:
    """Return the alert episodes of each failure mode."""
    column = case.horizons_hours.index(case.score_hours)
    return [runs_of(policy, one.rows(column), one.lives.breaks) for one in judged]


def chances(case: Case, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return average precision, Brier score and calibration error per horizon (means over modes that failed)."""
    figures: dict[str, Any] = {"average_precision": {}, "brier": {}, "ece": {}}
    for column, horizon in enumerate(case.horizons_hours):
        found: dict[str, list[float | None]] = {key: [] for key in figures}
        for one in judged:
            known = known_within(one.outcome.hours, one.outcome.has_failed, horizon_hours=horizon)
            chance = one.failed[:, column]
            ranked = average_precision(chance, known.happened, known.weight)
            found["average_precision"].append(ranked)
            found["brier"].append(brier(chance, known.happened, known.weight))
            found["ece"].append(calibration_error(chance, known.happened, known.weight))
        for key, values in found.items():
            figures[key][f"{horizon:g}"] = mean(values)
    return figures


def alert_figures(
    case: Case, judged: Sequence[Judged], *, policy: Policy, leads_hours: Sequence[float]
) -> dict[str, AlertFigures]:
    """Count the same alerts with each lead that may be needed."""
    return {
        f"{lead:g}": tally(
            alerts(case, judged, policy=policy, lead_hours=lead), leads_hours=leads_hours
        )
        for lead in leads_hours
    }


def always(judged: Sequence[Judged]) -> list[Judged]:
    """Control: an alert from the first row on."""
    return [one.scored(np.ones_like(one.failed)) for one in judged]


def at_random(judged: Sequence[Judged], runs: Sequence[Runs], *, seed: int) -> list[Judged]:
    """Control: as many alerts as `runs`, at rows that are drawn."""
    rng = np.random.default_rng(seed)
    drawn = []
    for one, own in zip(judged, runs, strict=True):
        failed = np.zeros_like(one.failed)
        failed[rng.choice(len(failed), size=min(len(own), len(failed)), replace=False)] = 1.0
        drawn.append(one.scored(failed))
    return drawn


def persistence(case: Case, judged: Sequence[Judged], histories: Sequence[History]) -> list[Judged]:
    """Control: each device fails on as often as it has failed so far.

    The fleet's rate counts as one failure more, so that a device without any is not without risk.
    """
    scored = []
    for place, one in enumerate(judged):
        so_far, hours = np.empty(len(one.frame)), np.empty(len(one.frame))
        failures, watched = 0.0, 0.0
        for number, history in enumerate(histories):
            past = history.failure_us[history.failure_mode == place]
            rows = one.frame.device == number
            so_far[rows] = np.searchsorted(past, one.frame.at_us[rows], side="right")
            hours[rows] = (one.frame.at_us[rows] - history.begins_us) / US_PER_HOUR
            failures += np.sum(past <= case.split_us)
            watched += max(min(case.split_us, history.until_us) - history.begins_us, 0)
        rate = (so_far + 1) / (hours + watched / US_PER_HOUR / max(failures, 1))
        scored.append(
            one.scored(1 - np.exp(-rate[:, None] * np.array(case.horizons_hours)[None, :]))
        )
    return scored


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that there are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def over_seeds(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of every figure over seeds, at any depth."""
    first = figures[0]
    return {
        key: over_seeds([one[key] for one in figures])
        if isinstance(value, Mapping)
        else mean([one[key] for one in figures])
        for key, value in first.items()
    }


def plain(figures: AlertFigures) -> dict[str, Any]:
    """Figures as a dict of numbers."""
    found: dict[str, Any] = msgspec.to_builtins(figures)
    return found


def _moved(rows: Rows, by: int) -> Rows:
    device: IntArray = rows.device + by
    return Rows(device=device, at_us=rows.at_us, score=rows.score)
