"""What the first layer said is found again, and read between its horizons."""

import numpy as np
import pytest

from anomaly.learn.frame import Frame
from anomaly.records import LIFE_SHARES
from anomaly.training.said import FirstLayer, Said, chance_within
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR, history


def test_a_chance_between_two_horizons_has_a_constant_hazard() -> None:
    p = np.array([[0.1, 0.5, 0.9]])

    between = chance_within(p, 96.0)[0]

    hazard = -np.log(0.9) + (96 - 24) / (168 - 24) * (np.log(0.9) - np.log(0.5))
    assert between == pytest.approx(1 - np.exp(-hazard))
    assert chance_within(p, 168.0)[0] == pytest.approx(0.5)
    assert chance_within(p, 12.0)[0] == pytest.approx(1 - 0.9**0.5)


def test_instants_at_which_nothing_was_said_stay_unknown() -> None:
    one = history(np.random.default_rng(0), name="one")
    made = np.array([3 * HOUR, 6 * HOUR])
    p = np.zeros((2, len(CATALOG.modes), 3))
    p[:, 1] = [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]]
    lives = np.full((2, len(CATALOG.modes), len(LIFE_SHARES)), np.inf)
    lives[0, 1] = [10, 20, 30, 40, 50]
    layer = FirstLayer(
        catalog=CATALOG, said={"one": Said(made_us=made, p_fail=p, life_hours=lives)}
    )
    frame = Frame(
        device=np.array([0, 0, 1]), at_us=np.array([3 * HOUR, 4 * HOUR, 6 * HOUR]),
        x=np.empty((3, 0)), names=(),
    )  # fmt: skip
    other = history(np.random.default_rng(1), name="unheard")

    chance = layer.of(CATALOG.modes[1]).chance([one, other], frame, 24.0)
    life = layer.of(CATALOG.modes[1]).life([one, other], frame)

    assert chance[0] == pytest.approx(0.1)
    assert np.isnan(chance[1:]).all()
    assert life[0].tolist() == [10, 20, 30, 40, 50]
    assert np.isnan(life[1:]).all()
