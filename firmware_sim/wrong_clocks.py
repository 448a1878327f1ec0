"""Devices that do not know the time any more: which, from when on, and what their clocks show. Pure.

A clock goes wrong with the last block of the history and stays so: the platform stores such samples with
the time of their arrival, which is close to the true one only for samples that are sent at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from firmware_sim.dialects import dialect_of
from firmware_sim.fleet import Fleet
from firmware_sim.noise import IntArray

_AFTER_START_S = 60
_AHEAD_MIN_S, _AHEAD_SPREAD_S = 26 * 3600, 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongClock:
    kind: Literal["1970", "ahead"]
    """Started anew in 1970, or set to hours ahead."""
    from_s: int
    """True time since when it is wrong, epoch seconds."""
    ahead_s: int
    """How far it is ahead from then on; negative: behind."""

    def shown_ms(self, measured_at_ms: IntArray, at_s: IntArray) -> IntArray:
        """Return what the clock shows at the instants `at_s`, at which a good one shows the first."""
        wrong = measured_at_ms + self.ahead_s * 1000
        return np.asarray(np.where(at_s >= self.from_s, wrong, measured_at_ms))


def wrong_clocks(
    fleet: Fleet, *, count: int, speak: Sequence[str], block_s: int
) -> dict[str, WrongClock]:
    """Give the last `count` devices of a fleet clocks that go wrong, of both kinds in turn.

    In SenML a time in 1970 would be relative to now (RFC 8428, 4.5.3), and none that is wrong: devices
    whose messages have no numbers run ahead.
    """
    from_s = (fleet.end_s - 1) // block_s * block_s
    clocks = {}
    for turn, place in enumerate(reversed(range(len(fleet.units)))):
        if turn == count:
            break
        can_be_1970 = dialect_of(place, speak).has_numbers
        ahead_s = _AHEAD_MIN_S + fleet.machines[place].key % _AHEAD_SPREAD_S
        clocks[fleet.units[place].name] = (
            WrongClock(kind="1970", from_s=from_s, ahead_s=_AFTER_START_S - from_s)
            if turn % 2 and can_be_1970
            else WrongClock(kind="ahead", from_s=from_s, ahead_s=ahead_s)
        )
    return clocks
