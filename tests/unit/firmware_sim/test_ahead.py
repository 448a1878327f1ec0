"""Wear that goes on at the end of the history: on devices to which nothing else happens."""

from dataclasses import replace

import pytest

from firmware_sim.fleet import make_fleet
from firmware_sim.plan import DAY_S

START_S = 1_789_992_000


def fleet_of(*, ahead=4, devices=40, days=60.0, seed=7):
    return make_fleet(devices=devices, days=days, seed=seed, start_s=START_S, ahead=ahead)


def ahead_in(fleet):
    return [failure for failure in fleet.plan.failures if failure.is_ahead]


@pytest.mark.parametrize("seed", range(8))
def test_parts_begin_to_wear_before_the_end_and_fail_after_it(seed):
    fleet = fleet_of(seed=seed)
    ahead = ahead_in(fleet)

    assert len(ahead) == 4
    for failure in ahead:
        assert 12 <= (fleet.end_s - failure.onset_s) / DAY_S <= 22.1
        assert 4 <= (failure.fails_s - fleet.end_s) / DAY_S <= 20
        mode = fleet.machines[failure.device].model.mode(failure.mode)
        assert mode.kind == "gradual"


@pytest.mark.parametrize("seed", range(8))
def test_they_happen_to_devices_that_are_well_otherwise(seed):
    fleet = fleet_of(seed=seed)
    devices = [failure.device for failure in ahead_in(fleet)]
    others = {failure.device for failure in fleet.plan.failures if not failure.is_ahead}
    others |= {fault.device for fault in fleet.plan.sensor_faults}

    assert len(set(devices)) == 4
    assert not others & set(devices)


def test_all_the_rest_of_the_plan_is_the_same_with_and_without_them():
    without, with_them = fleet_of(ahead=0), fleet_of(ahead=4)

    assert with_them.plan.failures[:20] == without.plan.failures
    assert replace(with_them.plan, failures=()) == replace(without.plan, failures=())
    untouched = set(range(40)) - {failure.device for failure in ahead_in(with_them)}
    assert all(with_them.units[i] == without.units[i] for i in untouched)


def test_of_their_owners_one_alone_books_and_not_before_the_end():
    fleet = fleet_of()
    homes = [fleet.units[failure.device].household for failure in ahead_in(fleet)]

    assert [home.ignores_mail for home in homes] == [False, True, True, True]
    assert homes[0].answers_from_s == fleet.end_s
    first = min(ahead_in(fleet), key=lambda failure: failure.fails_s)
    assert fleet.units[first.device].household == homes[0]


@pytest.mark.parametrize(("devices", "most"), [(1, 1), (3, 3), (12, 4)])
def test_a_small_fleet_gets_as_many_as_it_has_well_devices(devices, most):
    fleet = fleet_of(devices=devices, days=7)

    assert 0 <= len(ahead_in(fleet)) <= most
    for failure in ahead_in(fleet):
        assert START_S < failure.onset_s < fleet.end_s < failure.fails_s
