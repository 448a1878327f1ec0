import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chaos.plan import TRAITS, Fault, make_plan, parse_faults, without
from core.errors import InvalidError

ALL = tuple(Fault)


@given(seed=st.integers(0, 2**62), minutes=st.floats(0.1, 60))
def test_a_plan_follows_from_its_seed_and_holds_every_fault(seed: int, minutes: float) -> None:
    plan = make_plan(seed=seed, minutes=minutes, faults=ALL)

    assert plan == make_plan(seed=seed, minutes=minutes, faults=ALL)
    assert all(plan.planned(fault, messages=1000) >= 1 for fault in ALL)
    assert [s.at_s for s in plan.strikes] == sorted(s.at_s for s in plan.strikes)
    assert plan.strikes[-1].at_s <= plan.seconds + 1


def test_another_seed_makes_another_plan() -> None:
    assert make_plan(seed=1, minutes=5, faults=ALL) != make_plan(seed=2, minutes=5, faults=ALL)


def test_a_longer_run_strikes_more_often_and_holds_longer() -> None:
    short = make_plan(seed=7, minutes=0.7, faults=ALL)
    long = make_plan(seed=7, minutes=60, faults=ALL)

    assert len(short.strikes) == sum(not TRAITS[fault].share for fault in ALL)
    assert len(long.strikes) > 100
    away = [s.hold_s for s in long.strikes if s.fault is Fault.DATABASE_AWAY]
    assert max(away) >= 120


def test_only_what_was_asked_for_is_planned() -> None:
    faults = parse_faults("poison, broker_kill")

    plan = make_plan(seed=7, minutes=1, faults=faults)

    assert set(faults) == {Fault.POISON, Fault.BROKER_KILL}
    assert {strike.fault for strike in plan.strikes} == {Fault.BROKER_KILL}
    assert plan.shares() == {"poison": 0.01}
    assert plan.planned(Fault.DUPLICATES, messages=1e6) == 0


def test_a_fault_that_the_machine_does_not_allow_is_planned_no_more() -> None:
    plan = without(make_plan(seed=7, minutes=1, faults=ALL), Fault.DISK_FULL)

    assert plan.planned(Fault.DISK_FULL, messages=1e6) == 0
    assert plan.planned(Fault.BROKER_WIPE, messages=1e6) == 1


def test_a_fault_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidError, match="earthquake") as caught:
        parse_faults("earthquake")

    assert "broker_wipe" in caught.value.hint


@pytest.mark.parametrize("minutes", [0, -1, 2000])
def test_a_run_without_time_is_refused(minutes: float) -> None:
    with pytest.raises(InvalidError):
        make_plan(seed=1, minutes=minutes, faults=ALL)
