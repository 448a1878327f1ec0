"""Lives of replayed devices are corrected by what had failed by then, and by nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly.backtest.lives import corrections_of, with_lives
from anomaly.backtest.track import STATUSES, Track
from anomaly.lives import Correction, corrected, learn_correction
from anomaly.records import FloatArray
from tests.unit.anomaly.backtest.test_verdict import BEARING, CATALOG, DAY, track

DECLINING = STATUSES.index("declining")
FACTORS = np.array([0.7, 0.8, 1.0, 1.2, 1.3])
COMPONENTS = tuple(CATALOG.components.index(m.component) for m in CATALOG.product.failure_modes)


def failing(number: int, *, fails: int, too_long: float) -> Track:
    """Declines from 20 days before it fails; what it says is too long by a factor."""
    one = track(number, fails=fails, risen=fails - 20)
    life = one.life_hours.copy()
    left = np.maximum((fails * DAY - one.made_us) / 3.6e9, 1.0)
    rows = one.status[:, BEARING] == DECLINING
    life[rows, BEARING] = left[rows, None] * too_long * FACTORS
    return replace(one, life_hours=life, faults=((fails * DAY, BEARING),), components=COMPONENTS)


def corrected_life(correction: Correction, one: Track, row: int) -> FloatArray:
    """Lives of all modes at one instant."""
    life = one.life_hours[row]
    return np.concatenate(
        [
            corrected(correction, life[[place]], one.worn[row, [place]], mode=m)
            for place, m in enumerate(CATALOG.modes)
        ]
    )


def test_only_failures_that_were_known_by_then_count() -> None:
    fleet = [failing(n, fails=40 + n, too_long=2.0) for n in range(20)]
    late = failing(99, fails=95, too_long=2.0)
    early_only = corrections_of(CATALOG.modes, fleet)

    both = corrections_of(CATALOG.modes, [*fleet, late])

    assert both[: len(early_only)] == early_only
    assert [c.from_us for c in both] == sorted({c.from_us for c in both})
    assert all(c.failures <= sum(40 + n <= c.from_us / DAY for n in range(20)) + 1 for c in both)


def test_a_forecast_is_corrected_by_the_newest_correction_before_it() -> None:
    fleet = [failing(n, fails=40 + n, too_long=2.0) for n in range(20)]
    corrections = corrections_of(CATALOG.modes, fleet)
    one = failing(99, fails=95, too_long=2.0)

    found = with_lives(CATALOG.modes, one, corrections)

    row = int(np.flatnonzero(one.made_us == 90 * DAY)[0])
    newest = [c for c in corrections if c.from_us < 90 * DAY][-1]
    expected = corrected_life(newest, one, row)
    assert np.array_equal(found.life_hours[row], expected)
    assert found.life_hours[row, BEARING, 2] == pytest.approx(5 * 24, rel=0.2)
    others = np.arange(len(CATALOG.modes)) != BEARING
    assert np.array_equal(found.p_fail[:, others], one.p_fail[:, others], equal_nan=True)
    assert 0.7 < found.p_fail[row, BEARING, 1] <= 1  # a week, of about five days that are left


def test_before_the_first_failure_the_widened_laws_stand() -> None:
    one = failing(1, fails=40, too_long=1.0)

    found = with_lives(CATALOG.modes, one, corrections_of(CATALOG.modes, [one]))

    row = int(np.flatnonzero(one.made_us == 30 * DAY)[0])
    expected = corrected_life(learn_correction([], from_us=0), one, row)
    assert np.array_equal(found.life_hours[row], expected)
    assert found.life_hours[row, BEARING, 4] > one.life_hours[row, BEARING, 4]


def test_what_was_said_about_a_part_before_it_was_replaced_says_nothing_about_the_next_one() -> (
    None
):
    bearing = COMPONENTS[BEARING]
    whole = failing(1, fails=60, too_long=3.0)
    history = replace(
        whole.history, service_us=np.array([50 * DAY]), service_component=np.array([bearing])
    )
    replaced = replace(whole, history=history)
    last = replace(whole, status=np.where(whole.made_us[:, None] <= 50 * DAY, 1, whole.status))

    assert corrections_of(CATALOG.modes, [replaced]) == corrections_of(CATALOG.modes, [last])
    assert corrections_of(CATALOG.modes, [replaced]) != corrections_of(CATALOG.modes, [whole])
