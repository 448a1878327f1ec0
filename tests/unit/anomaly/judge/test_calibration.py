"""Brier score, calibration error, weights for what was not observed to its end."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from anomaly.judge.calibration import (
    brier,
    calibration_error,
    kaplan_meier,
    known_within,
    reliability,
)

SEED = 5


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(SEED)
    p, y, w = rng.random(500), rng.random(500) < 0.3, rng.random(500)

    assert brier(p, y, w) == pytest.approx(brier_score_loss(y, p, sample_weight=w))


def test_calibration_error_by_hand() -> None:
    p = np.array([0.1, 0.1, 0.2, 0.9, 0.9])
    y = np.array([False, True, False, True, True])

    # two groups of equal width: {0.1, 0.1, 0.2} says 0.4/3, happened 1/3; {0.9, 0.9} says 0.9, happened 1
    assert calibration_error(p, y, bins=2, kind="width") == pytest.approx(0.6 * 0.2 + 0.4 * 0.1)


def test_groups_of_equal_mass_keep_equal_forecasts_together() -> None:
    p = np.array([0.0] * 90 + [0.5] * 10)
    y = np.array([False] * 90 + [True] * 5 + [False] * 5)

    table = reliability(p, y, bins=15)

    assert [(row.rows, row.forecast, row.happened) for row in table] == [(90, 0, 0), (10, 0.5, 0.5)]
    assert calibration_error(p, y) == 0


def test_a_perfectly_wrong_forecaster_has_error_one() -> None:
    y = np.array([True, False])

    assert calibration_error(1.0 - y, y) == 1
    assert brier(1.0 - y, y) == 1


def test_true_probabilities_have_a_small_error_and_doubled_ones_have_not() -> None:
    rng = np.random.default_rng(SEED)
    p = rng.random(50_000) * 0.4
    y = rng.random(50_000) < p

    assert (calibration_error(p, y) or 1) < 0.01
    assert calibration_error(2 * p, y) == pytest.approx(0.2, abs=0.01)


def test_no_rows_have_no_figure() -> None:
    none = np.empty(0)

    assert brier(none, none > 0) is None
    assert calibration_error(none, none > 0) is None


def test_unknown_forecasts_are_left_out() -> None:
    assert brier(np.array([0.5, np.nan]), np.array([True, True])) == 0.25


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier(np.array([1.0, 2, 2, 3, 4]), np.array([True, True, False, False, True]))

    assert curve.hours.tolist() == [1, 2, 4]
    assert curve.share.tolist() == pytest.approx([0.8, 0.6, 0.0])
    assert curve.at(np.array([0.5, 1, 3])).tolist() == pytest.approx([1, 0.8, 0.6])
    assert curve.before(np.array([1.0, 2, 4])).tolist() == pytest.approx([1, 0.8, 0.6])


def test_a_known_row_stands_for_those_that_were_not_observed_long_enough() -> None:
    hours, failed = np.array([1.0, 2, 3, 4]), np.array([True, False, True, False])

    known = known_within(hours, failed, horizon_hours=3)

    assert known.happened.tolist() == [True, False, True, False]
    assert known.weight.tolist() == pytest.approx([1, 0, 1.5, 1.5])


def test_a_failure_comes_before_a_censoring_at_the_same_instant() -> None:
    hours, failed = np.array([2.0, 2, 5]), np.array([True, False, True])

    known = known_within(hours, failed, horizon_hours=4)

    assert known.weight.tolist() == pytest.approx([1, 0, 2])


def test_without_censoring_all_rows_count_once() -> None:
    known = known_within(np.array([1.0, 5.0]), np.array([True, True]), horizon_hours=3)

    assert known.weight.tolist() == [1, 1]


def test_weights_undo_censoring() -> None:
    rng = np.random.default_rng(SEED)
    life, censored = rng.exponential(100, 40_000), rng.exponential(80, 40_000)
    hours, failed = np.minimum(life, censored), life <= censored
    truth = -np.expm1(-60 / 100)
    p = np.full(40_000, truth)

    known = known_within(hours, failed, horizon_hours=60)
    naive = hours > 0
    happened = failed & (hours <= 60)

    assert np.average(known.happened, weights=known.weight) == pytest.approx(truth, abs=0.01)
    assert (calibration_error(p, known.happened, known.weight) or 1) < 0.01
    assert (calibration_error(p, happened, naive * 1.0) or 0) > 0.1
