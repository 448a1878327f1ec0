"""What a setting or a faulty firmware does to the samples, from its instant on and not before."""

import numpy as np
import pytest

from firmware_sim.fleet import MODELS
from firmware_sim.history import FirmwareFault, FirmwareFrom, History, SettingsFrom
from firmware_sim.image import Behaviour, make_image, read_behaviour
from firmware_sim.machine import Machine
from firmware_sim.model import Site
from firmware_sim.plan import DAY_S

SITE = Site(latitude=48.2, utc_offset_s=7200, weather_key=5)
START_S = 1_789_992_000
MIDDLE_S = START_S + DAY_S
END_S = START_S + 2 * DAY_S


def block_of(model, *, settings=(), firmware=(), start_s=START_S):
    history = History(settings=list(settings), firmware=list(firmware))
    machine = Machine(name="m", model=model, site=SITE, key=77, start_s=START_S, history=history)
    return machine.block(start_s, END_S)


@pytest.mark.parametrize(
    ("model", "setting", "metric"),
    [
        ("heat_pump", "curve_offset_k", "outlet_c"),
        ("water_pump", "pressure_offset_bar", "pressure_bar"),
    ],
)
def test_a_set_point_moves_its_metric_from_its_instant_on(model, setting, metric):
    before = block_of(MODELS[model]).metrics[metric]
    moved = [SettingsFrom(at_s=MIDDLE_S, values={setting: 0.5})]

    after = block_of(MODELS[model], settings=moved).metrics[metric]

    half = len(before) // 2
    assert (after[:half] == before[:half]).all()
    assert after[half:].mean() - before[half:].mean() > 0.1


def test_a_longer_time_between_samples_leaves_samples_out():
    slow = [SettingsFrom(at_s=MIDDLE_S, values={"report_every_min": 5})]

    block = block_of(MODELS["heat_pump"], settings=slow)

    first, second = np.split(block.is_sent, 2)
    assert first.all()
    assert second.sum() == len(second) / 5
    assert (block.at_s[block.is_sent][-1] % 300) == 0


def test_a_faulty_firmware_shows_wear_that_the_next_version_takes_away():
    fault = FirmwareFault(failure_mode="fan_bearing", wear=0.8, days=0.5)
    bad = FirmwareFrom(at_s=START_S, version="2", fault=fault)
    good = FirmwareFrom(at_s=MIDDLE_S, version="3")
    sound = block_of(MODELS["heat_pump"]).metrics["fan_vibration_mm_s"]

    shown = block_of(MODELS["heat_pump"], firmware=[bad, good]).metrics["fan_vibration_mm_s"]

    half = len(sound) // 2
    more = shown - sound
    assert more[half // 2 : half].mean() > 0.5
    assert (more[half:] == 0).all()


def test_a_later_block_does_not_depend_on_the_earlier_one():
    changes = {
        "settings": [SettingsFrom(at_s=MIDDLE_S - 7200, values={"curve_offset_k": 2})],
        "firmware": [
            FirmwareFrom(
                at_s=START_S + 3600,
                version="2",
                fault=FirmwareFault(failure_mode="compressor_wear", wear=0.5, days=1),
            )
        ],
    }
    whole = block_of(MODELS["heat_pump"], **changes)
    late = block_of(MODELS["heat_pump"], start_s=MIDDLE_S, **changes)

    for name, values in late.metrics.items():
        assert (whole.metrics[name][-len(values) :] == values).all(), name


def test_an_image_says_what_it_does_and_any_other_bytes_do_nothing():
    behaviour = Behaviour(
        fails=0.1, fault=FirmwareFault(failure_mode="fan_bearing", wear=0.7, days=5), share=0.4
    )
    image = make_image(behaviour, version="4.4.0", size_bytes=5000)

    assert len(image) == 5000
    assert read_behaviour(image[:1000]) == behaviour
    assert make_image(behaviour, version="4.4.0", size_bytes=5000) == image
    for other in (b"", b"\x7fELF" * 100, b"forecare simulated firmware\n{"):
        assert read_behaviour(other) == Behaviour()
