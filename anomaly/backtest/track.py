"""What a replay takes and gives: a device's stream, and what the scorer made of it. Pure records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from anomaly.learn.history import History
from anomaly.learn.labels import Labels
from anomaly.records import FloatArray, IntArray, Samples, ServiceEvent
from core import tickets

STATUSES = tickets.STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One device's stored stream and what is known of it besides."""

    device: str
    begins_us: int
    """When its life began."""
    first_us: int
    until_us: int
    samples: Callable[[int, int], Samples]
    """From and until, microseconds since 1970, the second excluded."""
    findings: Sequence[ServiceEvent] = ()
    traits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What the scorer made of one device."""

    history: History
    made_us: IntArray
    """Instants of forecasts; shape (n,)."""
    status: IntArray
    """Place in `STATUSES`; (n, modes)."""
    p_fail: FloatArray
    """Within each of `HORIZONS_HOURS`, NaN where nothing is claimed; (n, modes, 3)."""
    life_hours: FloatArray
    """Quantiles of remaining life at `LIFE_SHARES`, inf beyond any horizon; (n, modes, 5)."""
    worn: FloatArray
    """Degradation of each part, 0 as new to 1 failed, as precisely as it is stored; 0 where nothing is known; (n, modes)."""
    labels: Labels
    sensors: tuple[tuple[int, str], ...]
    """Instants at which a sensor was reported as bad, and its metric."""
    faults: tuple[tuple[int, int], ...] = ()
    """Instants at which the device reported a failure of its own, and the failure mode's place; oldest first."""
    components: tuple[int, ...] = ()
    """Place of each failure mode's component in the catalog."""
