"""How every group of a fleet stands in one failure mode, and which of them stand out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.fleet.lives import Lives, Trait
from anomaly.fleet.rates import Counts, Ratios, bands_of, count, rate_ratios
from anomaly.fleet.risk import RiskSets, log_evidence, log_ratio, risk_sets, stands_out
from anomaly.records import IntArray

FALSE_SHARE = 0.1
"""Of the groups flagged at a look, at most this share by chance, in the mean; in fact far fewer, because
`risk.TOLERATED` is more than a group of ordinary devices reaches (docs/explanation/foresight/emerging.md)."""
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


def judge(watches: Sequence[Watch], *, false_share: float = FALSE_SHARE) -> list[Standing]:
    """Judge all groups of all failure modes together, as they are looked at together."""
    found = [standing for watch in watches for standing in _standings(watch)]
    # Who counts as a question is settled by size alone: by failures it would favour the unlucky.
    asked = [i for i, s in enumerate(found) if s.devices >= DEVICES_MIN]
    evidence = np.array(
        [found[i].log_evidence if found[i].failures >= FAILURES_MIN else -np.inf for i in asked]
    )
    if not asked:
        return found
    for i, is_flagged in zip(asked, stands_out(evidence, false_share=false_share), strict=True):
        found[i] = replace(found[i], is_flagged=bool(is_flagged))
    return found


def _standings(watch: Watch) -> list[Standing]:
    failed, detected = watch.failed, watch.detected
    risk, bands, sign_bands = risk_sets(failed), bands_of(failed), bands_of(detected)
    made: list[Standing] = []
    for trait, sign_trait in zip(failed.traits, detected.traits, strict=True):
        if not trait.values:
            continue
        counts, signs = count(failed, trait, bands), count(detected, sign_trait, sign_bands)
        tally = _Tally(
            devices=_distinct(failed, trait),
            well=np.bincount(
                trait.code[failed.goes_on & ~failed.has_failed & (trait.code >= 0)],
                minlength=len(trait.values),
            ),
            counts=counts,
            ratios=rate_ratios(counts),
            signs=signs,
            sign_ratios=rate_ratios(signs),
        )
        evidence = log_evidence(risk, trait)
        since = _since(failed, risk, trait)
        made += [
            tally.standing(
                Group(mode=watch.mode, trait=trait.name, value=value),
                place,
                log_evidence=float(evidence[place]),
                since_day=since[place],
            )
            for place, value in enumerate(trait.values)
        ]
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """All groups of one trait."""

    devices: IntArray
    well: IntArray
    counts: Counts
    ratios: Ratios
    signs: Counts
    sign_ratios: Ratios

    def standing(
        self, group: Group, place: int, *, log_evidence: float, since_day: float | None
    ) -> Standing:
        return Standing(
            group=group,
            devices=int(self.devices[place]),
            well=int(self.well[place]),
            failures=int(self.counts.compared[place]),
            expected=float(self.counts.expected[place]),
            signs=int(self.signs.compared[place]),
            expected_signs=float(self.signs.expected[place]),
            ratio=float(self.ratios.middle[place]),
            ratio_low=float(self.ratios.low[place]),
            ratio_high=float(self.ratios.high[place]),
            signs_low=float(self.sign_ratios.low[place]),
            log_evidence=log_evidence,
            since_day=since_day,
        )


def _distinct(lives: Lives, trait: Trait) -> IntArray:
    """Count the devices of each group; one may have several stretches of life in it."""
    known = trait.code >= 0
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
    steps = log_ratio(of_group, is_own, risk.at_risk, times=3.0)[:, order]
    height = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    lowest = height.argmin(axis=1)
    found: list[float | None] = []
    for own, start in zip(is_own[:, order], lowest, strict=True):
        after = np.flatnonzero(own[start:])
        found.append(float(day[order][start + after[0]]) if len(after) else None)
    return found
