"""A device without conditions and limits: recordings in the layout of the public bench, made here."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from anomaly.features import Layout
from anomaly.follow import NOTHING_BELOW, SEEN_AT
from anomaly.moment import CLEAR_AT, RAISE_AT
from anomaly.records import Output, Samples, ServiceEvent
from anomaly.scorer import advance, read_from_us
from anomaly.state import state_from_json, state_to_json
from anomaly.stream.tails import YEAR
from anomaly.yardstick import Yardstick
from core.product import Evidence, FailureMode, Metric, Product
from tests.unit.anomaly.bench import begin

NAMES = ("vibration", "current_a", "temperature_c", "flow_rate")
BENCH = Product(
    name="test_bench",
    title="Test bench",
    manufacturer="Testers",
    interval=timedelta(seconds=1),
    window=timedelta(seconds=1),
    learning=timedelta(seconds=400),
    forecast_every=timedelta(seconds=10),
    late_after=timedelta(minutes=10),
    history_max=timedelta(days=4000),
    false_alarms_per_year=5000,  # one in two hours of running
    metrics=tuple(Metric(name=n, title=n, unit="", low=-1e4, high=1e4) for n in NAMES),
    failure_modes=(
        FailureMode(
            name="circulation",
            title="Circulation disturbed",
            component="circuit",
            evidence=(
                Evidence(metric="flow_rate"),
                Evidence(metric="current_a"),
                Evidence(metric="vibration", failed_at=0.05),
            ),
            cost_of_failure=900,
            cost_of_visit=90,
            lead_time=timedelta(days=1),
        ),
    ),
)
YARD = Yardstick(Layout(BENCH), None)
_MODE = BENCH.failure_modes[0]
ONE_SIDED = Yardstick(
    Layout(
        msgspec.structs.replace(
            BENCH,
            failure_modes=(
                msgspec.structs.replace(
                    _MODE,
                    evidence=(
                        Evidence(metric="flow_rate", direction="down"),
                        *_MODE.evidence[1:],
                    ),
                ),
            ),
        )
    ),
    None,
)
WIDE = Yardstick(
    Layout(
        msgspec.structs.replace(
            BENCH,
            metrics=tuple(Metric(name=n, title=n, unit="", low=-1e6, high=1e6) for n in NAMES),
        )
    ),
    None,
)
START_US = 1_583_748_873_000_000


def recording(
    seed: int, *, seconds: int = 1200, fault: tuple[int, int] | None = None, drop: float = 2.0
) -> Samples:
    rng = np.random.default_rng(seed)
    at = np.arange(seconds)
    flow = 32 + rng.normal(0, 0.4, seconds) + 0.2 * np.sin(at / 300 + seed)
    if fault:
        flow[fault[0] : fault[1]] -= drop
    values = np.stack(
        [
            0.027 + rng.normal(0, 0.0004, seconds) + 0.001 * at / seconds,
            1 + rng.normal(0, 0.28, seconds),
            70 + np.cumsum(rng.normal(0, 0.05, seconds)),
            flow,
        ],
        axis=1,
    )
    kept = rng.random(seconds) > 0.05
    return Samples(at_us=(START_US + at * 1_000_000)[kept], values=values[kept])


def score(
    samples: Samples,
    *,
    cuts: tuple[int, ...] = (),
    yard: Yardstick = YARD,
    services: tuple[ServiceEvent, ...] = (),
) -> Output:
    state, whole = begin(yard, first_us=int(samples.at_us[0])), Output()
    for through_us in (*cuts, int(samples.at_us[-1])):
        part = samples.between(read_from_us(yard, state, through_us=through_us), through_us + 1)
        known = [service for service in services if service.found_us <= through_us]
        output = advance(yard, state, part, through_us=through_us, services=known)
        state = state_from_json(msgspec.json.decode(state_to_json(state)))
        for name in Output.__slots__:
            getattr(whole, name).extend(getattr(output, name))
    return whole


def raised_at(output: Output) -> list[float]:
    return [(d.at_us - START_US) / 1e6 for d in output.detections if d.change == "raised"]


def alerts(output: Output) -> list[float]:
    """When alerts open; those that come back within a minute were never over."""
    opened: list[float] = []
    cleared = -1e9
    for detection in output.detections:
        at = (detection.at_us - START_US) / 1e6
        if detection.change == "cleared":
            cleared = at
        elif at - cleared > 60:
            opened.append(at)
    return opened


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_fault_is_seen_while_it_lasts_and_never_before(seed):
    output = score(recording(seed, fault=(600, 1000)))

    assert 600 < raised_at(output)[0] < 620
    assert max(f.outlook.p_fail_1d for f in output.forecasts if f.outlook) > 0.9
    assert all(
        f.status in {"learning", "ok"}
        for f in output.forecasts
        if f.made_us < START_US + 600_000_000
    )


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_small_loss_that_stays_is_seen_where_the_sheet_says_which_side_means_harm(seed):
    samples = recording(seed, fault=(600, 1200), drop=0.8)

    assert 600 < raised_at(score(samples, yard=ONE_SIDED))[0] < 640


def test_a_rise_is_no_harm_where_only_a_fall_is():
    samples = recording(3, fault=(600, 1200), drop=-2.0)

    assert raised_at(score(samples))
    assert not raised_at(score(samples, yard=ONE_SIDED))


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_dip_is_told_while_it_lasts_and_cleared_when_it_is_over(seed):
    output = score(recording(seed, fault=(600, 680), drop=0.9))

    assert [d.change for d in output.detections] == ["raised", "cleared"]
    assert output.detections[1].at_us < START_US + 720_000_000


def test_drift_noise_and_a_wandering_temperature_stay_near_the_budget_of_false_alarms():
    alarms = [alerts(score(recording(seed, seconds=4000))) for seed in range(6)]

    allowed = BENCH.false_alarms_per_year * 6 * 3600 / YEAR.total_seconds()
    assert sum(map(len, alarms)) <= 4 * allowed
    assert sum(not found for found in alarms) >= 5


def test_what_is_seen_is_told_in_the_metrics_own_unit():
    output = score(recording(0, fault=(600, 1000)))

    evidence = output.detections[0].evidence
    (flow,) = [m for m in evidence.metrics if m.metric == "flow_rate"]
    assert flow.direction == "down"
    assert flow.expected == pytest.approx(32, abs=0.5)
    assert flow.deviation_spreads < -3
    assert "below" in evidence.sentences[0].text


def test_the_threshold_counts_as_the_degradation_that_raises():
    assert (SEEN_AT, NOTHING_BELOW) == (RAISE_AT, CLEAR_AT)


def test_a_device_of_an_earlier_release_goes_on_with_its_level():
    samples = recording(0, fault=(600, 1000))
    state = begin(YARD, first_us=START_US)
    learned = START_US + 500_000_000
    advance(YARD, state, samples.between(START_US, learned + 1), through_us=learned)
    state.detector = None
    until = int(samples.at_us[-1])
    part = samples.between(read_from_us(YARD, state, through_us=until), until + 1)

    output = advance(YARD, state, part, through_us=until)

    assert raised_at(output)[0] < 660


def test_batches_change_nothing_to_the_bit():
    samples = recording(9, fault=(600, 1000))
    cuts = tuple(START_US + second * 1_000_000 for second in (3, 250, 399, 401, 777, 778, 1100))

    assert score(samples, cuts=cuts) == score(samples)


# --- bad sensors -----------------------------------------------------------------------------------


def with_values(samples: Samples, metric: str, change, *, since: int) -> Samples:
    """Let one metric show something else from a second on: a function of its values."""
    values, late = samples.values.copy(), samples.at_us >= START_US + since * 1_000_000
    place = NAMES.index(metric)
    values[late, place] = change(values[late, place])
    return Samples(at_us=samples.at_us, values=values)


def spiky(values):
    jumps = np.where(np.arange(len(values)) % 17 == 3, 9.0, 0.0)
    return values + jumps


SENSORS = {
    "stuck": ("flow_rate", lambda values: np.full_like(values, 31.9)),
    "missing": ("flow_rate", lambda values: np.full_like(values, np.nan)),
    "range": ("flow_rate", lambda values: np.full_like(values, 65535.0)),
    "unit": ("vibration", lambda values: 1000 * values),
    "spikes": ("flow_rate", spiky),
}


@pytest.mark.parametrize("reason", sorted(SENSORS))
def test_a_bad_sensor_is_told_as_that_and_not_as_a_failing_device(reason):
    metric, change = SENSORS[reason]
    output = score(with_values(recording(2), metric, change, since=700))

    told = [(d.kind, d.failure_mode, d.change) for d in output.detections]
    assert told == [("sensor", metric, "raised")]
    assert output.detections[0].evidence.sentences[0].key == reason
    assert all(f.status != "declining" for f in output.forecasts)


def test_a_sensor_that_died_at_zero_is_no_fault_of_the_device():
    output = score(with_values(recording(3), "flow_rate", np.zeros_like, since=700))

    assert [(d.kind, d.failure_mode) for d in output.detections] == [("sensor", "flow_rate")]


def test_when_several_metrics_stop_at_once_it_is_the_device():
    samples = with_values(recording(3), "flow_rate", np.zeros_like, since=700)
    samples = with_values(samples, "current_a", lambda values: np.full_like(values, 8.0), since=700)

    output = score(samples)

    assert ("wear", "circulation") in {(d.kind, d.failure_mode) for d in output.detections}


def test_the_unit_is_told_and_the_metric_is_still_watched_in_it():
    samples = with_values(
        recording(3, fault=(900, 1200)), "flow_rate", lambda v: 1000 * v, since=700
    )

    output = score(samples, yard=WIDE)

    first, *later = [d for d in output.detections if d.change == "raised"]
    assert first.evidence.sentences[0].values["conversion"] == "1000 x"
    assert [d.kind for d in later] == ["wear"]
    assert 900 < (later[0].at_us - START_US) / 1e6 < 930


def test_a_sensor_that_is_mended_is_cleared():
    stuck = with_values(recording(4), "flow_rate", lambda v: np.full_like(v, 31.9), since=600)
    mended = with_values(recording(4), "flow_rate", lambda v: v, since=0)
    values = np.where((stuck.at_us < START_US + 800_000_000)[:, None], stuck.values, mended.values)

    output = score(Samples(at_us=stuck.at_us, values=values))

    assert [d.change for d in output.detections] == ["raised", "cleared"]
    assert {d.kind for d in output.detections} == {"sensor"}


def test_spikes_of_one_metric_do_not_raise_an_alert():
    calm = recording(2)
    values = calm.values.copy()
    values[700, 3] += 300.0

    assert score(Samples(at_us=calm.at_us, values=values)).detections == []


def test_batches_change_nothing_where_sensors_are_bad():
    samples = recording(2)
    for metric, change in SENSORS.values():
        samples = with_values(samples, metric, change, since=650)
    cuts = tuple(START_US + second * 1_000_000 for second in (500, 651, 655, 700, 703))

    assert score(samples, cuts=cuts) == score(samples)


# --- after a service -------------------------------------------------------------------------------


def replaced(at_s: int, *, number: int = 1) -> ServiceEvent:
    return ServiceEvent(
        finding_id=number,
        failure_mode="circulation",
        component="circuit",
        verdict="confirmed",
        found_us=START_US + at_s * 1_000_000 + 250_000,
    )


TWO_PARTS = Yardstick(
    Layout(
        msgspec.structs.replace(
            BENCH,
            failure_modes=(
                msgspec.structs.replace(_MODE, evidence=(Evidence(metric="flow_rate"),)),
                msgspec.structs.replace(
                    _MODE,
                    name="heat",
                    component="motor",
                    evidence=(Evidence(metric="current_a"),),
                ),
            ),
        )
    ),
    None,
)


def serviced_recording(seed: int, *, again: int | None = None, seconds: int = 2000) -> Samples:
    """A fault from 600 s on; at 800 s a new part, whose flow is another; it fails again, or not."""
    samples = recording(seed, seconds=seconds, fault=(600, 800))
    samples = with_values(samples, "flow_rate", lambda values: values + 5.0, since=800)
    if again is not None:
        samples = with_values(samples, "flow_rate", lambda values: values - 2.0, since=again)
    return samples


def statuses(output: Output, mode: str, first: int, last: int) -> set[str]:
    return {
        f.status
        for f in output.forecasts
        if f.failure_mode == mode and first <= (f.made_us - START_US) / 1e6 < last
    }


def test_after_a_service_the_new_part_is_learned_anew_and_raises_no_alert():
    output = score(serviced_recording(2), yard=TWO_PARTS, services=(replaced(800),))

    assert [d.change for d in output.detections] == ["raised", "cleared"]
    assert statuses(output, "circulation", 810, 1200) == {"learning"}
    assert statuses(output, "circulation", 1210, 2000) == {"ok"}
    assert statuses(output, "heat", 410, 2000) == {"ok"}
    told = [f for f in output.forecasts if f.status == "learning" and f.made_us > START_US + 8e8]
    assert {f.evidence.sentences[0].key for f in told} == {"learning_anew"}
    assert all(f.outlook is None for f in told)


def test_a_new_part_that_fails_is_seen_against_its_own_normal():
    samples = serviced_recording(2, again=1500)

    output = score(samples, yard=TWO_PARTS, services=(replaced(800),))

    raised = raised_at(output)
    assert len(raised) == 2
    assert 1500 < raised[1] < 1540
    (flow,) = output.detections[-1].evidence.metrics
    assert flow.expected == pytest.approx(37, abs=0.5)


def test_without_the_finding_the_new_part_would_be_an_alert():
    shifted = with_values(recording(2), "flow_rate", lambda values: values + 5.0, since=800)

    assert raised_at(score(shifted, yard=TWO_PARTS))
    assert not raised_at(score(shifted, yard=TWO_PARTS, services=(replaced(800),)))


def test_what_belongs_to_another_part_is_watched_while_one_is_learned_anew():
    samples = with_values(serviced_recording(2), "current_a", lambda v: v + 2.0, since=900)

    output = score(samples, yard=TWO_PARTS, services=(replaced(800),))

    assert ("heat", "raised") in {(d.failure_mode, d.change) for d in output.detections}


@pytest.mark.parametrize("cuts", [(799, 801, 1200, 1201, 1202), (801, 1000, 1700)])
def test_batches_change_nothing_around_a_service(cuts):
    samples = serviced_recording(3, again=1500)
    instants = tuple(START_US + second * 1_000_000 for second in cuts)

    whole = score(samples, yard=TWO_PARTS, services=(replaced(800),))

    assert score(samples, cuts=instants, yard=TWO_PARTS, services=(replaced(800),)) == whole


def test_a_second_service_begins_the_learning_anew_again():
    services = (replaced(800), replaced(1000, number=2))

    output = score(serviced_recording(2), yard=TWO_PARTS, services=services)

    assert statuses(output, "circulation", 810, 1400) == {"learning"}
    assert statuses(output, "circulation", 1410, 2000) == {"ok"}
