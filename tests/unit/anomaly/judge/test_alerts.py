"""Alert episodes against failures, by cases that can be counted by hand. Time is in hours."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.judge.alerts import Rule, Verdict, false_where, judge, together
from anomaly.judge.lives import Lives, Watch, lives_of, watch_of
from anomaly.judge.tally import Costs, tally, verdict_counts, weighted_quantile
from anomaly.learn.history import History
from anomaly.runs import Rows, Runs
from core.errors import InvalidError
from tests.unit.anomaly.learn.test_frame import CATALOG

HOUR = 3_600_000_000
YEAR = 8766
RULE = Rule(lead_us=10 * HOUR, horizon_us=100 * HOUR)


def runs(*opened: tuple[int, float]) -> Runs:
    device = np.array([d for d, _ in opened], dtype=np.int64)
    at = np.array([h * HOUR for _, h in opened], dtype=np.int64)
    return Runs(device=device, opened_us=at, cleared_us=at + 1, row=np.arange(len(at)))


def lives(*spans: tuple[int, float, float, bool], devices: int = 3) -> Lives:
    columns = list(zip(*spans, strict=True))
    return Lives(
        devices=tuple(f"d{n}" for n in range(devices)),
        device=np.array(columns[0]),
        begins_us=np.array(columns[1], dtype=np.int64) * HOUR,
        ends_us=np.array(columns[2], dtype=np.int64) * HOUR,
        has_failed=np.array(columns[3]),
    )


def watch(*stretches: tuple[int, float, float]) -> Watch:
    columns = list(zip(*stretches, strict=True))
    device, begins, ends = (np.array(c, dtype=np.int64) for c in columns)
    return Watch(device=device, from_us=begins * HOUR, until_us=ends * HOUR)


ONE_FAILURE = lives((0, 0, 1000, True), (0, 1000, 2000, False))
ALWAYS = watch((0, 0, 2000))


def judged(*opened: float, rule: Rule = RULE, truth: Lives = ONE_FAILURE, seen: Watch = ALWAYS):
    return judge(runs(*[(0, h) for h in opened]), lives=truth, watch=seen, rule=rule)


@pytest.mark.parametrize(
    ("opened", "verdict"),
    [
        (899, Verdict.EARLY),
        (900, Verdict.RIGHT),
        (990, Verdict.RIGHT),
        (991, Verdict.LATE),
        (1000, Verdict.LATE),
        (1001, Verdict.FALSE),
        (1900, Verdict.FALSE),
        (1901, Verdict.UNDECIDED),
    ],
)
def test_an_alert_is_worth_what_follows_it(opened: int, verdict: Verdict) -> None:
    assert judged(opened).verdict.tolist() == [verdict]


def test_who_is_strict_calls_an_alert_false_that_nobody_can_judge() -> None:
    strict = Rule(lead_us=10 * HOUR, horizon_us=100 * HOUR, is_strict=True)

    assert judged(1901, rule=strict).verdict.tolist() == [Verdict.FALSE]
    assert judged(1901, rule=strict).years[0] * YEAR == pytest.approx(2000)


def test_figures_of_one_device_counted_by_hand() -> None:
    found = tally(judged(500, 920, 960, 995, 1500, 1950), leads_hours=(10, 50, 80, 90))

    assert (found.events, found.events_caught, found.event_recall) == (1, 1, 1.0)
    assert found.alerts == 6
    assert found.alert_precision == pytest.approx(2 / 4)  # 920, 960 of 500, 920, 960, 1500
    assert found.precision_late_counted == pytest.approx(2 / 5)
    assert found.false_alarms == 2
    assert found.device_years * YEAR == pytest.approx(
        1000 + 900
    )  # 100 h before the end judge nobody
    assert found.false_alarms_per_device_year == pytest.approx(2 / 1900 * YEAR)
    assert (found.lead_hours_q10, found.lead_hours_median, found.lead_hours_q90) == (80, 80, 80)
    assert found.share_too_early == pytest.approx(1 / 5)
    assert (found.late, found.undecided, found.unseen) == (1, 1, 0)
    assert found.recall_by_lead == {"10": 1, "50": 1, "80": 1, "90": 0}


def test_a_late_alert_misses_the_failure_and_is_not_false() -> None:
    found = tally(judged(995), leads_hours=(1, 10))

    assert (found.event_recall, found.alert_precision, found.precision_late_counted) == (0, None, 0)
    assert found.false_alarms == 0
    assert found.recall_by_lead == {"1": 1, "10": 0}


def test_costs_per_device_year() -> None:
    truth = lives((0, 0, 1000, True), (0, 1000, 2000, True), (0, 2000, YEAR, False))
    found = tally(
        judged(950, 1500, truth=truth, seen=watch((0, 0, YEAR))), costs=Costs(failure=500, visit=80)
    )

    false_rate = 1 / (YEAR - 100) * YEAR  # one false alarm in the time in which it can be judged
    assert found.cost_per_device_year == pytest.approx(500 + 80 + 80 * false_rate)
    assert found.cost_without == pytest.approx(1000)
    assert found.cost_best == pytest.approx(160)


def test_a_failure_that_nobody_could_foresee_is_counted_apart() -> None:
    gap = watch((0, 0, 880), (0, 995, 2000))

    found = tally(judged(500, truth=ONE_FAILURE, seen=gap))

    assert (found.events, found.unseen, found.event_recall) == (0, 1, None)
    assert found.device_years * YEAR == pytest.approx(880 + 5 + 900)


def test_the_recall_curve_asks_only_for_warnings_that_watching_allowed() -> None:
    late_start = watch((0, 960, 2000))

    found = tally(judged(965, seen=late_start), leads_hours=(10, 35, 40, 41))

    assert found.recall_by_lead == {"10": 1, "35": 1, "40": 0, "41": None}


def test_an_alert_of_another_device_catches_nothing() -> None:
    truth = lives((0, 0, 1000, True), (1, 0, 1000, False))
    found = judge(runs((1, 950)), lives=truth, watch=watch((0, 0, 1000), (1, 0, 1000)), rule=RULE)

    assert found.caught.tolist() == [False]
    assert verdict_counts(found)["undecided"] == 1


def test_an_alert_before_the_first_life_or_after_the_last_is_left_out() -> None:
    truth = lives((0, 500, 1000, True))

    assert len(judged(500, 501, 1001, truth=truth).verdict) == 1


def test_failure_modes_together_count_device_years_once() -> None:
    both = tally(together([judged(950), judged(1500)]))

    assert (both.events, both.events_caught, both.alerts) == (2, 1, 2)
    assert both.device_years * YEAR == pytest.approx(1900)


def test_a_device_that_is_drawn_twice_counts_twice() -> None:
    truth = lives((0, 0, 1000, True), (1, 0, 1000, True))
    seen = watch((0, 0, 1000), (1, 0, 1000))
    found = judge(runs((0, 950), (1, 500)), lives=truth, watch=seen, rule=RULE)

    drawn = tally(found, drawn=np.array([2, 0, 1]))

    assert (drawn.events, drawn.events_caught, drawn.false_alarms) == (2, 2, 0)
    assert drawn.device_years * YEAR == pytest.approx(2000)


def test_nothing_happened_and_nothing_was_said() -> None:
    found = tally(judge(runs(), lives=lives((0, 0, 1000, False)), watch=ALWAYS, rule=RULE))

    assert (found.alerts, found.events, found.event_recall, found.alert_precision) == (
        0,
        0,
        None,
        None,
    )
    assert found.false_alarms_per_device_year == 0


def test_where_an_alert_would_be_false() -> None:
    at = np.array([500, 899, 900, 995, 1001, 1900, 1901]) * HOUR

    wrong = false_where(np.zeros(7, dtype=np.int64), at, lives=ONE_FAILURE, rule=RULE)

    assert wrong.tolist() == [True, True, False, False, True, True, False]


def test_a_history_is_cut_into_lives_at_failures_and_replacements() -> None:
    one = History(
        device="one", begins_us=0, until_us=100,
        service_us=np.array([10, 40, 60]), service_component=np.array([0, 0, 1]),
        failure_us=np.array([40, 70]), failure_mode=np.array([0, 1]),
    )  # fmt: skip
    never = History(device="two", begins_us=5, until_us=50)

    belt = lives_of(CATALOG, [one, never], mode="belt_worn")
    late = lives_of(CATALOG, [one, never], mode="belt_worn", from_us=30, until_us=80)

    assert belt.begins_us.tolist() == [0, 10, 40, 5]
    assert belt.ends_us.tolist() == [10, 40, 100, 50]
    assert belt.has_failed.tolist() == [False, True, False, False]
    assert belt.device.tolist() == [0, 0, 0, 1]
    assert (late.begins_us.tolist(), late.ends_us.tolist()) == ([30, 40, 30], [40, 80, 50])


def test_rows_without_a_claim_watch_nothing() -> None:
    rows = Rows(
        device=np.array([0, 0, 0, 0, 0, 1]),
        at_us=np.array([0, 10, 20, 50, 60, 0]),
        score=np.array([np.nan, 0, 0, 0, np.nan, 0]),
    )

    seen = watch_of(rows, every_us=10, gap_us=20)

    assert (seen.from_us.tolist(), seen.until_us.tolist()) == ([10, 50, 0], [30, 60, 10])
    assert seen.device.tolist() == [0, 0, 1]


def _watched(stretches: Sequence[tuple[int, int, int]], device: int, first: int, last: int) -> int:
    return sum(
        max(0, min(end, last) - max(begin, first)) for d, begin, end in stretches if d == device
    )


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_watched_time_is_what_adding_up_gives(data: st.DataObject) -> None:
    stretches = []
    for device in range(3):
        cuts = sorted(data.draw(st.lists(st.integers(0, 50), max_size=6, unique=True)))
        stretches += [(device, a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    columns = np.array(stretches, dtype=np.int64).reshape(-1, 3).T
    seen = Watch(device=columns[0], from_us=columns[1], until_us=columns[2])
    device = data.draw(st.integers(0, 2))
    first, last = sorted(data.draw(st.tuples(st.integers(0, 50), st.integers(0, 50))))
    at = np.array([first, last])

    before = seen.before(np.array([device, device]), at)

    assert before[1] - before[0] == _watched(stretches, device, first, last)


def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    values = np.array([5.0, np.nan, 1.0, 3.0, 2.0])

    assert weighted_quantile(values, np.ones(5, dtype=np.int64), 0.5) == 2.0
    assert weighted_quantile(values, np.array([1, 9, 1, 0, 4]), 0.5) == 2.0
    assert weighted_quantile(values, np.array([1, 9, 0, 0, 0]), 0.1) == 5.0
    assert weighted_quantile(np.array([np.nan]), np.array([1]), 0.5) is None


def test_a_rule_that_no_alert_can_meet_is_refused() -> None:
    with pytest.raises(InvalidError, match="no alert can open"):
        Rule(lead_us=2, horizon_us=1)
