from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bench.demo.count import Failure, Opened, judge

_DAY = timedelta(days=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def _failure(device: str = "a", mode: str = "bearing", *, onset: float, fails: float) -> Failure:
    return Failure(
        device=device,
        failure_mode=mode,
        onset_at=_START + onset * _DAY,
        fails_at=_START + fails * _DAY,
    )


def _ticket(device: str = "a", mode: str = "bearing", *, day: float) -> Opened:
    return Opened(device=device, failure_mode=mode, opened_at=_START + day * _DAY)


def test_a_ticket_between_onset_and_failure_is_a_forecast_and_its_lead_is_counted() -> None:
    verdict = judge([_failure(onset=10, fails=30)], [_ticket(day=25)])

    assert (verdict.failures_forecast, verdict.false_tickets) == (1, 0)
    assert verdict.median_lead_hours == 5 * 24


def test_a_ticket_after_the_failure_is_late_but_not_false() -> None:
    verdict = judge([_failure(onset=10, fails=30)], [_ticket(day=30.1)])

    assert (verdict.failures_forecast, verdict.false_tickets) == (0, 0)
    assert verdict.median_lead_hours is None


def test_a_ticket_before_anything_was_wrong_is_false_and_the_failure_is_missed() -> None:
    verdict = judge([_failure(onset=10, fails=30)], [_ticket(day=9)])

    assert (verdict.failures_forecast, verdict.false_tickets) == (0, 1)


def test_a_ticket_for_another_part_or_another_device_is_false() -> None:
    tickets = [_ticket(mode="seal", day=20), _ticket(device="b", day=20)]

    assert judge([_failure(onset=10, fails=30)], tickets).false_tickets == 2


def test_two_failures_of_one_part_need_two_tickets() -> None:
    failures = [_failure(onset=5, fails=15), _failure(onset=40, fails=55)]

    assert judge(failures, [_ticket(day=12)]).failures_forecast == 1
    assert judge(failures, [_ticket(day=12), _ticket(day=50)]).failures_forecast == 2


def test_a_long_late_ticket_is_false() -> None:
    assert judge([_failure(onset=5, fails=15)], [_ticket(day=20)]).false_tickets == 1


def test_a_failure_ahead_of_the_end_is_not_counted_and_its_ticket_is_not_false() -> None:
    ahead = replace(_failure(device="b", onset=45, fails=70), is_ahead=True)
    failures = [_failure(onset=10, fails=30), ahead]

    verdict = judge(failures, [_ticket(day=25), _ticket("b", day=58)])

    assert (verdict.failures_injected, verdict.failures_forecast) == (1, 1)
    assert (verdict.tickets, verdict.false_tickets) == (2, 0)
    assert verdict.median_lead_hours == 5 * 24
