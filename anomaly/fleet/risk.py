"""Does a group fail more often than others of the same age, beyond chance, however often one looks? Pure.

At each failure the devices that were watched at that age, whenever they had it, might have had it as
well. If a group fails `times` as often as the others, the failure is one of the group's with the
chance times * of_group / (times * of_group + others). The evidence of a group is the likelihood ratio of
larger `times` against the tolerated one, averaged over a grid: a number whose mean is at most 1 at any
look while the group fails no more than `TOLERATED` times as often as the others, so x or more comes
once in x by chance at most (the safe log-rank test of gateway.campaign.judge, with age as its time).

References
----------
Grünwald, Ly, Perez-Ortiz and ter Schure (2021), The safe logrank test. arXiv:2011.06931
Sellke and Siegmund (1983), Biometrika 70(2): the log-rank score of staggered entries, looked at in
calendar time, behaves as a martingale. doi:10.1093/biomet/70.2.315
Wang and Ramdas (2022), False discovery rate control with e-values, J. R. Stat. Soc. B 84(3).
doi:10.1111/rssb.12489
"""

from dataclasses import dataclass

import numpy as np

from anomaly.fleet.lives import Lives, Trait
from anomaly.records import BoolArray, FloatArray, IntArray

TOLERATED = 1.5
"""Groups always differ a little, by use and by chance of delivery; nobody acts on less than this."""
WORSE_BY = (3.0, 8.0, 25.0)
"""How many times as often a bad group fails: the grid of alternatives. Each is near enough to the next
that a ratio between two of them is found with hardly more failures than with its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSets:
    """The failures in order of age, and who was watched at that age."""

    age: FloatArray
    """Ages at failure, rising; shape (failures,)."""
    row: IntArray
    """Which stretch of life ended there."""
    at_risk: IntArray
    """All that were watched at that age."""
    _first: IntArray
    _last: IntArray

    def of_groups(self, trait: Trait) -> tuple[IntArray, BoolArray]:
        """Count each group among those at risk, and say whose each failure was; (groups, failures)."""
        groups, failures = len(trait.values), len(self.age)
        known = trait.code >= 0
        begin = trait.code[known] * (failures + 1)
        size = groups * (failures + 1)
        steps = np.bincount(begin + self._first[known], minlength=size)
        steps -= np.bincount(begin + self._last[known], minlength=size)
        counts = np.cumsum(steps.reshape(groups, failures + 1), axis=1)[:, :failures]
        is_own = trait.code[self.row][None, :] == np.arange(groups)[:, None]
        return counts, is_own


def risk_sets(lives: Lives) -> RiskSets:
    rows = np.flatnonzero(lives.has_failed)
    ages = lives.age_until[rows]
    order = np.argsort(ages, kind="stable")
    age = ages[order]
    first = np.searchsorted(age, lives.age_since, side="right")
    last = np.maximum(np.searchsorted(age, lives.age_until, side="right"), first)
    failures = len(age)
    steps = np.bincount(first, minlength=failures + 1) - np.bincount(last, minlength=failures + 1)
    return RiskSets(
        age=age, row=rows[order], at_risk=np.cumsum(steps)[:failures], _first=first, _last=last
    )


def log_evidence(risk: RiskSets, trait: Trait) -> FloatArray:
    """Return per group the logarithm of the evidence that it fails more than tolerated; (groups,)."""
    of_group, is_own = risk.of_groups(trait)
    found = np.stack(
        [log_ratio(of_group, is_own, risk.at_risk, times=times).sum(axis=1) for times in WORSE_BY]
    )
    highest = found.max(axis=0)
    return np.asarray(highest + np.log(np.exp(found - highest).mean(axis=0)))


def log_ratio(
    of_group: IntArray, is_own: BoolArray, at_risk: IntArray, *, times: float
) -> FloatArray:
    """Return what each failure says for `times` as often, against `TOLERATED` times."""
    others = at_risk - of_group
    return np.asarray(
        np.log(times / TOLERATED) * is_own
        - np.log((times * of_group + others) / (TOLERATED * of_group + others))
    )


def stands_out(log_e: FloatArray, *, false_share: float) -> BoolArray:
    """Choose the groups whose evidence holds among so many that were looked at (e-BH).

    Of the groups chosen at a look, at most `false_share` are chosen by chance, in the mean, however the
    groups overlap.
    """
    number = len(log_e)
    order = np.argsort(-log_e, kind="stable")
    bounds = np.log(number / (false_share * np.arange(1, number + 1)))
    reached = np.flatnonzero(log_e[order] >= bounds)
    chosen = np.zeros(number, dtype=np.bool_)
    if len(reached):
        chosen[order[: reached[-1] + 1]] = True
    return chosen
