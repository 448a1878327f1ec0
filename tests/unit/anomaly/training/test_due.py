"""When a product is trained by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from anomaly.training.due import Known, Training, reason_to_train

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEEN = datetime(2020, 3, 1, tzinfo=UTC)
KNOWN = Known(through=SEEN, failures={"bearing": 70, "board": 30})
DONE = Training(
    id=1, reason="first", state="done", through=SEEN, failures=100, step="", share=1, outcome="",
    began_at=NOW - timedelta(hours=2), updated_at=NOW - timedelta(hours=1),
)  # fmt: skip


def known(failures: int, *, days: float = 0) -> Known:
    return Known(through=SEEN + timedelta(days=days), failures={"bearing": failures})


def test_ten_failures_of_one_mode_are_enough_to_begin() -> None:
    assert reason_to_train(known(10), [], now=NOW) == "first"
    assert reason_to_train(known(9), [], now=NOW) is None
    many = Known(through=SEEN, failures={"a": 9, "b": 9, "c": 9})
    assert reason_to_train(many, [], now=NOW) is None


@pytest.mark.parametrize(("failures", "reason"), [(100, None), (109, None), (110, "labels")])
def test_a_tenth_more_failures_are_worth_another(failures: int, reason: str | None) -> None:
    assert reason_to_train(known(failures), [DONE], now=NOW) == reason


def test_of_few_failures_five_more_are_needed() -> None:
    few = replace(DONE, failures=12)

    assert reason_to_train(known(16), [few], now=NOW) is None
    assert reason_to_train(known(17), [few], now=NOW) == "labels"


def test_a_month_of_the_stream_counts_and_no_month_on_the_wall() -> None:
    later = NOW + timedelta(days=400)

    assert reason_to_train(known(100, days=29), [DONE], now=later) is None
    assert reason_to_train(known(100, days=30), [DONE], now=NOW) == "month"


@pytest.mark.parametrize(
    ("in_vain", "minutes", "is_due"),
    [(1, 0, True), (2, 9, False), (2, 10, True), (3, 59, False), (3, 60, True), (9, 1439, False), (9, 1440, True)],
)  # fmt: skip
def test_a_product_whose_training_dies_again_and_again_is_left_alone_for_a_while(
    in_vain: int, minutes: int, is_due: bool
) -> None:
    died = replace(DONE, state="died", updated_at=NOW - timedelta(minutes=minutes))
    trainings = [died] * in_vain + [DONE]

    found = reason_to_train(known(200), trainings, now=NOW)

    assert (found == "labels") == is_due


def test_one_that_says_it_runs_and_holds_no_lock_has_died() -> None:
    lost = replace(DONE, state="running", failures=0)

    assert reason_to_train(KNOWN, [lost], now=NOW) == "first"
    assert reason_to_train(KNOWN, [lost, DONE], now=NOW) is None
