"""Reads what a product sheet says about settings and commands of its devices. Pure."""

from typing import Any, cast

from core.product import DeviceCommand, Setting, SettingType, SettingValue
from gateway.setting_values import fault_of
from gateway.sheet_table import (
    Table,
    WrongError,
    check_unique,
    read_any_text,
    read_name,
    read_number,
    read_text,
    read_texts,
)

SETTINGS_MAX = 64
COMMANDS_MAX = 64
ARGS_MAX = 16
_TYPES: tuple[SettingType, ...] = ("number", "integer", "flag", "text", "choice")


def settings_of(sheet: Table) -> tuple[Setting, ...]:
    """Read `[[setting]]`, which a sheet may leave out."""
    return _settings(sheet, "setting", count_max=SETTINGS_MAX)


def commands_of(sheet: Table) -> tuple[DeviceCommand, ...]:
    """Read `[[command]]`, which a sheet may leave out."""
    tables = sheet.tables("command")
    check_unique(tables, kind="command")
    _check_count(tables, "commands", count_max=COMMANDS_MAX)
    found = [_command(table) for table in tables]
    return tuple(command for command in found if command is not None)


def _command(table: Table) -> DeviceCommand | None:
    name, title = table.take("name", read_name), table.take("title", read_text)
    args = _settings(table, "arg", count_max=ARGS_MAX)
    table.close()
    if name is None or title is None:
        return None
    return DeviceCommand(name=name, title=title, args=args)


def _settings(around: Table, key: str, *, count_max: int) -> tuple[Setting, ...]:
    tables = around.tables(key)
    check_unique(tables, kind=key)
    _check_count(tables, f"{key}s", count_max=count_max)
    found = [_setting(table) for table in tables]
    return tuple(setting for setting in found if setting is not None)


def _setting(table: Table) -> Setting | None:
    name, title = table.take("name", read_name), table.take("title", read_text)
    kind = table.take("type", _type)
    unit = table.take("unit", read_any_text, default="")
    low, high = table.optional("low", read_number), table.optional("high", read_number)
    choices = table.optional("choices", read_texts)
    default = table.optional("default", _value)
    table.close()
    if low is not None and high is not None and low > high:
        table.fault(("high",), f'"high" is {high:g}, below "low" {low:g}')
    if kind == "choice" and not choices:
        table.fault(("type",), 'a choice needs "choices", such as ["off", "eco", "boost"]')
    if name is None or title is None or kind is None:
        return None
    setting = Setting(
        name=name,
        title=title,
        type=kind,
        unit=unit or "",
        low=low,
        high=high,
        choices=choices or (),
        default=default,
    )
    if default is not None and (fault := fault_of(setting, default)):
        table.fault(("default",), f'"default" {fault}')
    return setting


def _check_count(tables: list[Table], what: str, *, count_max: int) -> None:
    if len(tables) > count_max:
        tables[count_max].fault((), f"{len(tables)} {what}, more than {count_max}")


def _type(value: Any) -> SettingType:
    if value not in _TYPES:
        raise WrongError(f"{value!r} is no type — write one of {', '.join(_TYPES)}")
    return cast(SettingType, value)


def _value(value: Any) -> SettingValue:
    if not isinstance(value, bool | int | float | str):
        raise WrongError(f"must be a number, a text or true or false, not {value!r}")
    return value
