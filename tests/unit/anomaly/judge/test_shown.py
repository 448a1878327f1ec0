"""The table as people read it."""

import msgspec

from anomaly.judge.bootstrap import Interval
from anomaly.judge.report import Figures, HorizonFigures, ModeTable, Table
from anomaly.judge.shown import COLUMNS, notes, table_rows, what_if
from anomaly.judge.tally import AlertFigures

ALERTS = AlertFigures(
    events=20, events_caught=18, event_recall=0.9, alerts=22, right=18, alert_precision=0.947,
    precision_late_counted=0.9, false_alarms=1, false_alarms_per_device_year=0.02, device_years=50.0,
    lead_hours_q10=30.0, lead_hours_median=72.0, lead_hours_q90=120.0, share_too_early=0.05, late=1,
    undecided=2, unseen=3, cost_per_device_year=123.4, cost_without=456.0, cost_best=88.0,
)  # fmt: skip
HORIZON = HorizonFigures(
    horizon_hours=24, rows=100, rows_failed=10, rate=0.1, average_precision=0.8, brier=0.02,
    brier_of_rate=0.09, ece=0.0123, ece_equal_width=0.01,
)  # fmt: skip
REACHED = Figures(
    alerts=ALERTS,
    horizons=(HORIZON,),
    intervals={"event_recall": Interval(low=0.8, high=1.0, share=0.9, draws=400, seed=7)},
)


def table(*modes: str) -> Table:
    told = tuple(
        ModeTable(mode=mode, lead_hours=24, horizon_hours=720, reached=REACHED,
                  controls={"always_on": Figures(alerts=ALERTS)})
        for mode in modes
    )  # fmt: skip
    return Table(
        product="pump", devices=40, from_us=0, until_us=1, seed=7, modes=told, total=REACHED
    )


def test_each_mode_has_a_line_with_its_controls_below_and_all_modes_come_last() -> None:
    rows = list(table_rows(table("worn", "leak")))

    assert [(row[0], row[1]) for row in rows] == [
        ("worn", "forecare"), ("", "always on"), ("leak", "forecare"), ("", "always on"),
        ("all", "forecare"),
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(COLUMNS)}


def test_a_single_mode_is_not_said_twice() -> None:
    assert len(list(table_rows(table("worn")))) == 2


def test_figures_stand_with_their_intervals_and_empty_where_there_is_none() -> None:
    ours, control = list(table_rows(table("worn")))

    assert ours[2:8] == (
        "18 of 20", "0.90 (0.80 to 1.00)", "0.95", "0.02", "30, 72, 120", "0.05",
    )  # fmt: skip
    assert ours[8:] == ("24: 0.80", "24: 0.012", "", "123")
    assert control[8:11] == ("", "", "")


def test_horizons_stand_in_order_and_those_that_nothing_is_known_of_are_left_out() -> None:
    far = msgspec.structs.replace(HORIZON, horizon_hours=168, average_precision=None)
    reached = msgspec.structs.replace(REACHED, horizons=(far, HORIZON))
    told = msgspec.structs.replace(table("worn").modes[0], reached=reached)

    ours = next(iter(table_rows(msgspec.structs.replace(table("worn"), modes=(told,)))))

    assert ours[8:10] == ("24: 0.80", "24: 0.012; 168: 0.012")


def test_when_an_alert_is_right_is_said_once_for_those_that_share_it() -> None:
    both = table("worn", "leak")
    apart = msgspec.structs.replace(both.modes[1], lead_hours=48)

    shared = [line for line in notes(both) if "is right" in line]
    own = [
        line
        for line in notes(msgspec.structs.replace(both, modes=(both.modes[0], apart)))
        if "is right" in line
    ]

    assert [line.split(":")[0] for line in shared] == ["all failure modes"]
    assert [line.split(":")[0] for line in own] == ["worn", "leak"]


def test_a_short_time_of_watching_is_not_rounded_to_nothing() -> None:
    short = msgspec.structs.replace(ALERTS, device_years=0.04)
    total = msgspec.structs.replace(REACHED, alerts=short)

    assert "0.04 device-years" in next(notes(msgspec.structs.replace(table("worn"), total=total)))


def test_below_the_table_stands_what_was_left_out() -> None:
    text = "\n".join(notes(table("worn")))

    assert "40 devices of pump, 50.0 device-years" in text
    assert "from 720 h to 24 h before the failure" in text
    assert "alerts that came too late: 1" in text
    assert "not observed long enough: 2" in text
    assert "not watched in time: 3" in text
    assert "456 without any alert, 88 at best" in text


def test_what_a_change_would_have_done_is_one_sentence() -> None:
    more = msgspec.structs.replace(ALERTS, alerts=36, right=21, false_alarms=12, events_caught=19)

    assert what_if(ALERTS, more) == (
        "14 more alerts, 3 more right, 11 more false; 1 more failure caught"
    )
    assert what_if(more, ALERTS).startswith("14 fewer alerts, 3 fewer right")
    assert what_if(ALERTS, ALERTS) == "nothing would have changed"
