"""What is decided, and why, case by case."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.product import KitPart
from maintenance.decide import (
    CALM_SHARE,
    ClosedTicket,
    Decision,
    Forecast,
    OpenTicket,
    Situation,
    Streak,
    compare_costs,
    decide,
    due_at,
    failure_probability,
)
from maintenance.reasons import Action, Reason, explain
from tests.fixtures.maintenance import EVERY, NOON, make_forecast, make_healthy_forecast, make_mode

WANTED = Streak(levels=("plan",))
FAILED: dict[str, Any] = {"status": "failed", "p_fail_1d": 1.0, "p_fail_7d": 1.0, "p_fail_30d": 1.0}


def make_situation(**changes: Any) -> Situation:
    return Situation(**{"forecast_every": EVERY, "event_now": NOON} | changes)


def make_ticket(**changes: Any) -> OpenTicket:
    values: dict[str, Any] = {
        "ticket_id": 7,
        "failure_mode": "fan_bearing",
        "component": "fan",
        "kind": "preventive",
        "state": "open",
        "level": "plan",
        "due_at": NOON + timedelta(days=4),
    }
    return OpenTicket(**values | changes)


def choose(
    forecast: Forecast, *, streak: Streak | None = None, situation: Situation | None = None
) -> Decision:
    decision, _ = decide(
        forecast,
        mode=make_mode(forecast.failure_mode),
        streak=streak or Streak(),
        situation=situation or make_situation(),
    )
    return decision


def run_of(*forecasts: Forecast, situation: Situation | None = None) -> list[Decision]:
    streak, decisions = Streak(), []
    for forecast in forecasts:
        decision, streak = decide(
            forecast, mode=make_mode(), streak=streak, situation=situation or make_situation()
        )
        decisions.append(decision)
    return decisions


def test_one_bad_forecast_is_not_believed() -> None:
    decision = choose(make_forecast())

    assert (decision.action, decision.reason) == (Action.HOLD, Reason.NOT_CONFIRMED)


def test_two_bad_forecasts_open_a_preventive_ticket() -> None:
    decision = choose(make_forecast(), streak=WANTED)

    assert (decision.action, decision.reason) == (Action.OPEN, Reason.FAILURE_LIKELY)
    assert (decision.kind, decision.level) == ("preventive", "plan")


def test_two_of_three_are_enough() -> None:
    decisions = run_of(make_forecast(), make_healthy_forecast(), make_forecast())

    assert decisions[-1].action == Action.OPEN


def test_a_bad_forecast_two_healthy_ones_ago_is_forgotten() -> None:
    healthy = make_healthy_forecast()

    decisions = run_of(make_forecast(), healthy, healthy, make_forecast())

    assert decisions[-1].reason == Reason.NOT_CONFIRMED


def test_late_data_opens_nothing_and_counts_for_what_is_live() -> None:
    late = make_situation(late_through=NOON)
    live = make_situation(late_through=NOON - EVERY)
    streak = WANTED

    history = choose(make_forecast(made_at=NOON), streak=streak, situation=late)
    fault = choose(make_forecast(**FAILED, made_at=NOON), situation=late)
    now = choose(make_forecast(made_at=NOON), streak=streak, situation=live)

    assert {(d.action, d.reason) for d in (history, fault)} == {(Action.HOLD, Reason.LATE_DATA)}
    assert (now.action, now.reason) == (Action.OPEN, Reason.FAILURE_LIKELY)


def test_late_data_changes_no_open_ticket() -> None:
    late = make_situation(late_through=NOON, open_tickets=[make_ticket()])
    calm = Streak(calm=10)

    failed = choose(make_forecast(**FAILED, made_at=NOON), situation=late)
    recovered = choose(make_healthy_forecast(made_at=NOON), streak=calm, situation=late)

    assert {(d.action, d.reason) for d in (failed, recovered)} == {(Action.HOLD, Reason.LATE_DATA)}


def test_a_reported_fault_opens_a_corrective_ticket_at_once() -> None:
    decision = choose(make_forecast(**FAILED))

    assert (decision.action, decision.reason) == (Action.OPEN, Reason.REPORTED_FAULT)
    assert (decision.kind, decision.level) == ("corrective", "act")


@pytest.mark.parametrize(
    ("status", "reason"), [("learning", Reason.LEARNING), ("no_data", Reason.NO_DATA)]
)
def test_nothing_is_decided_without_knowledge(status: str, reason: Reason) -> None:
    decision = choose(make_forecast(status=status), streak=WANTED)

    assert (decision.action, decision.reason) == (Action.NONE, reason)


def test_silence_neither_confirms_nor_forgets() -> None:
    decisions = run_of(make_forecast(), make_forecast(status="no_data"), make_forecast())

    assert decisions[-1].action == Action.OPEN


def test_slow_wear_waits_while_waiting_is_cheaper() -> None:
    slow = make_forecast(
        p_fail_1d=0.001,
        p_fail_7d=0.01,
        p_fail_30d=0.08,
        life_hours_q10=800.0,
        life_hours_q50=2000.0,
    )

    decision = choose(slow, streak=WANTED)

    assert (decision.action, decision.reason) == (Action.NONE, Reason.WAITING_IS_CHEAPER)
    assert decision.cost_of_waiting < decision.cost_of_acting


def test_a_device_that_is_fine_gets_no_visit_for_its_base_rate_alone() -> None:
    dear = make_mode(cost_of_failure=1_000_000.0)

    decision, _ = decide(
        make_healthy_forecast(), mode=dear, streak=WANTED, situation=make_situation()
    )

    assert decision.cost_of_waiting > decision.cost_of_acting
    assert (decision.action, decision.reason) == (Action.NONE, Reason.HEALTHY)


def test_an_open_ticket_of_the_same_mode_is_joined() -> None:
    decision = choose(
        make_forecast(), streak=WANTED, situation=make_situation(open_tickets=[make_ticket()])
    )

    assert (decision.action, decision.reason) == (Action.JOIN, Reason.ALREADY_OPEN)
    assert decision.ticket_id == 7


def test_a_fault_raises_the_preventive_ticket_of_its_mode() -> None:
    decision = choose(
        make_forecast(**FAILED), situation=make_situation(open_tickets=[make_ticket()])
    )

    assert (decision.action, decision.reason) == (Action.JOIN, Reason.REPORTED_FAULT)
    assert (decision.kind, decision.level) == ("corrective", "act")


def test_two_urgent_forecasts_raise_the_level() -> None:
    urgent = make_forecast(p_fail_1d=0.6, p_fail_7d=0.9)

    decision = choose(
        urgent,
        streak=Streak(levels=("act",)),
        situation=make_situation(open_tickets=[make_ticket()]),
    )

    assert (decision.action, decision.reason) == (Action.JOIN, Reason.RISK_ROSE)
    assert decision.level == "act"


def test_another_mode_of_the_same_component_joins() -> None:
    ticket = make_ticket(failure_mode="fan_imbalance")

    decision = choose(
        make_forecast(), streak=WANTED, situation=make_situation(open_tickets=[ticket])
    )

    assert (decision.action, decision.reason) == (Action.JOIN, Reason.SAME_COMPONENT)


def test_a_fault_of_another_component_gets_a_ticket_of_its_own() -> None:
    ticket = make_ticket(failure_mode="compressor_wear", component="compressor")

    decision = choose(make_forecast(**FAILED), situation=make_situation(open_tickets=[ticket]))

    assert decision.action == Action.OPEN


def test_wear_seen_while_another_part_has_failed_is_not_trusted() -> None:
    ticket = make_ticket(failure_mode="compressor_wear", component="compressor", kind="corrective")

    decision = choose(
        make_forecast(), streak=WANTED, situation=make_situation(open_tickets=[ticket])
    )

    assert (decision.action, decision.reason) == (Action.HOLD, Reason.MASKED_BY_FAILURE)


def test_a_ticket_clears_only_after_four_calm_forecasts() -> None:
    situation = make_situation(open_tickets=[make_ticket()])

    decisions = run_of(*[make_healthy_forecast()] * 4, situation=situation)

    assert [d.action for d in decisions] == [Action.JOIN, Action.JOIN, Action.JOIN, Action.CLEAR]


def test_a_risk_just_below_the_limit_is_not_calm() -> None:
    situation = make_situation(open_tickets=[make_ticket()])
    restless = make_healthy_forecast(p_fail_1d=0.01, p_fail_7d=0.12, p_fail_30d=0.5)

    decisions = run_of(*[restless] * 9, situation=situation)

    assert CALM_SHARE * decisions[-1].cost_of_acting < decisions[-1].cost_of_waiting
    assert {decision.action for decision in decisions} == {Action.JOIN}


def test_a_corrective_ticket_needs_eight() -> None:
    situation = make_situation(open_tickets=[make_ticket(kind="corrective")])

    decisions = run_of(*[make_healthy_forecast()] * 8, situation=situation)

    assert [d.action for d in decisions].index(Action.CLEAR) == 7


def test_a_booked_visit_is_not_cancelled_by_calm() -> None:
    situation = make_situation(open_tickets=[make_ticket(state="scheduled")])

    decisions = run_of(*[make_healthy_forecast()] * 6, situation=situation)

    assert (decisions[-1].action, decisions[-1].reason) == (Action.HOLD, Reason.VISIT_BOOKED)


@pytest.mark.parametrize(
    ("close_reason", "after", "expected"),
    [
        ("no_fault_found", timedelta(days=13), Reason.AFTER_NO_FAULT_FOUND),
        ("no_fault_found", timedelta(days=15), Reason.FAILURE_LIKELY),
        ("incipient", timedelta(hours=47), Reason.AFTER_VISIT),
        ("incipient", timedelta(hours=49), Reason.FAILURE_LIKELY),
        ("cancelled", timedelta(days=6), Reason.AFTER_CANCELLATION),
        ("cancelled", timedelta(days=8), Reason.FAILURE_LIKELY),
        ("recovered", timedelta(hours=1), Reason.FAILURE_LIKELY),
        ("not_inspected", timedelta(hours=1), Reason.FAILURE_LIKELY),
        ("confirmed", -timedelta(hours=1), Reason.AFTER_VISIT),
    ],
)
def test_it_cools_down_after_a_closed_ticket(
    close_reason: str, after: timedelta, expected: Reason
) -> None:
    closed = ClosedTicket(
        failure_mode="fan_bearing", closed_at=NOON - after, close_reason=close_reason
    )

    decision = choose(
        make_forecast(), streak=WANTED, situation=make_situation(closed_tickets=[closed])
    )

    assert decision.reason == expected


def test_a_fault_soon_after_no_fault_found_is_believed() -> None:
    closed = ClosedTicket(
        failure_mode="fan_bearing",
        closed_at=NOON - timedelta(days=1),
        close_reason="no_fault_found",
    )

    decision = choose(make_forecast(**FAILED), situation=make_situation(closed_tickets=[closed]))

    assert decision.action == Action.OPEN


def test_the_due_date_lies_before_the_low_quantile_of_life() -> None:
    forecast = make_forecast(life_hours_q10=240.0)

    due = due_at(forecast, mode=make_mode(), kind="preventive", event_now=NOON)

    assert NOON + timedelta(days=9) < due < NOON + timedelta(hours=240)


@pytest.mark.parametrize(
    ("kind", "least"), [("preventive", timedelta(days=2)), ("corrective", timedelta(days=1))]
)
def test_the_due_date_leaves_time_to_come(kind: Any, least: timedelta) -> None:
    late = NOON + timedelta(days=30)  # the decision lags behind the data

    due = due_at(make_forecast(life_hours_q10=1.0), mode=make_mode(), kind=kind, event_now=late)

    assert due == late + least


def test_probabilities_follow_the_given_horizons() -> None:
    forecast = make_forecast()

    for days, expected in ((1, 0.05), (7, 0.4), (30, 0.95)):
        assert failure_probability(forecast, within=timedelta(days=days)) == pytest.approx(expected)


def test_below_a_day_the_quantiles_of_life_are_used() -> None:
    forecast = make_forecast(life_hours_q10=2.0, life_hours_q50=4.0, life_hours_q90=8.0)

    assert failure_probability(forecast, within=timedelta(hours=3)) == pytest.approx(0.3)


def test_between_the_horizons_the_quantiles_of_life_say_where_the_risk_rises() -> None:
    forecast = make_forecast(
        p_fail_1d=0.0,
        p_fail_7d=0.001,
        p_fail_30d=0.97,
        life_hours_q10=293.0,
        life_hours_q50=361.0,
        life_hours_q90=440.0,
    )

    assert failure_probability(forecast, within=timedelta(days=8)) < 0.03
    assert failure_probability(forecast, within=timedelta(hours=361)) == pytest.approx(0.5)


probabilities = st.floats(0, 1)
lives = st.none() | st.floats(0, 1e6)


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    p = sorted(draw(st.tuples(probabilities, probabilities, probabilities)))
    q = sorted(life for life in draw(st.tuples(lives, lives, lives)) if life is not None)
    q_all = [*q, None, None, None][:3]
    return make_forecast(
        status=draw(st.sampled_from(["learning", "ok", "declining", "failed", "no_data"])),
        p_fail_1d=p[0],
        p_fail_7d=p[1],
        p_fail_30d=p[2],
        life_hours_q10=q_all[0],
        life_hours_q50=q_all[1],
        life_hours_q90=q_all[2],
    )


@given(forecasts(), st.floats(0, 2000), st.floats(0, 2000))
def test_probability_never_falls_with_the_horizon(
    forecast: Forecast, one: float, other: float
) -> None:
    soon, late = sorted((one, other))
    if soon < 24 <= late:  # two sources of knowledge meet there and need not agree
        return

    p_soon = failure_probability(forecast, within=timedelta(hours=soon))
    p_late = failure_probability(forecast, within=timedelta(hours=late))

    assert 0 <= p_soon <= p_late + 1e-9 <= 1 + 1e-9


@given(forecasts())
def test_costs_are_finite_and_never_negative(forecast: Forecast) -> None:
    costs = compare_costs(forecast, mode=make_mode())

    assert 0 <= costs.waiting < float("inf")
    assert 0 <= costs.acting < float("inf")


def test_a_dear_kit_is_no_reason_to_wait_for_a_part_that_needs_it_anyway() -> None:
    lead_hours = make_mode().lead_time / timedelta(hours=1)
    forecast = make_forecast(
        p_fail_1d=0.0, p_fail_7d=0.01, p_fail_30d=1.0, life_hours_q10=lead_hours,
        life_hours_q50=1.5 * lead_hours, life_hours_q90=2 * lead_hours,
    )  # fmt: skip
    prices = (0.0, 210.0)
    cheap, dear = (
        compare_costs(forecast, mode=make_mode(kit=(KitPart(part="p", title="P", price=price),)))
        for price in prices
    )

    assert dear.acting - cheap.acting == pytest.approx(0.6 * prices[1])
    assert 0.4 * prices[1] < dear.waiting - cheap.waiting <= 0.5 * prices[1]


@given(st.lists(forecasts(), max_size=12))
def test_a_ticket_opens_at_most_once_however_forecasts_come(
    given_forecasts: list[Forecast],
) -> None:
    streak, tickets, opened = Streak(), [], 0
    for forecast in given_forecasts:
        decision, streak = decide(
            forecast,
            mode=make_mode(),
            streak=streak,
            situation=make_situation(open_tickets=tickets),
        )
        if decision.action == Action.OPEN:
            opened += 1
            tickets = [make_ticket(kind=decision.kind, level=decision.level)]
        if decision.action == Action.CLEAR:
            opened, tickets = 0, []
        assert opened <= 1
        if decision.due_at is not None:
            assert decision.due_at > NOON


@given(st.lists(forecasts(), max_size=8))
def test_a_streak_survives_storage(given_forecasts: list[Forecast]) -> None:
    streak = Streak()
    for forecast in given_forecasts:
        _, streak = decide(forecast, mode=make_mode(), streak=streak, situation=make_situation())

        stored = msgspec.json.decode(msgspec.json.encode(streak), type=Streak)

        assert stored == streak


def test_every_reason_has_a_sentence() -> None:
    assert all(explain(reason).endswith(".") for reason in Reason)
    assert explain("of another version") == "of another version"


DEMOTED = {"fan_bearing": NOON - timedelta(days=1)}


def test_a_rule_that_was_wrong_too_often_opens_no_ticket_and_leaves_a_hint() -> None:
    decision = choose(
        make_forecast(), streak=WANTED, situation=make_situation(demoted_since=DEMOTED)
    )

    assert (decision.action, decision.reason) == (Action.INSPECT, Reason.RULE_DEMOTED)
    assert decision.ticket_id is None


def test_a_demoted_rule_asks_the_visit_that_comes_first_to_look_at_the_part() -> None:
    others = [
        make_ticket(ticket_id=8, failure_mode="compressor_wear", component="compressor"),
        make_ticket(ticket_id=9, failure_mode="leak", component="pipe", state="scheduled"),
        make_ticket(ticket_id=10, failure_mode="valve", component="valve", state="in_service"),
    ]

    decision = choose(
        make_forecast(),
        streak=WANTED,
        situation=make_situation(demoted_since=DEMOTED, open_tickets=others),
    )

    assert (decision.action, decision.ticket_id) == (Action.INSPECT, 9)


def test_a_demoted_rule_brings_no_parts_to_a_visit_of_its_component() -> None:
    sharing = make_ticket(ticket_id=8, failure_mode="fan_imbalance", component="fan")

    decision = choose(
        make_forecast(),
        streak=WANTED,
        situation=make_situation(demoted_since=DEMOTED, open_tickets=[sharing]),
    )

    assert (decision.action, decision.ticket_id) == (Action.INSPECT, 8)


def test_what_a_device_reports_itself_opens_a_ticket_whatever_became_of_the_rule() -> None:
    decision = choose(make_forecast(**FAILED), situation=make_situation(demoted_since=DEMOTED))

    assert (decision.action, decision.reason) == (Action.OPEN, Reason.REPORTED_FAULT)


def test_a_ticket_that_was_open_before_its_rule_was_demoted_goes_on() -> None:
    decision = choose(
        make_forecast(),
        streak=WANTED,
        situation=make_situation(demoted_since=DEMOTED, open_tickets=[make_ticket()]),
    )

    assert (decision.action, decision.reason) == (Action.JOIN, Reason.ALREADY_OPEN)


@pytest.mark.parametrize("since", [NOON, NOON + timedelta(days=1)])
def test_a_demotion_does_not_reach_back(since: Any) -> None:
    situation = make_situation(demoted_since={"fan_bearing": since})

    assert choose(make_forecast(), streak=WANTED, situation=situation).action == Action.OPEN
