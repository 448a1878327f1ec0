"""Chances of failing agree with the quantiles of remaining life."""

import numpy as np
import pytest

from anomaly.chances import chances_of
from anomaly.forecaster import base_outlook
from anomaly.report import BELIEF, FAILURES_PER_YEAR

SAID = np.array([[50.0, 60.0, 100.0, 160.0, 200.0]])
P_SAID = np.array([[0.1, 0.2, 0.3]])


@pytest.mark.parametrize(("place", "share"), [(0, 0.05), (1, 0.1), (2, 0.5), (3, 0.9), (4, 0.95)])
def test_the_chance_until_a_quantile_is_its_share(place: int, share: float) -> None:
    life = SAID * 168.0 / SAID[0, place]  # this quantile is a week

    found = chances_of(SAID, life, P_SAID)

    well = base_outlook(FAILURES_PER_YEAR).p_fail_7d
    assert found[0, 1] == pytest.approx(1 - (1 - BELIEF * share) * (1 - well))


def test_chances_rise_with_the_horizon_and_stay_between_nothing_and_certainty() -> None:
    rng = np.random.default_rng(3)
    life = np.sort(np.exp(rng.uniform(-3, 11, (500, 5))), axis=1)
    life[::7, 3:] = np.inf
    life[::11, 1:3] = life[::11, 1:2]

    found = chances_of(np.repeat(SAID, 500, axis=0), life, np.repeat(P_SAID, 500, axis=0))

    assert (np.diff(found, axis=1) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_a_longer_life_is_a_smaller_chance() -> None:
    lives = SAID * np.geomspace(0.1, 100, 40)[:, None]

    found = chances_of(np.repeat(SAID, 40, axis=0), lives, np.repeat(P_SAID, 40, axis=0))

    assert (np.diff(found, axis=0) <= 0).all()
    assert found[-1, 1] < 0.01


def test_what_has_failed_is_well_or_says_nothing_keeps_its_chances() -> None:
    said = np.array([np.zeros(5), np.full(5, np.inf), np.full(5, np.inf)])
    chances = np.array([[1.0, 1.0, 1.0], [0.001, 0.002, 0.003], [np.nan] * 3])

    found = chances_of(said, said, chances)

    assert np.array_equal(found, chances, equal_nan=True)
