"""Chooses the threshold of a policy on calibration rows, and freezes it as a value. Pure.

The test part is never seen here: what comes out is a policy with a number in it.
"""

from collections.abc import Callable

import msgspec
import numpy as np
from scipy.stats import chi2

from anomaly.policy import Policy
from anomaly.records import BoolArray, FloatArray, IntArray
from anomaly.runs import Breaks, Rows, Runs, runs_of

_LEVELS = 48
"""Thresholds tried first: how many rows lie above them rises by a constant factor."""
_HALVINGS = 14


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """False alarms that are allowed."""

    per_device_year: float
    confidence: float = 0.9
    """Of the upper bound on the rate that must stay within the budget."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen policy, and what it did on the calibration rows."""

    policy: Policy
    false_alarms: int
    device_years: float
    rate_at_most: float
    """Upper confidence bound on false alarms per device-year."""
    is_proven: bool
    """False: so little was observed that even silence proves nothing. Then no false alarm was seen."""


def rate_at_most(count: int, *, years: float, confidence: float) -> float:
    """Upper bound on a rate of which `count` events were seen in a time; exact for a Poisson count.

    References
    ----------
    Garwood (1936), Biometrika 28. doi:10.1093/biomet/28.3-4.437
    """
    if years <= 0:
        return float("inf")
    return float(chi2.ppf(confidence, 2 * count + 2) / 2 / years)


def threshold_for_budget(  # noqa: PLR0913 - rows and what is known of them, named
    policy: Policy,
    rows: Rows,
    *,
    is_false: BoolArray,
    years: float,
    budget: Budget,
    breaks: Breaks | None = None,
) -> Chosen:
    """Find the lowest threshold at and above which false alarms stay within a budget.

    A threshold so low that all alerts melt into one that never ends is not found: going down, the
    search stops at the first threshold that breaks the budget.

    Parameters
    ----------
    policy : Policy
        Confirmations and cool-down; the ratio of its two levels is kept.
    rows : Rows
        Scores of devices, at least 0, on which nothing was trained.
    is_false : ndarray of bool, shape (rows,)
        Whether an alert that opens at a row is false (`anomaly.judge.alerts.false_where`).
    years : float
        Watched time of the rows, device-years.
    budget : Budget
    breaks : Breaks, optional
        Services and failures.
    """
    most = _most_allowed(budget, years)
    levels = _levels(rows.score)

    def false_at(place: int) -> int:
        runs = runs_of(policy.at(float(levels[place])), rows, breaks)
        return int(is_false[runs.row].sum())

    good = _lowest_good(len(levels), lambda place: false_at(place) <= max(most, 0))
    chosen = policy.at(np.inf if good < 0 else float(levels[good]))
    count = false_at(good) if good >= 0 else 0
    bound = rate_at_most(count, years=years, confidence=budget.confidence)
    return Chosen(
        policy=chosen,
        false_alarms=count,
        device_years=years,
        rate_at_most=bound,
        is_proven=most >= 0,
    )


def threshold_for_count(
    policy: Policy, rows: Rows, *, count: int, breaks: Breaks | None = None
) -> Policy:
    """Find the lowest threshold at and above which there are at most so many episodes."""
    levels = _levels(rows.score)

    def is_good(place: int) -> bool:
        return len(runs_of(policy.at(float(levels[place])), rows, breaks)) <= count

    good = _lowest_good(len(levels), is_good)
    return policy.at(np.inf if good < 0 else float(levels[good]))


def threshold_for_cost(
    policy: Policy, rows: Rows, *, cost: Callable[[Runs], float], breaks: Breaks | None = None
) -> Policy:
    """Find the threshold whose episodes cost least; of equally good ones the highest.

    Parameters
    ----------
    policy : Policy
        Confirmations and cool-down; the ratio of its two levels is kept.
    rows : Rows
        Scores of devices, at least 0, on which nothing was trained.
    cost : callable
        Cost of the episodes of these rows, for instance from `anomaly.judge.tally.cost_of`.
    breaks : Breaks, optional
        Services and failures.
    """
    levels = _levels(rows.score)
    tried = [policy.at(np.inf)] + [
        policy.at(float(level)) for level in levels[_spaced(len(levels))]
    ]
    return min(tried, key=lambda one: cost(runs_of(one, rows, breaks)))


def _most_allowed(budget: Budget, years: float) -> int:
    """How many false alarms still show that the budget is kept; -1: not even none."""
    count = -1
    limit = budget.per_device_year
    while rate_at_most(count + 1, years=years, confidence=budget.confidence) <= limit:
        count += 1
    return count


def _levels(score: FloatArray) -> FloatArray:
    """Scores that occur, highest first: between two of them nothing changes."""
    return np.unique(score[~np.isnan(score)])[::-1]


def _spaced(size: int) -> IntArray:
    """Places from the highest down, denser at the top."""
    if not size:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.geomspace(1, size, _LEVELS).round().astype(np.int64)) - 1


def _lowest_good(size: int, is_good: Callable[[int], bool]) -> int:
    """Go down until it is good no more, then halve between; -1 if the highest is not good."""
    good, bad = -1, size
    for place in _spaced(size).tolist():
        if not is_good(place):
            bad = place
            break
        good = place
    for _ in range(_HALVINGS):
        middle = (good + bad) // 2
        if middle in {good, bad} or middle < 0:
            break
        good, bad = (middle, bad) if is_good(middle) else (good, middle)
    return good
