"""What an export is made of: columns with their units, and cells that no spreadsheet takes for a formula."""

import pytest

from core.errors import InvalidError
from gateway.sheet import parse_sheet
from ingest.export.request import Resolution, harmless, heading, make_request
from tests.integration.gateway.sheets import SMALL

PRODUCT = parse_sheet(SMALL, source="kettle.toml")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\0x"])
def test_a_text_that_begins_like_a_formula_is_quoted(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_any_other_text_stays_as_it_is() -> None:
    assert harmless("kettle-1") == "kettle-1"


def test_the_heading_names_the_units() -> None:
    line = heading(make_request(PRODUCT))

    assert line == "device,measured_at,water_c [°C],power_w [W],boils\r\n"


def test_a_unit_cannot_break_the_heading() -> None:
    odd = parse_sheet(SMALL.replace('unit = "W"', "unit = 'a\",=1'"), source="kettle.toml")

    assert heading(make_request(odd)) == (
        'device,measured_at,water_c [°C],"power_w [a"",=1]",boils\r\n'
    )


def test_rollups_have_four_columns_for_each_metric() -> None:
    request = make_request(PRODUCT, metrics=["water_c"], resolution=Resolution.DAY)

    assert heading(request) == (
        "device,starts_at,samples,water_c_min [°C],water_c_mean [°C],water_c_max [°C],"
        "water_c_count\r\n"
    )


def test_a_metric_that_does_not_exist_is_told_with_one_that_does() -> None:
    with pytest.raises(InvalidError) as caught:
        make_request(PRODUCT, metrics=["watr_c"])

    assert caught.value.hint == 'did you mean "water_c"?'


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    request = make_request(PRODUCT)

    with pytest.raises(InvalidError):
        make_request(PRODUCT, begin=request.end, end=request.begin)
