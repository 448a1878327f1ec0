import numpy as np
import pytest

from anomaly.fleet.lives import Lives, make_trait
from bench.evaluate.emerging import emerging, rate_high, replay, with_more_failures


def test_planted_lives_fail_as_many_times_as_often():
    rng = np.random.default_rng(3)
    life = rng.exponential(1000, 40_000)
    seen = rng.uniform(50, 300, 40_000)
    days, failed = np.minimum(life, seen), life <= seen
    chosen = np.arange(40_000) < 4000

    worse_days, worse_failed = with_more_failures(days, failed, chosen, rng, times=10)

    def rate(rows: np.ndarray) -> float:
        return worse_failed[rows].sum() / worse_days[rows].sum()

    assert rate(chosen) / rate(~chosen) == pytest.approx(10, rel=0.1)
    assert (worse_days[~chosen] == days[~chosen]).all()
    assert (worse_days <= days).all()


def test_a_flag_is_dated_by_what_was_known_on_its_day():
    days = np.concatenate([np.full(400, 300.0), np.arange(100, 125, 2.0), np.full(28, 300.0)])
    lives = Lives(
        device=np.arange(len(days)),
        born=np.zeros(len(days)),
        since=np.zeros(len(days)),
        until=days,
        has_failed=days < 300,
        goes_on=np.zeros(len(days), dtype=bool),
        traits=(),
    )
    lot = make_trait("lot", ["A"] * 400 + ["B"] * 41)

    (flags,) = replay(lives, [[lot]])

    assert [(f.value, f.ever) for f in flags] == [("B", 13)]
    assert flags[0].failures == (flags[0].day - 100) // 2 + 1
    assert 3 <= flags[0].failures <= 5
    assert flags[0].devices == 41


def test_all_seeds_are_told_apart_and_summed_up():
    rng = np.random.default_rng(1)
    life = rng.exponential(4000, 900)
    is_bad = np.arange(900) < 80
    life = np.where(is_bad, life / 40, life)
    seen = rng.uniform(300, 1000, 900)
    labels = {"maker": ["M"] * 450 + ["N"] * 450, "type": ["bad"] * 80 + ["x", "y"] * 410}

    found = emerging(
        np.minimum(life, seen), life <= seen, labels, seeds=(0, 1), planted_sizes=(60,)
    )

    assert list(found["real"]) == ["together", "staggered, seed 0", "staggered, seed 1"]
    assert found["summary"]["bad_products"] == 3
    assert found["summary"]["bad_products_flagged"] == 3
    assert found["summary"]["false_flags"] == 0
    assert found["summary"]["planted"] == 2
    assert found["summary"]["null_runs"] == 20
    assert found["summary"]["null_rate_high"] < 0.25
    assert found["summary"]["control"]["false_flags"] > 0
    assert found["summary"]["control"]["null_runs_with_a_flag"] == 20


def test_the_upper_end_of_a_rate_is_that_of_clopper_and_pearson():
    # Nothing in n runs: 1 - 0.05^(1 / n).
    assert rate_high(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert rate_high(3, 3) == 1
