"""Devices that follow themselves, side by side: each comes to what it comes to alone, to the bit."""

from dataclasses import dataclass
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.features import Layout
from anomaly.packed import Names, packed, renamed, unpacked
from anomaly.records import Output, Samples, ServiceEvent
from anomaly.scorer import advance
from anomaly.state import DeviceState
from anomaly.yardstick import Yardstick
from core.product import Evidence
from tests.unit.anomaly.bench import begin
from tests.unit.anomaly.crowds import score_fleet
from tests.unit.anomaly.test_follow import BENCH, START_US, TWO_PARTS, score

SHORT = msgspec.structs.replace(
    TWO_PARTS.layout.product,
    learning=timedelta(seconds=100),
    failure_modes=(
        msgspec.structs.replace(
            TWO_PARTS.layout.product.failure_modes[0],
            evidence=(Evidence(metric="flow_rate"), Evidence(metric="vibration", failed_at=0.05)),
        ),
        msgspec.structs.replace(
            TWO_PARTS.layout.product.failure_modes[1],
            evidence=(
                Evidence(metric="current_a"),
                Evidence(metric="temperature_c", direction="up"),
            ),
        ),
    ),
)
YARD = Yardstick(Layout(SHORT), None)
SECONDS = 420


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One device: what it measures, what is found, and up to where it is scored in each round."""

    samples: Samples
    services: tuple[ServiceEvent, ...]
    cuts: tuple[int, ...]


def make_scene(seed: int) -> Scene:
    """Draw a device: calm or failing, with good or bad sensors, redundant metrics or not, serviced or not."""
    dice = np.random.default_rng(seed)
    load = dice.normal(0, 1, SECONDS) * (seed % 3 == 0)
    values = np.stack(
        [
            0.03 + 0.002 * load + dice.normal(0, 0.0003, SECONDS),
            1 + 0.5 * load + dice.normal(0, 0.1, SECONDS),
            70 + 2 * load + dice.normal(0, 0.3, SECONDS),
            32 - 2 * load + dice.normal(0, 0.3, SECONDS),
        ],
        axis=1,
    )
    if seed % 2:
        since, metric = dice.integers(110, 380), dice.integers(0, 4)
        values[since:, metric] += dice.choice([-4, 4]) * values[:, metric].std()
    since, metric = dice.integers(120, 350), dice.integers(0, 4)
    kind = dice.choice(["good", "stuck", "missing", "unit", "spikes", "never"])
    if kind == "stuck":
        values[since : since + 40, metric] = values[since, metric]
    elif kind == "missing":
        values[since : since + 40, metric] = np.nan
    elif kind == "unit":
        values[since : since + 60, metric] *= 10.0
    elif kind == "spikes":
        values[since::9, metric] *= 5.0
    elif kind == "never":
        values[:, metric] = np.nan
    services = []
    if seed % 4 == 1:
        found_us = START_US + int(dice.integers(150, 280)) * 1_000_000 + 400_000
        services.append(
            ServiceEvent(
                finding_id=1,
                failure_mode="circulation",
                component="circuit",
                verdict=dice.choice(["confirmed", "no_fault_found", "incipient"]),
                found_us=found_us,
            )
        )
    at_us = START_US + np.arange(SECONDS) * 1_000_000
    kept = dice.random(SECONDS) > 0.04
    kept[0] = kept[-1] = True
    cuts = sorted(dice.integers(90, SECONDS - 1, 4).tolist())
    return Scene(
        samples=Samples(at_us=at_us[kept], values=values[kept]),
        services=tuple(services),
        cuts=(*(START_US + cut * 1_000_000 for cut in cuts), int(at_us[-1])),
    )


SCENES = [make_scene(seed) for seed in range(12)]


def alone(scene: Scene) -> Output:
    return score(scene.samples, yard=YARD, services=scene.services)


def scored_together(scenes: list[Scene], *, is_cut: bool) -> tuple[list[Output], int]:
    return score_fleet(
        [scene.samples for scene in scenes],
        cuts=[scene.cuts if is_cut else (scene.cuts[0], scene.cuts[-1]) for scene in scenes],
        services=[scene.services for scene in scenes],
        yard=YARD,
    )


def assert_same(one: Output, other: Output, *, seed: object) -> None:
    for name in Output.__slots__:
        assert getattr(one, name) == getattr(other, name), f"{name} of scene {seed}"


@pytest.fixture(scope="module")
def each_alone() -> list[Output]:
    return [alone(scene) for scene in SCENES]


def test_a_fleet_comes_to_what_each_device_comes_to_alone(each_alone):
    outputs, quiet = scored_together(SCENES, is_cut=True)

    assert quiet > 3
    for seed, (output, single) in enumerate(zip(outputs, each_alone, strict=True)):
        assert_same(output, single, seed=seed)


def test_the_scenes_hold_what_can_happen(each_alone):
    told = {(d.kind, d.change) for output in each_alone for d in output.detections}
    reasons = {
        d.evidence.sentences[0].key
        for output in each_alone
        for d in output.detections
        if d.kind == "sensor"
    }
    states = [scored(scene) for scene in SCENES]

    assert {("wear", "raised"), ("sensor", "raised"), ("sensor", "cleared")} <= told
    assert len(reasons) >= 3
    assert {bool(state.detector.normal_.is_joint[0]) for state in states} == {True, False}


@settings(max_examples=6, deadline=None)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=4, unique=True))
def test_any_devices_side_by_side_come_to_what_each_comes_to_alone(seeds):
    scenes = [make_scene(seed) for seed in seeds]

    outputs, _ = scored_together(scenes, is_cut=False)

    for seed, scene, output in zip(seeds, scenes, outputs, strict=True):
        assert_same(output, alone(scene), seed=seed)


def scored(scene: Scene, *, until_us: int | None = None) -> DeviceState:
    state = begin(YARD, first_us=int(scene.samples.at_us[0]))
    through_us = until_us or int(scene.samples.at_us[-1])
    known = [s for s in scene.services if s.found_us <= through_us]
    part = scene.samples.between(0, through_us + 1)
    advance(YARD, state, part, through_us=through_us, services=known)
    return state


@pytest.mark.parametrize("place", range(len(SCENES)))
def test_a_record_keeps_a_state_to_the_bit(place):
    names = Names.of(YARD.layout)
    state = scored(SCENES[place])

    record, rest = packed(names, state)
    read = unpacked(names, np.frombuffer(record.tobytes(), dtype=names.dtype)[0], rest)

    assert packed(names, read)[0].tobytes() == record.tobytes()
    assert read.detector.to_bytes() == state.detector.to_bytes()
    for name in ("anew_from_us", "anew_until_us", "sensors", "services", "smooth", "away_us"):
        assert getattr(read, name) == getattr(state, name) or not any(getattr(state, name))


def test_a_metric_that_is_new_in_the_sheet_is_learned_and_the_others_go_on():
    scene = make_scene(2)
    old = Names.of(YARD.layout)
    new = msgspec.structs.replace(old, watched=("fresh", *old.watched))
    before = scored(scene)

    after = renamed(old, new, unpacked(old, *packed(old, scored(scene))))

    assert np.isnan(after.detector.normal_.middle[0, 0])
    assert after.anew_from_us[0] == before.through_us + 1
    assert after.anew_from_us[1:] == [None] * 4
    np.testing.assert_array_equal(
        after.detector.normal_.middle[0, 1:], before.detector.normal_.middle[0]
    )
    assert (
        packed(new, after)[0].tobytes()
        == packed(new, unpacked(new, *packed(new, after)))[0].tobytes()
    )


def test_the_bench_follows_itself():
    assert Layout(BENCH).follows
    assert YARD.layout.follows
