"""Says whether a value is one that a setting (or an argument of a command) may have. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from core.product import Setting
from gateway.sheet_table import did_you_mean

TEXT_MAX = 200
"""Characters of a text value."""


def fault_of(setting: Setting, value: Any) -> str | None:
    """Return what is wrong with a value, None when it is sound."""
    match setting.type:
        case "flag":
            return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
        case "choice":
            wanted = ", ".join(setting.choices)
            return None if value in setting.choices else f"must be one of {wanted}, not {value!r}"
        case "text":
            if not isinstance(value, str) or len(value) > TEXT_MAX:
                return f"must be a text of at most {TEXT_MAX} characters"
            return None
        case "number" | "integer":
            return _fault_of_number(setting, value)


def faults_of(settings: Sequence[Setting], values: Mapping[str, Any], *, kind: str) -> list[str]:
    """Return a sentence for every value that is unknown or wrong; None as a value is sound."""
    known = {setting.name: setting for setting in settings}
    found = []
    for name, value in values.items():
        if name not in known:
            found.append(f'there is no {kind} "{name}" — {did_you_mean(name, set(known))}')
        elif value is not None and (fault := fault_of(known[name], value)):
            found.append(f'{kind} "{name}" {fault}')
    return found


def _fault_of_number(setting: Setting, value: Any) -> str | None:
    kinds = int if setting.type == "integer" else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        what = "a whole number" if setting.type == "integer" else "a number"
        return f"must be {what}, not {value!r}"
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.low is not None and value < setting.low:
        return f"must be at least {setting.low:g}{unit}, but is {value}"
    if setting.high is not None and value > setting.high:
        return f"must be at most {setting.high:g}{unit}, but is {value}"
    return None
