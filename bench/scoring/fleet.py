"""A fleet to be scored: samples of any number of devices, and the states in which they begin. Pure.

Devices come in 40 kinds, whose offsets and states are learned from two days of their own; every device has
noise of its own. One in a hundred wears, one in two hundred has a sensor that is stuck.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, summarise
from anomaly.packed import Names, PackedStates, packed_states
from anomaly.records import FleetSamples, FloatArray, IntArray, Samples, side_by_side
from anomaly.scorer import advance
from anomaly.state import DeviceState, first_state
from anomaly.yardstick import Yardstick
from core.product import Product
from core.units import US
from gateway.sheet import parse_sheet

KINDS = 40
WORN_ONE_IN, STUCK_ONE_IN = 100, 200
MINUTE_US = 60_000_000
BEGINS_US = 1_790_000_000_000_000 // (86_400 * 1_000_000) * 86_400 * 1_000_000
"""Midnight at which the measured part begins."""
Table = NDArray[np.float32]
_SEED = 20_260_901


def sheet_toml(name: str) -> str:
    text = resources.files(__package__).joinpath("pump.toml").read_text(encoding="utf-8")
    return text.replace('"NAME"', f'"{name}"')


@dataclass(frozen=True)
class Fleet:
    """Devices 0 to `devices` - 1 of one product."""

    name: str
    devices: int

    @cached_property
    def product(self) -> Product:
        return parse_sheet(sheet_toml(self.name), source=f"{self.name}.toml")

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.product)

    @cached_property
    def learning_minutes(self) -> int:
        return int(self.product.learning // US) // MINUTE_US

    def table(self, first_minute: int, minutes: int) -> Table:
        """Values of all devices; float32, (metrics, minutes, devices).

        Each minute has randomness of its own, so a longer stretch begins like a shorter one.
        """
        found = np.empty((len(self.product.metrics), minutes, self.devices), dtype=np.float32)
        for row in range(minutes):
            found[:, row] = _minute(first_minute + row, self.devices)
        return found

    def samples(self, table: Table, first_minute: int) -> FleetSamples:
        """Return a table as samples, device after device."""
        minutes = table.shape[1]
        at_us = BEGINS_US + (first_minute + np.arange(minutes, dtype=np.int64)) * MINUTE_US
        columns = [column.T.ravel().astype(np.float64) for column in table]
        return FleetSamples(
            owner=np.repeat(np.arange(self.devices), minutes),
            at_us=np.tile(at_us, self.devices),
            values=side_by_side(columns, rows=minutes * self.devices),
        )

    @cached_property
    def baseline(self) -> Baseline:
        return self._learned[0].baseline  # type: ignore[return-value]

    @property
    def yard(self) -> Yardstick:
        return self._learned[0]

    @cached_property
    def _learned(self) -> tuple[Yardstick, PackedStates]:
        """Learn the product from one device of each kind, and the kinds' states."""
        kinds = Fleet(self.name, KINDS)
        first = -self.learning_minutes
        samples = kinds.samples(kinds.table(first, self.learning_minutes), first)
        each = [samples.of(place) for place in range(KINDS)]
        ranges = learned_ranges(self.layout, each)
        windows = [summarise(self.layout, own, ranges=ranges) for own in each]
        yard = Yardstick(self.layout, fit_baseline(self.layout, windows, ranges=ranges))
        return yard, packed_states(Names.of(self.layout), [self._state(yard, own) for own in each])

    def _state(self, yard: Yardstick, samples: Samples) -> DeviceState:
        state = first_state(
            first_us=int(samples.at_us[0]),
            window_us=self.layout.window_us,
            learning_us=self.product.learning // US,
        )
        advance(yard, state, samples, through_us=BEGINS_US)
        return state

    def states(self) -> PackedStates:
        """All devices, learned and about to begin with the measured part."""
        return self._learned[1].of((np.arange(self.devices) % KINDS).tolist())


def _minute(minute: int, devices: int) -> FloatArray:
    """One sample of every device; (metrics, devices)."""
    device = np.arange(devices)
    kind = np.random.default_rng(_SEED).normal(size=(6, KINDS))[:, device % KINDS]
    noise = np.random.default_rng([_SEED, minute + 10_000_000]).standard_normal(
        (8, devices), dtype=np.float32
    )
    day = minute / 1440 + (device % KINDS) / KINDS
    ambient = 8 + 5 * np.sin(2 * np.pi * day) + 0.2 * noise[0]
    load = np.clip(60 + 25 * np.sin(2 * np.pi * day + 1) + 8 * noise[1], 10, 120)
    outlet = 35 + 0.1 * load + 0.5 * noise[2]
    worn = ((device % WORN_ONE_IN == 7) & (minute >= 0)) * min(0.6, max(0, minute) / 20_000 + 0.15)
    values = (
        ambient,
        load,
        outlet,
        300 + 22 * load + 0.05 * load**2 + 6 * outlet - 4 * ambient + 15 * kind[0] + 20 * noise[3],
        40 + 0.4 * load + 0.6 * outlet + 0.1 * ambient + kind[1] + 0.8 * noise[4],
        0.6 + 0.004 * load + 0.002 * ambient + 0.02 * kind[2] + 0.03 * noise[5] + 0.6 * worn,
        1 + 0.01 * load + 0.1 * kind[3] + 0.15 * noise[6] + 4 * worn,
        _stuck(12 + 0.1 * load + 0.3 * kind[4] + 0.3 * noise[7], device, minute),
        np.zeros(devices),
    )
    return np.stack(values)


def _stuck(values: FloatArray, device: IntArray, minute: int) -> FloatArray:
    return np.where((device % STUCK_ONE_IN == 11) & (minute >= 0), 15.0, values)
