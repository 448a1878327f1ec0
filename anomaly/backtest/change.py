"""What `--what-if` may change about how tickets open, and how the alerts of controls do. Pure."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from anomaly.policy import Policy
from core.errors import InvalidError
from core.product import FailureMode, Product
from core.tickets import TicketPolicy
from core.units import US, format_duration, parse_duration

CONFIRM, OF = 2, 3
"""So many of the last forecasts must agree before a control alerts: as for tickets."""
CLEAR_SHARE = 0.5
"""Below this share of the threshold a control is calm: as for tickets."""
COOLDOWN_FORECASTS = 4
"""A control's alert that comes back within so many forecasts was never over: as many as end a ticket."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What `--what-if` asks for; None: as it is."""

    threshold: float | None = None
    """Chance of failing within lead time and scheduling above which a visit is wanted, in the place of all costs."""
    confirm: int | None = None
    of: int | None = None
    cooldown: timedelta | None = None
    """Values must have been calm for so long before a ticket is over."""
    cost_of_visit: float | None = None
    """In the place of what the sheet says, for all failure modes."""
    cost_of_failure: float | None = None

    @property
    def text(self) -> str:
        """In words: "threshold 0.2, confirm 3"."""
        parts = [
            f"{key.replace('_', ' ')} {format_duration(value) if isinstance(value, timedelta) else f'{value:g}'}"
            for key, value in msgspec.structs.asdict(self).items()
            if value is not None
        ]
        return ", ".join(parts)

    def of_policy(self, policy: TicketPolicy, *, forecast_every: timedelta) -> TicketPolicy:
        """Return a policy with the change made."""
        wanted: dict[str, Any] = {
            key: value
            for key in ("threshold", "confirm", "of")
            if (value := getattr(self, key)) is not None
        }
        if self.cooldown is not None:
            wanted["calm_forecasts"] = max(1, -(-self.cooldown // forecast_every))
        return msgspec.structs.replace(policy, **wanted)

    def of_product(self, product: Product) -> Product:
        """Return a product with the costs changed."""
        costs = {
            key: value
            for key in ("cost_of_visit", "cost_of_failure")
            if (value := getattr(self, key)) is not None
        }
        modes = [msgspec.structs.replace(mode, **costs) for mode in product.failure_modes]
        return msgspec.structs.replace(product, failure_modes=tuple(modes))


def control_policy(mode: FailureMode, *, forecast_every: timedelta) -> Policy:
    """Let a rule alert that tells nothing but a chance of failing within lead time and scheduling: where that is
    at least cost of a visit / cost of a failure."""
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
    """Read `threshold=0.2`, `confirm=3`, `of=4`, `cooldown=2d`, `cost_of_visit=120`; several are one change.

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
            said = f"{value!r}: {error}" if is_given and value else "it needs a value"
            raise InvalidError(f"--what-if {key}: {said}", hint=_KEYS) from None
    return Change(**found) if found else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("that is no number") from None


def _chance(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise ValueError("a threshold is a chance, above 0 and at most 1")
    return value


def _cost(text: str) -> float:
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise ValueError("a cost is at least 0")
    return value


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ValueError("that is no whole number") from None
    if value < 1:
        raise ValueError("it must be at least 1")
    return value


_READERS: dict[str, Callable[[str], object]] = {
    "threshold": _chance,
    "confirm": _count,
    "of": _count,
    "cooldown": parse_duration,
    "cost_of_visit": _cost,
    "cost_of_failure": _cost,
}
_KEYS = (
    "keys: threshold=0.2 (chance of failing in time above which a visit is wanted, above 0, at most 1), confirm=3 and"
    " of=4 (3 of the last 4 forecasts must agree), cooldown=2d (values must be calm for so long before a ticket is"
    " over), cost_of_visit=120 and cost_of_failure=900 (in the place of the sheet's)"
)
