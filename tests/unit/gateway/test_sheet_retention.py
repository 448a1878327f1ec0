"""How long rows are kept is read from the sheet, with defaults that never take what may still come."""

from datetime import timedelta

import pytest

from core.errors import InvalidError
from core.product import Retention, product_from_json, product_to_json
from gateway.sheet import parse_sheet
from tests.integration.gateway.sheets import SMALL

DAY = timedelta(days=1)


def kept(lines: str, *, sheet: str = SMALL) -> Retention:
    return parse_sheet(f"{sheet}\n[retention]\n{lines}", source="kettle.toml").retention


def test_a_sheet_without_a_word_keeps_samples_for_400_days_and_days_for_ever() -> None:
    found = parse_sheet(SMALL, source="kettle.toml").retention

    assert found == Retention(
        raw=400 * DAY, hourly=1825 * DAY, daily=None, windows=1825 * DAY, dead_letters=90 * DAY
    )


def test_each_kind_is_kept_as_long_as_the_sheet_says() -> None:
    found = kept(
        'raw = "500 d"\nhourly = "2 y"\ndaily = "10 y"\ndead_letters = "30 d"\nwindows = "600 d"'
    )

    assert (found.raw, found.windows, found.dead_letters) == (500 * DAY, 600 * DAY, 30 * DAY)
    assert (found.hourly, found.daily) == (timedelta(days=730.5), timedelta(days=3652.5))


def test_what_is_kept_for_ever_keeps_what_is_summed_up_from_it() -> None:
    assert kept('raw = "forever"') == Retention(dead_letters=90 * DAY)


def test_a_long_history_lengthens_what_is_kept() -> None:
    long = SMALL.replace('history_max = "400 d"', 'history_max = "30 y"')

    assert parse_sheet(long, source="kettle.toml").retention.raw == timedelta(days=30 * 365.25)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('raw = "7 d"', 'shorter than "history_max"'),
        ('hourly = "7 d"', 'shorter than "raw"'),
        ('daily = "1 y"', 'shorter than "hourly"'),
        ('windows = "399 d"', 'shorter than "raw"'),
        ('raw = "forever"\nhourly = "9 y"', 'shorter than "raw" (forever)'),
        ('raw = "always"', 'or write "forever"'),
        ('weekly = "1 y"', 'unknown key "weekly"'),
    ],
)
def test_a_fault_is_told_with_its_line_and_remedy(line: str, what: str) -> None:
    with pytest.raises(InvalidError) as caught:
        kept(line)

    lines = f"{SMALL}\n[retention]\n{line}".splitlines()
    assert what in str(caught.value)
    assert f"kettle.toml:{lines.index(line.splitlines()[-1]) + 1}:" in str(caught.value)


def test_a_product_that_was_registered_before_keeps_everything() -> None:
    before = product_to_json(parse_sheet(SMALL, source="kettle.toml"))
    stored = before[: before.index(',"retention"')] + "}"

    assert product_from_json(stored).retention == Retention()
