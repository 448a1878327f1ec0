"""Chances and quantiles of remaining life are read off one curve: they cannot contradict each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.learn.outlook import HORIZONS_HOURS, LIFE_HOURS, quantiles_of, shaped
from anomaly.records import LIFE_SHARES, FloatArray

KNOTS = np.searchsorted(LIFE_HOURS, HORIZONS_HOURS)


def constant(rate: float) -> FloatArray:
    """A hazard that is the same at all hours."""
    return np.asarray(-np.expm1(-rate * LIFE_HOURS))[None, :]


def fails_between(first: float, last: float) -> FloatArray:
    """A part that fails at any hour between two with the same chance."""
    return np.clip((LIFE_HOURS - first) / (last - first), 0, 1)[None, :]


def test_the_chances_at_the_horizons_stay_what_the_hazard_says_to_the_bit() -> None:
    failed, told = constant(0.001), fails_between(200, 500)

    found = shaped(failed, told, knots=HORIZONS_HOURS, share=1.0)

    assert np.array_equal(found[:, KNOTS], failed[:, KNOTS])
    assert (np.diff(found, axis=1) >= 0).all()


def test_what_is_likely_between_two_horizons_lies_where_lives_that_ended_say() -> None:
    failed = constant(0.001)

    found = shaped(failed, fails_between(200, 300), knots=HORIZONS_HOURS, share=1.0)

    week, month = failed[0, KNOTS[1]], failed[0, KNOTS[2]]
    at = int(np.searchsorted(LIFE_HOURS, 250))
    passed = (LIFE_HOURS[at] - 200) / 100
    assert found[0, at] == pytest.approx(week + (month - week) * passed)
    assert found[0, int(np.searchsorted(LIFE_HOURS, 301))] == pytest.approx(month)


def test_how_likely_a_failure_is_by_the_last_hour_told_apart_stays_and_all_after_it() -> None:
    failed, told = constant(1e-6), fails_between(720, 1500)
    last = int(np.searchsorted(LIFE_HOURS, 1500))

    found = shaped(failed, told, knots=(*HORIZONS_HOURS, LIFE_HOURS[last]), share=1.0)

    assert np.array_equal(found[:, last:], failed[:, last:])
    at = int(np.searchsorted(LIFE_HOURS, 1110))
    month, end = failed[0, KNOTS[2]], failed[0, last]
    assert found[0, at] == pytest.approx(month + (end - month) * told[0, at])
    assert found[0, -1] < 0.03


def test_without_a_share_nothing_changes() -> None:
    failed = constant(0.002)

    found = shaped(failed, fails_between(1, 9), knots=HORIZONS_HOURS, share=0.0)

    assert found == pytest.approx(failed, abs=1e-12)


def test_lives_that_have_all_ended_before_a_stretch_leave_it_to_the_hazard() -> None:
    failed = constant(0.001)

    found = shaped(failed, fails_between(1, 20), knots=HORIZONS_HOURS, share=1.0)

    assert found[0, KNOTS[0] :] == pytest.approx(failed[0, KNOTS[0] :])


@given(
    rate=st.floats(1e-7, 0.1), first=st.floats(0, 3000), wide=st.floats(1, 5000),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]), cap=st.floats(10, 30_000),
)  # fmt: skip
def test_a_quantile_lies_before_a_horizon_just_where_the_chance_within_it_says_so(
    rate: float, first: float, wide: float, share: float, cap: float
) -> None:
    found = shaped(
        constant(rate), fails_between(first, first + wide),
        knots=(*HORIZONS_HOURS, max(cap, HORIZONS_HOURS[-1])), share=share,
    )  # fmt: skip

    life = quantiles_of(found)[0]
    assert (np.diff(found) >= 0).all()
    assert (np.diff(life[np.isfinite(life)]) >= 0).all()
    for horizon, chance in zip(HORIZONS_HOURS, found[0, KNOTS], strict=True):
        for quantile, asked in zip(life, LIFE_SHARES, strict=True):
            if quantile < horizon:
                assert chance >= asked - 1e-9
            if quantile > horizon:
                assert chance <= asked + 1e-9
