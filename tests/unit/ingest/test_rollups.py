"""Which hours are summed up again: every touched one, each once, within a turn's limit."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.units import to_epoch_ms
from ingest.records import Columns
from ingest.rollups.late import late_stretches
from ingest.rollups.plan import (
    DAY,
    HOUR,
    NEVER_ROLLED,
    ROWS_PER_TURN,
    Claim,
    Mark,
    Span,
    days_of,
    floor_to,
    plan_rollups,
    spans_of,
    split_at,
)

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

instants = st.integers(0, 10_000).map(lambda minutes: MIDNIGHT + minutes * MINUTE)
marks = st.builds(
    lambda device_id, at, length: Mark(
        id=1, device_id=device_id, from_at=at, through_at=at + length * MINUTE
    ),
    st.integers(1, 3),
    instants,
    st.integers(0, 300),
)


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


def steps_of(spans: Iterable[Span], step: timedelta) -> list[tuple[int, datetime]]:
    return [
        (s.device_id, s.begins_at + i * step)
        for s in spans
        for i in range((s.ends_at - s.begins_at) // step)
    ]


def touched(marked: list[Mark], step: timedelta) -> list[tuple[int, datetime]]:
    return sorted(
        {
            (m.device_id, floor_to(m.from_at, step) + i * step)
            for m in marked
            for i in range((floor_to(m.through_at, step) - floor_to(m.from_at, step)) // step + 1)
        }
    )


@given(marked=st.lists(marks))
def test_the_hours_and_days_of_marks_are_covered_once_each(marked: list[Mark]) -> None:
    spans = spans_of(marked)

    assert sorted(steps_of(spans, HOUR)) == touched(marked, HOUR)
    assert sorted(steps_of(days_of(spans), DAY)) == touched(marked, DAY)


def test_what_lies_before_a_drop_is_set_apart_by_whole_hours() -> None:
    before, after = split_at([span(0, 5)], MIDNIGHT + 90 * MINUTE, step=HOUR)

    assert (before, after) == ((span(0, 2),), (span(2, 5),))
    assert split_at([span(0, 5)], None, step=HOUR) == ((), (span(0, 5),))


@given(
    samples=st.lists(st.tuples(st.integers(1, 3), instants)),
    through=st.dictionaries(st.integers(1, 3), instants),
)
def test_stretches_cover_every_late_sample_and_begin_and_end_with_one(
    samples: list[tuple[int, datetime]], through: dict[int, datetime]
) -> None:
    late = {d: to_epoch_ms(at) for d, at in through.items()}

    found = late_stretches([block(samples[::2]), block(samples[1::2])], late)

    behind = {(d, to_epoch_ms(at)) for d, at in samples if d in through and at < through[d]}
    for device, at_ms in behind:
        assert sum(s.device_id == device and s.from_ms <= at_ms <= s.through_ms for s in found) == 1
    for stretch in found:
        assert {
            (stretch.device_id, stretch.from_ms),
            (stretch.device_id, stretch.through_ms),
        } <= behind


def test_late_samples_far_apart_are_stretches_of_their_own() -> None:
    late = [(1, MIDNIGHT), (1, MIDNIGHT + MINUTE), (1, MIDNIGHT + 9 * HOUR)]

    found = late_stretches([block(late)], {1: to_epoch_ms(MIDNIGHT + DAY)})

    assert [(s.through_ms - s.from_ms) // 60_000 for s in found] == [1, 0]


def block(samples: list[tuple[int, datetime]]) -> Columns:
    return Columns(
        device_ids=np.array([d for d, _ in samples], dtype=np.int64),
        times_ms=np.array([to_epoch_ms(at) for _, at in samples], dtype=np.int64),
        values=np.zeros((len(samples), 1)),
        order=np.arange(len(samples)),
    )
