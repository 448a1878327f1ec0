from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.records import Output, ServiceEvent
from tests.unit.anomaly.bench import (
    BEARING,
    COLUMNS,
    DAY_US,
    LAYOUT,
    START_US,
    WINDING,
    Wear,
    drift,
    make_samples,
    score,
    with_metric,
)

WEARING = make_samples(1, days=24, wear=Wear(from_day=8, fails_day=22, moves=BEARING))
HEALTHY = make_samples(2, days=24)
WHOLE = score(WEARING)


def raised(output: Output, kind: str = "wear") -> list[str]:
    return [d.failure_mode for d in output.detections if d.kind == kind and d.change == "raised"]


def day(at_us: int) -> float:
    return (at_us - START_US) / DAY_US


def service(verdict: str, *, on_day: float, mode: str = "bearing_wear") -> ServiceEvent:
    component = {"bearing_wear": "bearing", "winding_fault": "motor"}[mode]
    return ServiceEvent(
        finding_id=7,
        failure_mode=mode,
        component=component,
        verdict=verdict,  # type: ignore[arg-type]
        found_us=START_US + round(on_day * DAY_US),
    )


def test_wear_is_detected_long_before_the_failure_and_named_once():
    found = [d for d in WHOLE.detections if d.kind == "wear" and d.change == "raised"]

    assert [d.failure_mode for d in found] == ["bearing_wear"]
    assert 8 < day(found[0].at_us) < 14


def test_wear_is_told_with_the_conditions_that_it_was_seen_under():
    raised = next(d for d in WHOLE.detections if (d.kind, d.change) == ("wear", "raised"))

    last = raised.evidence.sentences[-1]

    assert last.key == "operating"
    assert last.text.startswith("That is with load at ")
    assert last.values["value_0"] == f"{raised.evidence.operating['load_pct']:.1f}"


def test_a_healthy_device_stays_quiet():
    output = score(HEALTHY)

    assert output.detections == []
    assert {f.status for f in output.forecasts} == {"learning", "ok"}


@settings(deadline=None, max_examples=12)
@given(cuts=st.lists(st.integers(START_US, START_US + 24 * DAY_US), max_size=6))
def test_batches_and_restarts_change_nothing_to_the_bit(cuts):
    cut = score(WEARING, cuts=tuple(cuts))

    for name in Output.__slots__:
        assert getattr(cut, name) == getattr(WHOLE, name)


@pytest.mark.parametrize("days", [5.3, 9.0, 15.77])
def test_scores_of_a_shorter_stream_are_a_prefix_of_those_of_a_longer_one(days):
    until = START_US + round(days * DAY_US)

    shorter = score(WEARING.between(0, until))

    for name in Output.__slots__:
        prefix = getattr(shorter, name)
        assert prefix == getattr(WHOLE, name)[: len(prefix)]


def test_a_drifting_sensor_is_a_bad_sensor_and_no_wear():
    drifting = with_metric(
        HEALTHY, "vibration", drift(HEALTHY, from_day=9, per_day=0.4), from_day=9
    )

    output = score(drifting)

    assert raised(output) == []
    assert raised(output, "sensor") == ["vibration"]
    assert max(f.outlook.p_fail_30d for f in output.forecasts if f.outlook) < 0.05


@pytest.mark.parametrize(
    ("metric", "convert", "formula"),
    [
        ("power_w", lambda watts: watts / 1000, "0.001 x"),
        ("bearing_c", lambda celsius: 1.8 * celsius + 32, "1.8 x + 32"),
    ],
)
def test_a_sensor_that_changed_its_unit_is_said_to_have(metric, convert, formula):
    values = HEALTHY.values[:, COLUMNS[metric]]

    output = score(with_metric(HEALTHY, metric, convert(values) - values, from_day=9))

    assert raised(output) == []
    assert raised(output, "sensor") == [metric]
    said = output.detections[0].evidence.sentences[0]
    assert (said.key, said.values["conversion"]) == ("unit", formula)


def test_a_stuck_sensor_is_said_to_be_stuck_and_raises_no_wear():
    output = score(with_metric(HEALTHY, "bearing_c", 55.0, from_day=10))

    assert raised(output) == []
    assert raised(output, "sensor") == ["bearing_c"]
    assert output.detections[0].evidence.sentences[0].key == "stuck"


def test_missing_values_are_no_wear_and_leave_no_trace_in_the_expectation():
    output = score(with_metric(HEALTHY, "vibration", float("nan"), from_day=10))

    late = [w for w in output.windows if day(w.at_us) > 12.5]
    measured, watched = LAYOUT.measured.index("vibration"), LAYOUT.watched.index("vibration")
    assert raised(output) == []
    assert raised(output, "sensor") == ["vibration"]
    assert late
    assert all(w.measured[measured] is None and w.score[watched] is None for w in late)


def test_a_stuck_condition_raises_no_wear():
    output = score(with_metric(HEALTHY, "ambient_c", 30.0, from_day=10))

    assert raised(output) == []
    assert "ambient_c" in raised(output, "sensor")


def test_two_faults_at_once_are_both_named():
    both = WEARING.values.copy()
    other = make_samples(1, days=24, wear=Wear(from_day=8, fails_day=22, moves=WINDING))
    both += other.values - make_samples(1, days=24).values
    both[:, COLUMNS["fault_code"]] = 0

    output = score(replace(WEARING, values=both).between(0, START_US + 22 * DAY_US))

    assert sorted(raised(output)) == ["bearing_wear", "winding_fault"]


def test_a_reported_fault_fails_its_mode_at_once():
    reported = [d for d in WHOLE.detections if d.kind == "reported_fault"]
    at_us = reported[0].at_us
    forecast = next(
        f for f in WHOLE.forecasts if f.made_us == at_us and f.failure_mode == "bearing_wear"
    )

    assert day(at_us) == pytest.approx(22, abs=0.01)
    assert forecast.status == "failed"
    assert forecast.health_index == 0
    assert forecast.outlook is not None
    assert forecast.outlook.p_fail_1d == 1
    assert "fault 21" in forecast.evidence.sentences[0].text


def test_a_fault_of_a_part_without_evidence_is_forecast_as_failed_too():
    sudden = with_metric(HEALTHY, "fault_code", 90.0, from_day=12.01)

    output = score(sudden)

    assert raised(output, "reported_fault") == ["board_fault"]
    assert next(f.failure_mode for f in output.forecasts if f.status == "failed") == "board_fault"


def test_service_starts_the_component_anew():
    repaired = WEARING.values.copy()
    late = WEARING.at_us >= START_US + 16 * DAY_US
    repaired[late] = make_samples(1, days=24).values[late]
    samples = replace(WEARING, values=repaired)

    output = score(samples, services=(service("confirmed", on_day=16),))

    after = [
        f for f in output.forecasts if day(f.made_us) > 16.3 and f.failure_mode == "bearing_wear"
    ]
    assert {f.status for f in after} == {"ok"}
    assert min(f.health_index for f in after) > 0.9
    assert [d.change for d in output.detections] == ["raised", "cleared"]


def test_after_a_visit_without_a_finding_only_what_gets_worse_is_reported():
    output = score(WEARING, services=(service("no_fault_found", on_day=13),))

    changes = [(d.change, day(d.at_us)) for d in output.detections if d.kind == "wear"]
    assert [c for c, _ in changes[:3]] == ["raised", "cleared", "raised"]
    assert changes[1][1] == pytest.approx(13)
    assert changes[2][1] > 14


def test_forecasts_rise_with_the_horizon_and_come_nearer_to_the_failure():
    declining = [f for f in WHOLE.forecasts if f.status == "declining"]

    for forecast in declining:
        outlook = forecast.outlook
        assert outlook.p_fail_1d <= outlook.p_fail_7d <= outlook.p_fail_30d
        lives = list(outlook.lives)
        known = [x for x in lives if x is not None]
        assert known == sorted(known)
    late = [f for f in declining if 15 < day(f.made_us) < 21]
    errors = [f.outlook.life_hours_q50 / 24 - (22 - day(f.made_us)) for f in late]
    assert np.median(np.abs(errors)) < 2


def test_a_device_that_stands_still_gets_no_data_once():
    standing = with_metric(HEALTHY, "load_pct", 0.0, from_day=10)

    output = score(standing)

    silent = [
        f for f in output.forecasts if f.status == "no_data" and f.failure_mode == "bearing_wear"
    ]
    assert len(silent) == 1
    assert raised(output) == []


def test_a_late_finding_counts_from_when_it_is_known():
    first = score(WEARING, cuts=(START_US + 18 * DAY_US,))
    late = service("confirmed", on_day=16)

    output = score(WEARING, cuts=(START_US + 18 * DAY_US,), services=(late,))

    assert first.detections != output.detections
