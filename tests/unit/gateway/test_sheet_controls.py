"""What a sheet says about settings and commands, and what that makes of a value."""

import pytest

from core.product import Setting
from gateway.setting_values import fault_of, faults_of
from gateway.sheet import parse_sheet
from tests.integration.gateway.sheets import SMALL
from tests.unit.gateway.test_sheet import faults

CONTROLS = (
    SMALL
    + """
[[setting]]
name = "target_c"
title = "Target"
type = "number"
unit = "°C"
low = 40
high = 100
default = 95

[[setting]]
name = "mode"
title = "Mode"
type = "choice"
choices = ["tea", "coffee"]

[[command]]
name = "whistle"
title = "Whistle"

  [[command.arg]]
  name = "seconds"
  title = "How long"
  type = "integer"
  low = 1
"""
)
TARGET = Setting(name="target_c", title="Target", type="number", unit="°C", low=40, high=100)


def test_settings_and_commands_of_a_sheet_are_read() -> None:
    product = parse_sheet(CONTROLS, source="kettle.toml")

    assert [(s.name, s.type, s.default) for s in product.settings] == [
        ("target_c", "number", 95),
        ("mode", "choice", None),
    ]
    assert [(c.name, [a.name for a in c.args]) for c in product.commands] == [
        ("whistle", ["seconds"])
    ]


def test_a_sheet_may_leave_them_out() -> None:
    product = parse_sheet(SMALL, source="kettle.toml")

    assert (product.settings, product.commands) == ((), ())


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('type = "number"', 'type = "float"', 'type = "float"', "write one of number"),
        ("default = 95", "default = 20", "default = 20", "at least 40 °C"),
        ("default = 95", "default = [95]", "default = [95]", "must be a number"),
        ("high = 100", "high = 30", "high = 30", 'below "low"'),
        ('choices = ["tea", "coffee"]', "", 'type = "choice"', 'needs "choices"'),
        ('name = "mode"', 'name = "target_c"', 'name = "target_c"', "stands twice"),
        ('title = "Whistle"', 'titel = "Whistle"', 'titel = "Whistle"', 'did you mean "title"?'),
    ],
)
def test_a_fault_names_its_line_and_remedy(old: str, new: str, where: str, what: str) -> None:
    text = CONTROLS.replace(old, new, 1)

    found = faults(text)

    line = max(n for n, line in enumerate(text.splitlines(), 1) if where in line)
    assert any(fault.startswith(f"kettle.toml:{line}:") and what in fault for fault in found)


@pytest.mark.parametrize("value", [40, 99.5, 100])
def test_a_number_within_its_limits_is_sound(value: float) -> None:
    assert fault_of(TARGET, value) is None


@pytest.mark.parametrize("value", [39.9, 101, True, "95", float("nan"), None])
def test_anything_else_is_told_what_it_must_be(value: object) -> None:
    assert fault_of(TARGET, value)


def test_every_wrong_value_is_told_at_once_and_none_means_take_it_away() -> None:
    found = faults_of([TARGET], {"target_c": 20, "targt": 1}, kind="setting")

    assert len(found) == 2
    assert 'did you mean "target_c"?' in found[1]
    assert faults_of([TARGET], {"target_c": None}, kind="setting") == []
