from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import written

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("begin_days", "end_days", "text"),
    [
        (7, 10, "1 – 4 Dec"),
        (3, 20, "27 Nov – 14 Dec"),
        (-2, 3, "now – 27 Nov"),
        (-5, -1, "any time now"),
        (4, 4, "28 Nov"),
        (-1, 0.2, "24 Nov"),
    ],
)
def test_a_window_of_days_is_written_as_short_as_it_can_be(
    begin_days: float, end_days: float, text: str
) -> None:
    written_as = written.span(NOW + begin_days * DAY, NOW + end_days * DAY, "UTC", NOW)

    assert written_as == text


def test_a_day_is_the_one_at_the_site() -> None:
    late_in_london = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)

    assert ">Wed 25 Nov</time>" in written.day(late_in_london, "Europe/Berlin")


def test_an_unknown_time_zone_is_utc_and_no_error() -> None:
    assert str(written.zone("Not/AZone")) == "UTC"


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0.004, "< 1 %"), (0.78, "78 %"), (0.993, "99 %"), (0.999, "> 99 %")],
)
def test_a_chance_is_never_nought_or_certain(share: float | None, text: str) -> None:
    assert written.percent(share).replace("\u2009", " ") == text


def test_money_has_no_cents_and_a_true_minus() -> None:
    assert written.money(-1234.6, "EUR") == "−€\u00a01,235"


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_no_text_ends_the_block_of_json_in_a_page(value: dict[str, str | float]) -> None:
    block = written.json_block(value)

    assert not set(block) & set("<>&\u2028\u2029")


def test_json_in_a_page_means_the_same_again() -> None:
    assert written.json_block({"a": "</script>"}) == '{"a":"\\u003c/script\\u003e"}'


def test_a_document_is_written_on_one_line_and_what_was_given_back_says_so() -> None:
    assert (
        written.pairs({"a": 1.5, "mode": "eco", "b": None}) == "a = 1.5, mode = eco, b given back"
    )


def test_entries_of_a_document_are_called_as_the_product_sheet_calls_them() -> None:
    titles = {"curve_offset_k": "Offset of the heating curve"}

    text = written.pairs({"curve_offset_k": -1.5, "own": None}, titles)

    assert text == "Offset of the heating curve = -1.5, own given back"


def test_a_sentence_keeps_its_names_and_units() -> None:
    assert written.sentence("setting of HP-7 is 2 kW") == "Setting of HP-7 is 2 kW"
    assert not written.sentence("")


def test_commands_in_a_hint_are_set_as_code_and_nothing_in_it_is_markup() -> None:
    shown = written.code_spans("`forecare list <x>` shows <b>them</b>")

    assert shown == "<code>forecare list &lt;x&gt;</code> shows &lt;b&gt;them&lt;/b&gt;"
