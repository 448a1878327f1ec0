"""What the scorer carries from window to window for one device; exact to the bit when stored as JSON."""

from base64 import b64decode, b64encode
from typing import Literal

import msgspec

from anomaly.stream.detector import Detector

Reason = Literal["sensor", "stuck", "missing", "range", "spikes", "unit"]
"""What is wrong with a sensor."""
Values = list[float | None]
"""One per watched metric; None where nothing is known."""


class ModeState(msgspec.Struct, kw_only=True, omit_defaults=True):
    degradation: float = 0.0
    trace: float = 0.0
    """Degradation before it is sure that it is this mode: the early path of a fault."""
    score: float = 0.0
    hits: int = 0
    """One bit per window, the newest lowest: the mode explains what is seen."""
    is_raised: bool = False
    since_us: int | None = None
    reported_us: int | None = None
    """Since when the device itself reports this failure."""
    tolerated: float = 0.0
    """Degradation at which a technician found no fault: only what goes beyond it counts."""
    tolerated_us: int | None = None
    serviced_us: int | None = None
    path_from_us: int | None = None
    """Since when the path counts: what was before belongs to another part."""
    path_us: list[int] = msgspec.field(default_factory=list)
    path: list[float] = msgspec.field(default_factory=list)
    """Kept in a table of its own, and only read while it is needed."""


class SensorState(msgspec.Struct, kw_only=True, omit_defaults=True):
    hits: int = 0
    is_raised: bool = False
    reason: Reason = "sensor"
    conversion: str = ""
    """Where the reason is its unit: how its values come from those that are normal."""
    score: float = 0.0


class DeviceState(msgspec.Struct, kw_only=True):
    phase: Literal["learning", "scoring"] = "learning"
    learn_from_us: int
    learn_until_us: int
    through_us: int
    """Everything up to this instant has been taken into account."""
    windows_us: int
    """End of the last window that was scored."""
    forecast_us: int
    """Instant of the last forecast."""
    fault_code: int = 0
    serviced_us: int | None = None
    """When a part was last exchanged: windows that began before show the old one."""
    newest_us: int | None = None
    """End of the newest window that had data."""
    offsets: Values = msgspec.field(default_factory=list)
    smooth: Values = msgspec.field(default_factory=list)
    weight: list[float] = msgspec.field(default_factory=list)
    unseen: list[int] = msgspec.field(default_factory=list)
    """Windows since each metric was last usable."""
    away_us: list[int | None] = msgspec.field(default_factory=list)
    """Since when each metric has been away from normal."""
    observed: Values = msgspec.field(default_factory=list)
    expected: Values = msgspec.field(default_factory=list)
    spread: Values = msgspec.field(default_factory=list)
    excess: list[float] = msgspec.field(default_factory=list)
    conditions: Values = msgspec.field(default_factory=list)
    reference: Values = msgspec.field(default_factory=list)
    reference_spread: Values = msgspec.field(default_factory=list)
    detector: Detector | None = None
    """What the device has learned of itself; only where devices are compared with their own past."""
    anew_from_us: list[int | None] = msgspec.field(default_factory=list)
    """Since when the normal of each watched metric is being learned anew; empty: of none."""
    anew_until_us: list[int | None] = msgspec.field(default_factory=list)
    modes: dict[str, ModeState] = msgspec.field(default_factory=dict)
    sensors: dict[str, SensorState] = msgspec.field(default_factory=dict)
    services: list[int] = msgspec.field(default_factory=list)
    """Findings that have been taken into account, newest last."""


def state_to_json(state: DeviceState) -> str:
    return msgspec.json.encode(state, enc_hook=_kept).decode()


def state_to_builtins(state: DeviceState) -> object:
    """Return what `state_from_json` reads, before it is text."""
    return msgspec.to_builtins(state, enc_hook=_kept)


def state_from_json(value: object) -> DeviceState:
    return msgspec.convert(value, DeviceState, dec_hook=_restored)


def _kept(detector: Detector) -> str:
    return b64encode(detector.to_bytes()).decode()


def _restored(kind: type, kept: str) -> Detector:  # noqa: ARG001 - msgspec's form
    return Detector.from_bytes(b64decode(kept))


def first_state(*, first_us: int, window_us: int, learning_us: int) -> DeviceState:
    """Begin with a device whose first sample was measured at `first_us`."""
    start = first_us // window_us * window_us
    return DeviceState(
        learn_from_us=start,
        learn_until_us=start + -(-learning_us // window_us) * window_us,
        through_us=first_us - 1,
        windows_us=start,
        forecast_us=first_us - 1,
    )
