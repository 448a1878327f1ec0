"""Intervals of remaining life are corrected by failures that happened."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly.lives import FAILURES_MAX, Correction, Miss, corrected, learn_correction
from anomaly.records import LIFE_SHARES, FloatArray

FACTORS = np.array([0.5, 0.6, 1.0, 1.6, 2.0])
"""Ends of intervals as a law of wear has them, over its median."""
Q05, Q10, Q50, Q90, Q95 = range(5)


def said(middle: FloatArray) -> FloatArray:
    return np.asarray(middle)[:, None] * FACTORS


def misses(
    number: int, *, spread: float, off: float = 0.0, seed: int = 1, mode: str = "bearing"
) -> list[Miss]:
    """Parts whose forecasts have errors of this spread (log), each its own error on top of `off`."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        left = np.linspace(1200.0, 6.0, 80)
        middle = left * np.exp(off + spread * rng.standard_normal() + 0.1 * rng.standard_normal(80))
        worn = np.full(80, 0.5)
        found.append(Miss(mode=mode, said_hours=said(middle), left_hours=left, worn=worn))
    return found


def half_worn(correction: Correction, hours: FloatArray, *, mode: str) -> FloatArray:
    return corrected(correction, hours, np.full(len(hours), 0.5), mode=mode)


def coverage(found: FloatArray, left: FloatArray) -> tuple[float, float]:
    inside = [(found[:, a] <= left) & (left <= found[:, b]) for a, b in ((Q10, Q90), (Q05, Q95))]
    return float(inside[0].mean()), float(inside[1].mean())


@pytest.mark.parametrize(("spread", "off"), [(0.2, 0.0), (0.8, 0.0), (0.5, 0.6)])
def test_after_many_failures_intervals_hold_as_often_as_they_say(spread: float, off: float) -> None:
    correction = learn_correction(misses(300, spread=spread, off=off), from_us=0)
    later = misses(300, spread=spread, off=off, seed=2)

    found = half_worn(correction, np.concatenate([one.said_hours for one in later]), mode="bearing")

    eighty, ninety = coverage(found, np.concatenate([one.left_hours for one in later]))
    assert eighty == pytest.approx(0.8, abs=0.04)
    assert ninety == pytest.approx(0.9, abs=0.04)


def test_a_median_that_is_always_too_long_comes_down() -> None:
    correction = learn_correction(misses(300, spread=0.2, off=np.log(2)), from_us=0)

    found = half_worn(correction, said(np.array([400.0])), mode="bearing")

    assert found[0, Q50] == pytest.approx(200.0, rel=0.15)


def test_before_anything_has_failed_intervals_are_wider_and_stand_around_the_same_middle() -> None:
    before = said(np.array([30.0, 300.0, 3000.0]))

    found = half_worn(learn_correction([], from_us=0), before, mode="bearing")

    assert found[:, Q50] == pytest.approx(before[:, Q50], rel=0.05)
    assert (found[:, Q05] < before[:, Q05]).all()
    assert (found[:, Q95] > before[:, Q95]).all()


def test_one_failure_does_not_decide_and_many_do() -> None:
    alone = learn_correction(misses(1, spread=0.0, off=2.0), from_us=0)
    many = learn_correction(misses(100, spread=0.0, off=2.0), from_us=0)
    forecast = said(np.array([500.0]))

    assert half_worn(alone, forecast, mode="bearing")[0, Q50] > 0.5 * 500
    assert half_worn(many, forecast, mode="bearing")[0, Q50] < 0.2 * 500


def test_quantiles_stay_in_order_and_above_nothing() -> None:
    correction = learn_correction(misses(40, spread=1.0, off=-0.5), from_us=0)

    found = half_worn(correction, said(np.geomspace(0.5, 20_000, 200)), mode="bearing")

    assert (np.diff(np.where(np.isinf(found), 1e12, found), axis=1) >= 0).all()
    assert (found > 0).all()
    assert np.isinf(found[-1, Q95])


def test_what_has_failed_or_shows_nothing_stays_as_it_is() -> None:
    correction = learn_correction(misses(40, spread=1.0), from_us=0)
    failed, well = np.zeros(5), np.full(5, np.inf)

    found = half_worn(correction, np.stack([failed, well]), mode="bearing")

    assert found.tolist() == [failed.tolist(), well.tolist()]


def test_a_long_warning_counts_for_its_rows_and_only_the_newest_failures_are_looked_at() -> None:
    rare = misses(20, spread=0.0, off=1.0)
    long = [
        Miss(
            mode=m.mode,
            said_hours=np.repeat(m.said_hours, 10, axis=0),
            left_hours=np.repeat(m.left_hours, 10),
            worn=np.repeat(m.worn, 10),
        )
        for m in misses(20, spread=0.0, off=-1.0)
    ]
    forecast = said(np.array([500.0]))

    both = half_worn(learn_correction([*rare, *long], from_us=0), forecast, mode="bearing")
    newest = learn_correction([*long * 40, *misses(FAILURES_MAX, spread=0.1)], from_us=7)

    assert both[0, Q50] > 500 * 1.5
    assert (newest.from_us, newest.failures) == (7, FAILURES_MAX)
    assert half_worn(newest, forecast, mode="bearing")[0, Q50] == pytest.approx(500, rel=0.1)
    assert len(LIFE_SHARES) == newest.of("bearing").shape[2]


def test_each_mode_learns_from_its_own_failures_first() -> None:
    short = misses(60, spread=0.1, off=np.log(2), mode="bearing")
    long = misses(60, spread=0.1, off=-np.log(2), seed=2, mode="seal")
    forecast = said(np.array([400.0]))

    correction = learn_correction([*short, *long], from_us=0)

    middles = {m: half_worn(correction, forecast, mode=m)[0, Q50] for m in ("bearing", "seal")}
    assert middles == pytest.approx({"bearing": 200.0, "seal": 800.0}, rel=0.15)


def test_a_mode_of_which_one_failure_is_known_leans_on_the_others() -> None:
    others = misses(60, spread=0.1, off=np.log(2), mode="seal")
    one = misses(1, spread=0.0, off=-np.log(2), mode="bearing")
    forecast = said(np.array([400.0]))

    unknown = half_worn(learn_correction(others, from_us=0), forecast, mode="bearing")
    found = half_worn(learn_correction([*others, *one], from_us=0), forecast, mode="bearing")
    many = misses(60, spread=0.0, off=-np.log(2), mode="bearing")
    known = half_worn(learn_correction([*others, *many], from_us=0), forecast, mode="bearing")

    assert unknown[0, Q50] == pytest.approx(200.0, rel=0.15)
    assert found[0, Q50] == pytest.approx(200.0, rel=0.2)
    assert found[0, Q95] > 2 * unknown[0, Q95]
    assert known[0, Q50] == pytest.approx(800.0, rel=0.15)


def test_first_signs_and_late_ones_are_corrected_each_by_its_own_kind() -> None:
    """A life that was always taken for too short while little showed, and for what it was once much did."""
    early = [replace(m, worn=np.full(80, 0.15)) for m in misses(60, spread=0.1, off=-1.0)]
    late = [replace(m, worn=np.full(80, 0.8)) for m in misses(60, spread=0.1, seed=2)]
    forecast = said(np.array([300.0, 300.0, 300.0]))

    correction = learn_correction([*early, *late], from_us=0)
    found = corrected(correction, forecast, np.array([0.15, 0.5, 0.8]), mode="bearing")

    assert found[0, Q50] == pytest.approx(300 * np.e, rel=0.15)
    assert found[2, Q50] == pytest.approx(300, rel=0.15)
    assert found[0, Q50] > found[1, Q50] > found[2, Q50]


def test_degradations_beyond_those_kept_count_as_the_nearest() -> None:
    correction = learn_correction(misses(40, spread=0.3), from_us=0)
    forecast = said(np.array([300.0, 300.0]))

    found = corrected(correction, forecast, np.array([-0.1, 1.3]), mode="bearing")
    ends = corrected(correction, forecast, np.array([0.1, 0.9]), mode="bearing")

    assert np.array_equal(found, ends)
