"""The judge of a new version: how often it stops a good one, how often it finds a bad one."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.campaign.judge import (
    FAILS_BY,
    WORSE_BY,
    Event,
    Life,
    detections_e,
    failures_e,
    judge,
    rate_ratio,
    threshold,
)

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FALSE_STOPS = 0.02


def verdict_of(lives: list[Life]) -> float:
    found = judge(
        lives,
        begin=BEGIN,
        late_after=timedelta(hours=12),
        ended=0,
        failed=0,
        tolerated_failures=0.05,
        stop_at_e=threshold(FALSE_STOPS),
    )
    return found.detections_e


def life(days: float, *, runs_from: float | None = None, detected: float | None = None) -> Life:
    return Life(
        through=BEGIN + days * DAY,
        runs_since=None if runs_from is None else BEGIN + runs_from * DAY,
        detected_at=None if detected is None else BEGIN + detected * DAY,
    )


def test_days_and_detections_go_to_the_version_that_ran_then() -> None:
    lives = [
        life(10, runs_from=4),
        life(10, runs_from=2, detected=6),
        life(10, runs_from=5, detected=1),
        life(10),
    ]

    found = judge(
        lives,
        begin=BEGIN,
        late_after=DAY,
        ended=3,
        failed=0,
        tolerated_failures=0.05,
        stop_at_e=100,
    )

    assert (found.new_detected, found.old_detected) == (1, 1)
    assert (found.new_days, found.old_days) == (6 + 4, 4 + 2 + 1 + 10)
    assert found.watched_days == 6 + 8 + 5


def test_nothing_is_compared_beyond_what_all_devices_have_reached() -> None:
    lives = [life(10, runs_from=1, detected=9.5), life(9, runs_from=None), life(2)]

    found = judge(
        lives,
        begin=BEGIN,
        late_after=2 * DAY,
        ended=0,
        failed=0,
        tolerated_failures=0.05,
        stop_at_e=100,
    )

    assert found.through == BEGIN + 9 * DAY
    assert (found.new_detected, found.new_days, found.old_days) == (0, 8, 1 + 9 + 2)


def test_without_devices_on_the_old_version_a_detection_says_nothing() -> None:
    assert detections_e([Event(True, 5, 0), Event(True, 4, 0)]) == pytest.approx(1)


def test_one_failure_of_one_device_stops_nothing_and_four_of_four_do() -> None:
    assert failures_e(1, 1, tolerated=0.05) < threshold(FALSE_STOPS)
    assert failures_e(4, 4, tolerated=0.05) > threshold(FALSE_STOPS)
    assert failures_e(5, 100, tolerated=0.05) < 1


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_detection_is_a_fair_bet_when_the_versions_are_alike(new: int, old: int) -> None:
    share = new / (new + old)

    expected = share * detections_e([Event(True, new, old)])
    expected += (1 - share) * detections_e([Event(False, new, old)])

    assert expected == pytest.approx(1)


@given(st.floats(0.001, 0.5), st.floats(0, 1))
def test_an_update_is_no_winning_bet_while_no_more_than_the_tolerated_share_fails(
    tolerated: float, part: float
) -> None:
    share = tolerated * part

    expected = share * failures_e(1, 1, tolerated=tolerated)
    expected += (1 - share) * failures_e(0, 1, tolerated=tolerated)

    assert expected <= 1 + 1e-9


@given(st.integers(0, 20), st.integers(0, 200))
def test_the_interval_holds_the_ratio_that_was_seen(new: int, old: int) -> None:
    low, high = rate_ratio(new, 40, old, 400)

    if new + old == 0:
        assert (low, high) == (None, None)
    elif old == 0:
        assert high is None
    else:
        assert low is not None
        assert high is not None
        assert low - 1e-3 <= (new / 40) / (old / 400) <= high + 1e-3


def test_the_interval_agrees_with_published_numbers() -> None:
    """scipy.stats.binomtest(5, 7).proportion_ci(method="exact") = (0.29042, 0.96331)."""
    low, high = rate_ratio(5, 1, 2, 1)

    assert low == pytest.approx(0.29042 / (1 - 0.29042), abs=2e-3)
    assert high == pytest.approx(0.96331 / (1 - 0.96331), abs=2e-2)


def campaign(
    rng: random.Random, *, devices: int, per_day: float, worse_by: float, stage_days: float = 5.0
) -> bool:
    """Play one campaign in stages of 10, 50 and 100 %, and look at it four times a day.

    Devices differ fourfold in how often they are detected, and all of them age.
    """
    order = list(range(devices))
    rng.shuffle(order)
    frailty = [rng.choice([0.5, 2.0]) for _ in order]
    starts: list[float] = [0.0] * devices
    for place, device in enumerate(order):
        stage = sum(place >= math.ceil(share * devices) for share in (0.1, 0.5))
        starts[device] = stage * stage_days + 0.3 * rng.random()
    end = 3 * stage_days
    hits: list[float | None] = []
    for device in range(devices):
        hit = None
        at = 0.0
        while at < end and hit is None:
            rate = per_day * frailty[device] * (1 + at / end)
            rate *= worse_by if at >= starts[device] else 1
            if rng.random() < rate * 0.25:
                hit = at + 0.25 * rng.random()
            at += 0.25
        hits.append(hit)
    for look in range(1, int(end * 4) + 1):
        now = look / 4
        lives = [
            life(
                now,
                runs_from=starts[d] if starts[d] <= now else None,
                detected=hit if (hit := hits[d]) is not None and hit <= now else None,
            )
            for d in range(devices)
        ]
        if verdict_of(lives) >= threshold(FALSE_STOPS):
            return True
    return False


def share_stopped(seed: int, *, campaigns: int, worse_by: float) -> float:
    rng = random.Random(seed)
    stopped = sum(
        campaign(rng, devices=60, per_day=0.01, worse_by=worse_by) for _ in range(campaigns)
    )
    return stopped / campaigns


@pytest.mark.parametrize("seed", [1, 2])
def test_a_harmless_version_is_stopped_no_more_often_than_promised(seed: int) -> None:
    """Half of 2 % is the promise of this question; 150 campaigns stop 5 of them once in 10,000."""
    assert share_stopped(seed, campaigns=150, worse_by=1.0) <= 4 / 150


def test_a_version_that_is_detected_ten_times_as_often_is_stopped() -> None:
    assert share_stopped(3, campaigns=40, worse_by=10.0) >= 0.7


def test_failing_updates_are_found_and_tolerated_ones_are_not_mistaken() -> None:
    rng = random.Random(4)

    def stops(share: float, devices: int) -> bool:
        failed = 0
        for ended in range(1, devices + 1):
            failed += rng.random() < share
            if failures_e(failed, ended, tolerated=0.05) >= threshold(FALSE_STOPS):
                return True
        return False

    assert sum(stops(0.05, 300) for _ in range(500)) / 500 <= 0.02
    assert sum(stops(0.5, 20) for _ in range(200)) / 200 >= 0.95


def test_the_grids_rise_and_hold_worse_versions_only() -> None:
    assert all(times > 1 for times in (*WORSE_BY, *FAILS_BY))
