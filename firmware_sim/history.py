"""What a device was set to and which firmware it ran, from when on, in simulated time. Pure.

A machine makes the samples of any instant anew after a crash, so it must know what held at that
instant, not only what holds now. Whoever adds an entry keeps it on disk first (`memory.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.noise import FloatArray, IntArray

_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFrom:
    """The settings that hold from an instant on."""

    at_s: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareFault:
    """A fault in a firmware: a part is driven so that its meters show wear which is not there."""

    failure_mode: str
    wear: float
    """How far the meters go, 0 to 1."""
    days: float
    """How long it takes to show fully."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareFrom:
    """The firmware that runs from an instant on."""

    at_s: int
    version: str
    fault: FirmwareFault | None = None
    """None: it does what it should, on this device."""


@dataclass(slots=True, kw_only=True)
class History:
    """Entries are in the order of their instants."""

    settings: list[SettingsFrom] = field(default_factory=list)
    firmware: list[FirmwareFrom] = field(default_factory=list)

    def setting(self, name: str, at_s: IntArray, *, default: float) -> FloatArray:
        """Return the value of a setting at a row of instants."""
        values = np.full(len(at_s), default, dtype=np.float64)
        for entry in self.settings:
            values[at_s >= entry.at_s] = entry.values.get(name, default)
        return values

    def feigned_wear(self, failure_mode: str, at_s: IntArray) -> FloatArray:
        """Return the wear that a faulty firmware makes the meters show, at a row of instants."""
        wear = np.zeros(len(at_s))
        for entry in self.firmware:
            from_here = at_s >= entry.at_s
            wear[from_here] = 0.0
            fault = entry.fault
            if fault is not None and fault.failure_mode == failure_mode:
                share = (at_s[from_here] - entry.at_s) / (fault.days * _DAY_S)
                wear[from_here] = fault.wear * np.clip(share, 0, 1)
        return wear
