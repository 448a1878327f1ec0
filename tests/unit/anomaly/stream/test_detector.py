"""Devices against their own normal: many at once, exact restart, missing values, budgets."""

from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from anomaly.stream.detector import Detector
from anomaly.stream.news import news_of
from anomaly.stream.rarity import KEPT_MAX, Rarity, rarity_from_array, rarity_to_array, take
from anomaly.stream.tails import surprise_of_spread, threshold_for

LEARNED = 400


def fleet(seed: int, *, devices: int = 3, metrics: int = 4, windows: int = 800):
    rng = np.random.default_rng(seed)
    level = rng.normal(50, 20, (devices, metrics))
    return level + rng.normal(0, 1, (windows, devices, metrics))


def scores(values, *, hold_from: float = 3.0):
    detector = Detector.learned(values[:LEARNED])
    return np.array([detector.step(row, hold_from=hold_from).score for row in values[LEARNED:]])


def test_a_calm_device_is_as_surprising_as_the_units_say():
    found = scores(fleet(1, devices=20, windows=3000))

    assert (found >= 0).all()
    assert 0.002 < (found >= 2).mean() < 0.04
    assert (found >= 4).mean() < 0.001


def test_the_device_that_changes_is_told_with_the_metric_that_did():
    values = fleet(2)
    values[600:, 1, 2] -= 3
    detector = Detector.learned(values[:LEARNED])

    seen = [detector.step(row, hold_from=3.0) for row in values[LEARNED:620]]

    assert (seen[-1].score >= 4).tolist() == [False, True, False]
    assert int(np.argmax(seen[-1].surprise[1])) == 2
    assert seen[-1].away[1, 2] < -4


def test_a_change_does_not_become_normal_while_it_is_new_but_does_in_the_end():
    values = fleet(3, devices=1, windows=6000)
    values[500:] += 4

    found = scores(values)[:, 0]

    assert (found[120:400] >= 3).all()
    assert (found[-300:] < 3).mean() > 0.9


def test_devices_do_not_know_of_each_other():
    values = fleet(4)

    alone = scores(values[:, 1:2])

    np.testing.assert_allclose(scores(values)[:, 1:2], alone, rtol=1e-12)


@pytest.mark.parametrize("metrics", [1, 4])
def test_a_restart_changes_nothing_to_the_bit(metrics):
    values = fleet(5, metrics=metrics)
    values[600:] += 3
    detector = Detector.learned(values[:LEARNED])
    again = Detector.learned(values[:LEARNED])

    for row in values[LEARNED:]:
        again = Detector.from_bytes(again.to_bytes())
        first, second = detector.step(row, hold_from=2.0), again.step(row, hold_from=2.0)
        assert first.score.tobytes() == second.score.tobytes()
        assert first.surprise.tobytes() == second.surprise.tobytes()
    assert detector.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("metrics", [1, 4])
def test_scores_of_a_shorter_stream_are_a_prefix(metrics):
    values = fleet(6, metrics=metrics)

    assert scores(values)[:200].tobytes() == scores(values[: LEARNED + 200]).tobytes()


def test_missing_stays_missing_and_says_nothing():
    values = fleet(7, devices=2)
    values[500:520, 0] = np.nan
    values[:, 1, 3] = np.nan

    detector = Detector.learned(values[:LEARNED])
    seen = [detector.step(row, hold_from=3.0) for row in values[LEARNED:]]

    assert all(np.isnan(one.score[0]) for one in seen[100:120])
    assert all(np.isnan(one.surprise[1, 3]) for one in seen)
    assert not any(np.isnan(one.score[1]) for one in seen)


def test_redundant_metrics_are_judged_together():
    rng = np.random.default_rng(8)
    load = rng.normal(0, 1, (1200, 1, 1))
    values = 10 + load * np.array([1.0, 2.0, -1.0, 0.5]) + rng.normal(0, 0.05, (1200, 1, 4))
    values[900:, 0, 1] -= 1.0  # half of a spread of its own, and against all that the others say

    detector = Detector.learned(values[:LEARNED])
    seen = [detector.step(row, hold_from=3.0) for row in values[LEARNED:]]

    assert detector.normal_.is_joint.tolist() == [1.0]
    assert max(one.score[0] for one in seen[:500]) < 4
    assert np.mean([one.score[0] >= 4 for one in seen[510:]]) > 0.95
    assert int(np.argmax(seen[520].surprise[0])) == 1


def test_independent_metrics_are_not_judged_together():
    assert Detector.learned(fleet(9)[:LEARNED]).normal_.is_joint.tolist() == [0, 0, 0]


def test_a_metric_that_never_moved_and_then_does_is_strange():
    values = fleet(10, devices=1)
    values[:, 0, 0] = 5.0
    values[700:, 0, 0] = 6.0

    found = scores(values)[:, 0]

    assert found[290] < 3 < found[320]


def test_surprise_is_the_tail_of_student():
    spreads, freedom = np.array([0.0, 2.0, -5.0]), np.array([3.0, 10.0, 30.0])

    expected = -np.log10(2 * stats.t.sf(np.abs(spreads), freedom))

    np.testing.assert_allclose(surprise_of_spread(spreads, freedom), expected, atol=1e-12)


def test_the_threshold_follows_from_the_budget():
    day = timedelta(days=1)

    assert threshold_for(365.25 / 100, decision=day) == pytest.approx(2)
    assert threshold_for(365.25 / 1e4, decision=day) == pytest.approx(4)
    assert threshold_for(1e9, decision=day) == 1


def test_a_rare_value_is_a_surprise_and_a_value_seen_before_is_none():
    rng = np.random.default_rng(11)
    rarity = Rarity()
    wave = 10 * np.sin(np.arange(2000) / 20) + rng.normal(0, 0.2, 2000)

    calm = [take(rarity, value) for value in wave.tolist()]
    strange, known = take(rarity, 16.0), take(rarity, 10.0)

    assert np.mean(np.array(calm[1000:]) >= 3) < 0.01
    assert strange > 5 > known


def test_what_is_remembered_has_a_limit():
    rarity = Rarity()
    for number in range(KEPT_MAX + 200):
        take(rarity, float(number % 977))

    assert len(rarity.values) == len(rarity.ordered_values) == KEPT_MAX
    assert sorted(rarity.values) == rarity.ordered_values
    assert sorted(rarity.distances) == rarity.ordered_distances
    assert rarity_from_array(rarity_to_array(rarity)) == rarity


def test_news_are_scores_above_all_of_the_last_ones():
    score = np.array([1.0, 3.0, 2.0, 3.0, 1.0, 1.0, 1.5, 0.5, np.nan, 4.0])

    found = news_of(score, quiet=3)

    np.testing.assert_array_equal(found, [1, 3, 0, 0, 0, 0, 0, 0, np.nan, 4])


@pytest.mark.parametrize("quiet", [1, 2, 5, 8])
def test_news_are_found_for_any_cool_down(quiet):
    score = np.random.default_rng(quiet).integers(0, 9, 60).astype(float)

    expected = [
        value if value > max(score[max(0, row - quiet) : row], default=0.0) else 0.0
        for row, value in enumerate(score)
    ]

    np.testing.assert_array_equal(news_of(score, quiet=quiet), expected)
