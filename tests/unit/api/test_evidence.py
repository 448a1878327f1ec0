from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from api import evidence
from api.evidence import Chart, evidence_chart, raw_chart
from api.records import Bucket, NormalBucket, Part
from api.store import with_gaps
from gateway.sheet import shipped_sheet

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRODUCT = shipped_sheet("heat_pump")
FAN = PRODUCT.failure_mode("fan_bearing")


def bucket(hours_ago: float, low: float, high: float | None = None) -> NormalBucket:
    top = low if high is None else high
    return NormalBucket(
        at=NOW - hours_ago * HOUR, low=low, high=top, expected=1.5, spread=0.2, score=0.0
    )


def declining(q10: float | None, q50: float | None, q90: float | None) -> Part:
    nothing = dict.fromkeys(
        (
            "alert_level",
            "alert_opened_at",
            "ticket_id",
            "ticket_number",
            "ticket_state",
            "ticket_kind",
            "fails_from",
            "fails_until",
            "visit_starts_at",
            "visit_ends_at",
            "evidence",
        )
    )
    return Part(
        device_id=1,
        failure_mode="fan_bearing",
        title="Fan bearing wear",
        component="fan",
        cost_of_failure=1450,
        position=0,
        forecast_id=1,
        made_at=NOW,
        status="declining",
        health_index=0.5,
        p_fail_1d=0.0,
        p_fail_7d=0.3,
        p_fail_30d=0.9,
        life_hours_q10=q10,
        life_hours_q50=q50,
        life_hours_q90=q90,
        level="plan",
        **nothing,
    )


def chart_of(rows: list[NormalBucket], part: Part | None = None) -> Chart:
    return evidence_chart(
        PRODUCT, FAN.evidence[0], rows, part=part, markers=(), now=NOW, timezone="Europe/Berlin"
    )


def test_a_step_with_two_values_keeps_its_peak() -> None:
    chart = chart_of([bucket(2, 1.4), bucket(1, 1.5, 9.7), bucket(0, 1.6)])

    assert chart.series["v"] == [1.4, 1.5, 9.7, 1.6]


def test_instants_rise_strictly_as_the_chart_needs_them() -> None:
    rows = [bucket(h, 1.4, 1.6) for h in range(100, -1, -1)]

    at = chart_of(rows, declining(50, 100, 150)).series["t"]

    assert all(b > a for a, b in pairwise(at))


def test_a_gap_stays_a_gap() -> None:
    rows = [bucket(h, 1.5) for h in (60, 59, 58, 57, 10, 9, 8, 7)]

    values = chart_of(rows).series["v"]

    assert values.count(None) == 1
    assert values[4] is None


def test_the_normal_band_is_two_spreads_wide_on_each_side() -> None:
    chart = chart_of([bucket(0, 1.5)])

    assert chart.series["lo"] == [pytest.approx(1.1)]
    assert chart.series["hi"] == [pytest.approx(1.9)]


def test_each_end_of_a_step_is_held_against_what_was_normal_in_its_own_window() -> None:
    swinging = replace(
        bucket(0, 1.0, 2.0), low_expected=1.1, low_spread=0.1, high_expected=1.9, high_spread=0.1
    )

    series = chart_of([swinging]).series

    assert series["v"] == [1.0, 2.0]
    assert series["lo"] == [pytest.approx(0.9), pytest.approx(1.7)]
    assert series["hi"] == [pytest.approx(1.3), pytest.approx(2.1)]


def test_a_level_that_health_itself_reaches_is_no_limit() -> None:
    rows = [replace(bucket(h, 1.5), expected=1.5 if h % 4 else 7.4) for h in range(10, -1, -1)]

    chart = chart_of(rows, declining(100, 200, 300))

    assert chart.series["limit"] is None
    assert not chart.has_forecast
    assert chart.series["window"] == [
        (NOW + 100 * HOUR).timestamp(),
        (NOW + 300 * HOUR).timestamp(),
    ]
    assert chart.series["t"][-1] == chart.series["window"][1]
    lengths = {len(chart.series[name]) for name in ("t", "v", "lo", "hi", "mid", "flo", "fhi")}
    assert len(lengths) == 1


def test_the_limit_stands_where_the_sheet_says_the_part_counts_as_failed() -> None:
    chart = chart_of([bucket(0, 1.5)])

    assert chart.series["limit"] == pytest.approx(1.5 + 4.5)


def test_the_forecast_leads_from_now_to_the_limit_at_its_quantiles() -> None:
    chart = chart_of([bucket(h, 2.0) for h in range(10, -1, -1)], declining(100, 200, 300))
    series = chart.series

    crossing = [
        t for t, v in zip(series["t"], series["mid"], strict=True) if v is not None and v >= 6.0
    ]
    assert (crossing[0] - NOW.timestamp()) / 3600 == pytest.approx(200, abs=10)
    assert series["window"] == [(NOW + 100 * HOUR).timestamp(), (NOW + 300 * HOUR).timestamp()]


def test_no_forecast_is_drawn_where_no_end_is_in_sight() -> None:
    chart = chart_of([bucket(0, 2.0)], declining(None, None, None))

    assert not chart.has_forecast
    assert chart.series["window"] is None


def test_the_table_says_what_the_chart_shows() -> None:
    chart = chart_of([bucket(h, 2.0) for h in range(10, -1, -1)], declining(100, 200, 300))

    assert chart.table[0].normal_high == pytest.approx(1.9)
    assert [row.is_forecast for row in chart.table].count(True) == 4


def test_raw_values_with_a_gap_have_an_empty_step() -> None:
    rows = [Bucket(at=NOW + n * HOUR, low=n, high=n) for n in (0, 1, 7, 8)]

    found = with_gaps(rows, HOUR)

    assert [b.low for b in found] == [0, 1, None, 7, 8]
    assert raw_chart(PRODUCT.metrics[0], found, now=NOW, timezone="UTC").series["v"][2] is None


def test_a_chart_is_no_finer_than_the_stored_windows() -> None:
    assert evidence.thinned_to(timedelta(days=1), HOUR) == HOUR
    assert evidence.thinned_to(timedelta(days=350), HOUR) == timedelta(days=1)
