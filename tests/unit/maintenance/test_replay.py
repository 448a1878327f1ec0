"""Replayed decisions: what is not looked at would have changed nothing."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import InvalidError
from core.tickets import STATUSES, ForecastRows, TicketPolicy, TicketSpan, Visit
from core.units import EPOCH
from maintenance.decide import (
    LIVE,
    ClosedTicket,
    Forecast,
    OpenTicket,
    Situation,
    Streak,
    compare_costs,
    decide,
    horizon_of,
    is_moved,
    worst_first,
)
from maintenance.quiet import may_want_visit
from maintenance.reasons import Action
from maintenance.replay import REPLAY, walk
from tests.fixtures.maintenance import EVERY, make_mode, make_product

EVERY_US = EVERY // timedelta(microseconds=1)
PRODUCT = make_product(
    failure_modes=(
        make_mode(),
        make_mode("fan_imbalance", lead_time=timedelta(days=2)),
        make_mode("compressor_wear", component="compressor", kit=(), lead_time=timedelta(hours=6)),
    )
)
NAMES = [mode.name for mode in PRODUCT.failure_modes]
OK, DECLINING, FAILED = (STATUSES.index(name) for name in ("ok", "declining", "failed"))


def rows_of(status: np.ndarray, p: np.ndarray, life: np.ndarray, visits=()) -> ForecastRows:
    at_us = EVERY_US * np.arange(1, len(status) + 1)
    return ForecastRows(at_us=at_us, status=status, p_fail=p, life_hours=life, visits=visits)


def plain(statuses: dict[str, list[int]], *, p=(0.2, 0.7, 0.9), visits=()) -> ForecastRows:
    """Failure modes with the given statuses; the others are well."""
    number = len(next(iter(statuses.values())))
    status = np.full((number, len(NAMES)), OK)
    for name, own in statuses.items():
        status[:, NAMES.index(name)] = own
    chance = np.full((number, len(NAMES), 3), 1e-4)
    chance[status != OK] = p
    return rows_of(status, chance, np.full((number, len(NAMES), 3), np.inf), visits)


@st.composite
def courses(draw: st.DrawFn) -> ForecastRows:
    """Some devices' forecasts: long calm, then anything."""
    number = draw(st.integers(1, 40))
    shape = (number, len(NAMES))
    wild = draw(arrays(np.int64, shape, elements=st.sampled_from([0, 1, 1, 2, 2, 2, 3, 4])))
    is_calm = draw(arrays(np.bool_, (number, 1)))
    status = np.where(is_calm, OK, wild)
    p = np.sort(draw(arrays(np.float64, (*shape, 3), elements=st.floats(0, 1))), axis=2)
    if draw(st.booleans()):
        p **= 4  # near the border
    p[draw(arrays(np.bool_, shape, fill=st.just(False)))] = np.nan
    hours = st.one_of(st.floats(1, 2000), st.sampled_from([24.0, 168.0, 720.0, float("inf")]))
    life = np.sort(draw(arrays(np.float64, (*shape, 3), elements=hours)), axis=2)
    visit = st.builds(
        Visit,
        at_us=st.integers(0, number * EVERY_US),
        failure_modes=st.sampled_from([(NAMES[0],), tuple(NAMES[:2]), (NAMES[2],)]),
        verdict=st.sampled_from(["confirmed", "no_fault_found"]),
    )
    visits = sorted(draw(st.lists(visit, max_size=3)), key=lambda v: v.at_us)
    return rows_of(status, p, life, visits)


POLICIES = st.sampled_from(
    [
        LIVE,
        TicketPolicy(confirm=1, of=1, calm_forecasts=1),
        TicketPolicy(confirm=3, of=5, calm_forecasts=2, threshold=0.3),
    ]
)


def forecast_of(rows: ForecastRows, row: int, place: int) -> Forecast:
    p = [None if np.isnan(v) else v for v in rows.p_fail[row, place].tolist()]
    life = [v if np.isfinite(v) else None for v in rows.life_hours[row, place].tolist()]
    return Forecast(
        forecast_id=0, failure_mode=NAMES[place],
        made_at=EPOCH + timedelta(microseconds=int(rows.at_us[row])),
        status=STATUSES[rows.status[row, place]],
        p_fail_1d=p[0], p_fail_7d=p[1], p_fail_30d=p[2],
        life_hours_q10=life[0], life_hours_q50=life[1], life_hours_q90=life[2],
    )  # fmt: skip


def slowly(rows: ForecastRows, policy: TicketPolicy) -> list[tuple[str, int]]:
    """Decide about every forecast, as the worker does: which preventive tickets open, and when."""
    streaks: dict[str, Streak] = {}
    tickets: list[OpenTicket] = []
    closed: dict[str, ClosedTicket] = {}
    visits, opened = list(rows.visits), []
    for row, at_us in enumerate(rows.at_us.tolist()):
        while visits and visits[0].at_us <= at_us:
            visit = visits.pop(0)
            ended = {t.failure_mode for t in tickets if t.failure_mode in visit.failure_modes}
            tickets = [t for t in tickets if t.failure_mode not in ended]
            at = EPOCH + timedelta(microseconds=visit.at_us)
            for name in visit.failure_modes if visit.verdict == "confirmed" else ended:
                closed[name] = ClosedTicket(
                    failure_mode=name, closed_at=at, close_reason=visit.verdict
                )
        forecasts = [forecast_of(rows, row, place) for place in range(len(NAMES))]
        for forecast in sorted(forecasts, key=worst_first):
            mode = PRODUCT.failure_mode(forecast.failure_mode)
            decision, streaks[mode.name] = decide(
                forecast, mode=mode, streak=streaks.get(mode.name, Streak()),
                situation=Situation(
                    open_tickets=tickets, closed_tickets=list(closed.values()), policy=policy,
                    forecast_every=EVERY, event_now=forecast.made_at,
                ),
            )  # fmt: skip
            own = next((t for t in tickets if t.ticket_id == decision.ticket_id), None)
            if decision.action is Action.OPEN:
                tickets = [*tickets, OpenTicket(
                    ticket_id=row * 10 + len(tickets), failure_mode=mode.name,
                    component=mode.component, kind=decision.kind, state="open",
                    level=decision.level, due_at=decision.due_at,
                )]  # fmt: skip
                if decision.kind == "preventive":
                    opened.append((mode.name, at_us))
            elif decision.action is Action.JOIN and is_moved(decision, own, mode=mode):
                changed = msgspec.structs.replace(own, level=decision.level, kind=decision.kind)
                tickets = [changed if t is own else t for t in tickets]
            elif decision.action is Action.CLEAR:
                tickets = [t for t in tickets if t is not own]
                closed[mode.name] = ClosedTicket(
                    failure_mode=mode.name, closed_at=forecast.made_at, close_reason="recovered"
                )
    return opened


@given(courses(), POLICIES)
@settings(max_examples=300, deadline=None)
def test_skipping_what_is_quiet_changes_no_ticket(rows, policy):
    everything = np.ones(rows.status.shape, dtype=np.bool_)

    quick = REPLAY.tickets(PRODUCT, rows, policy=policy)

    assert quick == walk(PRODUCT, rows, policy=policy, busy=everything)
    begun = {(span.failure_mode, span.opened_us) for span in quick}
    assert begun >= set(slowly(rows, policy))
    # Whatever else was warned of had joined a ticket for the same component.
    assert {mode for mode, _ in begun - set(slowly(rows, policy))} <= set(NAMES[:2])


@given(courses(), st.one_of(st.none(), st.floats(0.01, 1)))
@settings(max_examples=300, deadline=None)
def test_what_counts_as_quiet_wants_no_visit(rows, threshold):
    busy = may_want_visit(PRODUCT, rows, policy=TicketPolicy(
        confirm=2, of=3, calm_forecasts=4, threshold=threshold,
    ))  # fmt: skip

    for row, place in np.argwhere(~busy & (rows.status == DECLINING)):
        mode = PRODUCT.failure_modes[place]
        forecast = forecast_of(rows, row, place)
        assert not compare_costs(forecast, mode=mode, threshold=threshold).wants_visit


def test_most_of_what_is_declining_and_cheap_is_quiet():
    rows = plain({"fan_bearing": [DECLINING] * 50}, p=(1e-4, 1e-3, 1e-2))

    assert not may_want_visit(PRODUCT, rows, policy=LIVE).any()


def test_a_ticket_opens_with_the_second_forecast_of_three_that_wants_a_visit():
    rows = plain({"fan_bearing": [OK, DECLINING, OK, DECLINING, DECLINING]})

    found = REPLAY.tickets(PRODUCT, rows, policy=LIVE)

    assert slowly(rows, LIVE) == [("fan_bearing", 4 * EVERY_US)]
    assert found == (
        TicketSpan(failure_mode="fan_bearing", opened_us=4 * EVERY_US, cleared_us=None),
    )


def test_another_failure_mode_of_the_component_joins_and_is_over_with_the_ticket():
    rows = plain(
        {
            "fan_bearing": [DECLINING] * 6 + [OK] * 6,
            "fan_imbalance": [OK] * 3 + [DECLINING] * 3 + [OK] * 6,
        }
    )

    found = REPLAY.tickets(PRODUCT, rows, policy=LIVE)

    assert [(s.failure_mode, s.opened_us // EVERY_US, s.cleared_us // EVERY_US) for s in found] == [
        ("fan_bearing", 2, 10),
        ("fan_imbalance", 5, 10),
    ]


def test_while_a_part_has_failed_what_the_others_show_opens_nothing():
    rows = plain({"compressor_wear": [FAILED] * 6, "fan_bearing": [DECLINING] * 6})

    assert REPLAY.tickets(PRODUCT, rows, policy=LIVE) == ()


def test_a_ticket_whose_part_fails_was_preventive_and_needs_a_visit_to_end():
    visit = Visit(at_us=20 * EVERY_US, failure_modes=("fan_bearing",), verdict="confirmed")
    rows = plain({"fan_bearing": [DECLINING] * 4 + [FAILED] * 2 + [OK] * 30}, visits=[visit])
    unvisited = plain({"fan_bearing": [DECLINING] * 4 + [FAILED] * 2 + [OK] * 30})

    ends = [REPLAY.tickets(PRODUCT, r, policy=LIVE)[0].cleared_us for r in (rows, unvisited)]

    # A corrective ticket is over after twice as many calm forecasts: that comes before the visit.
    assert [end // EVERY_US for end in ends] == [14, 14]


def test_a_threshold_stands_in_the_place_of_the_costs():
    rows = plain({"fan_bearing": [DECLINING] * 5}, p=(0.01, 0.04, 0.5))
    chance = compare_costs(
        Forecast(
            forecast_id=0, failure_mode="fan_bearing", made_at=EPOCH, status="declining",
            p_fail_1d=0.01, p_fail_7d=0.04, p_fail_30d=0.5,
        ),
        mode=make_mode(), threshold=1.0,
    ).waiting  # fmt: skip

    def opened(threshold: float | None) -> int:
        policy = TicketPolicy(confirm=2, of=3, calm_forecasts=4, threshold=threshold)
        return len(REPLAY.tickets(PRODUCT, rows, policy=policy))

    assert 0.04 < chance < 0.5
    assert (opened(None), opened(chance - 1e-6), opened(chance)) == (0, 1, 0)
    assert horizon_of(make_mode()) == timedelta(days=8)


def test_a_policy_that_nothing_could_fulfil_is_refused():
    with pytest.raises(InvalidError, match="9 of the last 3"):
        TicketPolicy(confirm=9, of=3, calm_forecasts=4)
