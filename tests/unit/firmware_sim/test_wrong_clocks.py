"""Which simulated devices lose the time, and what their clocks show."""

import numpy as np

from firmware_sim.fleet import make_fleet
from firmware_sim.wrong_clocks import wrong_clocks

BLOCK_S = 6 * 3600
FLEET = make_fleet(devices=4, days=1, seed=7, start_s=1_789_992_000)


def clocks_of(count, speak=("json",)):
    return wrong_clocks(FLEET, count=count, speak=speak, block_s=BLOCK_S)


def test_the_last_devices_lose_the_time_in_both_ways():
    clocks = clocks_of(2)

    assert {name: clock.kind for name, clock in clocks.items()} == {
        FLEET.units[3].name: "ahead",
        FLEET.units[2].name: "1970",
    }


def test_nobody_loses_it_unless_asked_and_no_more_than_there_are():
    assert clocks_of(0) == {}
    assert len(clocks_of(9)) == len(FLEET.units)


def test_a_device_that_speaks_senml_never_shows_1970():
    assert {clock.kind for clock in clocks_of(4, ["senml", "cbor"]).values()} == {"ahead"}


def test_a_clock_is_right_until_the_last_block_and_runs_on_from_its_start():
    clock = clocks_of(2)[FLEET.units[2].name]
    at_s = np.asarray([clock.from_s - 60, clock.from_s, clock.from_s + 60])

    shown = clock.shown_ms(at_s * 1000, at_s)

    assert shown.tolist() == [(clock.from_s - 60) * 1000, 60_000, 120_000]
    assert 0 < FLEET.end_s - clock.from_s <= BLOCK_S
