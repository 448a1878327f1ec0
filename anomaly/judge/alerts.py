"""Judges alert episodes against what happened. Pure.

An alert counts when it opens between W and H before a failure: H is the time that the scheduler needs,
W the longest useful warning. Earlier is false, later is missed. An alert on a part that was replaced,
or not observed any longer, before W had passed can be called neither right nor false; it and the time in
which such alerts open are left out of rate and precision, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec
import numpy as np

from anomaly.judge.lives import STRETCH_MAX_US, Lives, Watch
from anomaly.ordering import Place, keys_of
from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.runs import Runs
from core.errors import InvalidError

US_PER_HOUR = 3.6e9
US_PER_YEAR = 365.25 * 24 * US_PER_HOUR


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a useful alert is."""

    lead_us: int
    """H: warning that is needed."""
    horizon_us: int
    """W: earlier warning is of no use."""
    is_strict: bool = False
    """Alerts that nobody can judge count as false."""

    def __post_init__(self) -> None:
        if not 0 <= self.lead_us <= self.horizon_us:
            raise InvalidError(
                f"no alert can open {self.lead_us} µs ahead and at most {self.horizon_us} µs ahead",
                hint="0 <= lead_us <= horizon_us",
            )


class Verdict(IntEnum):
    """What an alert was worth."""

    RIGHT = 0
    EARLY = 1
    """False: a failure came, but later than W."""
    FALSE = 2
    """False: no failure came within W."""
    LATE = 3
    """Missed: a failure came sooner than H."""
    UNDECIDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Alerts and failures of one failure mode, each with its device, so that devices can be drawn anew."""

    rule: Rule
    devices: int
    alert_device: IntArray
    verdict: IntArray
    """A `Verdict` per alert."""
    failure_device: IntArray
    """Failures that could be foreseen: the device was watched between W and H before."""
    caught: BoolArray
    lead_hours: FloatArray
    """Between the first alert in [T-W, T-H] and the failure; NaN where missed."""
    warned_hours: FloatArray
    """Between the first alert in [T-W, T] and the failure; NaN for none."""
    reach_hours: FloatArray
    """Longest warning that watching allowed, at most W."""
    unseen: int
    """Failures of devices that were not watched in time."""
    years: FloatArray
    """Watched time in which an alert can be judged, device-years; shape (devices,)."""
    watched_years: FloatArray
    """All watched time."""


def judge(runs: Runs, *, lives: Lives, watch: Watch, rule: Rule) -> Judgement:
    """Lay alerts beside failures.

    Parameters
    ----------
    runs : Runs
        Episodes; devices numbered as in `lives`. Those that open outside all lives are left out.
    lives : Lives
        What happened to the devices.
    watch : Watch
        When forecasts were made.
    rule : Rule
        H, W, and what becomes of alerts that nobody can judge.
    """
    life = _life_of(runs, lives)
    inside = life >= 0
    life, opened = life[inside], runs.opened_us[inside]
    ahead = lives.ends_us[life] - opened
    verdict = _verdicts(ahead, lives.has_failed[life], rule)
    failed = np.flatnonzero(lives.has_failed)
    device, at = lives.device[failed], lives.ends_us[failed]
    floor = np.maximum(lives.begins_us[failed], at - rule.horizon_us)
    first = watch.first_after(device, floor)
    seen = (first != STRETCH_MAX_US) & (first <= at - rule.lead_us)
    lead = _longest(ahead, life, verdict == Verdict.RIGHT, size=len(lives))[failed][seen]
    useful = (verdict == Verdict.RIGHT) | (verdict == Verdict.LATE)
    warned = _longest(ahead, life, useful, size=len(lives))[failed][seen]
    return Judgement(
        rule=rule,
        devices=len(lives.devices),
        alert_device=lives.device[life],
        verdict=verdict,
        failure_device=device[seen],
        caught=~np.isnan(lead),
        lead_hours=lead,
        warned_hours=warned,
        reach_hours=(at - first)[seen] / US_PER_HOUR,
        unseen=int((~seen).sum()),
        years=_years(lives, watch, horizon_us=0 if rule.is_strict else rule.horizon_us),
        watched_years=_years(lives, watch, horizon_us=0),
    )


def false_where(
    rows_device: IntArray, rows_at_us: IntArray, *, lives: Lives, rule: Rule
) -> BoolArray:
    """Tell for each row whether an alert that opens there is false: what a choice of threshold counts."""
    opened = Runs(
        device=rows_device, opened_us=rows_at_us, cleared_us=rows_at_us,
        row=np.arange(len(rows_at_us)),
    )  # fmt: skip
    life = _life_of(opened, lives)
    inside = life >= 0
    ahead = lives.ends_us[life[inside]] - rows_at_us[inside]
    verdict = _verdicts(ahead, lives.has_failed[life[inside]], rule)
    is_false = np.zeros(len(rows_at_us), dtype=np.bool_)
    is_false[inside] = (verdict == Verdict.EARLY) | (verdict == Verdict.FALSE)
    return is_false


def together(judgements: Sequence[Judgement]) -> Judgement:
    """Join the judgements of a product's failure modes; device-years count once, not once per mode."""
    first = judgements[0]
    return Judgement(
        rule=first.rule,
        devices=first.devices,
        alert_device=np.concatenate([j.alert_device for j in judgements]),
        verdict=np.concatenate([j.verdict for j in judgements]),
        failure_device=np.concatenate([j.failure_device for j in judgements]),
        caught=np.concatenate([j.caught for j in judgements]),
        lead_hours=np.concatenate([j.lead_hours for j in judgements]),
        warned_hours=np.concatenate([j.warned_hours for j in judgements]),
        reach_hours=np.concatenate([j.reach_hours for j in judgements]),
        unseen=sum(j.unseen for j in judgements),
        years=np.mean([j.years for j in judgements], axis=0),
        watched_years=np.mean([j.watched_years for j in judgements], axis=0),
    )


def _life_of(runs: Runs, lives: Lives) -> IntArray:
    """Life in which each episode opens, -1 for none; an opening at the very end belongs to it."""
    if not len(lives):
        return np.full(len(runs), -1)
    ends, keys = keys_of(Place(lives.device, lives.ends_us), Place(runs.device, runs.opened_us))
    life = np.searchsorted(ends, keys)
    life = np.where(life < len(lives), life, 0)
    inside = (lives.device[life] == runs.device) & (lives.begins_us[life] < runs.opened_us)
    return np.asarray(np.where(inside & (runs.opened_us <= lives.ends_us[life]), life, -1))


def _verdicts(ahead: IntArray, has_failed: BoolArray, rule: Rule) -> IntArray:
    if_failed = np.select(
        [ahead > rule.horizon_us, ahead >= rule.lead_us],
        [Verdict.EARLY, Verdict.RIGHT],
        Verdict.LATE,
    )
    doubt = Verdict.FALSE if rule.is_strict else Verdict.UNDECIDED
    otherwise = np.where(ahead >= rule.horizon_us, Verdict.FALSE, doubt)
    return np.asarray(np.where(has_failed, if_failed, otherwise), dtype=np.int64)


def _longest(ahead: IntArray, life: IntArray, chosen: BoolArray, *, size: int) -> FloatArray:
    """Longest warning of the chosen alerts per life, hours; NaN for none."""
    longest = np.full(size, -1.0)
    np.maximum.at(longest, life[chosen], ahead[chosen] / US_PER_HOUR)
    return np.where(longest < 0, np.nan, longest)


def _years(lives: Lives, watch: Watch, *, horizon_us: int) -> FloatArray:
    """Watched time per device; of lives that did not fail, without the last `horizon_us`."""
    until = np.where(lives.has_failed, lives.ends_us, lives.ends_us - horizon_us)
    until = np.maximum(until, lives.begins_us)
    watched = watch.before(lives.device, until) - watch.before(lives.device, lives.begins_us)
    total = np.bincount(lives.device, weights=watched, minlength=len(lives.devices))
    return np.asarray(total / US_PER_YEAR)
