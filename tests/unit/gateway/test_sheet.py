"""A sheet is read into records, or every fault of it is told with line and remedy."""

import pytest

from core.errors import ConflictError, InvalidError, NotFoundError
from gateway.service import added_metrics
from gateway.sheet import parse_sheet, sheet_path, shipped_sheet
from tests.integration.gateway.sheets import SMALL, WIDER


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        parse_sheet(text, source="kettle.toml")
    return str(caught.value).splitlines()


def line_of(text: str, wanted: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if wanted in line)


def test_a_sound_sheet_becomes_a_product() -> None:
    product = parse_sheet(SMALL, source="kettle.toml")

    assert [metric.name for metric in product.metrics] == ["water_c", "power_w", "boils"]
    assert product.metric("boils").precise
    assert product.failure_mode("scale").evidence[0].direction == "up"


def test_a_failure_mode_has_its_own_budget_of_false_alarms_or_a_share_of_the_products() -> None:
    shipped = shipped_sheet("heat_pump")
    text = sheet_path("heat_pump").read_text(encoding="utf-8")
    given = text.replace("lead_time =", "false_alarms_per_year = 0.05\nlead_time =", 1)

    product = parse_sheet(given, source="heat_pump.toml")

    own, other = product.failure_modes[:2]
    assert product.false_alarms_allowed(own) == 0.05
    assert product.false_alarms_allowed(other) == pytest.approx(
        1 / sum(bool(m.evidence) for m in shipped.failure_modes)
    )


@pytest.mark.parametrize("name", ["heat_pump", "water_pump"])
def test_the_shipped_sheets_are_sound(name: str) -> None:
    assert shipped_sheet(name).name == name


def test_a_sheet_that_does_not_ship_is_named_with_those_that_do() -> None:
    with pytest.raises(NotFoundError) as caught:
        sheet_path("toaster")

    assert "heat_pump" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        (
            'metric = "power_w"',
            'metric = "power_v"',
            'metric = "power_v"',
            'did you mean "power_w"?',
        ),
        ('unit = "W"', 'units = "W"', 'units = "W"', 'did you mean "unit"?'),
        ("range = [0, 4000]", "range = [4000, 0]", "range = [4000, 0]", "not below"),
        ("range = [0, 4000]", 'range = "0..4000"', 'range = "0..4000"', "[lowest, highest]"),
        ("range = [0, 4000]", "range = [0, 1e300]", "range = [0, 1e300]", "precise = true"),
        ("range = [0, 4000]", "range = [0, nan]", "range = [0, nan]", "finite"),
        ('window = "1 h"', 'window = "1 hour"', 'window = "1 hour"', "no duration"),
        ('window = "1 h"', "window = 3600", "window = 3600", "must be a text"),
        ('window = "1 h"', 'window = "1 s"', 'window = "1 s"', 'shorter than "interval"'),
        ('name = "boils"', 'name = "power_w"', 'name = "power_w"', "stands twice"),
        ('name = "boils"', 'name = "measured_at"', 'name = "measured_at"', "choose another name"),
        ('name = "boils"', 'name = "Boils"', 'name = "Boils"', "a-z"),
        ("precise = true", "precise = 1", "precise = 1", "true or false"),
        (
            'unit = "W"',
            'unit = "W"\ndepends_on = ["watr_c"]',
            "depends_on",
            'did you mean "water_c"?',
        ),
        ('unit = "W"', 'unit = "W"\ndepends_on = ["power_w"]', "depends_on", "itself"),
        ('direction = "up"', 'direction = "left"', "left", '"up", "down" or "both"'),
        ("cost_of_visit = 20", "cost_of_visit = -20", "cost_of_visit = -20", "negative"),
        ('component = "heater"', 'component = "heater"\nagree = 2', "agree = 2", "1 evidence"),
        ("[product]", '[product]\nfault_metric = "code"', "fault_metric", "no metric"),
        (
            "[product]",
            '[product]\nrunning = { metric = "powr_w", above = 5 }',
            "running",
            "power_w",
        ),
        ("[product]", '[product]\nname = "x', 'name = "x', ""),
    ],
)
def test_a_fault_is_told_with_its_line_and_its_remedy(
    old: str, new: str, where: str, what: str
) -> None:
    text = SMALL.replace(old, new, 1)

    told = faults(text)

    lines = [n for n, line in enumerate(text.splitlines(), 1) if where in line]
    assert any(f"kettle.toml:{n}:" in fault and what in fault for fault in told for n in lines), (
        told
    )


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = SMALL.replace('unit = "W"', "unit = 5").replace('lead_time = "7 d"', 'lead_time = "7"')

    told = faults(text)

    assert [int(fault.split(":")[1]) for fault in told] == [
        line_of(text, "unit = 5"),
        line_of(text, 'lead_time = "7"'),
    ]


def test_a_missing_key_is_told_at_its_table() -> None:
    text = SMALL.replace('title = "Power"\n', "")

    told = faults(text)

    assert told == [f'kettle.toml:{line_of(text, "power_w") - 1}: "title" is missing in [metric]']


def test_more_metrics_than_a_table_should_have_are_refused() -> None:
    metrics = "".join(
        f'[[metric]]\nname = "m{i}"\ntitle = "M"\nunit = ""\nrange = [0, 1]\n' for i in range(65)
    )

    told = faults(SMALL + metrics)

    assert "more than 64" in told[0]


def test_a_metric_may_be_added_but_neither_dropped_nor_changed() -> None:
    before, wider = parse_sheet(SMALL, source="a"), parse_sheet(WIDER, source="b")
    other_unit = parse_sheet(SMALL.replace('unit = "W"', 'unit = "kW"'), source="c")
    other_type = parse_sheet(SMALL.replace("precise = true\n", ""), source="d")

    assert [metric.name for metric in added_metrics(before, wider, source="b")] == ["lid_open"]
    for after in (other_unit, other_type):
        with pytest.raises(ConflictError):
            added_metrics(before, after, source="x")
    with pytest.raises(ConflictError):
        added_metrics(wider, before, source="x")
