"""How often a group fails, compared with the others at the same ages. Pure.

Ages are cut into bands of about as many failures each. Within a band a failure is one of the group's
with the chance ratio * exposure of the group / (ratio * exposure of the group + exposure of the others):
the rates themselves, which nobody knows, drop out. The ratio of a small group is drawn towards 1 by as
much as the groups of its kind differ among themselves (a gamma prior of mean 1 whose width is learned
from all of them: the gamma-Poisson model).

References
----------
Clayton and Kaldor (1987), Empirical Bayes estimates of age-standardized relative risks, Biometrics 43(3).
doi:10.2307/2532003
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import gammaln, logsumexp

from anomaly.fleet.lives import Lives, Trait
from anomaly.records import BoolArray, FloatArray

BANDS_MAX = 10
FAILURES_PER_BAND = 10
"""Fewer in a band would say more about chance than about age."""
CONFIDENCE = 0.95
_RATIOS = np.exp(np.linspace(np.log(1e-3), np.log(1e4), 601))
_LIKENESSES = np.exp(np.linspace(np.log(0.3), np.log(100.0), 12))
"""Shape (= rate) of the prior: 0.3 groups differ wildly, 100 hardly at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Per group and band of age."""

    failures: FloatArray
    """(groups, bands)"""
    exposure: FloatArray
    """Days watched; (groups, bands)."""
    other_failures: FloatArray
    other_exposure: FloatArray

    @property
    def can_compare(self) -> BoolArray:
        """Where others have been of that age."""
        return np.asarray(self.other_exposure > 0)

    @property
    def compared(self) -> FloatArray:
        """Failures at ages that others have had; (groups,)."""
        return np.asarray((self.failures * self.can_compare).sum(axis=1))

    @property
    def expected(self) -> FloatArray:
        """Failures that the group would have had at the others' rates; (groups,)."""
        rate = np.divide(
            self.other_failures,
            self.other_exposure,
            out=np.zeros_like(self.exposure),
            where=self.can_compare,
        )
        return np.asarray((rate * self.exposure).sum(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Rate of each group over that of the others: median and 95 % interval; (groups,)."""

    middle: FloatArray
    low: FloatArray
    high: FloatArray


def bands_of(lives: Lives) -> FloatArray:
    """Return the bounds between bands of age, so that each holds about as many failures."""
    ages = np.sort(lives.age_until[lives.has_failed])
    bands = min(BANDS_MAX, max(1, len(ages) // FAILURES_PER_BAND))
    inner = np.quantile(ages, np.arange(1, bands) / bands) if bands > 1 else np.empty(0)
    return np.concatenate([[-np.inf], np.unique(inner), [np.inf]])


def count(lives: Lives, trait: Trait, bands: FloatArray) -> Counts:
    groups, width = len(trait.values), len(bands) - 1
    exposure, failures = np.zeros((groups, width)), np.zeros((groups, width))
    all_exposure, all_failures = np.zeros(width), np.zeros(width)
    known = trait.code >= 0
    for place, (low, high) in enumerate(pairwise(bands)):
        days = np.maximum(np.minimum(lives.age_until, high) - np.maximum(lives.age_since, low), 0.0)
        is_here = lives.has_failed & (low < lives.age_until) & (lives.age_until <= high)
        for table, total, values in (
            (exposure, all_exposure, days),
            (failures, all_failures, is_here.astype(np.float64)),
        ):
            table[:, place] = np.bincount(
                trait.code[known], weights=values[known], minlength=groups
            )
            total[place] = values.sum()
    others = all_exposure - exposure
    return Counts(
        failures=failures,
        exposure=exposure,
        other_failures=all_failures - failures,
        # What a difference of equal sums leaves over is no time in which anybody was watched.
        other_exposure=np.where(others > 1e-9 * np.maximum(all_exposure, 1.0), others, 0.0),
    )


def rate_ratios(counts: Counts) -> Ratios:
    """Estimate all groups of one trait together."""
    likelihood = _log_likelihood(counts)
    prior = _log_priors()
    # (groups, likenesses): how well each width of the prior explains each group.
    joint = likelihood[:, None, :] + prior[None, :, :]
    explained = logsumexp(joint, axis=2)
    width = explained.sum(axis=0)
    weight = width - logsumexp(width)
    posterior = logsumexp(joint - explained[:, :, None] + weight[None, :, None], axis=1)
    weights = np.exp(posterior)
    share = np.cumsum(weights, axis=1) - weights / 2
    share /= weights.sum(axis=1, keepdims=True)
    tail = (1 - CONFIDENCE) / 2
    return Ratios(
        middle=_quantile(share, 0.5), low=_quantile(share, tail), high=_quantile(share, 1 - tail)
    )


def _log_likelihood(counts: Counts) -> FloatArray:
    """Of each ratio of the grid, given all failures of each band; (groups, ratios)."""
    found = np.zeros((len(counts.failures), len(_RATIOS)))
    for place in range(counts.failures.shape[1]):
        own, others = counts.exposure[:, place, None], counts.other_exposure[:, place, None]
        failed = counts.failures[:, place, None]
        total = failed + counts.other_failures[:, place, None]
        mixed = _RATIOS[None, :] * own + others
        can_compare = (own > 0) & (others > 0)
        found += np.where(
            can_compare,
            failed * np.log(_RATIOS)[None, :] - total * np.log(np.where(can_compare, mixed, 1.0)),
            0.0,
        )
    return found


def _log_priors() -> FloatArray:
    """Gamma densities of mean 1 over the logarithm of the ratio; (likenesses, ratios)."""
    shape = _LIKENESSES[:, None]
    density = shape * np.log(shape) - gammaln(shape) + shape * (np.log(_RATIOS) - _RATIOS)[None, :]
    return np.asarray(density - logsumexp(density, axis=1, keepdims=True))


def _quantile(share: FloatArray, wanted: float) -> FloatArray:
    return np.array([np.exp(np.interp(wanted, row, np.log(_RATIOS))) for row in share])
