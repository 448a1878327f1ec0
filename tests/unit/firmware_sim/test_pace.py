"""Devices stay close to the line, and a line that stands still is not waited for for ever."""

from firmware_sim.pace import AHEAD_MAX, GRACE_S, Reached, may_go_on

HOUR_S = 3600
AHEAD_S = int(AHEAD_MAX.total_seconds())


def ask(made_h, *, decided_h=None, scored_h=None, stored_h=None, waiting=0.0, still_s=0.0):
    reached = Reached(
        **{
            name: None if hours is None else hours * HOUR_S
            for name, hours in {
                "stored_s": stored_h,
                "scored_s": scored_h,
                "decided_s": decided_h,
            }.items()
        }
    )
    return may_go_on(made_h * HOUR_S, reached, start_s=0, waiting_a_device=waiting, still_s=still_s)


def test_devices_go_on_while_the_line_is_close_behind():
    assert ask(100, decided_h=80, scored_h=90, stored_h=100)


def test_devices_wait_when_decisions_are_too_far_behind():
    assert not ask(100, decided_h=60, scored_h=99, stored_h=100)


def test_before_the_first_decision_they_wait_for_the_stage_that_has_begun():
    assert ask(100, stored_h=99)
    assert not ask(100, scored_h=60, stored_h=99)
    assert ask(AHEAD_S // HOUR_S)
    assert not ask(AHEAD_S // HOUR_S + 1)


def test_a_line_that_stands_still_gets_newer_data_after_a_while():
    assert ask(100, decided_h=60, still_s=GRACE_S + 1)


def test_a_full_spool_waits_whatever_the_line_says():
    assert not ask(100, decided_h=100, waiting=13, still_s=GRACE_S + 1)
