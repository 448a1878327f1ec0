"""Lays replayed forecasts beside what happened: tickets by what opens them live, controls, the table. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.backtest.change import Change, control_policy
from anomaly.backtest.tickets import tickets_of
from anomaly.backtest.track import STATUSES, Track
from anomaly.judge.beside import Course, controls_told
from anomaly.judge.bootstrap import DRAWS
from anomaly.judge.controls import Part
from anomaly.judge.report import Table
from anomaly.judge.table import make_table
from anomaly.judge.told import Ground, Told
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog
from anomaly.learn.outlook import HORIZONS_HOURS
from anomaly.records import LIFE_SHARES, FloatArray, IntArray
from anomaly.runs import Runs
from anomaly.training.contest import decision_hours
from anomaly.training.said import chance_within
from core.tickets import Decider, TicketPolicy

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
    policy: TicketPolicy
    """By which tickets opened."""
    modes: tuple[str, ...]
    """That were judged."""
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


def answer(
    catalog: Catalog, tracks: Sequence[Track], question: Question, decider: Decider
) -> Answer:
    """Judge what was said after `from_us`, by the tickets that it would have opened."""
    ground = _ground(catalog, tracks, question)
    modes = [mode.name for mode in catalog.product.failure_modes if mode.evidence]
    said = {mode: _said(catalog, tracks, mode, question) for mode in modes}
    told = _told(ground, tracks, said, decider, decider.live)
    beside = []
    if question.has_controls:
        before = {mode: _said(catalog, tracks, mode, question, is_past=True) for mode in modes}
        beside = [_controls(ground, one, before[one.mode], question.seeds) for one in told]
    names = list(beside[0]) if beside else []
    return Answer(
        table=make_table(ground, told, controls={n: [c[n] for c in beside] for n in names}),
        policy=decider.live,
        modes=tuple(modes),
        changed=_changed(ground, tracks, said, decider, question.change),
        rows=sum(len(one.at_us) for one in said.values()),
        rows_claimed=sum(int(np.isfinite(s.probability[:, 0]).sum()) for s in said.values()),
        not_judged=_not_judged(ground, set(modes)),
    )


def _ground(catalog: Catalog, tracks: Sequence[Track], question: Question) -> Ground:
    return Ground(
        catalog=catalog,
        histories=tuple(track.history for track in tracks),
        from_us=question.from_us,
        until_us=question.until_us,
        useful_hours=question.useful_hours,
        leads_hours=tuple(lead for lead in LEADS_HOURS if lead <= question.useful_hours),
        seed=question.seeds[0],
        draws=question.draws,
    )


def _changed(
    ground: Ground,
    tracks: Sequence[Track],
    said: Mapping[str, "_Said"],
    decider: Decider,
    change: Change | None,
) -> Table | None:
    """Judge the tickets that a change would have opened; what its costs are, it is judged by as well."""
    if change is None:
        return None
    product = change.of_product(ground.catalog.product)
    policy = change.of_policy(decider.live, forecast_every=product.forecast_every)
    changed = replace(ground, catalog=Catalog(product))
    return make_table(changed, _told(changed, tracks, said, decider, policy))


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


def _told(
    ground: Ground,
    tracks: Sequence[Track],
    said: Mapping[str, _Said],
    decider: Decider,
    policy: TicketPolicy,
) -> list[Told]:
    """Let tickets come of it. All failure modes of a device are decided together, as they are live."""
    runs = tickets_of(decider, ground, tracks, policy=policy)
    return [_told_of(mode, one, runs[mode]) for mode, one in said.items()]


def _told_of(mode: str, said: _Said, runs: Runs) -> Told:
    return Told(
        mode=mode,
        device=said.device,
        at_us=said.at_us,
        horizons_hours=said.horizons_hours,
        probability=said.probability,
        runs=runs,
        life_shares=LIFE_SHARES,
        life_hours=said.life_hours,
    )


def _controls(ground: Ground, told: Told, before: _Said, seeds: Sequence[int]) -> dict[str, Told]:
    """Let rules that look at no sensor say something at the same instants; they learn from what was before.

    They know a chance and neither a status nor what is left of a part, so `control_policy` opens their alerts.
    """
    product = ground.catalog.product
    policy = control_policy(product.failure_mode(told.mode), forecast_every=product.forecast_every)
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
