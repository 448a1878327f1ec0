"""A device whose clock is off is moved to the platform's time, and nothing else is."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.product import time_window
from gateway.codecs import Telemetry
from gateway.sheet import parse_sheet
from ingest.clocks import digest_of, instants_of, set_apart, shift
from ingest.records import Shifted
from tests.integration.gateway.sheets import SMALL

KETTLE = parse_sheet(SMALL, source="kettle.toml")
NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def message(*times_ms: int) -> Telemetry:
    return Telemetry([(at_ms, {"water_c": 20.0}) for at_ms in times_ms], 1, 7, 3)


def test_a_clock_that_was_never_set_is_moved_and_the_spacing_stays() -> None:
    found = shift(message(0, 60_000, 120_000), KETTLE, now_ms=NOW_MS)

    assert found is not None
    moved, ahead_ms = found.message, found.ahead_ms
    assert [at for at, _ in moved.samples] == [NOW_MS - 120_000, NOW_MS - 60_000, NOW_MS]
    assert ahead_ms == 120_000 - NOW_MS
    assert (moved.boot, moved.seq, moved.low) == (1, 7, 3)


def test_a_clock_that_is_fast_is_moved_back() -> None:
    found = shift(message(NOW_MS + 5 * HOUR_MS), KETTLE, now_ms=NOW_MS)

    assert found is not None
    assert found.message.samples[0][0] == NOW_MS
    assert found.ahead_ms == 5 * HOUR_MS


def test_a_clock_that_is_right_stays_even_if_a_sample_is_too_old() -> None:
    years_ago = NOW_MS - 3 * 365 * 24 * HOUR_MS

    assert shift(message(NOW_MS), KETTLE, now_ms=NOW_MS) is None
    assert shift(message(years_ago, NOW_MS), KETTLE, now_ms=NOW_MS) is None


def test_a_message_that_spans_more_than_may_be_delivered_is_not_moved() -> None:
    span_ms = KETTLE.history_max // timedelta(milliseconds=1) + 1

    assert shift(message(0, span_ms), KETTLE, now_ms=NOW_MS) is None


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5))
def test_what_is_moved_lies_in_the_window_and_ends_now(times_ms: list[int]) -> None:
    found = shift(message(*times_ms), KETTLE, now_ms=NOW_MS)

    if found is not None:
        moved = [at for at, _ in found.message.samples]
        oldest_ms, _ = time_window(KETTLE, now_ms=NOW_MS)
        assert max(moved) == NOW_MS
        assert min(moved) >= oldest_ms


def test_a_repetition_is_known_by_number_and_samples() -> None:
    again, other, mute = message(5, 6), message(5, 6), message(5, 6)
    again.low, other.seq, mute.boot = 6, 8, None

    assert digest_of(message(5, 6)) == digest_of(again)
    assert digest_of(message(5, 6)) != digest_of(message(5, 7))
    assert digest_of(message(5, 6)) != digest_of(other)
    assert digest_of(message(5, 6)) != digest_of(mute)


def moved(place: int, *times_ms: int, device: int = 1) -> Shifted:
    return Shifted(
        place=place,
        device_id=device,
        product="kettle",
        ahead_ms=0,
        digest=bytes([place]),
        message=message(*times_ms),
    )


def test_messages_that_arrive_together_get_instants_of_their_own() -> None:
    apart = set_apart([moved(0, NOW_MS), moved(1, NOW_MS), moved(2, NOW_MS, device=2)], ())

    assert [one.message.samples[0][0] - NOW_MS for one in apart] == [0, 1, 0]
    assert (apart[1].message.boot, apart[1].message.seq) == (1, 7)


def test_what_is_stored_already_is_not_in_the_way() -> None:
    apart = set_apart([moved(0, NOW_MS - 5, NOW_MS)], {(1, NOW_MS), (1, NOW_MS - 4)}, step_ms=1)

    assert [at - NOW_MS for at, _ in apart[0].message.samples] == [-3, 2]


@given(
    st.lists(
        st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True), min_size=1, max_size=20
    ),
    st.sets(st.integers(0, 25)),
    st.integers(1, 64),
)
def test_no_sample_is_ever_lost_to_another(
    messages: list[list[int]], stored: set[int], step_ms: int
) -> None:
    taken = {(1, at_ms) for at_ms in stored}
    shifted = [moved(place, *times) for place, times in enumerate(messages)]

    apart = set_apart(shifted, taken, step_ms=step_ms)

    assert len(instants_of(apart)) == sum(map(len, messages))
    assert not instants_of(apart) & taken
