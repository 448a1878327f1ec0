"""Simple rules that look at no sensor."""

import numpy as np
import pytest

from anomaly.judge.controls import Part, age_of, fit_controls, hour_of_week, past_of
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from tests.unit.anomaly.learn.test_frame import product

CATALOG = Catalog(product())
HOUR = 3_600_000_000
MONDAY = 1_699_833_600_000_000  # 2023-11-13 00:00 UTC
SEED = 11


def part(histories, *, hours=range(1, 2000)) -> Part:
    at = MONDAY + np.array(hours, dtype=np.int64) * HOUR
    frame = Frame(
        device=np.repeat(np.arange(len(histories)), len(at)), at_us=np.tile(at, len(histories)),
        x=np.empty((len(at) * len(histories), 0)), names=(),
    )  # fmt: skip
    return Part(catalog=CATALOG, histories=tuple(histories), frame=frame, mode="belt_worn")


def device(failures=(), *, services=(), until=2400) -> History:
    return History(
        device="d", begins_us=MONDAY, until_us=MONDAY + until * HOUR,
        failure_us=MONDAY + np.array(failures, dtype=np.int64) * HOUR,
        failure_mode=np.zeros(len(failures), dtype=np.int64),
        service_us=MONDAY + np.array(services, dtype=np.int64) * HOUR,
        service_component=np.zeros(len(services), dtype=np.int64),
    )  # fmt: skip


def test_the_calendar_knows_hour_and_weekday() -> None:
    found = hour_of_week(part([device()], hours=[0, 25, 24 * 6 + 23, 24 * 7]))

    assert found.tolist() == [0, 25, 167, 0]


def test_age_counts_from_the_last_failure_or_replacement() -> None:
    found = age_of(part([device([10], services=[20]), device()], hours=[5, 10, 12, 25]))

    assert found.tolist() == [5, 0, 2, 5, 5, 10, 12, 25]


def test_the_past_is_what_was_known_at_the_row() -> None:
    count, hours = past_of(part([device([10, 20])], hours=[5, 10, 25]))

    assert (count.tolist(), hours.tolist()) == ([0, 1, 2], [5, 10, 25])


def test_a_device_that_failed_often_is_expected_to_fail_again() -> None:
    often, never = device(list(range(50, 1000, 100))), device()
    train = part([often, never], hours=range(1, 1000, 10))

    control = fit_controls(train, horizon_hours=24, seed=SEED)["persistence"]
    score = control.score(part([often, never], hours=[1500]))

    fleet = 10 / (2 * 991)
    assert score[0] == pytest.approx(-np.expm1(-24 * 11 / (1500 + 1 / fleet)))
    assert score[1] == pytest.approx(-np.expm1(-24 * 1 / (1500 + 1 / fleet)))


def test_the_calendar_control_learns_a_working_day() -> None:
    rng = np.random.default_rng(SEED)
    fleet = [device(np.sort(rng.integers(0, 90, 30)) * 24 + 9) for _ in range(10)]

    control = fit_controls(part(fleet), horizon_hours=2, seed=SEED)["calendar"]
    score = control.score(part([device()], hours=[8, 20]))

    assert score[0] > 10 * score[1]


def test_the_age_control_learns_that_old_parts_fail() -> None:
    rng = np.random.default_rng(SEED)
    fleet = [device(np.cumsum(rng.integers(280, 320, 7))) for _ in range(20)]

    control = fit_controls(part(fleet), horizon_hours=24, seed=SEED)["age"]
    young, old = control.score(part([device()], hours=[50, 290]))

    assert old > 0.5 > 0.01 > young


def test_a_training_part_without_a_failure_gives_controls_that_expect_none() -> None:
    controls = fit_controls(part([device()]), horizon_hours=24, seed=SEED)
    rows = part([device()], hours=[5, 6])

    assert controls["calendar"].score(rows).tolist() == [0, 0]
    assert controls["age"].score(rows).tolist() == [0, 0]
    assert (controls["persistence"].score(rows) < 0.01).all()
    assert controls["always_on"].score(rows).tolist() == [1, 1]


def test_the_random_control_is_the_same_with_the_same_seed() -> None:
    rows = part([device()])
    first, again, other = (
        fit_controls(rows, horizon_hours=24, seed=seed)["random"].score(rows) for seed in (1, 1, 2)
    )

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
