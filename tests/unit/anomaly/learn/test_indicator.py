"""Single signs of wear."""

import msgspec
import numpy as np
import pytest

from anomaly.learn.conformal import device_weights
from anomaly.learn.indicator import INDICATORS, Indicator, fit_indicators, mean_share


def lives(rng: np.random.Generator, *, wearing: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four lives of forty rows; one of sixty features falls with wear, the rest drift as they like."""
    device = np.repeat(np.arange(4), 40)
    share = np.tile(np.arange(1, 41) / 40, 4)
    x = np.concatenate([rng.normal(size=(40, 60)).cumsum(axis=0) for _ in range(4)])
    x[:, wearing] = -(share**2) + 0.1 * rng.normal(size=160)
    return x, share, device


def test_what_goes_one_way_along_every_life_is_found_among_what_drifts() -> None:
    x, share, device = lives(np.random.default_rng(1), wearing=7)

    found = fit_indicators(x, share, device, device_weights(device))

    assert len(found) == INDICATORS
    assert found[0].feature == 7
    said = found[0].predict(x)
    assert np.sqrt(np.mean((said - share) ** 2)) < 0.1


def test_a_curve_only_falls_where_wear_makes_its_feature_fall() -> None:
    x, share, device = lives(np.random.default_rng(2), wearing=3)
    curve = fit_indicators(x, share, device, device_weights(device))[0]

    row = np.full((50, 60), np.nan)
    row[:, 3] = np.linspace(-2, 1, 50)

    assert np.all(np.diff(curve.predict(row)) <= 0)


def test_a_missing_value_says_nothing_and_no_curve_says_nothing() -> None:
    x, share, device = lives(np.random.default_rng(3), wearing=3)
    found = fit_indicators(x, share, device, device_weights(device))

    assert found[0].predict(np.full((2, 60), np.nan)).tolist() == [0.5, 0.5]
    assert mean_share((), x[:2]).tolist() == [0.5, 0.5]


def test_features_that_are_mostly_unknown_or_stand_still_are_no_signs() -> None:
    x, share, device = lives(np.random.default_rng(4), wearing=0)
    x = x[:, :2]
    x[:100, 0] = np.nan
    x[:, 1] = 3.0

    assert fit_indicators(x, share, device, device_weights(device)) == ()


def test_curves_survive_storage() -> None:
    x, share, device = lives(np.random.default_rng(5), wearing=3)
    found = fit_indicators(x, share, device, device_weights(device))

    kept = msgspec.json.decode(msgspec.json.encode(found), type=tuple[Indicator, ...])

    assert np.array_equal(mean_share(kept, x), mean_share(found, x))
    assert mean_share(kept, x).std() == pytest.approx(share.std(), rel=0.5)
