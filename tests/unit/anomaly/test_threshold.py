"""Thresholds from a budget or from costs, and the ledger that watches the budget."""

import msgspec
import numpy as np
import pytest
from scipy.stats import poisson

from anomaly.ledger import Ledger
from anomaly.policy import Policy
from anomaly.runs import Rows, Runs, runs_of
from anomaly.threshold import Budget, rate_at_most, threshold_for_budget, threshold_for_cost

SINGLE = Policy(open_above=1.0, clear_below=1.0, confirm=1, of=1)


def peaks(*heights: float) -> Rows:
    """Rows of one device: calm, a peak, calm, the next peak, …"""
    score = np.ravel([[0.0, height] for height in heights] + [[0.0, 0.0]])
    return Rows(
        device=np.zeros(len(score), dtype=np.int64), at_us=np.arange(len(score)), score=score
    )


def test_the_bound_on_a_rate_is_exact() -> None:
    bound = rate_at_most(3, years=2.0, confidence=0.9)

    assert poisson.cdf(3, bound * 2.0) == pytest.approx(0.1)
    assert rate_at_most(0, years=1.0, confidence=0.95) == pytest.approx(-np.log(0.05))
    assert rate_at_most(5, years=0.0, confidence=0.9) == float("inf")


def test_the_lowest_threshold_within_the_budget_is_found() -> None:
    rows = peaks(5, 4, 3, 2, 1)
    wrong = np.ones(len(rows.score), dtype=bool)
    years = 10.0
    allowed = rate_at_most(2, years=years, confidence=0.9)

    chosen = threshold_for_budget(
        SINGLE, rows, is_false=wrong, years=years, budget=Budget(per_device_year=allowed + 1e-9)
    )

    assert chosen.policy.open_above == 4  # two false alarms, a third would break it
    assert (chosen.false_alarms, chosen.is_proven) == (2, True)
    assert chosen.rate_at_most == pytest.approx(allowed)


def test_right_alerts_cost_no_budget() -> None:
    rows = peaks(5, 4, 3, 2, 1)
    wrong = np.ones(len(rows.score), dtype=bool)
    wrong[[1, 3, 5]] = False
    allowed = rate_at_most(0, years=10, confidence=0.9)

    chosen = threshold_for_budget(
        SINGLE, rows, is_false=wrong, years=10, budget=Budget(per_device_year=allowed)
    )

    assert chosen.policy.open_above == 3


def test_a_threshold_below_everything_is_not_within_the_budget_by_melting_together() -> None:
    rows = peaks(*range(30, 0, -1))
    always_on = runs_of(SINGLE.at(0.0), rows)
    assert len(always_on) == 1

    chosen = threshold_for_budget(
        SINGLE, rows, is_false=np.ones(len(rows.score), dtype=bool), years=1,
        budget=Budget(per_device_year=rate_at_most(5, years=1, confidence=0.9)),
    )  # fmt: skip

    assert chosen.policy.open_above == 26


def test_with_too_little_time_nothing_is_proven_and_no_false_alarm_is_taken() -> None:
    rows = peaks(5, 4, 3)
    wrong = np.ones(len(rows.score), dtype=bool)
    wrong[1] = False

    chosen = threshold_for_budget(
        SINGLE, rows, is_false=wrong, years=0.1, budget=Budget(per_device_year=0.1)
    )

    assert (chosen.policy.open_above, chosen.is_proven, chosen.false_alarms) == (5, False, 0)


def test_rows_that_are_all_false_at_the_highest_score_leave_the_rule_silent() -> None:
    rows = peaks(5, 4)

    chosen = threshold_for_budget(
        SINGLE, rows, is_false=np.ones(len(rows.score), dtype=bool), years=0.1,
        budget=Budget(per_device_year=0.1),
    )  # fmt: skip

    assert chosen.policy.open_above == np.inf
    assert len(runs_of(chosen.policy, rows)) == 0


def test_the_cheapest_threshold_is_found() -> None:
    rows = peaks(5, 4, 3, 2, 1)
    useful = {1: 100.0, 5: 30.0}  # rows whose alert saves money; each alert costs 20

    def cost(runs: Runs) -> float:
        return sum(20.0 - useful.get(row, 0.0) for row in runs.row.tolist())

    assert threshold_for_cost(SINGLE, rows, cost=cost).open_above == 5
    useful[5] = 41.0
    assert threshold_for_cost(SINGLE, rows, cost=cost).open_above == 3
    assert threshold_for_cost(SINGLE, rows, cost=lambda runs: float(len(runs))).open_above == np.inf


def test_a_rule_far_over_its_budget_is_demoted() -> None:
    ledger = Ledger(budget_per_device_year=0.05)

    for _ in range(12):
        ledger = ledger.after(false_alarms=2, device_years=1.0)

    assert ledger.standing == "inspect_at_next_visit"


def test_a_rule_once_demoted_stays_so_until_another_replaces_it() -> None:
    ledger = Ledger(budget_per_device_year=0.05).after(false_alarms=10, device_years=1.0)
    calm = ledger.after(false_alarms=0, device_years=1000.0)

    assert calm.evidence < 1
    assert calm.standing == "inspect_at_next_visit"
    assert msgspec.json.decode(msgspec.json.encode(calm), type=Ledger) == calm


def test_a_rule_at_its_budget_is_hardly_ever_demoted_however_often_one_looks() -> None:
    rng = np.random.default_rng(7)
    demoted = 0
    for _ in range(400):
        ledger = Ledger(budget_per_device_year=0.5)
        for count in rng.poisson(0.5 * 0.2, 250):
            ledger = ledger.after(false_alarms=int(count), device_years=0.2)
        demoted += ledger.standing != "full"

    assert demoted / 400 <= 0.05


def test_a_rule_at_three_times_its_budget_is_demoted_soon() -> None:
    rng = np.random.default_rng(8)
    years = []
    for _ in range(100):
        ledger = Ledger(budget_per_device_year=0.5)
        while ledger.standing == "full":
            ledger = ledger.after(false_alarms=int(rng.poisson(1.5 * 0.2)), device_years=0.2)
        years.append(ledger.device_years)

    assert np.median(years) < 15
