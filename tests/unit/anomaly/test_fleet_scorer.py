"""Many devices at once come to what each comes to alone, to the bit, and to what plain arithmetic says."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly import features
from anomaly.features import Windows, summarise, summarise_fleet
from anomaly.packed import Names, packed, renamed, unpacked
from anomaly.records import Output
from anomaly.scorer import advance
from anomaly.state import DeviceState
from tests.unit.anomaly.bench import BASELINE, LAYOUT, YARD, begin, make_samples, score
from tests.unit.anomaly.crowds import score_fleet, together
from tests.unit.anomaly.scenes import Scene, make_scene
from tests.unit.anomaly.slow import score_slowly

SCENES = [make_scene(seed) for seed in range(16)]


def assert_same(one: Output, other: Output, *, seed: int) -> None:
    for name in Output.__slots__:
        assert getattr(one, name) == getattr(other, name), f"{name} of scene {seed}"


def fleet_of(scenes: Sequence[Scene], *, cuts: bool = True) -> tuple[list[Output], int]:
    return score_fleet(
        [scene.samples for scene in scenes],
        cuts=[scene.cuts if cuts else scene.cuts[-1:] for scene in scenes],
        services=[scene.services for scene in scenes],
    )


def scored(scene: Scene) -> DeviceState:
    state = begin(YARD, first_us=int(scene.samples.at_us[0]))
    advance(YARD, state, scene.samples, through_us=scene.cuts[-1], services=scene.services)
    return state


@pytest.fixture(scope="module")
def together_at_once() -> tuple[list[Output], int]:
    return fleet_of(SCENES, cuts=False)


def test_a_fleet_comes_to_what_each_device_comes_to_alone(together_at_once):
    outputs, _ = together_at_once

    for seed, (scene, output) in enumerate(zip(SCENES, outputs, strict=True)):
        assert_same(output, score(scene.samples, services=scene.services), seed=seed)


def test_a_fleet_comes_to_what_plain_arithmetic_says(together_at_once):
    outputs, _ = together_at_once

    for seed, (scene, output) in enumerate(zip(SCENES, outputs, strict=True)):
        slow = score_slowly(scene.samples, scene.services, until_us=scene.cuts[-1])
        assert_same(output, slow, seed=seed)


def test_rounds_and_restarts_change_nothing_where_nothing_was_known_late(together_at_once):
    whole, _ = together_at_once

    outputs, quiet = fleet_of(SCENES)

    assert quiet > 5
    compared = 0
    for seed, (scene, output) in enumerate(zip(SCENES, outputs, strict=True)):
        if not scene.services:
            assert_same(output, whole[seed], seed=seed)
            compared += 1
    assert compared > 4


def test_who_is_scored_together_does_not_matter(together_at_once):
    whole, _ = together_at_once

    for chosen in (range(0, 16, 5), range(15, 0, -3)):
        outputs, _ = fleet_of([SCENES[seed] for seed in chosen], cuts=False)
        for seed, output in zip(chosen, outputs, strict=True):
            assert_same(output, whole[seed], seed=seed)


@settings(deadline=None, max_examples=15)
@given(st.integers(50, 3000), st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True))
def test_windows_of_a_fleet_are_those_of_its_devices_however_it_is_cut_into_blocks(size, seeds):
    fleet = [make_samples(seed, days=2) for seed in seeds]
    before, features.BLOCK_SAMPLES = features.BLOCK_SAMPLES, size
    try:
        windows = summarise_fleet(LAYOUT, together(fleet), ranges=BASELINE.ranges)
    finally:
        features.BLOCK_SAMPLES = before

    for place, samples in enumerate(fleet):
        alone, own = summarise(LAYOUT, samples, ranges=BASELINE.ranges), windows.of(place)
        for name in set(Windows.__slots__) - {"owner", "noise"}:
            assert getattr(own, name).tobytes() == getattr(alone, name).tobytes()


def test_a_state_is_the_same_after_it_was_packed():
    names = Names.of(LAYOUT)
    for scene in SCENES[:8]:
        record, rest = packed(names, scored(scene))
        stored = np.frombuffer(record.tobytes(), dtype=names.dtype)[0]
        again, rest_again = packed(names, unpacked(names, stored, rest))
        assert again.tobytes() == record.tobytes()
        assert rest_again == rest


def test_a_state_survives_a_sheet_that_gains_and_loses_modes():
    names = Names.of(LAYOUT)
    state = scored(SCENES[0])
    more = Names(
        measured=names.measured,
        watched=tuple(reversed(names.watched)),
        conditions=names.conditions,
        modes=("new", *names.modes[1:]),
    )
    before = dict(zip(names.watched, state.smooth, strict=True))

    moved = renamed(names, more, state)

    assert dict(zip(more.watched, moved.smooth, strict=True)) == before
    assert set(moved.modes) == {"new", *names.modes[1:]}
    assert moved.modes["new"].hits == 0
    assert packed(more, moved)[0].nbytes == more.dtype.itemsize
