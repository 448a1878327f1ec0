"""Forecasts that come true as often as they say, and those that do not."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.drift.calibration import (
    BLOCK,
    FACTORS,
    SLACK,
    block_of,
    blocks_until,
    evidence_after,
    weigh,
)
from anomaly.drift.words import say_calibration
from tests.unit.anomaly.bench import PUMP

AT = datetime(2026, 1, 1, tzinfo=UTC)


def make_blocks(seed: int, *, months: int, odds: float = 1.0, devices: int = 60, good: int = 0):
    """Forecasts of all chances; odds of failing are off by a factor after the first `good` months."""
    rng = np.random.default_rng(seed)
    made = []
    for month in range(months):
        p = np.where(rng.random(devices) < 0.9, 0.004, rng.uniform(0.1, 0.95, devices))
        factor = 1.0 if month < good else odds
        truth = factor * p / (1 - p + factor * p)
        came = (rng.random(devices) < truth).astype(float)
        made.append(block_of(AT + month * BLOCK, p, came=came))
    return made


def test_true_forecasts_are_hardly_ever_found_fault_with_however_often_one_looks():
    found = [weigh(make_blocks(seed, months=36)).has_drifted for seed in range(100)]

    assert sum(found) <= 100 * 0.05


@pytest.mark.parametrize(("odds", "direction"), [(6.0, "too_few"), (1 / 6, "too_many")])
def test_forecasts_that_are_off_are_found_and_which_way_is_told(odds, direction):
    found = [weigh(make_blocks(seed, months=24, odds=odds)) for seed in range(20)]

    assert sum(one.has_drifted for one in found) >= 18
    assert {one.direction for one in found if one.has_drifted} == {direction}


def test_good_years_do_not_hide_a_bad_one():
    found = [weigh(make_blocks(seed, months=40, odds=8.0, good=24)) for seed in range(20)]

    assert sum(one.has_drifted for one in found) >= 18


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=6))
def test_the_evidence_of_one_block_has_the_mean_1_if_the_forecasts_are_true(rows):
    chance = np.array([p for p, _ in rows])
    total = np.zeros(len(FACTORS))
    for outcome in range(2 ** len(chance)):
        came = np.array([float(outcome >> i & 1) for i in range(len(chance))])
        weight = np.prod(np.where(came == 1, chance, 1 - chance))
        total += weight * np.exp(block_of(AT, chance, came=came).log_ratios)

    assert total == pytest.approx(np.ones(len(FACTORS)))


def test_weights_of_all_beginnings_add_up_to_one():
    assert evidence_after(np.zeros((7, 3))) == pytest.approx(np.ones(3))


def test_blocks_follow_each_other_and_only_those_that_are_over_count():
    found = blocks_until(AT, AT + 4 * BLOCK)

    assert [later - earlier for earlier, later in pairwise(found)] == ([BLOCK] * (len(found) - 1))
    assert found[0] > AT - SLACK
    assert found[-1] + BLOCK <= AT + 4 * BLOCK
    assert blocks_until(AT + timedelta(days=3), AT + 4 * BLOCK)[-1] == found[-1]
    assert blocks_until(AT, AT + timedelta(days=5)) == []


def test_forecasts_are_told_with_expected_and_observed_failures():
    mode = PUMP.failure_modes[0]
    off = weigh(make_blocks(3, months=24, odds=8.0))

    said = say_calibration(mode, off)

    assert [sentence.key for sentence in said] == ["expects", "too_few"]
    assert f"{off.observed} failures came within 30 days" in said[0].text
    assert [s.key for s in say_calibration(mode, None)] == ["no_month"]
    assert weigh([]) is None
