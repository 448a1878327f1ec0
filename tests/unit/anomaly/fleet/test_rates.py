import numpy as np
import pytest

from anomaly.fleet.rates import BANDS_MAX, Counts, bands_of, count, rate_ratios
from tests.unit.anomaly.fleet.fleets import draw_fleet, make_lives


def test_failures_are_expected_at_the_others_rates_at_the_same_ages():
    # Group A is watched for 10 days, all young; of the others, one of two fails within 30 days.
    lives = make_lives(
        [(0, 0, 4, True), (0, 0, 6, False), (0, 0, 10, True), (20, 20, 40, False)],
        lot=["A", "A", "B", "B"],
    )

    counts = count(lives, lives.traits[0], np.array([-np.inf, 5.0, np.inf]))

    assert counts.exposure.tolist() == [[9, 1], [10, 20]]
    assert counts.failures.tolist() == [[1, 0], [0, 1]]
    assert counts.expected.tolist() == [pytest.approx(1 / 20), pytest.approx(10 / 9)]
    assert counts.compared.tolist() == [1, 1]


def test_failures_at_an_age_that_nobody_else_has_had_are_not_compared():
    lives = make_lives([(0, 0, 50, True), (0, 0, 4, True), (0, 0, 5, False)], lot=["A", "A", "B"])

    counts = count(lives, lives.traits[0], np.array([-np.inf, 10.0, np.inf]))

    assert counts.compared.tolist() == [1, 0]


def test_bands_hold_about_as_many_failures_each():
    lives = draw_fleet(np.random.default_rng(1), sizes=[400], times=[1])

    bands = bands_of(lives)
    ages = lives.age_until[lives.has_failed]
    held = np.histogram(ages, np.clip(bands, 0, 1e9))[0]

    assert len(held) == BANDS_MAX
    assert max(held) - min(held) <= 2


def test_with_many_failures_the_ratio_is_observed_over_expected():
    ratios = rate_ratios(_counts(failures=[500, 100, 100], exposure=[1000.0, 1000, 1000]))

    assert ratios.middle[0] == pytest.approx(5, rel=0.03)
    assert ratios.low[0] == pytest.approx(5 * np.exp(-1.96 * np.sqrt(1 / 500 + 1 / 200)), rel=0.03)
    assert ratios.high[0] == pytest.approx(5 * np.exp(1.96 * np.sqrt(1 / 500 + 1 / 200)), rel=0.03)


def test_a_small_group_is_drawn_towards_the_others_if_groups_are_alike():
    alike = [1000] * 20
    differing = [300, 1700] * 10
    small = {"failures": 12, "exposure": 10.0}

    calm = rate_ratios(_counts(failures=[small["failures"], *alike], exposure=[small["exposure"], *[2000.0] * 20]))  # fmt: skip
    wild = rate_ratios(_counts(failures=[small["failures"], *differing], exposure=[small["exposure"], *[2000.0] * 20]))  # fmt: skip

    assert 1.0 < calm.middle[0] < 1.6
    assert wild.middle[0] > 2


def test_without_any_failure_nothing_is_claimed():
    ratios = rate_ratios(_counts(failures=[0, 0], exposure=[10.0, 1000.0]))

    assert ratios.low[0] < 0.5
    assert ratios.high[0] > 2


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Lots whose true ratios are drawn from a gamma of mean 1, in fleets of many lots."""
    covered = total = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.gamma(4, 1 / 4, 30)
        exposure = rng.uniform(500, 5000, 30)
        ratios = rate_ratios(_counts(failures=rng.poisson(truth * exposure * 0.004).tolist(), exposure=exposure.tolist()))  # fmt: skip
        covered += int(((ratios.low <= truth) & (truth <= ratios.high)).sum())
        total += 30

    assert 0.92 <= covered / total <= 0.98


def _counts(*, failures: list[float], exposure: list[float]) -> Counts:
    failed, watched = np.array(failures, dtype=float)[:, None], np.array(exposure)[:, None]
    return Counts(
        failures=failed,
        exposure=watched,
        other_failures=failed.sum() - failed,
        other_exposure=watched.sum() - watched,
    )
