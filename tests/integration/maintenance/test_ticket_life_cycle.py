"""The life of a ticket as a state machine: any order of actions by anybody, on the real database.

The model knows only the transition tables; the rows must agree with it after every step.
"""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from core.errors import ConflictError
from core.pool import Pool
from maintenance import service
from maintenance.worker import Decider, decide_once
from tests.fixtures.maintenance import (
    EVERY,
    NOON,
    SENDER,
    add_device,
    add_forecast,
    add_product,
    add_technician,
)

_names = count(1)
CLOSED = {"resolved", "cancelled"}
VERDICTS = st.sampled_from(
    ["confirmed", "incipient", "other_fault", "no_fault_found", "not_inspected"]
)


class TicketLife(RuleBasedStateMachine):
    """One ticket, and everything that may be tried on it."""

    pool: Pool
    product: int

    @initialize()
    def open_a_ticket(self) -> None:
        with self.pool.connection() as connection:
            self.device = add_device(connection, self.product, f"life-{next(_names)}")
            for step in range(2):
                add_forecast(connection, self.device, NOON + step * EVERY)
        self.step = 2
        self._decide()
        self.ticket, self.order = self._one(
            "select t.id, w.id from maintenance.ticket as t join maintenance.work_order as w"
            " on w.ticket_id = t.id where t.device_id = %s",
            self.device,
        )
        self.state = "open"
        self.calm = 0

    @rule(which=st.integers(0, 5))
    def book(self, which: int) -> None:
        slots = service.slots(self.pool, ticket_id=self.ticket)
        assert bool(slots) == (self.state in ("open", "scheduled"))
        if not slots:
            return
        slot = slots[which]
        known = self._one(
            "select count(*) from maintenance.appointment where work_order_id = %s"
            " and state = 'confirmed' and lower(during) = %s and technician_id = %s",
            self.order,
            slot.starts_at,
            slot.technician_id,
        )[0]
        self._try(
            lambda: service.book(
                self.pool,
                ticket_id=self.ticket,
                technician_id=slot.technician_id,
                starts_at=slot.starts_at,
                booked_by="owner:1",
                now=NOON,
                sender=SENDER,
            ),
            allowed=not known,
            becomes="scheduled",
        )

    @rule()
    def cancel_the_visit(self) -> None:
        self._try(
            lambda: service.cancel_appointment(
                self.pool, ticket_id=self.ticket, by="owner:1", now=NOON, sender=SENDER
            ),
            allowed=self.state == "scheduled",
            becomes="open",
        )

    @rule()
    def begin_work(self) -> None:
        self._try(
            lambda: service.start_work(
                self.pool, work_order_id=self.order, by="technician:1", at=NOON, now=NOON
            ),
            allowed=self.state in ("open", "scheduled"),
            becomes="in_service",
        )

    @rule(verdict=VERDICTS)
    def record_a_finding(self, verdict: Any) -> None:
        self._try(
            lambda: service.record_finding(
                self.pool,
                work_order_id=self.order,
                verdict=verdict,
                component="fan",
                note=f"attempt {next(_names)}",
                parts=[],
                checklist_done=[],
                found_at=NOON + self.step * EVERY,
                by="technician:1",
                now=NOON,
                sender=SENDER,
            ),
            allowed=self.state not in CLOSED,
            becomes="resolved",
        )

    @rule()
    def cancel_the_ticket(self) -> None:
        self._try(
            lambda: service.cancel_ticket(
                self.pool,
                ticket_id=self.ticket,
                by="owner:1",
                reason="sold",
                now=NOON,
                sender=SENDER,
            ),
            allowed=self.state not in CLOSED,
            becomes="cancelled",
        )

    @rule(is_calm=st.booleans())
    def forecast_again(self, is_calm: bool) -> None:
        healthy: dict[str, Any] = {"status": "ok", "p": (0.0001, 0.001, 0.004), "life": None}
        with self.pool.connection() as connection:
            at = NOON + self.step * EVERY
            add_forecast(connection, self.device, at, **(healthy if is_calm else {}))
        self.step += 1
        self.calm = self.calm + 1 if is_calm else 0
        self._decide()
        if self.state == "open" and self.calm >= 4:
            self.state = "cancelled"

    @invariant()
    def the_rows_agree(self) -> None:
        if not hasattr(self, "ticket"):
            return
        ticket, order, is_open, live, alerts = self._one(
            "select t.state, w.state, t.closed_at is null,"
            " (select count(*) from maintenance.appointment as a"
            "  where a.work_order_id = w.id and a.state = 'confirmed'),"
            " (select count(*) from maintenance.alert as a"
            "  where a.id = t.alert_id and a.cleared_at is null)"
            " from maintenance.ticket as t join maintenance.work_order as w"
            " on w.ticket_id = t.id where t.id = %s",
            self.ticket,
        )
        expected = {
            "open": {"ready"},
            "scheduled": {"scheduled"},
            "in_service": {"in_progress"},
            "resolved": {"done"},
            "cancelled": {"cancelled"},
        }
        assert ticket == self.state
        assert order in expected[ticket]
        assert is_open == (ticket not in CLOSED)
        assert alerts == int(is_open)
        assert live == {"scheduled": 1}.get(ticket, live if ticket == "in_service" else 0)
        assert (
            self._one(
                "select count(*) from maintenance.ticket where device_id = %s and closed_at is null",
                self.device,
            )[0]
            <= 1
        )

    def _try(self, action: Any, *, allowed: bool, becomes: str) -> None:
        try:
            action()
        except ConflictError:
            assert not allowed
        else:
            assert allowed
            self.state = becomes

    def _decide(self) -> None:
        decider = Decider(sender=SENDER, clock=lambda: NOON)
        while decide_once(self.pool, decider):
            pass

    def _one(self, query: str, *values: object) -> Any:
        with self.pool.connection() as connection:
            return connection.execute(query, values).fetchone()


@pytest.mark.timeout(120)
def test_any_order_of_actions_follows_the_life_cycle(pool: Pool) -> None:
    with pool.connection() as connection:
        for name in ("Tom", "Eva"):
            add_technician(connection, name)
        product_id = add_product(connection)

    class Machine(TicketLife):
        pass

    Machine.pool, Machine.product = pool, product_id
    run_machine(
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_event_time_of_a_finding_never_lies_before_the_ticket(pool: Pool) -> None:
    with pool.connection() as connection:
        device = add_device(connection, add_product(connection))
        for step in range(2):
            add_forecast(connection, device, NOON + step * EVERY)
    decide_once(pool, Decider(sender=SENDER, clock=lambda: NOON))

    service.record_finding(
        pool,
        work_order_id=1,
        verdict="confirmed",
        component="fan",
        note="",
        parts=[],
        checklist_done=[],
        found_at=NOON - timedelta(days=1),
        by="technician:1",
        now=NOON,
        sender=SENDER,
    )

    with pool.connection() as connection:
        row = connection.execute("select closed_at, opened_at from maintenance.ticket").fetchone()
    assert row == (NOON + EVERY, NOON + EVERY)
