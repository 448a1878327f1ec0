"""The plan of a fleet, and samples that depend on the seed alone."""

import itertools

import numpy as np
import pytest

from firmware_sim.fleet import make_fleet
from firmware_sim.plan import DAY_S, SensorFault

START_S = 1_789_992_000


def fleet_of(*, devices=40, days=60.0, seed=7, **options):
    return make_fleet(devices=devices, days=days, seed=seed, start_s=START_S, **options)


@pytest.mark.parametrize("seed", range(8))
def test_forty_devices_in_sixty_days_get_twenty_failures_two_of_them_sudden(seed):
    fleet = fleet_of(seed=seed)
    failures = fleet.plan.failures
    sudden = [f for f in failures if f.onset_s == f.fails_s]
    days = [(f.fails_s - START_S) / DAY_S for f in failures]

    assert (len(failures), len(sudden)) == (20, 2)
    assert min(days) > 13
    assert max(days) < 58.5
    assert len({f.device for f in failures}) < 20
    assert len(fleet.plan.sensor_faults) >= 6


@pytest.mark.parametrize("seed", range(8))
def test_nothing_wears_visibly_in_the_first_ten_days(seed):
    fleet = fleet_of(seed=seed)
    tenth_day = np.asarray([START_S + 10 * DAY_S])

    worn = [
        float(machine.wear(mode, tenth_day)[0]) ** mode.effect_power
        for machine in fleet.machines
        for mode in machine.model.modes
    ]

    assert max(worn) < 0.2


def test_all_gradual_failure_modes_occur():
    fleet = fleet_of()
    named = {(fleet.units[f.device].product, f.mode) for f in fleet.plan.failures}

    assert len(named) >= 10


def test_a_device_fails_again_only_after_it_has_been_new_for_a_while():
    for seed in range(8):
        fleet = fleet_of(seed=seed)
        for machine in fleet.machines:
            ordered = sorted(machine.failures, key=lambda failure: failure.fails_s)
            for first, second in itertools.pairwise(ordered):
                assert second.onset_s >= first.fails_s + DAY_S


@pytest.mark.parametrize(
    ("devices", "days"), [(1, 0.25), (1, 60), (3, 7), (12, 90), (40, 2), (100, 60)]
)
def test_other_sizes_are_in_proportion(devices, days):
    fleet = fleet_of(devices=devices, days=days)

    assert len(fleet.units) == len({unit.name for unit in fleet.units}) == devices
    assert len(fleet.plan.failures) == min(round(devices * days / 120), round(devices / 2))
    for failure in fleet.plan.failures:
        assert START_S <= failure.onset_s <= failure.fails_s < fleet.end_s


def test_the_same_seed_gives_the_same_fleet_and_another_seed_another():
    first, again, other = fleet_of(seed=7), fleet_of(seed=7), fleet_of(seed=8)

    assert first.plan == again.plan
    assert first.units == again.units
    assert first.plan != other.plan


def test_samples_do_not_depend_on_the_blocks_that_were_asked_for():
    """A run that goes on after a crash must make the very same samples."""
    begin, end = START_S + 20 * DAY_S, START_S + 21 * DAY_S
    whole = fleet_of().machines[4].block(begin, end)
    machine = fleet_of().machines[4]
    cut = begin + 5 * 3600 + 60
    machine.block(START_S, START_S + 3600)
    parts = [machine.block(cut, end), machine.block(begin, cut)]

    for name, values in whole.metrics.items():
        joined = np.concatenate([parts[1].metrics[name], parts[0].metrics[name]])
        np.testing.assert_array_equal(joined, values)


def test_devices_of_one_product_differ_and_devices_of_one_city_share_the_weather():
    fleet = fleet_of(devices=12, products=("heat_pump",))
    first, neighbour = fleet.machines[0], fleet.machines[5]
    begin = START_S + DAY_S

    here, there = first.block(begin, begin + DAY_S), neighbour.block(begin, begin + DAY_S)

    weather = here.metrics["ambient_c"] - there.metrics["ambient_c"]
    assert abs(weather).mean() < 3
    assert (here.metrics["power_w"] != there.metrics["power_w"]).mean() > 0.9


def test_the_own_clock_runs_off_by_seconds_and_never_backwards():
    for machine in fleet_of().machines:
        at_s = np.arange(START_S, START_S + 3 * DAY_S, 60)
        measured = machine.own_clock_ms(at_s)

        assert abs(measured - at_s * 1000).max() <= 4000
        assert (np.diff(measured) > 50_000).all()


def with_fault(**fault):
    machine = fleet_of(devices=1, days=20, products=("heat_pump",)).machines[0]
    begin = START_S + 5 * DAY_S
    machine.failures = []
    machine.sensor_faults = [SensorFault(device=0, start_s=begin, end_s=begin + DAY_S, **fault)]
    return machine, begin


def test_a_stuck_sensor_repeats_one_value():
    machine, begin = with_fault(kind="stuck", metric="flow_l_min")

    block = machine.block(begin, begin + DAY_S)

    assert len(set(block.metrics["flow_l_min"].tolist())) == 1
    assert len(set(machine.block(begin - DAY_S, begin).metrics["flow_l_min"].tolist())) > 10


def test_a_drifting_sensor_moves_its_own_metric_alone():
    machine, begin = with_fault(kind="drift", metric="discharge_c", size=17.6)
    span = (begin + DAY_S, begin + 2 * DAY_S)
    drifted = machine.block(*span)
    machine.sensor_faults = []
    true = machine.block(*span)

    for name, values in drifted.metrics.items():
        moved = float((values - true.metrics[name]).mean())
        assert moved == pytest.approx(17.6 if name == "discharge_c" else 0.0, abs=0.05)


def test_a_dropout_leaves_out_one_metric_and_a_gap_whole_samples():
    machine, begin = with_fault(kind="dropout", metric="ripple_v")
    block = machine.block(begin, begin + 3600)
    silent, begin = with_fault(kind="gap", metric="")
    gap = silent.block(begin - 600, begin + 600)

    assert np.isnan(block.metrics["ripple_v"]).all()
    assert not np.isnan(block.metrics["power_w"]).any()
    assert gap.is_sent.tolist() == [True] * 10 + [False] * 10
