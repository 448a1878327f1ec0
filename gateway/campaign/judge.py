"""Is the new version worse than the old one beyond chance? Pure.

Two questions, each answered by an e-process: a number that starts at 1, that grows while the numbers
speak against the new version, and that, if the new version is no worse, ever reaches x in at most one
of x campaigns, however often it is looked at (Ville's inequality). So there is no plan of looks and no
correction for them; docs/decisions/0020 tells why this test and docs/explanation/firmware-campaigns.md
what it can find.

*Updates that fail.* Each device that came to an end is a draw; the null says that at most the
tolerated share fails. The likelihood of larger shares against it is averaged over a grid.

*Detections.* A device's first detection since the campaign began is an event. At that instant some
devices ran the new version and some still the old one, and which is which was drawn by lot; if the
versions are alike, the device with the event is any of those at risk. Each event multiplies the
number by the odds under a worse version (the safe log-rank test, Grünwald et al. 2021,
arXiv:2011.06931). The comparison is made at equal calendar time among devices of one fleet, so
weather, season and ageing strike both sides alike.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WORSE_BY = (1.5, 2.0, 3.0, 5.0, 10.0)
"""How many times more often a worse version is detected: the grid of alternatives."""
FAILS_BY = (2.0, 5.0, 20.0, 100.0)
"""Odds of a failing update over the tolerated ones: the grid of alternatives."""
_DAY = timedelta(days=1)
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One device since the comparison began, in event time."""

    through: datetime
    """Up to here its data was scored."""
    runs_since: datetime | None
    """When it began to run the new version; None: it runs the old one."""
    detected_at: datetime | None
    """First detection since the comparison began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The numbers of one look, kept with the campaign and shown to people."""

    ended: int
    """Devices whose update came to an end."""
    failed: int
    """Those of them that failed or rolled back."""
    tolerated_failures: float
    failures_e: float
    """Once in so many campaigns by chance, at most."""
    new_detected: int
    """Devices with a detection while they ran the new version."""
    new_days: float
    """Device-days at risk on the new version."""
    old_detected: int
    old_days: float
    detections_e: float
    ratio_low: float | None
    """Detection rate of the new version over that of the old one, 95 % interval; None: unbounded."""
    ratio_high: float | None
    watched_days: float
    """Data of the new version, detections or not, in device-days."""
    through: datetime | None
    """How far in event time the comparison goes."""
    stop_at_e: float
    """Either number stops the campaign when it reaches this one."""

    @property
    def are_failures_worse(self) -> bool:
        return self.failures_e >= self.stop_at_e

    @property
    def are_detections_worse(self) -> bool:
        return self.detections_e >= self.stop_at_e

    @property
    def is_worse(self) -> bool:
        return self.are_failures_worse or self.are_detections_worse

    @property
    def watched(self) -> timedelta:
        return timedelta(days=self.watched_days)


def judge(  # noqa: PLR0913 - the numbers of a look, by keyword
    lives: Sequence[Life],
    *,
    begin: datetime | None,
    late_after: timedelta,
    ended: int,
    failed: int,
    tolerated_failures: float,
    stop_at_e: float,
) -> Verdict:
    """Look at the numbers.

    Parameters
    ----------
    lives : sequence of Life
        The campaign's devices that have sent data since it began.
    begin : datetime or None
        Where the comparison begins, event time; None: there is no data yet.
    late_after : timedelta
        A device that is further behind the newest one no longer holds up the comparison.
    ended, failed : int
        Devices whose update came to an end, and those that failed or rolled back.
    tolerated_failures : float
        Share of failing updates that is no reason to stop, in (0, 1).
    stop_at_e : float
        Number at which either question stops the campaign.
    """
    horizon = _horizon(lives, late_after=late_after)
    risk = _Risk(lives, begin=begin, horizon=horizon)
    new, old = risk.events()
    new_days, old_days = risk.days()
    low, high = rate_ratio(len(new), new_days, len(old), old_days)
    return Verdict(
        ended=ended,
        failed=failed,
        tolerated_failures=tolerated_failures,
        failures_e=failures_e(failed, ended, tolerated=tolerated_failures),
        new_detected=len(new),
        new_days=round(new_days, 3),
        old_detected=len(old),
        old_days=round(old_days, 3),
        detections_e=detections_e([*new, *old]),
        ratio_low=low,
        ratio_high=high,
        watched_days=round(_watched_days(lives, horizon), 3),
        through=horizon,
        stop_at_e=stop_at_e,
    )


def threshold(false_stops: float) -> float:
    """Return the number at which to stop, so that at most this share of harmless campaigns is stopped.

    Half of the share goes to each of the two questions.
    """
    return 2 / false_stops


def failures_e(failed: int, ended: int, *, tolerated: float) -> float:
    """Return the e-value against "at most the tolerated share fails", at least 0.

    Each alternative is a share between the tolerated one and 1, so the product is a supermartingale
    for every share up to the tolerated one.
    """
    odds = tolerated / (1 - tolerated)
    found = []
    for times in FAILS_BY:
        share = times * odds / (1 + times * odds)
        found.append(
            failed * math.log(share / tolerated)
            + (ended - failed) * math.log((1 - share) / (1 - tolerated))
        )
    return _mean_of_exp(found)


@dataclass(frozen=True, slots=True)
class Event:
    """A detection, and who might have had it."""

    is_new: bool
    new_at_risk: int
    old_at_risk: int


def detections_e(events: Sequence[Event]) -> float:
    """Return the e-value against "the new version is detected no more often", at least 0."""
    found = []
    for times in WORSE_BY:
        total = 0.0
        for event in events:
            at_risk = event.new_at_risk + event.old_at_risk
            total += math.log(at_risk / (times * event.new_at_risk + event.old_at_risk))
            total += math.log(times) if event.is_new else 0.0
        found.append(total)
    return _mean_of_exp(found)


def rate_ratio(
    new: int, new_days: float, old: int, old_days: float
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the ratio of two Poisson rates, exact and conditional.

    For people to look at; the campaign is stopped by the e-values. None: no bound on that side.

    References
    ----------
    Clopper and Pearson (1934), Biometrika 26(4). doi:10.1093/biomet/26.4.404
    """
    total = new + old
    if not total or new_days <= 0 or old_days <= 0:
        return None, None
    tail = (1 - _CONFIDENCE) / 2
    share_low = _solve(lambda p: 1 - _binomial_below(new - 1, total, p), tail) if new else 0.0
    share_high = _solve(lambda p: -_binomial_below(new, total, p), -tail) if old else 1.0
    scale = old_days / new_days
    low = share_low / (1 - share_low) * scale
    high = share_high / (1 - share_high) * scale if share_high < 1 else None
    return round(low, 3), None if high is None else round(high, 3)


class _Risk:
    """Who was at risk when. A device leaves with its first detection or with the end of its data."""

    def __init__(
        self, lives: Sequence[Life], *, begin: datetime | None, horizon: datetime | None
    ) -> None:
        self._begin, self._horizon = begin, horizon
        self._lives: list[tuple[datetime, datetime | None, bool]] = []
        if begin is None or horizon is None:
            return
        for life in lives:
            end = min(life.through, horizon)
            is_detected = life.detected_at is not None and begin <= life.detected_at <= end
            if is_detected and life.detected_at is not None:
                end = life.detected_at
            since = life.runs_since if life.runs_since and life.runs_since <= end else None
            if end >= begin:
                self._lives.append((end, since, is_detected))

    def events(self) -> tuple[list[Event], list[Event]]:
        """Return the events on the new and on the old version."""
        ends = sorted(end for end, _, _ in self._lives)
        new_ends = sorted(end for end, since, _ in self._lives if since)
        switches = sorted(since for _, since, _ in self._lives if since)
        new: list[Event] = []
        old: list[Event] = []
        for end, since, is_detected in self._lives:
            if not is_detected:
                continue
            at_risk = len(ends) - bisect_left(ends, end)
            # Those that had switched by then, without those that had left by then.
            switched = _count_until(switches, end)
            new_at_risk = switched - bisect_left(new_ends, end)
            event = Event(since is not None, new_at_risk, at_risk - new_at_risk)
            (new if since is not None else old).append(event)
        return new, old

    def days(self) -> tuple[float, float]:
        new = old = 0.0
        for end, since, _ in self._lives:
            assert self._begin is not None
            switch = max(since, self._begin) if since else end
            old += (switch - self._begin) / _DAY
            new += (end - switch) / _DAY
        return new, old


def _horizon(lives: Sequence[Life], *, late_after: timedelta) -> datetime | None:
    """Return how far all devices have come that are not too far behind."""
    newest = max((life.through for life in lives), default=None)
    if newest is None:
        return None
    return min(life.through for life in lives if life.through >= newest - late_after)


def _watched_days(lives: Sequence[Life], horizon: datetime | None) -> float:
    if horizon is None:
        return 0.0
    spans = (min(a.through, horizon) - a.runs_since for a in lives if a.runs_since)
    return sum(max(0.0, span / _DAY) for span in spans)


def _count_until(ordered: Sequence[datetime], at: datetime) -> int:
    return bisect_left(ordered, at + timedelta(microseconds=1))


def _mean_of_exp(exponents: Sequence[float]) -> float:
    """Average the likelihood ratios of the grid, without an overflow."""
    return sum(math.exp(min(e, 300.0)) for e in exponents) / len(exponents)


def _binomial_below(most: int, total: int, share: float) -> float:
    """Return P(X <= most) of a binomial, summed in logarithms."""
    if most < 0:
        return 0.0
    log_yes, log_no = math.log(share), math.log1p(-share)
    return min(
        1.0,
        sum(
            math.exp(
                math.lgamma(total + 1)
                - math.lgamma(k + 1)
                - math.lgamma(total - k + 1)
                + k * log_yes
                + (total - k) * log_no
            )
            for k in range(most + 1)
        ),
    )


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
