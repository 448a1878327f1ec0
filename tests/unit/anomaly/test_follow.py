"""A device without conditions and limits: recordings in the layout of the public bench, made here."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from anomaly.features import Layout
from anomaly.follow import SEEN_AT
from anomaly.moment import RAISE_AT
from anomaly.records import Output, Samples
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


def score(samples: Samples, *, cuts: tuple[int, ...] = (), yard: Yardstick = YARD) -> Output:
    state, whole = begin(yard, first_us=int(samples.at_us[0])), Output()
    for through_us in (*cuts, int(samples.at_us[-1])):
        part = samples.between(read_from_us(yard, state, through_us=through_us), through_us + 1)
        output = advance(yard, state, part, through_us=through_us)
        state = state_from_json(msgspec.json.decode(state_to_json(state)))
        for name in Output.__slots__:
            getattr(whole, name).extend(getattr(output, name))
    return whole


def raised_at(output: Output) -> list[float]:
    return [(d.at_us - START_US) / 1e6 for d in output.detections if d.change == "raised"]


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
    alarms = [raised_at(score(recording(seed, seconds=4000))) for seed in range(6)]

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
    assert SEEN_AT == RAISE_AT


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
