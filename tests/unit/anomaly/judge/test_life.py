"""Errors of remaining life and its intervals."""

import numpy as np
import pytest

from anomaly.judge.life import (
    coverage,
    coverage_by_life,
    life_fraction_rmse,
    life_losses,
    nasa_score,
    rmse,
)

TRUTH = np.array([150.0, 20, 10])
FORECAST = np.array([120.0, 30, 10])


def test_errors_with_raw_and_with_capped_labels() -> None:
    assert rmse(TRUTH, FORECAST) == pytest.approx(np.sqrt((900 + 100 + 0) / 3))
    assert rmse(TRUTH, FORECAST, cap=125) == pytest.approx(np.sqrt((25 + 100 + 0) / 3))
    assert rmse(np.empty(0), np.empty(0)) is None


def test_a_forecast_beyond_the_cap_is_not_wrong() -> None:
    assert rmse(np.array([150.0]), np.array([140.0]), cap=125) == 0


def test_the_nasa_score_punishes_late_more_than_early() -> None:
    assert nasa_score(np.array([50.0]), np.array([60.0])) == pytest.approx(np.e - 1)
    assert nasa_score(np.array([50.0]), np.array([37.0])) == pytest.approx(np.e - 1)
    assert nasa_score(TRUTH, FORECAST) == pytest.approx(np.exp(30 / 13) - 1 + np.e - 1)
    assert nasa_score(TRUTH, FORECAST, cap=125) == pytest.approx(np.exp(5 / 13) - 1 + np.e - 1)


def test_error_as_a_share_of_life() -> None:
    assert life_fraction_rmse(
        np.array([50.0, 100]), np.array([60.0, 80]), life=np.array([100.0, 200])
    ) == pytest.approx(0.1)


def test_coverage_and_width() -> None:
    found = coverage(TRUTH, low=np.array([100.0, 25, 5]), high=np.array([160.0, 35, 10]))

    assert found is not None
    assert (found.covered, found.width, found.rows) == (pytest.approx(2 / 3), 25, 3)
    assert coverage(TRUTH, low=TRUTH, high=TRUTH, known=np.zeros(3, dtype=bool)) is None


def test_coverage_per_bin_of_predicted_life() -> None:
    table = coverage_by_life(
        TRUTH, low=FORECAST - 15, high=FORECAST + 15, middle=FORECAST, edges=(0, 25, 50, 500)
    )

    assert [(row.low, row.high, row.rows, row.covered) for row in table] == [
        (0, 25, 1, 1), (25, 50, 1, 1), (50, 500, 1, 0),
    ]  # fmt: skip


def test_quantiles_of_remaining_life_are_judged_by_their_pinball_loss() -> None:
    found = life_losses(
        np.array([100.0, 40]), np.array([True, True]), np.array([[80.0, 130], [60.0, np.inf]]),
        shares=(0.1, 0.9), until_hours=200,
    )  # fmt: skip

    # 0.1 * 20 and 0.1 * 30; 0.9 * 20 and, cut off at 200, 0.1 * 160
    assert found.loss == pytest.approx([(2 + 3) / 2, (18 + 16) / 2])
    assert found.weight == pytest.approx([1, 1])
    assert found.mean == pytest.approx((2.5 + 17) / 2)


def test_a_life_that_outlived_the_hour_is_known_and_one_lost_before_is_made_up_for() -> None:
    hours = np.array([10.0, 20, 30, 50])
    has_failed = np.array([True, False, True, False])

    found = life_losses(
        hours, has_failed, np.full((4, 1), 30.0), shares=(0.5,), until_hours=40
    )  # fmt: skip

    # one of three was lost at 20, so the two that were watched on count for it: 3 / 2 each
    assert found.weight == pytest.approx([1, 0, 1.5, 1.5])
    assert found.loss[[0, 2, 3]] == pytest.approx([10, 0, 5])
    assert found.mean == pytest.approx((10 + 0 + 7.5) / 4)


def test_nothing_known_has_no_loss() -> None:
    found = life_losses(
        np.array([1.0]), np.array([False]), np.ones((1, 1)), shares=(0.5,), until_hours=2
    )  # fmt: skip

    assert found.mean is None


def test_true_quantiles_lose_least_however_many_lives_go_out_of_sight() -> None:
    rng = np.random.default_rng(3)
    life, watched = rng.exponential(100, 40_000), rng.uniform(0, 300, 40_000)
    hours, has_failed = np.minimum(life, watched), life <= watched
    shares = (0.1, 0.5)
    true = -100 * np.log1p(-np.array(shares))

    losses = [
        life_losses(
            hours,
            has_failed,
            np.tile(true * factor, (len(hours), 1)),
            shares=shares,
            until_hours=150,
        ).mean
        for factor in (0.8, 1.0, 1.25)
    ]

    assert min(losses) == losses[1]  # type: ignore[type-var]
