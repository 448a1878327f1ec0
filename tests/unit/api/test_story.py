"""What a ticket's evidence says."""

from api.story import operating

ABOVE = {"key": "above", "values": {}, "text": "Power is 414 W above."}
WITH = {"key": "operating", "values": {}, "text": "That is with speed at 54.9 Hz."}


def test_the_conditions_that_a_ticket_does_not_tell_owners_are_found_in_its_evidence() -> None:
    kept = {"sentences": [ABOVE["text"]], "evidence": {"sentences": [ABOVE, WITH]}}

    assert operating(kept) == [WITH["text"]]


def test_conditions_that_are_said_already_are_not_said_twice() -> None:
    assert operating({"sentences": [ABOVE, WITH]}) == []
    assert operating(None) == []
