"""Years of a fleet, drawn anew from a seed."""

from itertools import pairwise

import numpy as np
import pytest

from firmware_sim.long_run import STEP_S, LongRun, make_long_run

START_S = 1_735_689_600
DAY_S = 86_400


@pytest.fixture(scope="module")
def run() -> LongRun:
    return make_long_run(devices=60, days=730, seed=9, start_s=START_S)


def test_the_same_seed_gives_the_same_years_and_another_one_other_physics(run: LongRun) -> None:
    again = make_long_run(devices=60, days=730, seed=9, start_s=START_S)
    other = make_long_run(devices=60, days=730, seed=10, start_s=START_S)

    assert [m.failures for m in again.machines] == [m.failures for m in run.machines]
    assert [m.failures for m in other.machines] != [m.failures for m in run.machines]
    one, two = (r.models["heat_pump"].mode("fan_bearing").deviations for r in (run, other))
    assert one != two


def test_some_devices_never_fail_and_every_failure_is_repaired(run: LongRun) -> None:
    well = [m for u, m in zip(run.units, run.machines, strict=True) if u.is_healthy]

    assert 5 < len(well) < 30
    assert not any(machine.failures for machine in well)
    for machine in run.machines:
        for failure in machine.failures:
            assert failure.repaired_s is not None
            assert failure.onset_s <= failure.fails_s < failure.repaired_s
            assert failure.device == run.machines.index(machine)


def test_blocks_do_not_depend_on_where_they_are_cut(run: LongRun) -> None:
    machine = next(m for m in run.machines if m.failures)
    days = [START_S, START_S + DAY_S, START_S + 2 * DAY_S]

    whole = machine.block(days[0], days[2])
    parts = [machine.block(a, b) for a, b in pairwise(days)]

    assert len(whole.at_s) == 2 * DAY_S // STEP_S
    for name, values in whole.metrics.items():
        cut = np.concatenate([part.metrics[name] for part in parts])
        assert np.array_equal(values, cut, equal_nan=True)


def test_a_failing_part_moves_its_meters_and_stops_the_machine(run: LongRun) -> None:
    machine, failure = next(
        (m, f)
        for m in run.machines
        for f in m.failures
        if m.model.mode(f.mode).kind == "gradual" and f.onset_s > START_S and f.fails_s < run.end_s
    )
    mode = machine.model.mode(failure.mode)

    wear = machine.wear(mode, np.array([failure.onset_s, failure.fails_s - 1]))
    codes = machine.fault_codes(np.array([failure.fails_s - 1, failure.fails_s]))

    assert wear[1] == pytest.approx(failure.strength, rel=0.01)
    assert wear[0] < 0.1
    assert codes.tolist() == [0, mode.fault_code]
