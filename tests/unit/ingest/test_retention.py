"""What may go: never before its time, never what somebody still needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.product import Retention
from ingest.retention.policy import (
    LETTERS_OF_NOBODY,
    Chunk,
    Cutoff,
    Held,
    Holds,
    cutoffs,
    letters_kept,
    oldest,
    to_columns,
    to_go,
)
from tests.fixtures.maintenance import make_product

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT = Retention(raw=100 * DAY, hourly=200 * DAY, daily=None)
PRODUCT = make_product(retention=KEPT)


def holds(**at: Any) -> Holds:
    values = {"newest_at": NOW, "rolled_at": None, "scored_at": None, "marked_at": None}
    return Holds(**{**values, **at})


def chunk(begins: int, ends: int, *, is_columnar: bool = False) -> Chunk:
    """Name a chunk by days before now."""
    return Chunk(
        name=f"{begins}",
        begins_at=NOW - begins * DAY,
        ends_at=NOW - ends * DAY,
        bytes=1,
        is_columnar=is_columnar,
    )


def test_samples_go_when_they_are_older_than_the_product_keeps_them() -> None:
    found = cutoffs(PRODUCT, holds(), gone={}, now=NOW)

    assert found["raw"] == Cutoff(before=NOW - 100 * DAY, held=Held.POLICY)
    assert found["daily"] == Cutoff(before=None, held=Held.FOR_EVER)


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("rolled_at", Held.NOT_SUMMED_UP),
        ("scored_at", Held.NOT_SCORED),
        ("marked_at", Held.LATE_MARK),
    ],
)
def test_samples_stay_while_somebody_needs_them(who: str, why: Held) -> None:
    found = cutoffs(PRODUCT, holds(**{who: NOW - 150 * DAY}), gone={}, now=NOW)

    assert found["raw"] == Cutoff(before=NOW - 150 * DAY, held=why)


def test_a_stream_from_the_past_is_as_young_as_its_newest_sample() -> None:
    found = cutoffs(PRODUCT, holds(newest_at=NOW - 2000 * DAY), gone={}, now=NOW)

    assert found["raw"].before == NOW - 2100 * DAY


def test_a_clock_that_is_ahead_makes_nothing_older() -> None:
    found = cutoffs(PRODUCT, holds(newest_at=NOW + DAY), gone={}, now=NOW)

    assert found["raw"].before == NOW - 100 * DAY


def test_hours_stay_at_least_as_long_as_their_samples() -> None:
    never = cutoffs(PRODUCT, holds(), gone={}, now=NOW)["hourly"]
    behind = cutoffs(PRODUCT, holds(), gone={"raw": NOW - 300 * DAY}, now=NOW)["hourly"]
    free = cutoffs(PRODUCT, holds(), gone={"raw": NOW - 100 * DAY}, now=NOW)["hourly"]

    assert never == Cutoff(before=None, held=Held.FINER_KEPT)
    assert behind == Cutoff(before=NOW - 300 * DAY, held=Held.FINER_KEPT)
    assert free == Cutoff(before=NOW - 200 * DAY, held=Held.POLICY)


def test_nothing_goes_of_a_product_without_data() -> None:
    found = cutoffs(PRODUCT, holds(newest_at=None), gone={}, now=NOW)

    assert {kind: c.before for kind, c in found.items()} == dict.fromkeys(found)


def test_chunks_go_as_a_whole_or_not_at_all() -> None:
    going = to_go(
        [chunk(120, 110), chunk(110, 100), chunk(100, 90)],
        Cutoff(before=NOW - 100 * DAY, held=Held.POLICY),
    )

    assert [c.name for c in going] == ["120", "110"]


def test_only_chunks_beyond_the_late_data_horizon_become_columns() -> None:
    chunks = [chunk(20, 13, is_columnar=True), chunk(13, 6), chunk(6, 0)]

    found = to_columns(chunks, PRODUCT, holds(), now=NOW)

    assert [c.name for c in found] == ["13"]


def test_letters_of_nobody_stay_as_long_as_any_product_keeps_its_own() -> None:
    def keeping(days: int | None) -> Any:
        keep = None if days is None else days * DAY
        return make_product(retention=Retention(dead_letters=keep))

    assert letters_kept([keeping(10), keeping(30)]) == 30 * DAY
    assert letters_kept([keeping(10), keeping(None)]) is None
    assert letters_kept([]) == LETTERS_OF_NOBODY


def test_a_table_holds_nothing_from_before_anything_was_measured() -> None:
    first = NOW - 45 * DAY

    assert oldest((chunk(360, 0),), holds(first_at=first)) == first
    assert oldest((chunk(20, 10), chunk(10, 0)), holds(first_at=first)) == NOW - 20 * DAY
    assert oldest((chunk(20, 10),), holds()) == NOW - 20 * DAY
    assert oldest((), holds(first_at=first)) is None
