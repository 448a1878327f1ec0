"""Remaining life, learned from devices that were watched until they failed."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from anomaly.learn.conformal import fit_errors
from anomaly.learn.frame import Frame
from anomaly.learn.kernel import ROUNDS, Kernel, fit_kernel
from anomaly.learn.life import Life, Memory, fit_and_judge, follow
from anomaly.learn.members import NO_NEWS, Ages, Lives, Member, Strengths, grow
from anomaly.learn.outcome import Outcome
from anomaly.learn.packed import Packed
from anomaly.learn.second import Second
from tests.unit.anomaly.learn.test_frame import HOUR


def worn_out(rng: np.random.Generator, devices: int) -> tuple[Frame, Outcome]:
    """Lives of 30 to 90 hours; wear shows in the second feature, the third is noise."""
    parts, left = [], []
    for device in range(devices):
        whole = int(rng.integers(30, 90))
        age = np.arange(1.0, whole)
        wear = (age / whole) ** 2 + 0.03 * rng.normal(size=len(age))
        noise = rng.normal(size=len(age))
        parts.append((np.full(len(age), device), np.stack([age, wear, noise], axis=1)))
        left.append(whole - age)
    x = np.concatenate([part for _, part in parts])
    frame = Frame(
        device=np.concatenate([device for device, _ in parts]),
        at_us=(x[:, 0] * HOUR).astype(np.int64), x=x, names=("age_hours", "wear", "noise"),
    )  # fmt: skip
    hours = np.concatenate(left)
    return frame, Outcome(hours=hours, has_failed=np.ones(len(hours), dtype=np.bool_))


def learned(
    frame: Frame, outcome: Outcome, *, seeds: tuple[int, ...] = (0,), horizon_hours: float = np.inf
) -> Life:
    fitted = fit_and_judge(frame, outcome, seeds=seeds, horizon_hours=horizon_hours)
    assert fitted is not None
    return fitted[0]


def test_wear_tells_more_than_the_age_and_the_intervals_hold() -> None:
    rng = np.random.default_rng(1)
    life = learned(*worn_out(rng, 40))
    frame, outcome = worn_out(rng, 40)

    said = life.predict(frame)
    low, high = life.errors.interval(said, 0.9)
    held = (low <= outcome.hours) & (outcome.hours <= high)
    late = outcome.hours < 20
    assert np.sqrt(np.mean((said - outcome.hours)[late] ** 2)) < 4
    assert life.rmse_hours < 0.6 * life.rmse_age_hours
    assert held.mean() == pytest.approx(0.9, abs=0.06)
    assert np.all(np.diff(life.quantiles(said), axis=1) >= 0)


def test_what_was_learned_predicts_the_same_after_storage_and_in_any_batch() -> None:
    rng = np.random.default_rng(2)
    life = learned(*worn_out(rng, 12), seeds=(0, 1))
    frame, _ = worn_out(rng, 3)

    kept = msgspec.json.decode(msgspec.json.encode(life), type=Life)
    one = replace(frame, device=frame.device[7:8], at_us=frame.at_us[7:8], x=frame.x[7:8])

    assert life.second is None
    assert np.array_equal(kept.estimate(frame), life.estimate(frame))
    assert life.estimate(one)[0] == life.estimate(frame)[7]


def test_where_nothing_but_the_age_is_known_the_age_tells_the_life() -> None:
    frame, outcome = worn_out(np.random.default_rng(14), 12)
    life = learned(replace(frame, x=frame.x[:, :1], names=("age_hours",)), outcome)

    assert {member.about for member in life.members if member.way != "age"} <= {"life"}
    bare = replace(frame, x=frame.x[:, :1], names=("age_hours",))
    assert np.all(np.isfinite(life.predict(bare)))


def test_a_second_look_has_the_last_word_and_is_stored_to_the_bit() -> None:
    rng = np.random.default_rng(12)
    life = learned(*worn_out(rng, 8))
    frame, _ = worn_out(rng, 3)
    counting = sum(member.weight > 0 for member in life.members)
    x = rng.uniform(0, 60, (80, counting + 1))
    kernel = fit_kernel(x, np.full(80, 2.0), np.ones(80), width=0.3, ridge=1.0, seed=0, rounds=0)

    looked = msgspec.structs.replace(life, second=Second(kernel=kernel))
    kept = msgspec.json.decode(msgspec.json.encode(looked), type=Life)
    one = replace(frame, device=frame.device[7:8], at_us=frame.at_us[7:8], x=frame.x[7:8])

    longer = np.minimum(life.estimate(frame) + 2, life.cap_hours)
    assert looked.estimate(frame) == pytest.approx(longer)
    assert np.array_equal(kept.estimate(frame), looked.estimate(frame))
    assert looked.estimate(one)[0] == looked.estimate(frame)[7]


def test_a_mean_up_to_a_limit_is_the_estimate_and_what_the_errors_put_between_cap_and_limit() -> (
    None
):
    life = learned(*worn_out(np.random.default_rng(13), 8), horizon_hours=20)
    # Three devices, each once 4 too short, once right, once 10 too short: 12 is 12, 16, 22 or beyond.
    errors = fit_errors(
        np.full(9, 12.0), np.tile([16.0, 12.0, 22.0], 3), np.repeat(np.arange(3), 3)
    )
    life = msgspec.structs.replace(life, errors=errors)
    said = np.array([12.0])

    assert life.mean(said, up_to=20)[0] == 12
    assert life.mean(said, up_to=np.inf)[0] == pytest.approx(
        12 + errors.mean(said)[0] - errors.mean(said, up_to=20)[0]
    )
    assert 12.5 < life.mean(said, up_to=np.inf)[0] < 13.5
    assert life.mean(said, up_to=14)[0] < 12


def test_an_error_counts_every_device_the_same_and_lives_beyond_the_cap_as_the_cap() -> None:
    known = Lives(
        x=np.zeros((3, 1)), device=np.array([0, 0, 1]), at_us=np.zeros(3, dtype=np.int64),
        age_hours=np.zeros(3), left_hours=np.array([2.0, 4.0, 30.0]),
    )  # fmt: skip

    # Device 0: errors 1 and 1; device 1: says 25, is 30 but counts as 28. (1 + 9) / 2 = 5.
    assert known.rmse(np.array([3.0, 3.0, 25.0]), cap=28.0) == pytest.approx(np.sqrt(5))


def test_rows_are_thinned_along_a_life_and_its_end_is_left_out() -> None:
    known = Lives(
        x=np.zeros((7, 1)), device=np.zeros(7, dtype=np.int64), at_us=np.arange(7),
        age_hours=np.arange(7.0), left_hours=6 - np.arange(7.0),
    )  # fmt: skip

    assert known.thinned(np.arange(7), most=3).tolist() == [0, 2, 4]
    assert known.thinned(np.arange(3, 7), most=9).tolist() == [3, 4, 5]


def test_a_handful_of_lives_is_enough_for_an_estimate_and_two_are_not() -> None:
    rng = np.random.default_rng(3)

    few = fit_and_judge(*worn_out(rng, 4), seeds=(0,))

    assert few is not None
    assert few[0].lives == 4
    assert not few[0].errors.is_proven
    assert np.isfinite(few[1].life_hours).all()
    assert fit_and_judge(*worn_out(rng, 2), seeds=(0,)) is None


def test_rows_that_are_censored_teach_no_life() -> None:
    rng = np.random.default_rng(4)
    frame, outcome = worn_out(rng, 4)
    known = frame.device > 1
    assert fit_and_judge(frame, replace(outcome, has_failed=known), seeds=(0,)) is None


def test_lives_are_told_apart_up_to_a_horizon() -> None:
    life = learned(*worn_out(np.random.default_rng(5), 8), horizon_hours=15)
    frame, _ = worn_out(np.random.default_rng(6), 2)

    assert life.cap_hours == 15
    assert life.estimate(frame).max() <= 15 + 1e-9


def test_a_filter_falls_with_time_and_is_pulled_by_each_estimate() -> None:
    device = np.array([0, 0, 0, 1])
    at = np.array([0, 1, 2, 3]) * HOUR

    said = follow(np.array([10.0, 9.0, 20.0, 5.0]), device, at, memory_hours=1 / np.log(2))

    assert said.tolist() == pytest.approx([10, 9, 14, 5])


def test_the_filter_goes_step_by_step_as_it_does_in_rows() -> None:
    rng = np.random.default_rng(7)
    life = learned(*worn_out(rng, 8))
    life = msgspec.structs.replace(life, memory_hours=3.0)
    estimates, at = rng.uniform(0, 50, 20), np.cumsum(rng.integers(1, 5, 20)) * HOUR

    memory: Memory | None = None
    stepped = []
    for now, estimate in zip(at.tolist(), estimates.tolist(), strict=True):
        memory = life.step(memory, at_us=now, estimate=estimate)
        stepped.append(memory.hours)

    whole = follow(estimates, np.zeros(20, dtype=np.int64), at, memory_hours=3.0)
    assert stepped == whole.tolist()


def test_what_is_left_at_an_age_is_the_mean_of_the_longer_lives() -> None:
    ages = Ages(lives=Packed.of(np.array([10.0, 20.0, 60.0]), "<f8"))

    assert ages.predict(np.array([0.0, 10.0, 30.0, 70.0])).tolist() == [30, 30, 30, 0]


def test_a_kernel_learns_a_smooth_function_and_bears_missing_values() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(500, 3))
    x[rng.random(x.shape) < 0.05] = np.nan
    y = np.sin(np.nan_to_num(x[:, 0])) + np.nan_to_num(x[:, 1]) ** 2

    kernel = fit_kernel(x[:400], y[:400], np.ones(400), width=0.3, ridge=0.01, seed=0)

    assert np.sqrt(np.mean((kernel.predict(x[400:]) - y[400:]) ** 2)) < 0.35 * y.std()


def member(*, spread: float, noise: float = NO_NEWS) -> Member:
    return Member(
        about="share", ages=Ages(lives=Packed.of(np.array([100.0]), "<f8")),
        log_life=float(np.log(100)), log_spread=spread, noise=noise,
    )  # fmt: skip


def test_a_share_of_lognormal_lives_is_the_mean_over_those_that_are_longer_than_the_age() -> None:
    ages, none = np.array([20.0, 100.0, 200.0]), np.full(3, 0.5)
    drawn = 100 * np.exp(0.3 * np.random.default_rng(9).normal(size=2_000_000))

    one = member(spread=0.3)

    longer = [drawn[drawn > age] for age in ages]
    assert one.hours(none, ages, cap=np.inf) == pytest.approx(
        [np.mean(whole) - age for whole, age in zip(longer, ages, strict=True)], rel=0.02
    )
    assert one.used(none, ages) == pytest.approx(
        [np.mean(age / whole) for whole, age in zip(longer, ages, strict=True)], rel=0.01
    )


def test_a_sure_sign_of_wear_overrules_the_known_lives_and_a_vague_one_does_not() -> None:
    age, share = np.array([60.0]), np.array([0.3])

    sure = member(spread=0.3, noise=0.001).hours(share, age, cap=np.inf)[0]
    vague = member(spread=0.3, noise=1.0).hours(share, age, cap=np.inf)[0]
    nothing = member(spread=0.3).hours(share, age, cap=np.inf)[0]

    assert sure == pytest.approx(140, abs=1)
    assert nothing < vague < nothing + 10


def test_a_few_lives_that_are_alike_do_not_say_that_the_next_one_will_be() -> None:
    lives = Lives(
        x=np.zeros((4, 1)), device=np.arange(4), at_us=np.zeros(4, dtype=np.int64),
        age_hours=np.zeros(4), left_hours=np.array([98.0, 99.0, 101.0, 102.0]),
    )  # fmt: skip
    many = Lives(
        x=np.zeros((400, 1)), device=np.arange(400), at_us=np.zeros(400, dtype=np.int64),
        age_hours=np.zeros(400), left_hours=np.tile(lives.left_hours, 100),
    )  # fmt: skip
    few_spread, many_spread = (
        grow("age", "share", known, np.ones(len(known)), cap=np.inf,
             strengths=Strengths(width=1.0, ridge=0.1), seeds=()).log_spread
        for known in (lives, many)
    )  # fmt: skip

    assert 0.25 < few_spread < 0.43
    assert many_spread < 0.05


def test_the_share_used_up_rises_along_a_life_and_tells_more_than_the_age() -> None:
    rng = np.random.default_rng(10)
    life = learned(*worn_out(rng, 8))
    frame, outcome = worn_out(rng, 20)

    age = frame.x[:, 0]
    truth = age / (age + outcome.hours)
    error = life.used_up(frame) - truth

    assert np.sqrt(np.mean(error**2)) < 0.6 * np.sqrt(np.mean((age / 60 - truth) ** 2))
    assert sum(m.share_weight for m in life.members) == pytest.approx(1)


def test_a_kernel_learns_which_of_many_features_count() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(1200, 40))
    y = np.abs(x[:, 3] + x[:, 17])

    even, stretched = (
        fit_kernel(x[:900], y[:900], np.ones(900), width=0.3, ridge=0.1, seed=0, rounds=rounds)
        for rounds in (0, ROUNDS)
    )

    def error(kernel: Kernel) -> float:
        return float(np.sqrt(np.mean((kernel.predict(x[900:]) - y[900:]) ** 2)))

    assert error(stretched) < 0.7 * error(even)
