"""What levels, states and windows are called on the pages."""

from types import SimpleNamespace
from typing import Any

import pytest

from api.words import NOTICED, newest_window
from tests.unit.api.test_evidence import NOW, declining

PART = declining(24, 48, 72)


def told(**changes: object) -> Any:
    known = {"kind": "preventive", "state": "open", "fails_from": NOW, "fails_until": NOW}
    return SimpleNamespace(**(known | changes))


@pytest.mark.parametrize("state", ["open", "scheduled", "in_service", "ready", "in_progress"])
def test_an_open_ticket_shows_when_the_newest_forecast_expects_the_failure(state: str) -> None:
    assert newest_window(told(state=state), PART) == PART.window


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"state": "resolved"}, PART),
        ({"state": "cancelled"}, PART),
        ({"state": "done"}, PART),
        ({"kind": "corrective"}, PART),
        ({}, None),
        ({}, declining(None, None, None)),
    ],
)
def test_else_what_was_told_first_stands(changes: dict[str, object], part: Any) -> None:
    assert newest_window(told(**changes), part) is None


def test_every_change_of_a_detection_has_words() -> None:
    kinds, changes = ("wear", "reported_fault", "sensor"), ("raised", "cleared")

    assert set(NOTICED) == {(kind, change) for kind in kinds for change in changes}
