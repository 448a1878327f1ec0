"""Tables of several products and seeds are counted together."""

import pytest

from anomaly.judge.bootstrap import Interval
from anomaly.judge.life import Coverage
from anomaly.judge.report import Figures, HorizonFigures, LifeFigures, ModeTable, Table
from anomaly.judge.tally import AlertFigures
from bench.evaluate.pooled import by_mode, by_seed, coverage_by_life, pooled


def alerts(
    *, events: int, caught: int, false: int, years: float, lead: float | None
) -> AlertFigures:
    return AlertFigures(
        events=events, events_caught=caught, event_recall=None, alerts=caught + false, right=caught,
        alert_precision=None, precision_late_counted=None, false_alarms=false,
        false_alarms_per_device_year=None, device_years=years, lead_hours_q10=lead,
        lead_hours_median=lead, lead_hours_q90=lead, share_too_early=None, late=1, undecided=0,
        unseen=0, recall_by_lead={"24": caught / events if events else None},
    )  # fmt: skip


def figures(counted: AlertFigures, *, rows: int, ece: float, covered: float | None) -> Figures:
    horizon = HorizonFigures(
        horizon_hours=192.0, rows=rows, rows_failed=1, rate=0.1, average_precision=None, brier=0.1,
        brier_of_rate=0.09, ece=ece, ece_equal_width=ece,
    )  # fmt: skip
    life = None
    if covered is not None:
        bins = (Coverage(low=0.0, high=float("inf"), rows=rows, covered=covered, width=10.0),)
        life = LifeFigures(
            rows=rows, coverage_80=covered - 0.1, coverage_90=covered, width_90=10.0,
            median_error_hours=1.0, by_life=bins,
        )  # fmt: skip
    interval = Interval(low=0.1, high=0.2, share=0.9, draws=10, seed=3)
    return Figures(
        alerts=counted, horizons=(horizon,), life=life, intervals={"event_recall": interval}
    )


def table(product: str, one: Figures) -> Table:
    mode = ModeTable(mode="wear", lead_hours=168.0, horizon_hours=2160.0, reached=one)
    return Table(
        product=product, devices=2, from_us=0, until_us=1, seed=3, modes=(mode,), total=one
    )


FEW = figures(
    alerts(events=2, caught=1, false=1, years=10.0, lead=100.0), rows=100, ece=0.1, covered=0.8
)
MANY = figures(
    alerts(events=8, caught=8, false=0, years=30.0, lead=200.0), rows=300, ece=0.02, covered=0.9
)
NOTHING = figures(
    alerts(events=0, caught=0, false=0, years=10.0, lead=None), rows=0, ece=0.0, covered=None
)


def test_counts_are_added_and_shares_made_of_them() -> None:
    found = pooled([FEW, MANY, NOTHING])

    assert (found["events"], found["events_caught"]) == (10, 9)
    assert found["event_recall"] == 0.9
    assert found["alert_precision"] == 0.9
    assert found["false_alarms_per_device_year"] == 1 / 50
    assert found["late"] == 3
    assert found["recall_by_lead"] == {"24": 0.9}


def test_means_are_weighted_by_what_they_are_means_of() -> None:
    found = pooled([FEW, MANY, NOTHING])

    assert found["lead_hours_median"] == pytest.approx((100 + 8 * 200) / 9)
    assert found["ece"]["192"] == pytest.approx((100 * 0.1 + 300 * 0.02) / 400)
    assert found["coverage_90"] == pytest.approx((100 * 0.8 + 300 * 0.9) / 400)
    assert found["average_precision"] == {"192": None}


def test_where_nothing_was_said_of_lives_there_is_no_coverage() -> None:
    found = pooled([NOTHING])

    assert "coverage_90" not in found
    assert found["event_recall"] is None


def test_seeds_of_a_product_are_one_and_products_are_not() -> None:
    tables = [table("pump", FEW), table("pump", MANY), table("fan", FEW)]

    modes = by_mode(tables)
    seeds = by_seed([(0, tables[0]), (1, tables[1])])
    bins = coverage_by_life(tables)

    assert {name: own["events"] for name, own in modes.items()} == {"pump.wear": 10, "fan.wear": 2}
    assert [(one["seed"], one["events"]) for one in seeds] == [(0, 2), (1, 8)]
    assert seeds[0]["intervals"] == {"event_recall": [0.1, 0.2]}
    assert [(one["rows"], one["until_hours"]) for one in bins] == [(500, None)]
    assert bins[0]["coverage_90"] == pytest.approx((100 * 0.8 + 300 * 0.9 + 100 * 0.8) / 500)
