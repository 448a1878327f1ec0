"""Errors of remaining life: devices are exchangeable, their rows are not."""

import msgspec
import numpy as np
import pytest

from anomaly.learn.conformal import Errors, device_weights, fit_errors, weighted_quantiles


def test_every_device_weighs_the_same_however_many_rows_it_has() -> None:
    assert device_weights(np.array([0, 0, 0, 0, 1, 2, 2])).tolist() == [0.25] * 4 + [1, 0.5, 0.5]


def test_quantiles_are_those_of_one_device_more() -> None:
    errors, device = np.arange(1.0, 10.0), np.arange(9)

    found = weighted_quantiles(errors, device, np.array([0.1, 0.2, 0.5, 0.8, 0.9, 0.95]))

    # nine devices of mass 1/10 each; beyond the largest error lies the tenth
    assert found.tolist() == [1, 2, 5, 8, 9, 9]


def test_a_device_with_many_rows_does_not_outvote_the_others() -> None:
    errors = np.concatenate([np.full(1000, 50.0), np.arange(1.0, 9.0)])
    device = np.concatenate([np.zeros(1000, dtype=np.int64), np.arange(1, 9)])

    assert weighted_quantiles(errors, device, np.array([0.8])).tolist() == [8]


def test_too_few_devices_are_said_to_prove_nothing() -> None:
    life, device = np.full(4, 10.0), np.arange(4)

    errors = fit_errors(life, life + np.array([-1, 0, 1, 2]), device)

    assert not errors.is_proven
    assert errors.quantile(life[:1], 0.95).tolist() == [12]
    assert errors.quantile(life[:1], 0.05).tolist() == [9]


def test_equal_estimates_are_judged_together() -> None:
    """Half of the estimates stand at a cap: what became of all of them counts, in any order of rows."""
    device = np.arange(120)
    life = np.where(device < 60, device.astype(float), 100.0)
    truth = life + np.where(device < 90, -5.0, 20.0)
    late_first = np.argsort(-truth, kind="stable")

    errors = fit_errors(life, truth, device)
    turned = fit_errors(life[late_first], truth[late_first], device[late_first])

    assert errors.middles[-1] == 100.0
    assert errors.quantile(np.array([100.0]), 0.9).tolist() == [120.0]
    assert errors.quantile(np.array([100.0]), 0.1).tolist() == [95.0]
    assert turned.quantile(life, 0.9).tolist() == errors.quantile(life, 0.9).tolist()


def crowd(rng: np.random.Generator, devices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates whose error has a part per device, and grows with the life that is left."""
    device = np.repeat(np.arange(devices), rng.integers(5, 60, devices))
    truth = rng.uniform(0, 100, len(device))
    shared = rng.normal(size=devices)[device]
    life = truth + (1 + truth / 5) * (0.7 * shared + 0.7 * rng.normal(size=len(device)))
    return np.maximum(life, 0), truth, device


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_hold_on_new_devices_as_often_as_they_say(level: float) -> None:
    rng = np.random.default_rng(1)
    errors = fit_errors(*crowd(rng, 300))
    life, truth, device = crowd(rng, 2000)

    low, high = errors.interval(life, level)
    held = (low <= truth) & (truth <= high)

    assert np.average(held, weights=device_weights(device)) == pytest.approx(level, abs=0.03)
    near, far = life < 20, life > 60
    assert held[near].mean() == pytest.approx(level, abs=0.06)
    assert (high - low)[near].mean() < 0.6 * (high - low)[far].mean()


def test_an_interval_up_to_a_limit_is_no_wider() -> None:
    errors = fit_errors(*crowd(np.random.default_rng(2), 100))
    life = np.linspace(0, 120, 30)

    low, high = errors.interval(life, 0.9)
    cut_low, cut_high = errors.interval(life, 0.9, up_to=80)

    assert low == pytest.approx(errors.quantile(life, 0.05))
    assert np.all(cut_high <= 80)
    assert np.all(cut_high - cut_low <= high - low + 1e-9)


def test_the_chance_of_failing_agrees_with_the_quantiles() -> None:
    errors = fit_errors(*crowd(np.random.default_rng(3), 200))
    life = np.linspace(20, 120, 20)

    for share in (0.1, 0.5, 0.9):
        reached = np.array([
            errors.failed_within(life[n : n + 1], float(hours))[0]
            for n, hours in enumerate(errors.quantile(life, share))
        ])  # fmt: skip
        assert reached == pytest.approx(share, abs=0.02)
    rising = [errors.failed_within(life, hours) for hours in (0, 10, 50, 100, 1000)]
    assert np.all(np.diff(rising, axis=0) >= 0)
    assert np.all(rising[-1] == 1)


def test_the_mean_of_lives_that_are_cut_off_is_at_most_the_limit() -> None:
    errors = fit_errors(*crowd(np.random.default_rng(4), 200))
    life = np.linspace(0, 120, 20)

    assert np.all(errors.mean(life, up_to=50) <= 50)
    assert np.all(errors.mean(life, up_to=50) <= errors.mean(life))


def test_errors_survive_storage() -> None:
    errors = fit_errors(*crowd(np.random.default_rng(5), 100))
    kept = msgspec.json.decode(msgspec.json.encode(errors), type=Errors)

    life = np.linspace(0, 120, 50)
    assert np.array_equal(kept.interval(life, 0.9)[0], errors.interval(life, 0.9)[0])
