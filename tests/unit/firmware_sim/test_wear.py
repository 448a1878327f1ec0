"""Laws of wear, and what wear does to the meters."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from firmware_sim import wear
from firmware_sim.fleet import MODELS
from firmware_sim.machine import FAULT_METRIC, Machine
from firmware_sim.model import Site
from firmware_sim.plan import DAY_S, Failure

SITE = Site(latitude=48.2, utc_offset_s=7200, weather_key=5)
START_S = 1_789_992_000
ONSET_S, FAILS_S = START_S + 12 * DAY_S, START_S + 36 * DAY_S
GRADUAL = [
    (model, mode) for model in MODELS.values() for mode in model.modes if mode.kind == "gradual"
]
SHEETS = {
    name: tomllib.loads(
        (Path(__file__).parents[3] / "gateway" / "sheets" / f"{name}.toml").read_text()
    )
    for name in MODELS
}


def machine_with(model, *failures):
    return Machine(
        name="m", model=model, site=SITE, key=77, start_s=START_S, failures=list(failures)
    )


def failure_of(mode, **changes):
    return Failure(device=0, mode=mode.name, onset_s=ONSET_S, fails_s=FAILS_S, **changes)


def wear_at(machine, mode, at_s):
    return float(machine.wear(mode, np.asarray([at_s], dtype=np.int64))[0])


@pytest.mark.parametrize("law", [wear.exponential, wear.linear, wear.fading, wear.erosion])
def test_a_law_goes_from_new_to_failed_and_never_back(law):
    course = law(np.linspace(0, 1, 200))

    assert course[0] == pytest.approx(0)
    assert course[-1] == pytest.approx(1)
    assert (np.diff(course) >= 0).all()


def test_the_four_laws_are_different():
    halves = [
        law(np.asarray([0.5]))[0]
        for law in (wear.exponential, wear.linear, wear.fading, wear.erosion)
    ]

    assert min(np.diff(sorted(halves))) > 0.05


@pytest.mark.parametrize(("model", "mode"), GRADUAL, ids=lambda part: part.name)
def test_wear_reaches_one_when_the_part_fails(model, mode):
    machine = machine_with(model, failure_of(mode))

    assert wear_at(machine, mode, ONSET_S) < 0.1
    assert wear_at(machine, mode, FAILS_S - 3 * DAY_S) < 1
    assert wear_at(machine, mode, FAILS_S) == pytest.approx(1)


@pytest.mark.parametrize(("model", "mode"), GRADUAL, ids=lambda part: part.name)
def test_wear_is_visible_ten_days_before_the_failure(model, mode):
    machine = machine_with(model, failure_of(mode))

    shown = wear_at(machine, mode, FAILS_S - 10 * DAY_S) ** mode.effect_power

    assert shown > 0.2


@pytest.mark.parametrize(("model", "mode"), GRADUAL, ids=lambda part: part.name)
def test_a_repair_makes_the_part_as_new(model, mode):
    repaired_s = FAILS_S - 5 * DAY_S
    machine = machine_with(model, failure_of(mode, repaired_s=repaired_s))

    assert wear_at(machine, mode, repaired_s - 60) > 0.4
    assert wear_at(machine, mode, repaired_s) == 0
    assert wear_at(machine, mode, FAILS_S + DAY_S) == 0
    assert not machine.fault_codes(np.asarray([FAILS_S + DAY_S])).any()


@pytest.mark.parametrize(("model", "mode"), GRADUAL, ids=lambda part: part.name)
def test_the_sheet_says_how_far_the_meters_go_when_the_part_fails(model, mode):
    """Mean change over the running samples of the last half day, against the same device without wear."""
    worn, well = machine_with(model, failure_of(mode)), machine_with(model)
    begin_s, end_s = FAILS_S - DAY_S // 2, FAILS_S
    sheet = next(m for m in SHEETS[model.name]["failure_mode"] if m["name"] == mode.name)

    before, after = well.block(begin_s, end_s), worn.block(begin_s, end_s)
    runs = before.metrics[model.running_metric] > 0
    at_s = np.arange(begin_s, end_s, 60)
    shown = float((worn.wear(mode, at_s) ** mode.effect_power)[runs].mean())

    assert len(sheet["evidence"]) >= 2
    for evidence in sheet["evidence"]:
        name = evidence["metric"]
        change = float((after.metrics[name] - before.metrics[name])[runs].mean()) / shown
        assert np.sign(change) == {"up": 1, "down": -1}[evidence["direction"]]
        assert abs(change) == pytest.approx(evidence["failed_at"], rel=0.12)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_no_two_failure_modes_show_in_the_same_pair_of_meters(model):
    patterns = [frozenset(mode.deviations) for mode in model.modes if mode.kind == "gradual"]

    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_sheet_names_the_meters_modes_and_codes_of_the_model(model):
    sheet = SHEETS[model.name]

    assert {m["name"] for m in sheet["metric"]} == {m.name for m in model.meters} | {FAULT_METRIC}
    assert {(m["name"], m["component"], *m["fault_codes"]) for m in sheet["failure_mode"]} == {
        (mode.name, mode.component, mode.fault_code) for mode in model.modes
    }


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_failed_device_stops_and_reports_its_code_until_it_is_repaired(model):
    mode = next(mode for mode in model.modes if mode.kind == "sudden")
    failure = Failure(
        device=0, mode=mode.name, onset_s=ONSET_S, fails_s=ONSET_S, repaired_s=ONSET_S + DAY_S
    )
    machine = machine_with(model, failure)

    block = machine.block(ONSET_S - 3600, ONSET_S + DAY_S + 3600)
    is_down = (block.at_s >= ONSET_S) & (block.at_s < ONSET_S + DAY_S)

    assert (block.metrics[FAULT_METRIC][is_down] == mode.fault_code).all()
    assert (block.metrics[FAULT_METRIC][~is_down] == 0).all()
    assert (block.metrics[model.running_metric][is_down] == 0).all()


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_value_is_within_the_range_of_the_sheet(model):
    failures = [failure_of(mode) for mode in model.modes]
    machine = machine_with(model, *failures)
    ranges = {m["name"]: m["range"] for m in SHEETS[model.name]["metric"]}

    for begin in (START_S, FAILS_S - 3 * DAY_S):
        block = machine.block(begin, begin + 3 * DAY_S)
        for name, values in block.metrics.items():
            low, high = ranges[name]
            assert low <= np.nanmin(values) <= np.nanmax(values) <= high, name
