from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import format_duration, from_epoch_ms, parse_duration, to_epoch_ms


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90 min", timedelta(minutes=90)),
        ("7 d", timedelta(days=7)),
        ("1.5h", timedelta(hours=1, minutes=30)),
        (" 250 ms ", timedelta(milliseconds=250)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1 d", "1 d 2 h", "1e3 s"])
def test_anything_else_is_refused_and_the_units_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="units: ms, s, min, h, d, w, y"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_written_duration_reads_back_as_the_same(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(value)) == value


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_milliseconds_on_the_wire_read_back_as_the_same_instant(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)

    assert from_epoch_ms(to_epoch_ms(at)) == at
