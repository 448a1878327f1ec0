"""What scoring costs where devices follow themselves: one after the other, and side by side. From arrays.

The same pump without conditions and limits, so there is nothing that devices could share. Learned states of 40
kinds go round; what is scored, and what comes out, is the same in both ways.
"""

import gc
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anomaly import service
from anomaly.features import Layout
from anomaly.fleet_scorer import Survey, conclude
from anomaly.packed import Names, PackedStates, packed_states
from anomaly.records import FleetSamples
from anomaly.scorer import advance
from anomaly.state import DeviceState, first_state
from anomaly.yardstick import Yardstick
from bench.scoring.fleet import BEGINS_US, KINDS, MINUTE_US, Fleet, sheet_toml
from bench.scoring.measure import Cost
from core.clock import process_s
from core.units import US
from gateway.sheet import parse_sheet

NAME = "bench_following"
_SHARED = re.compile(r"^\s*(depends_on|failed_at)\s*=.*\n", flags=re.MULTILINE)


@dataclass(frozen=True)
class Following:
    """Devices that follow themselves, and a stretch of their samples."""

    devices: int
    minutes: int

    @cached_property
    def yard(self) -> Yardstick:
        text = _SHARED.sub("", sheet_toml(NAME))
        return Yardstick(Layout(parse_sheet(text, source=f"{NAME}.toml")), None)

    @cached_property
    def samples(self) -> FleetSamples:
        fleet = Fleet(NAME, self.devices)
        return fleet.samples(fleet.table(0, self.minutes), 0)

    @property
    def until_us(self) -> int:
        return BEGINS_US + (self.minutes - 1) * MINUTE_US

    @cached_property
    def states(self) -> PackedStates:
        """All devices, learned and about to begin."""
        kinds = packed_states(Names.of(self.yard.layout), self._learned())
        return kinds.of((np.arange(self.devices) % KINDS).tolist())

    def _learned(self) -> list[DeviceState]:
        fleet = Fleet(NAME, KINDS)
        samples = fleet.samples(
            fleet.table(-fleet.learning_minutes, fleet.learning_minutes), -fleet.learning_minutes
        )
        return [self._state(samples, place) for place in range(KINDS)]

    def _state(self, samples: FleetSamples, place: int) -> DeviceState:
        own = samples.of(place)
        state = first_state(
            first_us=int(own.at_us[0]),
            window_us=self.yard.layout.window_us,
            learning_us=self.yard.layout.product.learning // US,
        )
        advance(self.yard, state, own, through_us=BEGINS_US)
        return state

    def one_by_one(self) -> Cost:
        """Score each device alone."""
        states = [self.states.get(place) for place in range(self.devices)]
        parts = [self.samples.of(place) for place in range(self.devices)]
        gc.collect()
        began_s = process_s()
        for state, part in zip(states, parts, strict=True):
            advance(self.yard, state, part, through_us=self.until_us)
        return Cost(samples=self.devices * self.minutes, scorer_s=process_s() - began_s)

    def side_by_side(self) -> Cost:
        """Score all devices together, in turns as large as the service's."""
        states = self.states
        size = max(1, min(service.DEVICES_PER_TURN, service.SAMPLES_PER_TURN // self.minutes))
        gc.collect()
        began_s = process_s()
        for first in range(0, self.devices, size):
            last = min(self.devices, first + size)
            rows = slice(first * self.minutes, last * self.minutes)
            survey = Survey(
                yard=self.yard,
                states=states.of(range(first, last)),
                samples=FleetSamples(
                    owner=self.samples.owner[rows] - first,
                    at_us=self.samples.at_us[rows],
                    values=self.samples.values[rows],
                ),
                through_us=np.full(last - first, self.until_us),
            )
            conclude(survey, {})
        return Cost(samples=self.devices * self.minutes, scorer_s=process_s() - began_s)


def measure_following(devices: int, minutes: int) -> dict[str, float | int]:
    """Measure both ways; those that are scored one by one are a part of the fleet."""
    few = Following(max(1, devices // 20), minutes)
    alone, together = few.one_by_one(), Following(devices, minutes).side_by_side()
    return {
        "devices": devices,
        "minutes": minutes,
        "alone_samples_per_s": round(alone.per_s),
        "together_samples_per_s": round(together.per_s),
        "ratio": round(together.per_s / alone.per_s, 1),
    }
