import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.fleet.lives import Lives, Trait
from anomaly.fleet.rates import bands_of, count
from anomaly.fleet.risk import (
    ORDINARY,
    TOLERATED,
    WORSE_BY,
    log_evidence,
    risk_sets,
    stands_out,
)
from anomaly.records import FloatArray
from tests.unit.anomaly.fleet.fleets import draw_fleet, make_lives


def test_the_evidence_is_the_one_counted_by_hand():
    # Ages at risk: (0, 5] failed, (0, 8], (2, 9] failed, (6, 10]. A is the first device alone.
    lives = make_lives(
        [(0, 0, 5, True), (10, 10, 18, False), (3, 5, 12, True), (0, 6, 10, False)],
        lot=["A", "B", "B", "B"],
    )

    risk = risk_sets(lives)
    evidence = log_evidence(risk, lives.traits[0])

    assert risk.age.tolist() == [5, 9]
    assert risk.at_risk.tolist() == [3, 2]

    # The first failure: A's, one of A and two of B at risk. At the second one, A is gone.
    def of_a(shares: dict[float, float]) -> float:
        return sum(share * times / (times + 2) for times, share in shares.items())

    def of_b(shares: dict[float, float]) -> float:
        return sum(share / (2 * times + 1) for times, share in shares.items())

    assert evidence[0] == pytest.approx(math.log(of_a(WORSE_BY) / of_a(ORDINARY)))
    assert evidence[1] == pytest.approx(math.log(of_b(WORSE_BY) / of_b(ORDINARY)))


def test_an_age_that_nobody_else_has_had_says_nothing():
    lives = make_lives(
        [(0, 0, 50, True), (0, 0, 60, True), (40, 40, 60, False)], lot=["A", "A", "B"]
    )

    assert log_evidence(risk_sets(lives), lives.traits[0]).tolist() == pytest.approx([0, 0])


def test_devices_watched_from_later_on_are_not_at_risk_before():
    lives = make_lives([(0, 0, 5, True), (0, 5, 30, False), (0, 4, 30, False)], lot=["A", "B", "B"])

    assert risk_sets(lives).at_risk.tolist() == [2]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50), st.integers(0, 20), st.integers(1, 60), st.booleans(),
            st.sampled_from("ABC"),
        ),
        min_size=2, max_size=25,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_a_life_in_two_pieces_counts_as_one(drawn, random):
    rows = [(born, born + gap, born + gap + days, failed) for born, gap, days, failed, _ in drawn]
    whole = make_lives(rows, lot=[lot for *_, lot in drawn])
    pieces, lots = [], []
    for (born, since, until, failed), (*_, lot) in zip(rows, drawn, strict=True):
        cut = random.uniform(since, until)
        pieces += [(born, since, cut, False), (born, cut, until, failed)]
        lots += [lot, lot]
    cut_up = make_lives(pieces, lot=lots)

    assert log_evidence(risk_sets(cut_up), cut_up.traits[0]) == pytest.approx(
        log_evidence(risk_sets(whole), whole.traits[0])
    )
    bands = bands_of(whole)
    assert count(cut_up, cut_up.traits[0], bands).expected == pytest.approx(
        count(whole, whole.traits[0], bands).expected
    )


@given(st.integers(0, 10_000), st.floats(30, 500))
def test_a_look_knows_nothing_of_what_comes_later(seed, day):
    lives = draw_fleet(np.random.default_rng(seed), sizes=[20, 20, 20], times=[1, 5, 1])
    later = lives.until > day
    other = replace(
        lives,
        until=np.where(later, lives.until + 77, lives.until),
        has_failed=lives.has_failed ^ later,
    )

    def evidence(known: Lives) -> list[float]:
        now = known.upto(day)
        return log_evidence(risk_sets(now), now.traits[0]).tolist()

    assert evidence(other) == evidence(lives)


def test_groups_are_chosen_as_e_bh_chooses_them():
    # Four questions, a share of 0.1: bounds 40, 20, 13.3, 10.
    assert stands_out(np.log([39.0, 25, 14, 9]), false_share=0.1).tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert stands_out(np.log([39.0, 19, 13, 9]), false_share=0.1).tolist() == [False] * 4
    assert stands_out(np.log([9.0, 41, 1, 1]), false_share=0.1).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert stands_out(np.array([]), false_share=0.1).tolist() == []


def test_the_evidence_of_ordinary_groups_is_1_in_the_mean():
    """Over all that can happen to 5 devices of a lot among 20 until 4 have failed, counted out."""
    mean = 0.0
    for is_own in itertools.product([True, False], repeat=4):
        lives = _failing_in_order(is_own, own=5, others=15)
        chance = sum(
            share * _chance(is_own, own=5, others=15, times=times)
            for times, share in ORDINARY.items()
        )
        mean += chance * math.exp(log_evidence(risk_sets(lives), lives.traits[0])[0])

    assert mean == pytest.approx(1)


def _failing_in_order(is_own: Sequence[bool], *, own: int, others: int) -> Lives:
    ends = {True: own, False: others}
    rows, lots = [], []
    for age, failed_own in enumerate(is_own, start=1):
        rows.append((0, 0, age, True))
        lots.append("A" if failed_own else "B")
        ends[failed_own] -= 1
    rows += [(0, 0, 99, False)] * (ends[True] + ends[False])
    return make_lives(rows, lot=[*lots, *["A"] * ends[True], *["B"] * ends[False]])


def _chance(is_own: Sequence[bool], *, own: int, others: int, times: float) -> float:
    chance = 1.0
    for failed_own in is_own:
        chance *= (times * own if failed_own else others) / (times * own + others)
        own, others = (own - 1, others) if failed_own else (own, others - 1)
    return chance


def test_looking_again_and_again_keeps_false_alarms_rare():
    """Lots delivered one after the other, looked at every ten days.

    Of ordinary lots 1 in 20 may ever reach 20; of lots at the tolerated bound 1 in 20 may ever reach
    20 over their share of the ordinary ones.
    """
    ordinary = at_the_bound = 0
    bound = math.log(20 / ORDINARY[TOLERATED])
    for seed in range(80):
        rng = np.random.default_rng(seed)
        lives = draw_fleet(rng, sizes=[30] * 4, times=[1, 1, 1, 1])
        ordinary += int((_highest(lives) >= math.log(20)).sum())
        lives = draw_fleet(rng, sizes=[30, 30, 30], times=[1, TOLERATED, 1])
        at_the_bound += int(_highest(lives)[1] >= bound)

    assert ordinary / (80 * 4) <= 0.05
    assert at_the_bound / 80 <= 0.05


def test_a_bad_lot_is_found_within_a_few_failures():
    """Ten times as often, of twenty lots of 60 devices: found while most of them are still well."""
    lost = []
    for seed in range(20):
        lives = draw_fleet(
            np.random.default_rng(seed), sizes=[60] * 20, times=[1.0] * 9 + [10.0] + [1.0] * 10,
            rate=0.0005, days=700,
        )  # fmt: skip
        lost.append(_lost_until_flagged(lives, lot=9))

    assert max(lost) <= 16
    assert np.median(lost) <= 9


def _highest(lives: Lives) -> FloatArray:
    """The highest evidence of each lot at any look."""
    looks = []
    for day in range(30, 700, 10):
        now = lives.upto(float(day))
        looks.append(log_evidence(risk_sets(now), now.traits[0]))
    return np.max(looks, axis=0)


def _lost_until_flagged(lives: Lives, *, lot: int) -> int:
    for day in range(30, 3000, 7):
        now = lives.upto(float(day))
        if stands_out(log_evidence(risk_sets(now), now.traits[0]), false_share=0.1)[lot]:
            return int(np.sum(now.has_failed & (now.traits[0].code == lot)))
    raise AssertionError("never flagged")


def test_an_unknown_value_is_no_group_but_one_of_the_others():
    lives = make_lives([(0, 0, 5, True), (0, 0, 9, False)], lot=["A", ""])

    assert lives.traits[0] == Trait(name="lot", values=("A",), code=lives.traits[0].code)
    assert log_evidence(risk_sets(lives), lives.traits[0])[0] > 0
