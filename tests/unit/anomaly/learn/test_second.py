"""A second look at remaining life: learned where the mean of the members is off."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from anomaly.learn.members import Lives
from anomaly.learn.second import Second, fit_second
from anomaly.records import FloatArray, IntArray


def lives(devices: int) -> Lives:
    """Lives of 40 hours, a row every other hour."""
    age = np.tile(np.arange(0.0, 40.0, 2.0), devices)
    return Lives(
        x=age[:, None], device=np.repeat(np.arange(devices), 20),
        at_us=np.zeros(len(age), dtype=np.int64), age_hours=age, left_hours=40 - age,
    )  # fmt: skip


def two_members(known: Lives) -> FloatArray:
    """One is right below 15 hours and says 15 above; the other says 30 below and is right above."""
    left = known.left_hours
    return np.stack([np.minimum(left, 15), np.maximum(left, 30)], axis=1)


def fold(known: Lives) -> IntArray:
    return known.device % 5


def test_where_one_member_is_right_here_and_another_there_the_mean_is_mended() -> None:
    known = lives(20)
    said = two_members(known)
    mean = said.mean(axis=1)

    second, looked = fit_second(mean, said, known, fold(known), cap=40.0, seed=0)

    assert second is not None
    assert known.rmse(mean, cap=40.0) > 6
    assert known.rmse(looked, cap=40.0) < 1


def test_what_is_returned_for_a_device_is_said_by_what_did_not_see_it() -> None:
    known = lives(20)
    said = two_members(known)
    odd = np.where(known.device == 3, known.left_hours + 10, known.left_hours)
    changed = replace(known, left_hours=odd)
    own = known.device % 5 == 3

    _, looked = fit_second(said.mean(axis=1), said, known, fold(known), cap=60.0, seed=0)
    second, other = fit_second(said.mean(axis=1), said, changed, fold(known), cap=60.0, seed=0)

    assert second is not None
    assert np.array_equal(looked[own], other[own])
    assert not np.allclose(looked[~own], other[~own])


def test_with_few_lives_the_mean_stands_as_it_is() -> None:
    known = lives(19)
    said = two_members(known)
    mean = said.mean(axis=1)

    second, looked = fit_second(mean, said, known, fold(known), cap=40.0, seed=0)

    assert second is None
    assert looked is mean


def test_a_mean_that_is_off_by_chance_alone_stands_as_it_is() -> None:
    rng = np.random.default_rng(1)
    known = replace(lives(20), left_hours=rng.uniform(0, 40, 20 * 20))
    said = known.left_hours[:, None] + rng.normal(0, 1, (20 * 20, 2))
    mean = said.mean(axis=1)

    second, looked = fit_second(mean, said, known, fold(known), cap=100.0, seed=0)

    assert second is None
    assert looked is mean


def test_a_second_look_stays_between_nothing_and_the_cap_and_is_the_same_after_storage() -> None:
    known = lives(20)
    said = two_members(known)
    second, _ = fit_second(said.mean(axis=1), said, known, fold(known), cap=40.0, seed=0)
    assert second is not None
    far = np.array([-30.0, 20.0, 90.0])

    kept = msgspec.json.decode(msgspec.json.encode(second), type=Second)
    looked = second.look(far, said[[19, 10, 0]], known.age_hours[[19, 10, 0]], cap=40.0)
    one = second.look(far[1:2], said[10:11], known.age_hours[10:11], cap=40.0)

    again = kept.look(far, said[[19, 10, 0]], known.age_hours[[19, 10, 0]], cap=40.0)
    assert looked[0] == pytest.approx(0)
    assert looked[2] == pytest.approx(40)
    assert looked.tolist() == again.tolist()
    assert one[0] == looked[1]
