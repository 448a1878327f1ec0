"""Average precision, Harrell's C and Uno's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from anomaly.judge.ranking import (
    average_precision,
    c_index,
    c_index_within,
    macro_average_precision,
)


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_average_precision_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    score, y, w = rng.integers(0, levels, 80) / levels, rng.random(80) < 0.3, rng.random(80)
    y[0] = True

    assert average_precision(score, y) == pytest.approx(average_precision_score(y, score))
    assert average_precision(score, y, w) == pytest.approx(
        average_precision_score(y, score, sample_weight=w)
    )


def test_average_precision_by_hand() -> None:
    score, y = np.array([0.9, 0.8, 0.7, np.nan]), np.array([True, False, True, True])

    assert average_precision(score, y) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(score, np.zeros(4, dtype=bool)) is None


def test_the_macro_average_leaves_out_kinds_that_never_happen() -> None:
    score = np.array([[0.9, 0.1], [0.8, 0.2]])
    y = np.array([[False, False], [True, False]])

    assert macro_average_precision(score, y) == 0.5
    assert macro_average_precision(score, y & False) is None


def slow_c(hours, failed, risk) -> float | None:
    """Every pair, one by one."""
    pairs = good = 0.0
    for i in range(len(hours)):
        for j in range(len(hours)):
            sooner = failed[i] and (hours[i] < hours[j] or (hours[i] == hours[j] and not failed[j]))
            if sooner:
                pairs += 1
                good += 1 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0
    return good / pairs if pairs else None


@given(seed=st.integers(0, 10_000), size=st.integers(0, 40), levels=st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_the_c_index_is_what_all_pairs_give(seed: int, size: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 10, size).astype(float)
    failed, risk = rng.random(size) < 0.5, rng.integers(0, levels, size).astype(float)

    fast, slow = c_index(hours, failed, risk), slow_c(hours, failed, risk)

    assert fast == (None if slow is None else pytest.approx(slow))


def test_the_c_index_by_hand() -> None:
    hours, failed = np.array([1.0, 2, 3]), np.array([True, True, False])

    assert c_index(hours, failed, np.array([3.0, 2, 1])) == 1
    assert c_index(hours, failed, np.array([1.0, 2, 3])) == 0
    assert c_index(hours, failed, np.array([2.0, 3, 1])) == pytest.approx(2 / 3)
    assert c_index(hours, failed, np.zeros(3)) == 0.5
    assert c_index(hours, np.zeros(3, dtype=bool), hours) is None


def test_a_failure_counts_for_those_whose_observation_ended_before() -> None:
    # One of four is not watched from 2 on: of the failures, that at 3 counts 1 / 0.75² = 16/9 times.
    hours, failed = np.array([1.0, 2, 3, 4, 5]), np.array([True, False, True, False, False])

    # Pairs: the first before four others, three of them of lower risk; the third before two, none lower.
    risk = np.array([3.0, 1, 0, 2, 4])
    assert c_index(hours, failed, risk) == pytest.approx(3 / 6)
    assert c_index_within(hours, failed, risk, horizon_hours=10) == pytest.approx(
        3 / (4 + 2 * 16 / 9)
    )
    assert c_index_within(hours, failed, risk, horizon_hours=3) == pytest.approx(3 / 4)
    assert c_index_within(hours, failed, risk, horizon_hours=1) is None
