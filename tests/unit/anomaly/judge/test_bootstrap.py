"""Intervals by drawing devices anew."""

import numpy as np
import pytest

from anomaly.judge.bootstrap import draws_of, intervals


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)

    found = intervals(
        lambda drawn: {"mean": float(np.average(values, weights=drawn))},
        devices=400,
        seed=2,
        times=2000,
    )["mean"]

    assert found.high - found.low == pytest.approx(2 * 1.645 * values.std() / 20, rel=0.1)
    assert (found.seed, found.draws, found.share) == (2, 2000, 0.9)


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    def once(seed: int):
        return intervals(
            lambda drawn: {"most": float(drawn.max())}, devices=30, seed=seed, times=50
        )

    assert once(4) == once(4)
    assert [d.tolist() for d in draws_of(5, seed=1, times=3)] != [
        d.tolist() for d in draws_of(5, seed=2, times=3)
    ]


def test_each_draw_has_as_many_devices_as_there_are() -> None:
    assert {int(drawn.sum()) for drawn in draws_of(17, seed=0, times=20)} == {17}


def test_a_figure_that_mostly_does_not_exist_has_no_interval() -> None:
    assert intervals(lambda _: {"none": None, "one": 1.0}, devices=3, seed=0, times=10).keys() == {
        "one"
    }
    assert intervals(lambda _: {"one": 1.0}, devices=0, seed=0) == {}
