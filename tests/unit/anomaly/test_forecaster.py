import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomaly.forecaster import base_outlook, forecast_path
from anomaly.records import Outlook

BASE = base_outlook(0.05)


def extrapolate(hours: np.ndarray, path: np.ndarray, **changes: float) -> Outlook:
    known = {"noise": 0.02, "lag_hours": 0.0, "correlated": 1.0, "belief": 1.0} | changes
    return forecast_path(hours, path, base=BASE, **known)


HOURS = np.arange(-240.0, 1.0, 6.0)


@pytest.mark.parametrize("power", [0.8, 1.0, 1.5])
@pytest.mark.parametrize("left_hours", [48.0, 120.0])
def test_a_path_that_keeps_its_law_is_forecast_where_it_ends(power, left_hours):
    whole = 240.0 + left_hours
    path = ((HOURS + 240.0) / whole) ** power

    outlook = extrapolate(HOURS, path)

    assert outlook.life_hours_q10 < left_hours < outlook.life_hours_q90
    assert outlook.life_hours_q50 == pytest.approx(left_hours, rel=0.5)


@settings(deadline=None)
@given(path=arrays(np.float64, 30, elements=st.floats(0, 1.4)), belief=st.floats(0, 1))
def test_probabilities_rise_with_the_horizon_and_quantiles_are_in_order(path, belief):
    outlook = extrapolate(np.arange(-29.0, 1.0), path, belief=belief)

    assert 0 <= outlook.p_fail_1d <= outlook.p_fail_7d <= outlook.p_fail_30d <= 1
    lives = list(outlook.lives)
    known = [life for life in lives if life is not None]
    assert known == sorted(known)
    assert lives[: len(known)] == known


def test_without_belief_only_the_base_rate_is_left():
    outlook = extrapolate(HOURS, np.linspace(0, 0.9, len(HOURS)), belief=0.0)

    assert outlook.p_fail_30d == pytest.approx(BASE.p_fail_30d)


def test_a_path_nearer_to_its_end_has_less_life_left():
    early = extrapolate(HOURS, np.linspace(0, 0.4, len(HOURS)))
    late = extrapolate(HOURS, np.linspace(0, 0.8, len(HOURS)))

    assert late.life_hours_q50 < early.life_hours_q50


def test_a_long_path_is_thinned_and_says_the_same():
    fine = np.linspace(-240.0, 0.0, 241)

    coarse = extrapolate(fine[::4], (fine[::4] + 240) / 400, correlated=1.0)
    thinned = extrapolate(fine, (fine + 240) / 400, correlated=4.0)

    assert thinned.life_hours_q50 == pytest.approx(coarse.life_hours_q50, rel=0.1)
