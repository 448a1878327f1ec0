"""What a decision does, and why: enums for rows, and the sentences that people read. Pure."""

from enum import StrEnum


class Action(StrEnum):
    OPEN = "open"
    JOIN = "join"
    HOLD = "hold"
    CLEAR = "clear"
    INSPECT = "inspect"
    """No ticket: whoever comes to the device next looks at the part."""
    NONE = "none"


class Reason(StrEnum):
    """Why a decision is as it is; `explain` has the sentence for people."""

    LEARNING = "learning"
    NO_DATA = "no_data"
    HEALTHY = "healthy"
    WAITING_IS_CHEAPER = "waiting_is_cheaper"
    NOT_CONFIRMED = "not_confirmed"
    FAILURE_LIKELY = "failure_likely"
    REPORTED_FAULT = "reported_fault"
    ALREADY_OPEN = "already_open"
    RISK_ROSE = "risk_rose"
    SAME_COMPONENT = "same_component"
    MASKED_BY_FAILURE = "masked_by_failure"
    AFTER_VISIT = "after_visit"
    AFTER_NO_FAULT_FOUND = "after_no_fault_found"
    AFTER_CANCELLATION = "after_cancellation"
    RECOVERED = "recovered"
    VISIT_BOOKED = "visit_booked"
    LATE_DATA = "late_data"
    RULE_DEMOTED = "rule_demoted"


_SENTENCES = {
    Reason.LEARNING: "Still learning what is normal for this device.",
    Reason.NO_DATA: "There is too little fresh data to say anything.",
    Reason.HEALTHY: "No sign of wear that would matter.",
    Reason.WAITING_IS_CHEAPER: "It is wearing, but a visit now would cost more than waiting does.",
    Reason.NOT_CONFIRMED: "A visit would pay off, but one forecast alone is not believed yet.",
    Reason.FAILURE_LIKELY: "Waiting would cost more than a visit, in at least two of three forecasts.",
    Reason.REPORTED_FAULT: "The device has failed or reports the fault itself.",
    Reason.ALREADY_OPEN: "There is an open ticket for this already.",
    Reason.RISK_ROSE: "There is an open ticket, and the failure has come closer.",
    Reason.SAME_COMPONENT: "An open ticket for the same component covers this.",
    Reason.MASKED_BY_FAILURE: "Another part has failed; what the rest shows until then is not trusted.",
    Reason.AFTER_VISIT: "It was just repaired; the values need time to settle.",
    Reason.AFTER_NO_FAULT_FOUND: "A technician has just found no fault here.",
    Reason.AFTER_CANCELLATION: "The last ticket for this was cancelled a short while ago.",
    Reason.RECOVERED: "The values have been back to normal for several forecasts.",
    Reason.VISIT_BOOKED: "The values are back to normal; the booked visit stays.",
    Reason.LATE_DATA: "This is history: the data came late, and only what is live raises an alarm.",
    Reason.RULE_DEMOTED: "Warnings of this kind were wrong too often, so this one opens no ticket:"
    " the part is to be looked at on the next visit.",
}


def explain(reason: str) -> str:
    """Return the sentence for people; the bare reason for one that this version does not know."""
    try:
        return _SENTENCES[Reason(reason)]
    except ValueError:
        return reason


def inspection_step(title: str) -> str:
    """Say on a checklist what to look at besides, for a failure mode of that title."""
    return f"Look for this too, it was only suspected: {title}"
