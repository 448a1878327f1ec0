"""What moves a device through a campaign, and what does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.campaign.member import (
    BACK_WITHIN,
    BUSY,
    FINAL,
    SILENT_AFTER,
    Answer,
    Born,
    Member,
    State,
    Terms,
    Told,
    asked,
    born,
    offered,
    overdue,
    told,
    withdrawn,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TERMS = Terms(
    version="2.0",
    offers_max=3,
    install_within=timedelta(hours=24),
    is_running=True,
    may_go_on=True,
)
STOPPED = replace(TERMS, is_running=False, may_go_on=False)
WAITING = Member(
    campaign_id=1,
    device_id=7,
    device="k1",
    shard=3,
    stage=0,
    state=State.WAITING,
    reason="",
    from_version="1.0",
    offers=0,
    chunk=0,
    boot=None,
    since=NOW,
    due_at=None,
    is_withdrawn=False,
    runs_since=None,
)
OFFERED = offered(WAITING, boot=5, now=NOW)


def birth(version: str, boot: int) -> Born:
    return Born(version=version, boot=boot, event_at=NOW)


def at(state: State, **more: object) -> Member:
    return replace(OFFERED, state=state, **more)  # type: ignore[arg-type]


def test_a_download_goes_through_to_the_new_version() -> None:
    member, answer = asked(OFFERED, 0, terms=TERMS, now=NOW)
    for name in ("downloading", "downloaded", "verified", "installing", "installed"):
        member, answer = told(member, Told(state=State(name), chunk=9), terms=TERMS, now=NOW)
    assert (member.state, answer) == (State.INSTALLING, Answer.NOTHING)

    member, answer = born(member, birth("2.0", 6), terms=TERMS, now=NOW)

    assert (member.state, member.runs_since, answer) == (State.INSTALLED, NOW, Answer.NOTHING)


def test_a_reboot_in_the_middle_of_a_download_brings_the_offer_again() -> None:
    member, answer = born(at(State.DOWNLOADING), birth("1.0", 6), terms=TERMS, now=NOW)

    assert (member.state, member.offers, answer) == (State.OFFERED, 2, Answer.OFFER)


def test_a_reconnect_brings_the_offer_again_and_is_no_try() -> None:
    member, answer = born(at(State.DOWNLOADING), birth("1.0", 5), terms=TERMS, now=NOW)

    assert (member.state, member.offers, answer) == (State.DOWNLOADING, 1, Answer.OFFER)


def test_the_old_version_after_installing_is_tried_again_and_then_a_roll_back() -> None:
    member, answer = born(at(State.INSTALLING), birth("1.0", 6), terms=TERMS, now=NOW)
    assert (member.state, answer) == (State.WAITING, Answer.NOTHING)
    assert member.due_at is not None
    assert member.due_at > NOW

    last = at(State.INSTALLING, offers=TERMS.offers_max)
    member, answer = born(last, birth("1.0", 6), terms=TERMS, now=NOW)

    assert member.state is State.ROLLED_BACK
    assert member.reason == "came back with 1.0 after installing, 3 times"


def test_the_same_birth_twice_counts_once() -> None:
    once, _ = born(at(State.INSTALLING), birth("1.0", 6), terms=TERMS, now=NOW)

    twice, answer = born(once, birth("1.0", 6), terms=TERMS, now=NOW)

    assert (twice, answer) == (once, Answer.NOTHING)


def test_a_birth_of_an_older_start_changes_nothing() -> None:
    member = at(State.INSTALLING, boot=6)

    assert born(member, birth("1.0", 5), terms=TERMS, now=NOW) == (member, Answer.NOTHING)


def test_a_device_that_came_back_after_it_was_given_up_is_installed() -> None:
    lost, _ = overdue(
        at(State.INSTALLING, due_at=NOW), terms=TERMS, is_connected=False, now=NOW + BACK_WITHIN
    )
    assert lost.state is State.FAILED

    back, _ = born(lost, birth("2.0", 6), terms=TERMS, now=NOW)

    assert (back.state, back.reason) == (State.INSTALLED, "")


def test_the_new_version_that_falls_back_later_is_a_roll_back() -> None:
    member, _ = born(at(State.INSTALLED, boot=6), birth("1.0", 7), terms=TERMS, now=NOW)

    assert member.state is State.ROLLED_BACK


def test_a_third_version_after_the_new_one_is_no_roll_back() -> None:
    member, _ = born(at(State.INSTALLED, boot=6), birth("3.0", 7), terms=TERMS, now=NOW)

    assert member.state is State.INSTALLED


@pytest.mark.parametrize("state", [State.OFFERED, State.DOWNLOADING, State.VERIFIED])
def test_a_failure_that_the_device_reports_is_final(state: State) -> None:
    message = Told(state=State.FAILED, error="bad signature")

    member, _answer = told(at(state), message, terms=TERMS, now=NOW)

    assert (member.state, member.reason) == (State.FAILED, "bad signature")
    assert told(member, message, terms=TERMS, now=NOW) == (member, Answer.NOTHING)


def test_a_late_message_says_what_was() -> None:
    member = at(State.INSTALLING)

    after, _ = told(member, Told(state=State.DOWNLOADING, chunk=3), terms=TERMS, now=NOW)

    assert after.state is State.INSTALLING


def test_silence_is_answered_by_another_offer_while_the_device_is_there() -> None:
    later = NOW + SILENT_AFTER
    member = at(State.DOWNLOADING, due_at=later)

    there, answer = overdue(member, terms=TERMS, is_connected=True, now=later)
    away, silence = overdue(member, terms=TERMS, is_connected=False, now=later)

    assert (there.offers, answer) == (2, Answer.OFFER)
    assert (away.state, away.due_at, silence) == (State.DOWNLOADING, None, Answer.NOTHING)


def test_offers_come_to_an_end() -> None:
    member = at(State.OFFERED, offers=TERMS.offers_max, due_at=NOW)

    after, answer = overdue(member, terms=TERMS, is_connected=True, now=NOW)

    assert (after.state, after.reason) == (State.FAILED, "answered none of 3 offers")
    assert answer is Answer.WITHDRAW


def test_who_asks_for_pieces_of_a_stopped_campaign_is_told_that_it_is_over() -> None:
    assert asked(OFFERED, 4, terms=STOPPED, now=NOW)[1] is Answer.WITHDRAW
    assert asked(WAITING, 4, terms=TERMS, now=NOW)[1] is Answer.WITHDRAW
    assert asked(at(State.INSTALLED), 4, terms=TERMS, now=NOW)[1] is Answer.WITHDRAW


def test_what_is_being_installed_cannot_be_withdrawn() -> None:
    taken = withdrawn(at(State.VERIFIED), state=State.WAITING, reason="stopped", now=NOW)
    kept = withdrawn(at(State.INSTALLING), state=State.WAITING, reason="stopped", now=NOW)

    assert (taken.state, taken.is_withdrawn) == (State.WAITING, True)
    assert kept.state is State.INSTALLING


def test_a_device_that_goes_on_by_itself_after_a_roll_back_comes_to_an_end() -> None:
    member, boot, answer = at(State.INSTALLING), 5, Answer.NOTHING
    while answer is not Answer.WITHDRAW:
        boot += 1
        member, answer = born(member, birth("1.0", boot), terms=TERMS, now=NOW)
        for name in ("downloaded", "verified", "installing"):
            member, _ = told(member, Told(state=State(name)), terms=TERMS, now=NOW)

    assert boot - 5 == TERMS.offers_max
    assert member.state is State.ROLLED_BACK


def test_messages_before_a_roll_back_that_come_twice_end_in_another_offer() -> None:
    messages = [Told(state=State(name)) for name in ("downloaded", "verified", "installing")]
    member = OFFERED
    for _ in range(2):
        for message in messages:
            member, _ = told(member, message, terms=TERMS, now=NOW)
        member, answer = born(member, birth("1.0", 6), terms=TERMS, now=NOW)

    assert (member.state, answer) == (State.INSTALLING, Answer.OFFER)


def test_a_withdrawal_that_came_too_late_is_followed_all_the_same() -> None:
    taken = withdrawn(at(State.VERIFIED), state=State.WAITING, reason="stopped", now=NOW)

    member, _ = told(taken, Told(state=State.INSTALLING), terms=STOPPED, now=NOW)

    assert (member.state, member.is_withdrawn) == (State.INSTALLING, False)


class AnyOrder(RuleBasedStateMachine):
    """Messages, clock and people in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.member = WAITING
        self.terms = TERMS
        self.boot = 5
        self.offers_made = 0

    def _step(self, step: tuple[Member, Answer]) -> None:
        before, (self.member, answer) = self.member, step
        if before.state in FINAL and self.member.state in BUSY:
            assert before.state is State.SKIPPED
            assert self.member.state is State.INSTALLING
        if answer is Answer.OFFER:
            assert self.member.state in BUSY

    @precondition(lambda self: self.member.state is State.WAITING and self.terms.is_running)
    @rule()
    def offer(self) -> None:
        if self.member.offers < self.terms.offers_max:
            self.member = offered(self.member, boot=self.boot, now=self.now)

    @rule(chunk=st.integers(0, 20))
    def ask(self, chunk: int) -> None:
        self._step(asked(self.member, chunk, terms=self.terms, now=self.now))

    @rule(state=st.sampled_from([*BUSY[1:], State.INSTALLED, State.FAILED]))
    def tell(self, state: State) -> None:
        message = Told(state=state, chunk=3, error="e")
        self._step(told(self.member, message, terms=self.terms, now=self.now))
        again, _ = told(self.member, message, terms=self.terms, now=self.now)
        assert again == self.member

    @rule(version=st.sampled_from(["1.0", "2.0", ""]), reboots=st.integers(-1, 1))
    def be_born(self, version: str, reboots: int) -> None:
        boot = self.boot + reboots
        self.boot = max(self.boot, boot)
        message = birth(version, boot)
        self._step(born(self.member, message, terms=self.terms, now=self.now))
        again, _ = born(self.member, message, terms=self.terms, now=self.now)
        assert (again.state, again.offers) == (self.member.state, self.member.offers)

    @rule(minutes=st.integers(1, 3000), is_connected=st.booleans())
    def wait(self, minutes: int, is_connected: bool) -> None:
        self.now += timedelta(minutes=minutes)
        self._step(overdue(self.member, terms=self.terms, is_connected=is_connected, now=self.now))

    @rule(state=st.sampled_from([State.WAITING, State.SKIPPED]))
    def take_back(self, state: State) -> None:
        self.terms = STOPPED
        self.member = withdrawn(self.member, state=state, reason="stopped", now=self.now)

    @invariant()
    def offers_are_limited(self) -> None:
        assert self.member.offers <= self.terms.offers_max

    @invariant()
    def what_has_ended_waits_for_nothing(self) -> None:
        if self.member.state in FINAL:
            assert self.member.due_at is None

    @invariant()
    def only_a_birth_installs(self) -> None:
        if self.member.state is State.INSTALLED:
            assert self.member.runs_since is not None


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
