"""What becomes of a group from look to look: watched, flagged, cleared, each with its reason. Pure."""

from dataclasses import dataclass
from typing import Literal

from anomaly.fleet.standing import Standing

State = Literal["watched", "flagged", "cleared"]
Reason = Literal["may_stand_out", "stands_out", "back_to_normal", "none_left", "within_chance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    state: State
    reason: Reason


def next_state(before: State | None, standing: Standing) -> Next | None:
    """Decide where a group stands after a look.

    A flag stays until it is clear that it has no ground any more: the evidence of one look more or
    less may not make it blink.

    Returns
    -------
    Next or None
        None: it was never worth watching, and is not now.
    """
    if standing.is_flagged or before == "flagged":
        if not standing.well:
            return Next(state="cleared", reason="none_left")
        if standing.is_flagged or standing.ratio_low > 1:
            return Next(state="flagged", reason="stands_out")
        return Next(state="cleared", reason="back_to_normal")
    if standing.is_noteworthy and standing.well:
        return Next(state="watched", reason="may_stand_out")
    if before is None:
        return None
    reason: Reason = "within_chance" if standing.well else "none_left"
    return Next(state="cleared", reason=reason)
