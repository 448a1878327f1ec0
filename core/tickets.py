"""The border between forecasts and tickets, for whoever asks what a row of forecasts would have opened. Records.

`maintenance` decides and `anomaly` judges; neither imports the other. What opens tickets is found as
commands are: by an entry point, in the group `forecare.deciders`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from core.errors import InvalidError, PermanentError
from core.product import Product

Status = Literal["learning", "ok", "declining", "failed", "no_data"]

STATUSES: tuple[Status, ...] = ("learning", "ok", "declining", "failed", "no_data")
"""Of a forecast; rows hold the place in it."""
HORIZONS_DAYS = (1, 7, 30)
_OF_MAX = 62


class TicketPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When forecasts are believed, and when a ticket is over."""

    confirm: int
    """So many of the last `of` forecasts must want a visit before a ticket opens."""
    of: int
    calm_forecasts: int
    """So many calm ones in a row end a preventive ticket, twice as many a corrective one."""
    threshold: float | None = None
    """A visit is wanted above this chance of failing before anybody could come, whatever it costs. None: where
    waiting costs more than acting."""

    def __post_init__(self) -> None:
        if not 1 <= self.confirm <= self.of <= _OF_MAX:
            raise InvalidError(
                f"a ticket cannot need {self.confirm} of the last {self.of} forecasts",
                hint=f"1 <= confirm <= of <= {_OF_MAX}",
            )


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was there."""

    at_us: int
    failure_modes: tuple[str, ...]
    """Whose tickets it ended."""
    verdict: Literal["confirmed", "no_fault_found"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRows:
    """All that was forecast for one device; columns follow the failure modes of its product."""

    at_us: "np.ndarray[Any, np.dtype[np.int64]]"
    """Event time, microseconds since 1970, rising; shape (n,)."""
    status: "np.ndarray[Any, np.dtype[np.int64]]"
    """Place in `STATUSES`; (n, modes)."""
    p_fail: "np.ndarray[Any, np.dtype[np.float64]]"
    """Within each of `HORIZONS_DAYS`, NaN for unknown; (n, modes, 3)."""
    life_hours: "np.ndarray[Any, np.dtype[np.float64]]"
    """Quantiles of remaining life at 10, 50 and 90 %, infinite where beyond any horizon; (n, modes, 3)."""
    visits: Sequence[Visit] = ()
    """Oldest first."""


class TicketSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A preventive ticket about one failure mode."""

    failure_mode: str
    opened_us: int
    cleared_us: int | None
    """None: still open."""


class Decider(Protocol):
    """What opens tickets."""

    @property
    def live(self) -> TicketPolicy:
        """Return the policy by which tickets open live."""
        ...

    def tickets(
        self, product: Product, rows: ForecastRows, *, policy: TicketPolicy
    ) -> tuple[TicketSpan, ...]:
        """Return the preventive tickets that one device's forecasts would have opened, oldest first."""
        ...


def find_decider() -> Decider:
    """Return what opens tickets in this installation.

    Raises
    ------
    PermanentError
        If nothing does.
    """
    for entry in entry_points(group="forecare.deciders", name="tickets"):
        decider: Decider = entry.load()
        return decider
    raise PermanentError(
        "nothing in this installation opens tickets: it is older than its source",
        hint="install it again (`make setup`)",
    )
