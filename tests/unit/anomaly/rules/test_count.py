"""What alerts were worth, and when a rule has overdrawn its budget."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anomaly.rules.count import Alert, Tally, Worth, standing_of, tally, worth_of
from anomaly.rules.words import say_reinstated, say_standing

OPENED = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
THROUGH = OPENED + 60 * DAY


def make_alert(**changes: Any) -> Alert:
    values: dict[str, Any] = {
        "opened_at": OPENED,
        "closed_at": OPENED + 5 * DAY,
        "close_reason": "cancelled",
        "is_corrective": False,
        "verdict": None,
        "failed_at": None,
        "replaced_at": None,
        "watched_through": THROUGH,
    }
    return Alert(**values | changes)


def worth(alert: Alert, *, can_heal: bool = False, through: datetime = THROUGH) -> Worth:
    return worth_of(alert, can_heal=can_heal, through=through)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("confirmed", "right"),
        ("incipient", "right"),
        ("no_fault_found", "false"),
        ("other_fault", "false"),
        ("not_inspected", "unknown"),
    ],
)
def test_what_a_technician_found_counts_before_anything_else(verdict: str, expected: str) -> None:
    alert = make_alert(verdict=verdict, is_corrective=True, failed_at=OPENED + DAY)

    assert worth(alert) == expected


def test_an_alert_whose_device_failed_was_right() -> None:
    assert worth(make_alert(is_corrective=True, closed_at=None)) == "right"
    assert worth(make_alert(failed_at=OPENED + 29 * DAY)) == "right"


def test_a_failure_after_the_horizon_was_not_meant() -> None:
    assert worth(make_alert(failed_at=OPENED + 31 * DAY)) == "false"


def test_an_alert_that_ended_and_was_followed_by_no_failure_was_false_once_the_horizon_is_over() -> (
    None
):
    assert worth(make_alert()) == "false"
    assert worth(make_alert(), through=OPENED + 29 * DAY) == "waiting"
    assert worth(make_alert(watched_through=OPENED + 29 * DAY)) == "waiting"


def test_nobody_can_say_what_an_alert_was_worth_whose_part_was_replaced_meanwhile() -> None:
    assert worth(make_alert(replaced_at=OPENED + 8 * DAY)) == "unknown"


def test_values_that_recover_prove_nothing_where_the_owner_may_have_cured_it() -> None:
    alert = make_alert(close_reason="recovered")

    assert worth(alert, can_heal=True) == "unknown"
    assert worth(alert) == "false"


def test_an_open_ticket_waits_for_whoever_looks() -> None:
    assert worth(make_alert(closed_at=None)) == "waiting"


def test_alerts_are_counted_by_what_they_were_worth() -> None:
    alerts = [make_alert(verdict=v) for v in ("confirmed", "no_fault_found", "not_inspected")]

    counted = tally([*alerts, make_alert(closed_at=None)], can_heal=False, through=THROUGH)

    assert counted == Tally(right=1, false=1, unknown=1, waiting=1)
    assert counted.judged == 2


def test_a_rule_within_its_budget_keeps_its_standing_and_one_far_above_loses_it() -> None:
    good, _ = standing_of(Tally(right=30, false=2), device_years=20, budget=0.1)
    bad, evidence = standing_of(Tally(right=30, false=12), device_years=20, budget=0.1)

    assert good == "full"
    assert (bad, evidence > 20) == ("inspect_at_next_visit", True)


def test_a_standing_is_told_with_its_figures() -> None:
    counted = Tally(right=3, false=12, waiting=2)

    said = say_standing("Bearing wear", counted, device_years=20.0, budget=0.1, is_demoted=True)

    assert [sentence.key for sentence in said] == ["demoted", "waiting", "inspects"]
    assert said[0].text == (
        "Bearing wear: 12 of 15 warnings were wrong in 20 device-years, 2.0 were to be expected."
    )
    assert said[0].values["false"] == 12
    assert (
        say_reinstated("new sheet").text == "Opens tickets again: new sheet. Counting begins anew."
    )


def test_where_no_warning_was_judged_none_is_said_to_have_been_wrong() -> None:
    (said,) = say_standing("Bearing wear", Tally(), device_years=20.0, budget=0.1, is_demoted=False)

    assert said.text == (
        "Bearing wear: no warning could be judged yet, in 20 device-years; 2.0 wrong ones would be within the budget."
    )
