"""A command over a line that loses and repeats, and a gateway that dies: it is done once or ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.back_off import next_try
from gateway.device_commands.life_cycle import (
    FINAL,
    STATES,
    Answered,
    Cancelled,
    Event,
    Said,
    Sent,
    State,
    TimePassed,
    is_to_send,
    step,
)

GIVEN_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEADLINE_AT = GIVEN_AT + timedelta(minutes=10)
LATE = DEADLINE_AT + timedelta(seconds=1)
EVENTS: tuple[Event, ...] = (
    Sent(),
    Answered("acknowledged"),
    Answered("done"),
    Answered("failed"),
    Cancelled(),
    TimePassed(LATE),
)


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("event", EVENTS)
def test_nothing_moves_a_final_state(state: State, event: Event) -> None:
    assert step(state, event, deadline_at=DEADLINE_AT) is None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_end_but_done_has_its_reason(state: State, event: Event) -> None:
    after = step(state, event, deadline_at=DEADLINE_AT)

    if after is not None and after.state in FINAL:
        assert bool(after.reason) == (after.state != "done")


def test_only_what_has_not_left_can_be_taken_back() -> None:
    can = [state for state in STATES if step(state, Cancelled(), deadline_at=DEADLINE_AT)]

    assert can == ["queued"]


def test_an_acknowledged_command_is_not_sent_again_and_none_after_its_deadline() -> None:
    sendable = [s for s in STATES if is_to_send(s, deadline_at=DEADLINE_AT, now=GIVEN_AT)]

    assert sendable == ["queued", "sent"]
    assert not any(is_to_send(s, deadline_at=DEADLINE_AT, now=DEADLINE_AT) for s in STATES)


class Line(RuleBasedStateMachine):
    """Gateway, line and device. The database keeps what was committed, the device what it has done."""

    def __init__(self) -> None:
        super().__init__()
        self.now = GIVEN_AT
        self.state: State = "queued"
        self.send_after: datetime | None = GIVEN_AT
        self.tries = 0
        self.is_connected = False
        self.on_the_way = 0
        self.answers: list[Said] = []
        self.deeds = 0
        self.outcome: Said = "done"
        self.sent_late = False
        self.ended: State | None = None

    def commit(self, event: Event) -> None:
        after = step(self.state, event, deadline_at=DEADLINE_AT)
        if after is not None:
            self.state = after.state
            self.send_after = None if after.state != "sent" else self.send_after
        if self.state in FINAL and self.ended is None:
            self.ended = self.state

    def tick(self, *, publishes: bool) -> None:
        self.commit(TimePassed(self.now))
        is_due = self.send_after is not None and self.send_after <= self.now
        if is_due and not self.is_connected:
            self.send_after = None
        elif is_due and is_to_send(self.state, deadline_at=DEADLINE_AT, now=self.now):
            self.tries += 1
            self.commit(Sent())
            self.send_after = next_try(self.now, tries=self.tries, longest=timedelta(minutes=5))
            self.sent_late |= self.now >= DEADLINE_AT
            self.on_the_way += publishes

    @rule()
    def the_gateway_looks(self) -> None:
        self.tick(publishes=True)

    @rule()
    def the_gateway_dies_between_commit_and_publish(self) -> None:
        self.tick(publishes=False)

    @rule()
    def the_device_connects(self) -> None:
        self.is_connected = True
        if self.state in {"queued", "sent"}:
            self.send_after = self.now

    @rule()
    def the_device_is_gone_with_what_was_on_the_way(self) -> None:
        self.is_connected, self.on_the_way = False, 0

    @precondition(lambda self: self.on_the_way and self.is_connected)
    @rule(comes_twice=st.booleans(), outcome=st.sampled_from(["done", "failed"]))
    def the_device_hears_it(self, *, comes_twice: bool, outcome: Said) -> None:
        self.on_the_way -= not comes_twice
        if not self.deeds:
            self.deeds, self.outcome = 1, outcome
        self.answers += ["acknowledged", self.outcome]

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), is_acknowledged=st.booleans())
    def an_answer_arrives(self, data: st.DataObject, *, is_acknowledged: bool) -> None:
        """In whatever order; not acknowledged to the broker it comes again after a crash."""
        place = data.draw(st.integers(0, len(self.answers) - 1))
        self.commit(Answered(self.answers[place]))
        if is_acknowledged:
            del self.answers[place]

    @rule(seconds=st.sampled_from([1, 7, 60, 400]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def somebody_takes_it_back(self) -> None:
        self.commit(Cancelled())

    @invariant()
    def a_final_state_stays(self) -> None:
        assert self.ended is None or self.state == self.ended

    @invariant()
    def nothing_is_sent_after_the_deadline(self) -> None:
        assert not self.sent_late

    @invariant()
    def what_was_taken_back_was_not_done(self) -> None:
        assert self.state != "cancelled" or not self.deeds

    @invariant()
    def what_is_done_was_done_once(self) -> None:
        assert self.state not in {"done", "failed"} or self.deeds == 1

    def teardown(self) -> None:
        """From here on nothing breaks: before the deadline it comes to an end, and one that fits."""
        self.the_device_connects()
        while self.state not in FINAL:
            self.tick(publishes=True)
            if self.on_the_way:
                self.the_device_hears_it(comes_twice=False, outcome="done")
            for said in self.answers:
                self.commit(Answered(said))
            self.answers.clear()
            self.now += timedelta(seconds=1)
        if self.state == "expired":
            assert self.now >= DEADLINE_AT


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
