"""Which hours are summed up again: every touched one, each once, within a turn's limit."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.units import to_epoch_ms
from ingest.rollups.plan import (
    DAY,
    HOUR,
    NEVER_ROLLED,
    ROWS_PER_TURN,
    Claim,
    Span,
    days_of,
    floor_to,
    late_hours,
    plan_rollups,
    spans_of,
    split_at,
)

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

instants = st.integers(0, 10_000).map(lambda minutes: MIDNIGHT + minutes * MINUTE)
hours = st.tuples(st.integers(1, 3), st.integers(0, 100).map(lambda h: MIDNIGHT + h * HOUR))


def claim(rolled_through: datetime, measured_through: datetime) -> Claim:
    return Claim(
        device_id=1, rolled_through=rolled_through, measured_through=measured_through, samples=9
    )


def span(begins: int, ends: int, *, device_id: int = 1) -> Span:
    return Span(
        device_id=device_id, begins_at=MIDNIGHT + begins * HOUR, ends_at=MIDNIGHT + ends * HOUR
    )


def test_a_turn_begins_with_the_hour_in_which_the_last_one_ended() -> None:
    plan = plan_rollups([claim(MIDNIGHT + 90 * MINUTE, MIDNIGHT + 200 * MINUTE)], interval=MINUTE)

    assert plan.spans == (span(1, 4),)
    assert plan.rolled[0].rolled_through == MIDNIGHT + 200 * MINUTE
    assert plan.rolled[0].samples == 9


def test_a_long_history_is_taken_in_turns() -> None:
    plan = plan_rollups([claim(MIDNIGHT, MIDNIGHT + 900 * DAY)], interval=MINUTE)

    assert plan.rolled[0].rolled_through == plan.spans[0].ends_at
    assert plan.rolled[0].samples == NEVER_ROLLED
    assert plan.spans[0].ends_at - MIDNIGHT <= ROWS_PER_TURN * MINUTE


def test_a_turn_goes_on_however_fast_the_device_is() -> None:
    plan = plan_rollups([claim(MIDNIGHT, MIDNIGHT + DAY)] * 50, interval=timedelta(milliseconds=1))

    assert plan.spans[0] == span(0, 1)


@given(marked=st.lists(hours))
def test_marked_hours_become_spans_that_cover_them_and_do_not_overlap(
    marked: list[tuple[int, datetime]],
) -> None:
    spans = spans_of(marked)

    covered = [
        (s.device_id, s.begins_at + i * HOUR)
        for s in spans
        for i in range((s.ends_at - s.begins_at) // HOUR)
    ]
    assert sorted(covered) == sorted(set(marked))


@given(marked=st.lists(hours))
def test_the_days_of_spans_cover_them_and_do_not_overlap(
    marked: list[tuple[int, datetime]],
) -> None:
    days = days_of(spans_of(marked))

    covered = [
        (s.device_id, s.begins_at + i * DAY)
        for s in days
        for i in range((s.ends_at - s.begins_at) // DAY)
    ]
    assert sorted(covered) == sorted({(d, floor_to(at, DAY)) for d, at in marked})


def test_what_lies_before_a_drop_is_set_apart_by_whole_hours() -> None:
    before, after = split_at([span(0, 5)], MIDNIGHT + 90 * MINUTE, step=HOUR)

    assert (before, after) == ((span(0, 2),), (span(2, 5),))
    assert split_at([span(0, 5)], None, step=HOUR) == ((), (span(0, 5),))


@given(
    samples=st.lists(st.tuples(st.integers(1, 3), instants)),
    through=st.dictionaries(st.integers(1, 3), instants),
)
def test_only_samples_of_an_earlier_hour_than_the_newest_one_are_late(
    samples: list[tuple[int, datetime]], through: dict[int, datetime]
) -> None:
    found = late_hours(
        np.array([d for d, _ in samples], dtype=np.int64),
        np.array([to_epoch_ms(at) for _, at in samples], dtype=np.int64),
        {d: to_epoch_ms(at) for d, at in through.items()},
    )

    assert found == {
        (d, floor_to(at, HOUR))
        for d, at in samples
        if d in through and floor_to(at, HOUR) < floor_to(through[d], HOUR)
    }
