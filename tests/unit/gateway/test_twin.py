"""What a report makes of a device's row, and where wanted and reported differ."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.back_off import next_try
from gateway.desk import Incoming
from gateway.twin.merging import Report, after_report, compare, desired_of, read_report
from gateway.twin.records import Layers, TwinRow

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=3)


def make_row(**given: Any) -> TwinRow:
    values: dict[str, Any] = {
        "device_id": 1,
        "device": "ada",
        "shard": 7,
        "version": 4,
        "defaults": {"target_c": 20, "mode": "eco"},
        "product": {"mode": "comfort"},
        "own": {"target_c": 22},
        "reported": {},
        "reported_version": 3,
        "reported_at": None,
        "differs_at": BEFORE,
        "sent_at": None,
        "tries": 0,
    }
    return TwinRow(**values | given)


def message(payload: object) -> Incoming:
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Incoming(device="ada", shard=7, kind="reported", payload=encoded)


def test_what_is_nearer_to_the_device_goes_over_what_is_further() -> None:
    assert desired_of(make_row().layers) == {"target_c": 22, "mode": "comfort"}
    assert desired_of(
        Layers(defaults={"a": {"b": 1, "c": 2}}, product={}, own={"a": {"b": 3}})
    ) == {"a": {"b": 3, "c": 2}}


def test_a_device_that_has_everything_differs_no_more() -> None:
    report = Report(version=4, reported={"target_c": 22.0, "mode": "comfort", "uptime_s": 7})

    found = after_report(make_row(), report, now=NOW)

    assert (found.differs_at, found.is_to_send, found.reported_version) == (None, False, 4)


def test_a_confirmed_version_is_taken_on_its_word() -> None:
    assert after_report(make_row(), Report(version=4), now=NOW).differs_at is None


def test_a_device_that_reports_something_else_is_not_told_again_but_shown() -> None:
    report = Report(version=4, reported={"target_c": 21})

    found = after_report(make_row(), report, now=NOW)

    assert (found.differs_at, found.is_to_send) == (BEFORE, False)


def test_a_knob_turned_at_the_device_shows_from_now_on() -> None:
    agreed = make_row(reported={"target_c": 22}, reported_version=4, differs_at=None)

    found = after_report(agreed, Report(reported={"target_c": 25}), now=NOW)

    assert (found.differs_at, found.reported_version) == (NOW, 4)


def test_a_device_that_was_set_back_is_told_again() -> None:
    agreed = make_row(reported_version=4, differs_at=None)

    found = after_report(agreed, Report(version=0, reported={"target_c": None}), now=NOW)

    assert (found.is_to_send, found.differs_at, found.reported_version) == (True, NOW, 0)


def test_a_version_that_a_restored_database_has_forgotten_is_gone_beyond() -> None:
    found = after_report(make_row(), Report(version=9), now=NOW)

    assert (found.version, found.reported_version, found.is_to_send) == (10, 9, True)


def test_an_absurd_version_changes_nothing() -> None:
    found = after_report(make_row(), Report(version=2**52), now=NOW)

    assert (found.version, found.reported_version) == (4, 3)


def test_reports_that_pile_up_are_bounded() -> None:
    row = make_row(reported={f"k{i}": "x" * 1000 for i in range(16)})

    with pytest.raises(InvalidError, match="may take 16384"):
        after_report(row, Report(reported={"more": "x" * 1000}), now=NOW)


@given(
    st.lists(
        st.builds(
            Report,
            version=st.none() | st.integers(0, 9),
            reported=st.dictionaries(st.sampled_from("ab"), st.none() | st.integers(0, 2)),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 6),
)
def test_reports_that_come_again_in_their_order_end_in_the_same_words(
    reports: list[Report], again_from: int
) -> None:
    def told(row: TwinRow, some: list[Report]) -> TwinRow:
        for report in some:
            found = after_report(row, report, now=NOW)
            row = make_row(
                version=found.version,
                reported=found.reported,
                reported_version=found.reported_version,
                differs_at=found.differs_at,
            )
        return row

    once = told(make_row(), reports)
    twice = told(once, reports[again_from:])

    assert twice.reported == once.reported


def test_every_key_is_compared() -> None:
    desired = {"a": 1, "b": 2, "c": 3}
    reported = {"a": 1.0, "b": 5, "d": 4}

    confirmed = {e.key: e.agreement for e in compare(desired, reported, is_confirmed=True)}
    open_ = {e.key: e.agreement for e in compare(desired, reported, is_confirmed=False)}

    assert confirmed == {"a": "same", "b": "differs", "c": "taken", "d": "only_reported"}
    assert open_ == {"a": "same", "b": "waiting", "c": "waiting", "d": "only_reported"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        [],
        {"version": -1},
        {"version": "4"},
        {"version": 2**60},
        {"reported": []},
        {"reported": {"a": "x" * 20_000}},
        {"reported": {"a": "\0"}},
        {"reported": {"a": [[[[[[1]]]]]]}},
    ],
)
def test_what_is_no_report_is_none(payload: object) -> None:
    assert read_report(message(payload)) is None


def test_a_report_may_leave_either_half_out() -> None:
    assert read_report(message({"version": 3})) == Report(version=3)
    assert read_report(message({"reported": {"a": 1}})) == Report(reported={"a": 1})


def test_tries_lie_further_and_further_apart_up_to_a_limit() -> None:
    hour = timedelta(hours=1)
    waits = [next_try(NOW, tries=n, longest=hour) - NOW for n in (1, 2, 3, 9, 10, 11, 1000)]

    assert [wait.total_seconds() for wait in waits] == [5, 10, 20, 1280, 2560, 3600, 3600]
