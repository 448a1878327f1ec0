"""The hazard of a failure mode: intervals, fallback, survival."""

from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.learn.hazard import (
    _SHARES,
    FAILURES_MIN,
    PRIOR_FAILURES,
    PRIOR_HOURS,
    ROWS_AT_ONCE,
    Hazard,
    _spread,
    choose_edges,
    cross,
    fit_hazard,
)  # fmt: skip
from anomaly.learn.outcome import Outcome

SEED = 5


def fleet(devices: int = 36, rows: int = 20) -> tuple[np.ndarray, Outcome, np.ndarray]:
    """Devices whose first feature says when they fail; half of them never do."""
    rng = np.random.default_rng(SEED)
    device = np.repeat(np.arange(devices), rows)
    left = (rows - np.tile(np.arange(rows), devices)) * 3.0
    has_failed = device % 2 == 0
    sign = np.where(has_failed & (left < 20), 1.0, 0.0) + 0.1 * rng.normal(size=len(device))
    x = np.stack([sign, rng.normal(size=len(device))], axis=1)
    return x, Outcome(hours=left, has_failed=has_failed), device


@cache
def learned(seeds: tuple[int, ...] = (0,), failures: int = 30) -> Hazard:
    x, outcome, device = fleet()
    return fit_hazard(
        x, outcome, groups=device, failures=failures, exposure_hours=36 * 60.0,
        horizons_hours=(6, 24), seeds=seeds,
    )  # fmt: skip


def test_a_row_counts_in_an_interval_as_far_as_it_was_watched() -> None:
    outcome = Outcome(hours=np.array([5.0, 15, 15, 40]), has_failed=np.array([1, 1, 0, 0]) > 0)

    periods = cross(outcome, (10, 20))

    found = [
        (int(r), int(k), bool(f), float(w))
        for r, k, f, w in zip(
            periods.row, periods.interval, periods.has_failed, periods.weight, strict=True
        )
    ]
    assert found == [
        (0, 0, True, 1), (1, 0, False, 1), (2, 0, False, 1), (3, 0, False, 1),
        (1, 1, True, 1), (2, 1, False, 0.5), (3, 1, False, 1),
    ]  # fmt: skip


def test_the_future_is_cut_at_the_horizons_and_where_failures_came() -> None:
    hours = np.linspace(1, 100, 100)

    edges = choose_edges(Outcome(hours=hours, has_failed=hours < 90), (24, 100))

    assert {24, 100} < set(edges)
    assert 4 <= len(edges) <= 6
    assert max(edges) == 100


def test_rows_with_the_sign_are_in_more_danger() -> None:
    x, outcome, _ = fleet()

    hazard = learned()

    assert hazard.trees > 0
    assert hazard.loss_ratio is not None
    assert hazard.loss_ratio < 0.8
    danger = 1 - hazard.survival(x, (24,))[:, 0]
    soon = outcome.has_failed & (outcome.hours < 18)
    assert danger[soon].mean() > 5 * danger[~outcome.has_failed].mean()


def test_survival_falls_over_any_horizons_and_goes_on_beyond_the_last() -> None:
    x = fleet()[0][:50]

    survival = learned().survival(x, (0, 0.5, 3, 6, 6.1, 17, 24, 100, 500))

    assert np.all(survival[:, 0] == 1)
    assert np.all(np.diff(survival, axis=1) < 0)
    assert np.all(survival > 0)


def test_the_same_seed_learns_the_same_and_storage_changes_nothing() -> None:
    x = fleet()[0]
    first, second = learned((0, 1)), learned.__wrapped__((0, 1))

    kept = msgspec.json.decode(msgspec.json.encode(first), type=Hazard)

    assert np.array_equal(first.survival(x, (6, 24)), second.survival(x, (6, 24)))
    assert np.array_equal(first.survival(x, (6, 24)), kept.survival(x, (6, 24)))
    assert len(first.members) == 2


def test_too_few_failures_leave_the_rate_of_all_devices() -> None:
    hazard = learned(failures=FAILURES_MIN - 1)

    rate = (PRIOR_FAILURES + FAILURES_MIN - 1) / (PRIOR_HOURS + 36 * 60)
    assert hazard.members == ()
    assert hazard.loss_ratio is None
    assert hazard.survival(np.zeros((1, 2)), (24,))[0, 0] == pytest.approx(np.exp(-24 * rate))


def test_noise_teaches_nothing_and_leaves_the_rate() -> None:
    rng = np.random.default_rng(SEED)
    device = np.repeat(np.arange(60), 20)
    failing = rng.random(60) < 0.3
    outcome = Outcome(hours=np.tile(np.arange(20.0, 0, -1), 60), has_failed=failing[device])
    x = rng.normal(size=(60, 6))[device]

    hazard = fit_hazard(
        x, outcome, groups=device, failures=int(failing.sum()), exposure_hours=1200,
        horizons_hours=(5, 20), seeds=(0,),
    )  # fmt: skip

    assert hazard.members == ()
    assert hazard.loss_ratio == 1


def test_learning_from_some_rows_is_learning_from_a_copy_of_them() -> None:
    x, outcome, groups = fleet()
    rows = np.flatnonzero(groups % 3 != 1)
    facts = {"failures": 40, "exposure_hours": 2160.0, "horizons_hours": (6, 24), "seeds": (0,)}

    within = fit_hazard(x, outcome, groups=groups, rows=rows, **facts)
    copied = fit_hazard(
        x[rows],
        Outcome(hours=outcome.hours[rows], has_failed=outcome.has_failed[rows]),
        groups=groups[rows],
        **facts,
    )

    assert within.trees > 0
    assert within == copied


def test_many_rows_are_forecast_as_each_by_itself() -> None:
    x, model = fleet()[0], learned()
    many = np.tile(x, (-(-2 * ROWS_AT_ONCE // len(x)), 1))

    found = model.survival(many, [24.0, 100.0])

    assert model.members
    assert len(found) > ROWS_AT_ONCE
    assert np.array_equal(found[: len(x)], model.survival(x, [24.0, 100.0]))
    assert np.array_equal(found[-len(x) :], found[: len(x)])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400))
def test_values_are_spread_over_as_the_nearest_quantiles_are(values: list[float]) -> None:
    ordered = np.sort(np.array(values))

    found = _spread(ordered)

    assert np.array_equal(found, np.quantile(ordered, _SHARES, method="nearest"))
