"""Does a group fail more often than others of the same age, beyond chance, however often one looks? Pure.

At each failure the devices that were watched at that age, whenever they had it, might have had it as
well. If a group fails `times` as often as the others, the failure is one of the group's with the
chance times * of_group / (times * of_group + others). The evidence of a group is how much better that
explains what happened with the `times` of bad groups than with those of ordinary ones: both are
averaged over a grid, the ordinary ones with the weight that each has among ordinary groups. At any look
its mean over ordinary groups is 1, so x or more comes once in x among them at most; for a group that fails
just as often as the others, or any other multiple of the ordinary grid, once in x times the share of that
multiple (the safe log-rank test of gateway.campaign.judge, with age as its time).

References
----------
Grünwald, Ly, Perez-Ortiz and ter Schure (2021), The safe logrank test. arXiv:2011.06931
Sellke and Siegmund (1983), Biometrika 70(2): the log-rank score of staggered entries, looked at in
calendar time, behaves as a martingale. doi:10.1093/biomet/70.2.315
Grünwald, de Heide and Koolen (2024), Safe testing, J. R. Stat. Soc. B 86(5): a prior on the null as well.
doi:10.1093/jrsssb/qkae011
Wang and Ramdas (2022), False discovery rate control with e-values, J. R. Stat. Soc. B 84(3).
doi:10.1111/rssb.12489
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from anomaly.fleet.lives import Lives, Trait
from anomaly.records import BoolArray, FloatArray, IntArray

TOLERATED = 1.5
"""Groups always differ a little, by use and by chance of delivery; nobody acts on less than this."""
ORDINARY = {
    TOLERATED**power: share
    for power, share in ((-1.0, 0.06), (-0.5, 0.24), (0.0, 0.4), (0.5, 0.24), (1.0, 0.06))
}
"""How many times as often ordinary groups fail, and the share of each: 95 of 100 lie within the tolerated
ratio or its inverse, as a normal distribution of the logarithm. With few failures nearly all ordinary groups
are near 1 and a handful says much; with many the outermost explains everything up to `TOLERATED`."""
WORSE_BY = {3.0: 1 / 3, 8.0: 1 / 3, 25.0: 1 / 3}
"""How many times as often bad groups fail, all alike in weight. Each is near enough to the next
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
    """Return per group the logarithm of the evidence that it is no ordinary one; (groups,)."""
    return weigh(*risk.of_groups(trait), risk.at_risk)


def weigh(of_group: IntArray, is_own: BoolArray, at_risk: IntArray) -> FloatArray:
    """Return the evidence of groups that were counted already, as `log_evidence` does."""
    own = is_own.sum(axis=1)
    group, failure = np.nonzero(of_group)
    share = of_group[group, failure] / at_risk[failure]

    def explained(grid: Mapping[float, float]) -> FloatArray:
        found = [
            np.log(weight) + np.log(times) * own - np.bincount(
                group, weights=np.log1p((times - 1) * share), minlength=len(own)
            )
            for times, weight in grid.items()
        ]  # fmt: skip
        return np.asarray(np.logaddexp.reduce(found, axis=0))

    return explained(WORSE_BY) - explained(ORDINARY)


def log_ratio(
    of_group: IntArray, is_own: BoolArray, at_risk: IntArray, *, times: float
) -> FloatArray:
    """Return what each failure says for `times` as often, against as often as the others."""
    share = of_group / np.maximum(at_risk, 1)
    return np.asarray(np.log(times) * is_own - np.log1p((times - 1) * share))


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
