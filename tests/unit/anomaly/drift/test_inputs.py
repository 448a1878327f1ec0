"""Metrics that have moved away from what was learned, and those that only seem so."""

import numpy as np
import pytest

from anomaly.drift.inputs import (
    Pair,
    Shift,
    shift_of,
    stability_index,
    state_of,
)
from anomaly.drift.words import say_shift
from core.product import Metric

METRIC = Metric(name="vibration", title="Vibration", unit="mm/s", low=0, high=50)
SHIFT = Shift(index=0.4, shift=0.31, spread_ratio=1.0, width=0.2, devices=20, agree=19, chance=1e-5)


def make_fleet(
    seed: int, *, devices: int = 20, shift: float = 0.0, spread: float = 1.0, slow: float = 0.0
) -> list[Pair]:
    """Windows of devices; `slow` is how far each one's level wanders by itself."""
    rng = np.random.default_rng(seed)
    return [
        Pair(
            reference=rng.normal(0, 1, 240),
            recent=rng.normal(shift + slow * rng.normal(), spread, 336),
        )
        for _ in range(devices)
    ]


def state(pairs: list[Pair], before=None):
    return state_of(shift_of(pairs), before=before, metrics=10)


@pytest.mark.parametrize("seed", range(20))
def test_a_metric_that_stays_has_not_drifted(seed):
    assert state(make_fleet(seed)) == "steady"


@pytest.mark.parametrize("seed", range(20))
def test_devices_that_wander_each_in_its_own_direction_have_not_drifted_together(seed):
    pairs = make_fleet(seed, slow=1.0)

    # All windows together lie elsewhere; but each device went its own way.
    assert state(pairs) == "steady" or shift_of(pairs).spread_ratio > 1.2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("change", [{"shift": 0.8}, {"shift": -0.8}, {"spread": 2.0}])
def test_a_metric_that_moves_on_all_devices_has_drifted(seed, change):
    assert state(make_fleet(seed, **change)) == "drifted"


def test_what_scoring_allows_for_is_no_drift_however_sure_it_is():
    shift = shift_of(make_fleet(1, shift=0.8))
    wider = shift_of(make_fleet(1, spread=3.0))

    def judged(found, tolerated):
        return state_of(found, before=None, metrics=10, tolerated=tolerated)

    assert (judged(shift, 0.7), judged(shift, 0.9)) == ("drifted", "steady")
    # The middle half of a normal distribution is 1.35 wide.
    assert (judged(wider, 1.2), judged(wider, 1.5)) == ("drifted", "steady")


def test_few_devices_cannot_tell():
    assert state(make_fleet(1, devices=11, shift=5.0)) == "unclear"
    assert state(make_fleet(1, devices=12, shift=5.0)) == "drifted"
    assert state([]) == "unclear"
    short = [Pair(reference=np.zeros(10), recent=np.zeros(300))]
    assert shift_of(short) is None


def test_what_has_drifted_stays_so_until_it_is_clearly_back():
    half_back = make_fleet(3, shift=0.4)

    assert 0.1 < shift_of(half_back).index < 0.25
    assert state(half_back) == "steady"
    assert state(half_back, before="drifted") == "drifted"
    assert state(make_fleet(4), before="drifted") == "steady"


def test_the_index_is_that_of_the_textbook():
    reference = np.arange(1000) / 1000
    recent = np.concatenate([reference[:500], reference[:500]])

    # Half of the tenths have twice their share, the others none.
    expected = 5 * 0.1 * np.log(2) + 5 * (-0.1) * np.log(0.5 / 1005 / (100.5 / 1005))
    assert stability_index(reference, reference) == pytest.approx(0)
    assert stability_index(reference, recent) == pytest.approx(expected, rel=0.02)


def test_a_metric_of_one_value_is_no_trouble():
    assert stability_index(np.ones(50), np.ones(80)) == pytest.approx(0, abs=0.01)
    assert stability_index(np.ones(50), np.full(80, 2.0)) < 10


def test_drift_is_told_with_its_figures():
    said = say_shift(METRIC, SHIFT, state="drifted", is_condition=False)

    assert said[0].text == (
        "Vibration is no longer what was learned: 0.31 mm/s higher, on 19 of 20 devices"
        " (stability index 0.40)."
    )
    assert said[0].key == "metric_drifted"
    assert [s.key for s in say_shift(METRIC, None, state="unclear", is_condition=False)] == [
        "unclear"
    ]
    assert [s.key for s in say_shift(METRIC, SHIFT, state="drifted", is_condition=True)] == [
        "condition_drifted", "condition_means",
    ]  # fmt: skip
