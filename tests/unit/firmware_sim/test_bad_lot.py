"""A lot with a bad part, beside all that happens anyway."""

from dataclasses import replace

import pytest

from firmware_sim.fleet import LOTS, make_fleet
from firmware_sim.plan import DAY_S

START_S = 1_789_992_000


def fleet_of(bad_lot="", *, seed=7, days=60.0):
    return make_fleet(devices=120, days=days, seed=seed, start_s=START_S, bad_lot=bad_lot)


@pytest.mark.parametrize("lot", LOTS)
def test_devices_of_the_lot_fail_in_the_run_of_the_first_mode(lot):
    before, fleet = fleet_of(), fleet_of(lot)
    added = fleet.plan.failures[len(before.plan.failures) :]

    assert len(added) >= 6
    for failure in added:
        assert fleet.units[failure.device].lot == lot
        assert fleet.machines[failure.device].model.modes[0].name == failure.mode
        assert fleet.start_s < failure.onset_s < failure.fails_s < fleet.end_s
        assert fleet.machines[failure.device].failures == [failure]


def test_all_the_rest_is_the_same_with_and_without_it():
    before, fleet = fleet_of(), fleet_of(LOTS[1])

    assert fleet.plan.failures[: len(before.plan.failures)] == before.plan.failures
    assert replace(fleet.plan, failures=()) == replace(before.plan, failures=())
    assert fleet.units == before.units


def test_a_short_run_has_its_bad_lot_too():
    fleet = fleet_of(LOTS[0], days=6.0)

    assert all(f.fails_s <= fleet.end_s for f in fleet.plan.failures)
    assert min(f.onset_s for f in fleet.plan.failures) >= START_S + 0.9 * DAY_S
