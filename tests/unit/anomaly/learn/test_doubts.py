"""Visits that found nothing: counted by hand, and what they make of a rule that called in vain."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from anomaly.learn.doubts import Doubts, looked_at
from anomaly.learn.events import Events
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import instants, make_frame
from anomaly.learn.hazard import cross
from anomaly.learn.history import History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome
from anomaly.learn.services import Services
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR

NONE = np.empty(0, dtype=np.int64)
UNTIL = 900 * HOUR
ALARMED = 0.3


def machine(number: int, *, is_odd: bool) -> History:
    """Error 7 a day before each failure; an odd one fails without it, reports it in vain, and is visited."""
    rng = np.random.default_rng([number, 8])
    ends = np.cumsum(rng.integers(90, 170, 8)) * HOUR
    ends = ends[ends < UNTIL - 60 * HOUR]
    place = CATALOG.modes.index("belt_worn")
    codes = ends - 24 * HOUR
    failures = ends + 45 * HOUR if is_odd else ends
    doubts = codes + 6 * HOUR if is_odd else NONE
    return History(
        device=f"{'odd' if is_odd else 'plain'}-{number}", begins_us=0, until_us=UNTIL,
        values=np.empty((0, len(CATALOG.metrics))),
        event_us=codes, event_metric=np.zeros(len(codes), dtype=np.int64),
        event_code=np.full(len(codes), 7),
        failure_us=failures, failure_mode=np.full(len(failures), place),
        service_us=failures, service_component=np.zeros(len(failures), dtype=np.int64),
        doubt_us=doubts, doubt_mode=np.full(len(doubts), place),
    )  # fmt: skip


def forgetful(history: History) -> History:
    """The same machine, without what visits found."""
    return replace(history, doubt_us=NONE, doubt_mode=NONE)


@cache
def learned(*, with_visits: bool) -> ModeModel:
    fleet = [machine(number, is_odd=number % 2 == 0) for number in range(18)]
    if not with_visits:
        fleet = [forgetful(history) for history in fleet]
    return fit_mode_model(
        CATALOG, fleet, mode="belt_worn", train_until_us=600 * HOUR, calibrate_until_us=UNTIL,
        seeds=(0,), horizons_hours=(24,), groups=(Services, Events, Doubts),
    )  # fmt: skip


def called(model: ModeModel, histories: list[History]) -> float:
    """Share of the rows within a day after an error 7 on which there would have been an alert."""
    frame = make_frame(CATALOG, model.spec, histories)
    since = np.concatenate(
        [
            instants(CATALOG, h) - h.event_us[np.searchsorted(h.event_us, instants(CATALOG, h), side="right") - 1]
            for h in histories
        ]
    )  # fmt: skip
    late = frame.at_us > 400 * HOUR
    rows = late & (since >= 0) & (since < 20 * HOUR)
    return float(np.mean(model.predict(frame).failed[rows, 0] > ALARMED))


def test_a_rule_that_called_in_vain_becomes_calmer_and_stays_awake_elsewhere() -> None:
    odd = [machine(number, is_odd=True) for number in range(200, 206)]
    plain = [machine(number, is_odd=False) for number in range(300, 306)]

    before = called(learned(with_visits=False), [forgetful(h) for h in odd])
    after = called(learned(with_visits=True), odd)

    assert before > 0.5
    assert after < 0.5 * before
    assert called(learned(with_visits=True), plain) > 0.8


def test_rows_before_a_visit_that_found_nothing_count_for_more_and_others_do_not() -> None:
    visited = replace(
        machine(1, is_odd=True), doubt_us=np.array([100 * HOUR]), doubt_mode=np.array([0]),
        failure_us=NONE, failure_mode=NONE,
    )  # fmt: skip
    at = np.array([40, 53, 99, 100, 101]) * HOUR

    weight = looked_at([visited], np.zeros(5, dtype=np.int64), at, place=0, ahead_hours=48)

    assert weight == pytest.approx([1, 1 + 2 / 3, 1 + 2 / 3, 1 + 2 / 3, 1])


def test_a_visit_that_missed_the_fault_adds_nothing_and_lowers_what_others_add() -> None:
    fails = replace(
        machine(1, is_odd=True), doubt_us=np.array([100, 400]) * HOUR,
        doubt_mode=np.array([0, 0]), failure_us=np.array([120 * HOUR]), failure_mode=np.array([0]),
    )  # fmt: skip

    weight = looked_at(
        [fails], np.zeros(2, dtype=np.int64), np.array([90, 390]) * HOUR, place=0, ahead_hours=48
    )

    assert weight == pytest.approx([1, 1.5])


def test_a_row_that_failed_stays_as_it_is_however_sure_its_calm_would_be() -> None:
    outcome = Outcome(
        hours=np.array([5.0, 20.0, 20.0]), has_failed=np.array([True, False, False]),
        sureness=np.array([2.0, 2.0, 1.0]),
    )  # fmt: skip

    periods = cross(outcome, (10.0,))

    assert periods.weight.tolist() == [1, 2, 1]


def test_what_a_visit_found_is_known_from_then_on() -> None:
    history = machine(0, is_odd=True)
    group = Doubts.fit(CATALOG, [history])
    first = int(history.doubt_us[0])
    at = np.array([first - 1, first, first + 2 * HOUR])

    columns = group.columns(CATALOG, history, at)

    assert group.names == (
        "belt_worn_nothing_found_hours_ago", "belt_worn_nothing_found_so_far",
    )  # fmt: skip
    assert np.isnan(columns[0, 0])
    assert columns[1:, 0].tolist() == [0, 2]
    assert columns[:, 1].tolist() == [0, 1, 1]


def test_where_nobody_ever_found_nothing_there_are_no_columns() -> None:
    plain = machine(1, is_odd=False)

    assert Doubts.fit(CATALOG, [plain]).columns(CATALOG, plain, np.arange(3)).shape == (3, 0)


def test_a_history_that_is_cut_knows_no_later_visit() -> None:
    history = machine(0, is_odd=True)
    cut = history.upto(int(history.doubt_us[1]))

    assert cut.doubt_us.tolist() == history.doubt_us[:2].tolist()
    assert len(cut.doubt_mode) == 2
