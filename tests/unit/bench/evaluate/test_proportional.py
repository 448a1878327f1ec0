"""The control of proportional hazards."""

import math
from dataclasses import replace

import numpy as np
import pytest

from anomaly.learn.history import History
from bench.evaluate.proportional import fit_proportional, partial_likelihood
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR


def test_the_coefficient_is_the_one_found_by_hand() -> None:
    # Failed at 1 (of 1, 0 and 1) and at 2 (of 0 and 1): 1 / (2w + 1) = w / (1 + w), so w = 1 / √2.
    x, hours = np.array([[1.0], [0], [1]]), np.array([1.0, 2, 3])

    found = partial_likelihood(x, hours, np.array([True, True, False]), ridge=0.0)

    assert found == pytest.approx([-math.log(2) / 2])


def test_devices_that_fail_at_the_same_time_are_at_risk_of_each_other() -> None:
    # Breslow: both failures of time 1 are of all three, so w / (2w + 1)² is greatest at w = 1 / 2.
    x, hours = np.array([[1.0], [0], [1]]), np.array([1.0, 1, 3])

    found = partial_likelihood(x, hours, np.array([True, True, False]), ridge=0.0)

    assert found == pytest.approx([-math.log(2)])


def test_a_ridge_keeps_the_coefficient_of_those_that_never_fail_finite() -> None:
    x, hours = np.array([[1.0], [0], [0]]), np.array([9.0, 1, 2])

    found = partial_likelihood(x, hours, np.array([False, True, True]), ridge=0.5)

    assert -5 < found[0] < -0.5


def test_the_worse_model_and_the_cooler_device_are_expected_to_fail_sooner() -> None:
    rng = np.random.default_rng(1)
    model, heat = rng.choice(["a", "b"], 300), rng.normal(25, 3, 300)
    hours = rng.exponential(np.where(model == "b", 100, 500) * np.exp((heat - 25) / 5))
    devices = [
        replace(
            History(device=str(n), begins_us=0, until_us=round(life * HOUR)),
            traits={"model": kind, "heat": f"{degrees:.2f}"},
        )
        for n, (life, kind, degrees) in enumerate(zip(hours, model, heat, strict=True))
    ]

    learned = fit_proportional(CATALOG, devices, hours, np.ones(300, dtype=bool))

    cool_b, warm_b, cool_a = (
        replace(devices[0], traits={"model": kind, "heat": degrees})
        for kind, degrees in (("b", "22"), ("b", "28"), ("a", "22"))
    )
    assert learned.risk([cool_b])[0] > learned.risk([warm_b])[0]
    assert learned.risk([cool_b])[0] > learned.risk([cool_a])[0] + 1
