"""How alerts come of forecasts in a backtest, and what `--what-if` may change about it. Pure."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from anomaly.policy import Policy
from core.errors import InvalidError
from core.product import FailureMode
from core.units import US, format_duration, parse_duration

CONFIRM, OF = 2, 3
"""So many of the last forecasts must agree: as for tickets."""
CLEAR_SHARE = 0.5
"""Below this share of the threshold a forecast is calm: as for tickets."""
COOLDOWN_FORECASTS = 4
"""An alert that comes back within so many forecasts was never over: as for tickets."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What `--what-if` asks for; None: as it is."""

    threshold: float | None = None
    """Chance of failing within the time that the scheduler needs, from which on an alert opens."""
    confirm: int | None = None
    of: int | None = None
    cooldown: timedelta | None = None

    @property
    def text(self) -> str:
        """In words: "threshold 0.2, confirm 3"."""
        parts = [
            f"{key} {format_duration(value) if isinstance(value, timedelta) else f'{value:g}'}"
            for key, value in msgspec.structs.asdict(self).items()
            if value is not None
        ]
        return ", ".join(parts)

    def of_policy(self, policy: Policy) -> Policy:
        """Return a policy with the change made."""
        changed = policy if self.threshold is None else policy.at(self.threshold)
        wanted: dict[str, int] = {}
        if self.confirm is not None:
            wanted["confirm"] = self.confirm
        if self.of is not None:
            wanted["of"] = self.of
        if self.cooldown is not None:
            wanted["cooldown_us"] = self.cooldown // US
        return msgspec.structs.replace(changed, **wanted)


def policy_of(mode: FailureMode, *, forecast_every: timedelta) -> Policy:
    """Alert where waiting costs more than a visit, by the costs of the product sheet."""
    threshold = 1.0
    if mode.cost_of_failure > 0:
        threshold = min(1.0, mode.cost_of_visit / mode.cost_of_failure)
    return Policy(
        open_above=threshold,
        clear_below=CLEAR_SHARE * threshold,
        confirm=CONFIRM,
        of=OF,
        cooldown_us=COOLDOWN_FORECASTS * (forecast_every // US),
    )


def parse_changes(texts: Sequence[str]) -> Change | None:
    """Read `threshold=0.2`, `confirm=3`, `of=4`, `cooldown=2d`; several are one change.

    Raises
    ------
    InvalidError
        For an unknown key, a value that is none, or a key that is given twice.
    """
    found: dict[str, Any] = {}
    for text in (part for whole in texts for part in whole.split(",")):
        key, is_given, value = (part.strip() for part in text.partition("="))
        if key not in _READERS:
            raise InvalidError(
                f"--what-if {text!r}: there is nothing called {key!r} to change", hint=_KEYS
            )
        if key in found:
            raise InvalidError(f"--what-if: {key} is given twice", hint="give each key once")
        try:
            found[key] = _READERS[key](value)
        except ValueError as error:
            said = f"{value!r}: {error}" if is_given else "it needs a value"
            raise InvalidError(f"--what-if {key}: {said}", hint=_KEYS) from None
    return Change(**found) if found else None


def _chance(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError("a threshold is a chance, above 0 and at most 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("it must be at least 1")
    return value


_READERS: dict[str, Callable[[str], object]] = {
    "threshold": _chance,
    "confirm": _count,
    "of": _count,
    "cooldown": parse_duration,
}
_KEYS = (
    "keys: threshold=0.2 (chance of failing in time, above 0, at most 1), confirm=3 and of=4 (3 of the"
    " last 4 forecasts must agree), cooldown=2d (an alert that comes back sooner was never over)"
)
