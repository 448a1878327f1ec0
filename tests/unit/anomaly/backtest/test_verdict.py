"""Replayed forecasts become alerts, controls and a table."""

from dataclasses import replace

import numpy as np
import orjson

from anomaly.backtest.change import Change
from anomaly.backtest.run import as_known_then
from anomaly.backtest.source import KnownBaseline, Member
from anomaly.backtest.track import STATUSES, Stream, Track
from anomaly.backtest.verdict import Question, answer
from anomaly.backtest.words import as_object, lines, rows_of
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import Labels
from maintenance.replay import REPLAY
from tests.unit.anomaly.bench import PUMP

CATALOG = Catalog(PUMP)
DAY = 86_400_000_000
EVERY = CATALOG.every_us
OK, DECLINING, LEARNING = (STATUSES.index(name) for name in ("ok", "declining", "learning"))
NONE = np.empty(0, dtype=np.int64)
BEARING = CATALOG.modes.index("bearing_wear")


def track(number: int, *, days: int = 100, fails: int | None, risen: int | None) -> Track:
    """A device that learns for ten days; its chance of failing rises on a day; it fails on another."""
    made = np.arange(EVERY, days * DAY + 1, EVERY)
    status = np.full((len(made), len(CATALOG.modes)), OK)
    p_fail = np.full((len(made), len(CATALOG.modes), 3), 0.001)
    learning = made <= 10 * DAY
    status[learning], p_fail[learning] = LEARNING, np.nan
    if risen is not None:
        late = made >= risen * DAY
        if fails is not None:
            late &= made < fails * DAY
        status[late, BEARING] = DECLINING
        p_fail[late, BEARING] = (0.02, 0.5, 0.9)
    failed = [] if fails is None else [fails * DAY]
    failures = np.array(failed, dtype=np.int64)
    modes = np.full(len(failures), BEARING)
    return Track(
        history=History(
            device=f"d{number}", begins_us=0, until_us=days * DAY, failure_us=failures,
            failure_mode=modes,
        ),
        made_us=made,
        status=status,
        p_fail=p_fail,
        life_hours=np.full((len(made), len(CATALOG.modes), 5), np.inf),
        worn=np.full((len(made), len(CATALOG.modes)), 0.5),
        labels=Labels(
            failure_us=failures, failure_mode=modes, service_us=NONE, service_component=NONE,
            doubt_us=NONE, doubt_mode=NONE,
        ),
        sensors=(),
    )  # fmt: skip


FLEET = [
    track(0, fails=60, risen=45),
    track(1, fails=65, risen=None),
    track(2, fails=None, risen=40),
    *(track(3 + i, fails=None, risen=None) for i in range(5)),
]
WHOLE = Question(from_us=0, until_us=100 * DAY, useful_hours=720.0, draws=20)


def test_right_false_and_missing_alerts_are_counted():
    alerts = answer(CATALOG, FLEET, WHOLE, REPLAY).table.modes[0].reached.alerts

    assert (alerts.events, alerts.events_caught) == (2, 1)
    assert (alerts.alerts, alerts.right, alerts.false_alarms) == (2, 1, 1)
    # Two of three forecasts must agree, so the alert opens with the second one.
    assert alerts.lead_hours_median == 15 * 24 - 6


def test_rows_without_a_claim_are_not_watched():
    found = answer(CATALOG, FLEET, WHOLE, REPLAY)

    rows = 100 * 4 * len(FLEET) * 2  # two failure modes have evidence
    assert found.rows == rows
    assert found.rows_claimed == rows * 9 // 10
    years = found.table.modes[1].reached.alerts.device_years
    # Of the 90 days that follow the learning, the last 30 cannot be judged where nothing failed.
    assert years == len(FLEET) * 60 / 365.25 or abs(years - len(FLEET) * 60 / 365.25) < 0.01


def test_what_was_warned_of_before_the_judged_time_is_warned_of_anew():
    later = replace(WHOLE, from_us=50 * DAY)

    alerts = answer(CATALOG, FLEET, later, REPLAY).table.modes[0].reached.alerts

    assert alerts.events_caught == 1
    assert alerts.lead_hours_median == 10 * 24 - 12


def test_controls_learn_from_what_was_before_and_are_left_out_without_it():
    now = answer(CATALOG, FLEET, replace(WHOLE, seeds=(0, 7)), REPLAY)
    later = answer(CATALOG, FLEET, replace(WHOLE, from_us=62 * DAY), REPLAY)

    assert set(now.table.controls) == {"always_on", "random", "random_7"}
    assert set(later.table.controls) == {"always_on", "random", "calendar", "age", "persistence"}


def test_a_change_says_what_it_would_have_done():
    question = replace(WHOLE, change=Change(threshold=0.6))
    found = answer(CATALOG, FLEET, question, REPLAY)

    said = list(lines(found, question, left_out=2, seconds=1.0))

    text = next(line for line in said if line.startswith("threshold 0.6: "))
    assert "2 fewer alerts, 1 fewer right, 1 fewer false; 1 fewer failure caught" in text
    assert "recall 0.50 -> 0.00" in text
    assert any("first samples having been let go: 2" in line for line in said)
    assert any("had nothing before --from" in line for line in said)
    assert len(list(rows_of(found))) == 3 * 3


def test_machines_get_the_names_that_evaluations_print():
    question = replace(WHOLE, change=Change(confirm=1), seeds=(4, 5))

    found = as_object(answer(CATALOG, FLEET, question, REPLAY), question, seconds=2.0)

    assert orjson.loads(orjson.dumps(found))["seeds"] == [4, 5]
    names = {
        "events", "events_caught", "event_recall", "alert_precision", "lead_hours_q10",
        "lead_hours_median", "false_alarms_per_device_year", "average_precision", "brier", "ece",
        "controls", "seeds", "seconds",
    }  # fmt: skip
    assert names <= set(found)
    assert found["what_if"]["change"]["confirm"] == 1


def test_what_was_said_about_the_time_before_the_product_was_learned_is_taken_back():
    one = FLEET[0]
    stream = Stream(device="d0", begins_us=0, first_us=0, until_us=DAY, samples=lambda a, b: None)
    member = Member(stream=stream, normal=KnownBaseline(baseline=None, known_us=50 * DAY))

    track = as_known_then(one, member)

    before = one.made_us < 50 * DAY
    assert (track.status[before] == LEARNING).all()
    assert np.isnan(track.p_fail[before]).all()
    assert np.array_equal(track.p_fail[~before], one.p_fail[~before])
    assert (
        as_known_then(one, replace(member, normal=KnownBaseline(baseline=None, known_us=0))) is one
    )
