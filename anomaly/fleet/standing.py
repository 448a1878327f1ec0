"""How every group of a fleet stands in one failure mode, and which of them stand out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.fleet.lives import Lives, Trait
from anomaly.fleet.rates import Counts, Ratios, bands_of, count, rate_ratios
from anomaly.fleet.risk import (
    TOLERATED,
    RiskSets,
    log_ratio,
    risk_sets,
    stands_out,
    weigh,
)
from anomaly.records import BoolArray, FloatArray, IntArray

FALSE_SHARE = 0.1
"""Of the groups flagged at a look, at most this share by chance, in the mean; and where no group differs but as
ordinary ones do, at most this share of fleets ever has a flag (docs/explanation/foresight/emerging.md)."""
FAILURES_MIN = 3
"""Devices that failed before a group is anything but an ordinary one with bad luck."""
DEVICES_MIN = 5
"""A group of fewer is a matter of those devices, and would only raise the bar for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Devices that share the value of a trait, looked at for one failure mode."""

    mode: str
    trait: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The numbers of one group at one look."""

    group: Group
    devices: int
    """That have been watched as members of the group."""
    well: int
    """Members today that have not failed: what is at stake."""
    failures: int
    """Devices that failed, at ages that others have had."""
    expected: float
    """Failures that the others' rates at the same ages would have brought."""
    signs: int
    """Devices with a detection: weaker, and sooner."""
    expected_signs: float
    ratio: float
    """Rate of failures over that of the others, median; with its 95 % interval."""
    ratio_low: float
    ratio_high: float
    signs_low: float
    """Lower end of the interval of the rate of detections over that of the others."""
    log_evidence: float
    since_day: float | None
    """Day of the first failure of the run that made it stand out."""
    is_flagged: bool = False

    @property
    def is_noteworthy(self) -> bool:
        """Worth watching: more failures or detections than others, though not yet beyond chance."""
        by_failures = self.failures >= FAILURES_MIN and self.ratio_low > 1
        return by_failures or (self.signs >= FAILURES_MIN and self.signs_low > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What one failure mode did to a fleet."""

    mode: str
    failed: Lives
    """Ended by the first failure."""
    detected: Lives
    """The same devices, ended by the first detection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question that each group of a fleet is, trait after trait."""

    devices: IntArray
    failures: IntArray
    log_evidence: FloatArray

    def part(self, first: int, last: int) -> "Asked":
        """Return some of the groups, as if they alone had been looked at."""
        return Asked(
            devices=self.devices[first:last],
            failures=self.failures[first:last],
            log_evidence=self.log_evidence[first:last],
        )


def ask(failed: Lives) -> Asked:
    """Weigh the evidence of all groups of all traits."""
    risk = risk_sets(failed)
    traits = [trait for trait in failed.traits if trait.values]
    if not traits:
        none = np.zeros(0, dtype=np.int64)
        return Asked(devices=none, failures=none, log_evidence=np.zeros(0))
    failures, evidence = [], []
    for trait in traits:
        of_group, is_own = risk.of_groups(trait)
        # Failures at ages at which others were watched.
        failures.append((is_own & (of_group < risk.at_risk)).sum(axis=1))
        evidence.append(weigh(of_group, is_own, risk.at_risk))
    return Asked(
        devices=np.concatenate([_distinct(failed, trait) for trait in traits]),
        failures=np.concatenate(failures),
        log_evidence=np.concatenate(evidence),
    )


def flagged(asked: Sequence[Asked], *, false_share: float = FALSE_SHARE) -> list[BoolArray]:
    """Choose the groups that stand out among all that are looked at together."""
    devices = np.concatenate([a.devices for a in asked])
    failures = np.concatenate([a.failures for a in asked])
    evidence = np.concatenate([a.log_evidence for a in asked])
    # Who counts as a question is settled by size alone: by failures it would favour the unlucky.
    is_question = devices >= DEVICES_MIN
    chosen = np.zeros(len(devices), dtype=np.bool_)
    counted = np.where(failures >= FAILURES_MIN, evidence, -np.inf)
    chosen[is_question] = stands_out(counted[is_question], false_share=false_share)
    return np.split(chosen, np.cumsum([len(a.devices) for a in asked])[:-1])


def judge(watches: Sequence[Watch], *, false_share: float = FALSE_SHARE) -> list[Standing]:
    """Judge all groups of all failure modes together, as they are looked at together."""
    if not watches:
        return []
    asked = [ask(watch.failed) for watch in watches]
    return [
        standing
        for watch, question, chosen in zip(
            watches, asked, flagged(asked, false_share=false_share), strict=True
        )
        for standing in _standings(watch, question, chosen)
    ]


def _standings(watch: Watch, asked: Asked, chosen: BoolArray) -> list[Standing]:
    """Put the numbers that people read beside the decision."""
    failed, detected = watch.failed, watch.detected
    risk, bands, sign_bands = risk_sets(failed), bands_of(failed), bands_of(detected)
    made: list[Standing] = []
    for trait in failed.traits:
        if not trait.values:
            continue
        counts = count(failed, trait, bands)
        signs = count(detected, _same(detected, trait), sign_bands)
        since = _since(failed, risk, trait)
        rows = slice(len(made), len(made) + len(trait.values))
        tally = _Tally(
            asked=asked.part(rows.start, rows.stop),
            chosen=chosen[rows],
            since=since,
            well=np.bincount(
                trait.code[failed.goes_on & ~failed.has_failed & (trait.code >= 0)],
                minlength=len(trait.values),
            ),
            counts=counts,
            ratios=rate_ratios(counts),
            signs=signs,
            sign_ratios=rate_ratios(signs),
        )
        made += [
            tally.standing(Group(mode=watch.mode, trait=trait.name, value=value), place)
            for place, value in enumerate(trait.values)
        ]
    return made


def _same(lives: Lives, trait: Trait) -> Trait:
    """Number the same groups alike where a device may have been left out of one of two views."""
    found = next(t for t in lives.traits if t.name == trait.name)
    places = {value: place for place, value in enumerate(trait.values)}
    renamed = np.array([*(places.get(value, -1) for value in found.values), -1])
    return Trait(name=trait.name, values=trait.values, code=renamed[found.code])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """All groups of one trait."""

    asked: Asked
    chosen: BoolArray
    since: Sequence[float | None]
    well: IntArray
    counts: Counts
    ratios: Ratios
    signs: Counts
    sign_ratios: Ratios

    def standing(self, group: Group, place: int) -> Standing:
        return Standing(
            group=group,
            devices=int(self.asked.devices[place]),
            well=int(self.well[place]),
            failures=int(self.counts.compared[place]),
            expected=float(self.counts.expected[place]),
            signs=int(self.signs.compared[place]),
            expected_signs=float(self.signs.expected[place]),
            ratio=float(self.ratios.middle[place]),
            ratio_low=float(self.ratios.low[place]),
            ratio_high=float(self.ratios.high[place]),
            signs_low=float(self.sign_ratios.low[place]),
            log_evidence=float(self.asked.log_evidence[place]),
            since_day=self.since[place],
            is_flagged=bool(self.chosen[place]),
        )


def _distinct(lives: Lives, trait: Trait) -> IntArray:
    """Count the devices of each group; one may have several stretches of life in it."""
    known = trait.code >= 0
    if np.all(np.diff(lives.device) > 0):  # one stretch each: no need to sort
        return np.bincount(trait.code[known], minlength=len(trait.values))
    span = int(lives.device.max(initial=0)) + 1
    members = np.unique(trait.code[known] * span + lives.device[known])
    return np.bincount(members // span, minlength=len(trait.values))


def _since(lives: Lives, risk: RiskSets, trait: Trait) -> list[float | None]:
    """Find for each group the first failure after which the evidence only grew, on the whole.

    In order of calendar, the evidence has its lowest point somewhere; the run begins after it.
    """
    of_group, is_own = risk.of_groups(trait)
    day = lives.until[risk.row]
    order = np.argsort(day, kind="stable")
    bad, tolerated = (
        log_ratio(of_group, is_own, risk.at_risk, times=times) for times in (3.0, TOLERATED)
    )
    steps = (bad - tolerated)[:, order]
    height = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    lowest = height.argmin(axis=1)
    found: list[float | None] = []
    for own, start in zip(is_own[:, order], lowest, strict=True):
        after = np.flatnonzero(own[start:])
        found.append(float(day[order][start + after[0]]) if len(after) else None)
    return found
