"""Bad sensors, one window at a time: what is kept out, what is counted back, and what is left to the device."""

import numpy as np
import pytest

from anomaly.stream.quality import (
    CONVERSIONS,
    GOOD,
    SPIKES,
    STUCK,
    UNIT,
    Noticed,
    conversion_of,
    inspect,
    still_windows,
)

NORMAL = np.array([[20.0, 5.0, 100.0]])
SPREAD = np.array([[0.1, 0.02, 1.0]])


def look(windows, *, normal=NORMAL, spread=SPREAD, still=3.0):
    """Inspect windows one after the other; usable values and reasons of each."""
    shape = normal.shape
    nothing = {name: np.zeros(shape) for name in ("same", "far", "spikes", "unit")}
    noticed = Noticed(last=np.full(shape, np.nan), **nothing)
    usable, reasons = [], []
    for values in windows:
        found = inspect(
            np.array(values), noticed, normal=normal, spread=spread, still=np.full(shape, still)
        )
        usable.append(found[0])
        reasons.append(found[1])
        noticed = found[2]
    return np.array(usable), np.array(reasons)


def calm(number, *, seed=0):
    return NORMAL + SPREAD * np.random.default_rng(seed).normal(size=(number, 1, 3))


def test_what_is_calm_goes_through_as_it_is():
    values = calm(200)

    usable, reasons = look(values)

    np.testing.assert_array_equal(usable, values)
    assert (reasons == GOOD).all()


def test_a_lone_value_far_off_is_kept_out_and_a_second_one_is_believed():
    values = calm(20)
    values[5, 0, 1], values[10:, 0, 1] = 9.0, 9.0 + 0.1 * np.arange(10)

    usable, reasons = look(values)

    assert np.flatnonzero(np.isnan(usable[:, 0, 1])).tolist() == [5, 10]
    assert (reasons == GOOD).all()


def test_values_far_off_in_several_metrics_at_once_are_the_devices_own():
    values = calm(20)
    values[5, 0, 0], values[5, 0, 1] = 40.0, 9.0

    usable, _ = look(values)

    np.testing.assert_array_equal(usable, values)


def test_repeated_spikes_are_told():
    values = calm(120)
    values[10:100:8, 0, 2] = 190.0

    _, reasons = look(values)

    assert (reasons[:20] == GOOD).all()
    assert (reasons[40:100, 0, 2] == SPIKES).all()


def test_a_value_that_does_not_move_any_more_is_stuck_and_kept_out():
    values = calm(30)
    values[10:20, 0, 0] = 20.05

    usable, reasons = look(values)

    assert np.flatnonzero(reasons[:, 0, 0] == STUCK).tolist() == list(range(13, 20))
    assert np.flatnonzero(np.isnan(usable[:, 0, 0])).tolist() == list(range(13, 20))


def test_rounding_is_no_movement():
    values = calm(10)
    values[3:, 0, 0] = 20.05 * (1 + 1e-15 * np.arange(7))

    assert (look(values)[1][6:, 0, 0] == STUCK).all()


@pytest.mark.parametrize("place", range(len(CONVERSIONS)))
def test_a_change_of_unit_is_counted_back_until_it_is_over(place):
    unit = CONVERSIONS[place]
    normal, spread = np.full((1, 3), 25.0), np.full((1, 3), 0.05)
    values = normal + spread * np.random.default_rng(place).normal(size=(40, 1, 3))
    told = values.copy()
    told[10:30] = unit.factor * values[10:30] + unit.offset

    usable, reasons = look(told, normal=normal, spread=spread)

    assert (reasons[10:30] == UNIT).all()
    assert (reasons[:10] == GOOD).all()
    assert (reasons[30:] == GOOD).all()
    np.testing.assert_allclose(usable, values, rtol=1e-9)


@pytest.mark.parametrize("factor", [1.3, 2.0, 5.0, 0.7, 0.5])
def test_other_jumps_are_no_change_of_unit(factor):
    values = calm(20)
    values[10:, 0, 2] *= factor

    assert (look(values)[1] == GOOD).all()


def test_where_values_scatter_no_unit_is_claimed():
    assert conversion_of(1000.0, normal=1.0, spread=0.001)
    assert not conversion_of(1000.0, normal=1.0, spread=0.05)


def test_the_formula_of_a_unit_can_be_read():
    assert [unit.text for unit in CONVERSIONS[-4:]] == [
        "1.8 x + 32",
        "0.555556 x - 17.7778",
        "x + 273.15",
        "x - 273.15",
    ]


def test_a_missing_value_changes_nothing():
    values = calm(10)
    values[4:6, 0, 1] = np.nan

    usable, reasons = look(values)

    np.testing.assert_array_equal(usable, values)
    assert (reasons == GOOD).all()


def test_how_long_a_metric_may_stand_still_is_learned():
    rng = np.random.default_rng(1)
    values = np.empty((400, 1, 4))
    values[:, 0, 0] = rng.normal(size=400)
    values[:, 0, 1] = np.round(rng.normal(size=400))
    values[:, 0, 2] = np.repeat(rng.normal(size=20), 20)
    values[:, 0, 3] = 7.0

    continuous, rounded, held, constant = still_windows(values)[0]

    assert continuous == 3
    assert 8 < rounded < 40
    assert held == 2 * 19 + 2 or held > 40
    assert constant == np.inf
