"""What earlier cases came to, as far as it was known at an instant."""

import numpy as np
import pytest

from anomaly.precedent.summary import (
    Declines,
    Ending,
    Found,
    Outcome,
    Summary,
    endings_of,
    summarise_cases,
)

DAY_US = 86_400_000_000
THROUGH = 200 * DAY_US


def make_case(
    *ends: tuple[float, Outcome],
    days: tuple[float, ...] = (10, 15, 20, 25),
    degradation: tuple[float, ...] = (0.15, 0.3, 0.55, 0.9),
    chance: tuple[float, ...] = (0.2, 0.4, 0.8, 0.95),
    watched: float = 200,
) -> Declines:
    """A part that declines from day 10 on."""
    return Declines(
        at_us=np.array([int(day * DAY_US) for day in days], dtype=np.int64),
        degradation=np.array(degradation),
        chance=np.array(chance),
        endings=[Ending(at_us=int(day * DAY_US), outcome=outcome) for day, outcome in ends],
        watched_us=int(watched * DAY_US),
    )


def summed(*devices: Declines, through: float = 200) -> Summary:
    return summarise_cases(devices, through_us=int(through * DAY_US))


def test_similar_cases_say_how_long_after_they_failed():
    found = summed(
        make_case((29, "failed")), make_case((41, "failed")), make_case((26, "worn")), make_case()
    )

    similar = found.similar_to(0.58)

    assert (similar.cases, similar.failed, similar.worn, similar.nothing) == (4, 2, 1, 1)
    # They were at 0.55 on day 20.
    assert (similar.first_days, similar.last_days) == (9, 21)


def test_a_case_counts_from_when_it_was_first_so_far_gone():
    found = summed(make_case((30, "failed"), degradation=(0.3, 0.16, 0.31, 0.32)))

    assert found.similar_to(0.3).first_days == 20
    assert found.similar_to(0.1).first_days == 15


def test_what_is_not_over_counts_nothing():
    assert summed(make_case(), through=50).similar == ()
    assert summed(make_case(watched=50)).similar == ()


def test_what_came_later_was_not_known_before():
    case = make_case((29, "failed"))

    assert summed(case, through=28) == Summary()
    assert summed(case, through=29).similar_to(0.9).failed == 1


def test_a_part_that_went_for_another_reason_says_nothing():
    found = summed(make_case((26, "replaced")))

    assert found == Summary()


def test_a_device_that_declines_again_after_its_repair_is_another_case():
    case = make_case(
        (30, "failed"), (80, "worn"), days=(10, 20, 60, 70), degradation=(0.3, 0.6, 0.3, 0.6)
    )

    similar = summed(case).similar_to(0.6)

    assert (similar.cases, similar.failed, similar.worn) == (2, 1, 1)


def test_nothing_is_claimed_where_nothing_is_known():
    found = summed(make_case((29, "failed")))

    assert found.similar_to(None) is None
    assert found.similar_to(float("nan")) is None
    assert found.similar_to(0.01) is None
    assert found.record_of(None) is None


@pytest.mark.parametrize("degradation", [0.8, 1.0, 1.7])
def test_the_last_band_has_no_end(degradation):
    assert summed(make_case((29, "failed"))).similar_to(degradation).cases == 1


def test_a_forecast_came_true_if_the_failure_came_within_a_month():
    found = summed(
        make_case((44, "failed")),  # 34 days after the first forecast, 24 after the third
        make_case((26, "worn")),
        make_case((30, "nothing")),
        make_case(),
    )

    assert (found.record_of(0.2).cases, found.record_of(0.2).right) == (4, 1)
    assert (found.record_of(0.8).cases, found.record_of(0.8).right) == (4, 2)


def test_a_forecast_is_judged_when_its_month_is_over_however_soon_its_end_was_known():
    case = make_case((29, "failed"))

    assert summed(case, through=49).record_of(0.8) is None
    assert summed(case, through=50).record_of(0.8).right == 1


def test_what_is_found_and_reported_ends_a_case():
    found = [
        Found(failure_mode="bearing", component="fan", verdict="incipient", at_us=5),
        Found(failure_mode="imbalance", component="fan", verdict="confirmed", at_us=6),
        Found(failure_mode="leak", component="pipe", verdict="confirmed", at_us=7),
        Found(failure_mode="bearing", component="fan", verdict="not_inspected", at_us=8),
        Found(failure_mode="bearing", component="fan", verdict="no_fault_found", at_us=9),
    ]

    made = endings_of(component="fan", mode="bearing", found=found, reported_us=[1])

    assert [(e.at_us, e.outcome) for e in made] == [
        (1, "failed"), (5, "worn"), (6, "replaced"), (9, "nothing"),
    ]  # fmt: skip
