"""Lays replayed forecasts beside what happened: alerts by the policy, controls, the table. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.backtest.change import Change, policy_of
from anomaly.backtest.track import HORIZONS_HOURS, STATUSES, Track
from anomaly.judge.beside import Course, controls_told
from anomaly.judge.bootstrap import DRAWS
from anomaly.judge.controls import Part
from anomaly.judge.lives import lives_of
from anomaly.judge.report import Table
from anomaly.judge.table import make_table
from anomaly.judge.told import Ground, Told
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog
from anomaly.policy import Policy
from anomaly.records import LIFE_SHARES, FloatArray, IntArray
from anomaly.runs import Rows, runs_of
from anomaly.training.contest import decision_hours
from anomaly.training.said import chance_within

_CLAIMS = [STATUSES.index(name) for name in ("ok", "declining")]
LEADS_HOURS = (24.0, 72.0, 168.0, 336.0, 720.0)
LEARNED_CONTROLS = ("calendar", "age", "persistence")
"""They learn from what was before the judged time; without it there is nothing that they could say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is judged, and how."""

    from_us: int
    """Only forecasts after it count; what was before is history."""
    until_us: int
    useful_hours: float
    """W: warning that is longer is of no use."""
    seeds: tuple[int, ...] = (0,)
    """Of the draws of devices (the first) and of the control that alarms at random (one each)."""
    change: Change | None = None
    horizons_hours: tuple[float, ...] = HORIZONS_HOURS
    """P(failure within h) is judged for these h, and for the time that the scheduler needs."""
    has_controls: bool = True
    draws: int = DRAWS
    """Of devices, behind each interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How good the forecasts were, and how good they would have been with the change."""

    table: Table
    policies: Mapping[str, Policy]
    """By failure mode."""
    changed: Table | None
    rows: int
    """Forecasts after `from_us`, of failure modes that are judged."""
    rows_claimed: int
    """That said how likely a failure is: no others count as watched."""
    not_judged: Mapping[str, int]
    """Failures of modes that no metric gives away, by mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """Forecasts of one failure mode, device after device; NaN where nothing was claimed."""

    device: IntArray
    at_us: IntArray
    horizons_hours: tuple[float, ...]
    probability: FloatArray
    life_hours: FloatArray


def answer(catalog: Catalog, tracks: Sequence[Track], question: Question) -> Answer:
    """Judge what was said after `from_us`."""
    ground = Ground(
        catalog=catalog,
        histories=tuple(track.history for track in tracks),
        from_us=question.from_us,
        until_us=question.until_us,
        useful_hours=question.useful_hours,
        leads_hours=tuple(lead for lead in LEADS_HOURS if lead <= question.useful_hours),
        seed=question.seeds[0],
        draws=question.draws,
    )
    modes = [mode for mode in catalog.product.failure_modes if mode.evidence]
    every = catalog.product.forecast_every
    policies = {mode.name: policy_of(mode, forecast_every=every) for mode in modes}
    said = {mode: _said(catalog, tracks, mode, question) for mode in policies}
    told = [_told(ground, mode, said[mode], policy) for mode, policy in policies.items()]
    before = {mode: _said(catalog, tracks, mode, question, is_past=True) for mode in policies}
    beside = [
        _controls(ground, one, before[one.mode], policies[one.mode], question.seeds)
        for one in told
        if question.has_controls
    ]
    names = list(beside[0]) if beside else []
    change = question.change
    return Answer(
        table=make_table(ground, told, controls={n: [c[n] for c in beside] for n in names}),
        policies=policies,
        changed=None
        if change is None
        else make_table(
            ground,
            [_told(ground, m, said[m], change.of_policy(p)) for m, p in policies.items()],
        ),
        rows=sum(len(one.at_us) for one in said.values()),
        rows_claimed=sum(int(np.isfinite(s.probability[:, 0]).sum()) for s in said.values()),
        not_judged=_not_judged(ground, set(policies)),
    )


def _said(
    catalog: Catalog,
    tracks: Sequence[Track],
    mode: str,
    question: Question,
    *,
    is_past: bool = False,
) -> _Said:
    """Collect what was said about one failure mode in the judged time, or before it."""
    place = catalog.modes.index(mode)
    hours = decision_hours(catalog.product.failure_mode(mode))
    horizons = (hours, *(h for h in question.horizons_hours if h != hours))
    at, probability, life, counts = [], [], [], []
    for track in tracks:
        is_later = track.made_us > question.from_us
        chosen = ~is_later if is_past else is_later & (track.made_us <= question.until_us)
        p_fail, claims = track.p_fail[chosen, place], np.isin(track.status[chosen, place], _CLAIMS)
        chance = np.column_stack([chance_within(p_fail, h) for h in horizons])
        chance[~claims] = np.nan
        at.append(track.made_us[chosen])
        probability.append(chance)
        life.append(np.where(claims[:, None], track.life_hours[chosen, place], np.inf))
        counts.append(int(chosen.sum()))
    return _Said(
        device=np.repeat(np.arange(len(tracks)), counts),
        at_us=np.concatenate(at),
        horizons_hours=horizons,
        probability=np.concatenate(probability),
        life_hours=np.concatenate(life),
    )


def _told(ground: Ground, mode: str, said: _Said, policy: Policy) -> Told:
    """Let the policy make alerts of it. It begins anew with the judged time, as if nobody had been warned before."""
    rows = Rows(device=said.device, at_us=said.at_us, score=said.probability[:, 0])
    breaks = lives_of(ground.catalog, ground.histories, mode=mode).breaks
    return Told(
        mode=mode,
        device=said.device,
        at_us=said.at_us,
        horizons_hours=said.horizons_hours,
        probability=said.probability,
        runs=runs_of(policy, rows, breaks),
        life_shares=LIFE_SHARES,
        life_hours=said.life_hours,
    )


def _controls(
    ground: Ground, told: Told, before: _Said, policy: Policy, seeds: Sequence[int]
) -> dict[str, Told]:
    """Let rules that look at no sensor say something at the same instants; they learn from what was before."""
    histories = tuple(history.upto(ground.from_us) for history in ground.histories)
    known = np.isfinite(before.probability[:, 0])
    train = Part(
        catalog=ground.catalog,
        histories=histories,
        frame=_bare(before.device[known], before.at_us[known]),
        mode=told.mode,
    )
    course = Course(
        train=train,
        calibration=train,
        test=Part(
            catalog=ground.catalog,
            histories=ground.histories,
            frame=_bare(told.device, told.at_us),
            mode=told.mode,
        ),
        policy=policy,
        choose=lambda rows, breaks: policy,  # noqa: ARG005 - the costs choose it, no rows do
    )
    found = controls_told(told, course, seed=seeds[0])
    if not known.any():
        found = {name: one for name, one in found.items() if name not in LEARNED_CONTROLS}
    for seed in seeds[1:]:
        found[f"random_{seed}"] = controls_told(told, course, seed=seed)["random"]
    return found


def _bare(device: IntArray, at_us: IntArray) -> Frame:
    return Frame(device=device, at_us=at_us, x=np.empty((len(at_us), 0)), names=())


def _not_judged(ground: Ground, judged: set[str]) -> dict[str, int]:
    found = {}
    for mode in ground.catalog.modes:
        if mode not in judged:
            lives = ground.lives(mode)
            found[mode] = int(lives.has_failed.sum())
    return found
