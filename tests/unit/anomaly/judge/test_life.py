"""Errors of remaining life and its intervals."""

import numpy as np
import pytest

from anomaly.judge.life import coverage, coverage_by_life, life_fraction_rmse, nasa_score, rmse

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
