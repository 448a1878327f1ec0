"""When may the next block of samples be made? Keeps devices close enough to the line for visits. Pure."""

from dataclasses import dataclass
from datetime import timedelta

AHEAD_MAX = timedelta(hours=30)
"""A line that tolerates 12 h of lateness and forecasts every 6 h is up to 19 h behind in good order."""
GRACE_S = 60.0
BACKLOG_MESSAGES_A_DEVICE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far the slowest product has come in each stage, epoch seconds; None before any data."""

    stored_s: int | None
    scored_s: int | None
    decided_s: int | None

    @property
    def leading_s(self) -> int | None:
        """The last stage that has begun at all: before the first decision there is none to wait for."""
        for reached in (self.decided_s, self.scored_s, self.stored_s):
            if reached is not None:
                return reached
        return None


def may_go_on(
    made_s: int, reached: Reached, *, start_s: int, waiting_a_device: float, still_s: float
) -> bool:
    """Decide whether another block may be made.

    Parameters
    ----------
    made_s, start_s : int
        Simulated time reached by the devices, and its begin, epoch seconds.
    reached : Reached
        How far the line is.
    waiting_a_device : float
        Messages in the spool, for each device.
    still_s : float
        For how long nothing at all has moved on the line, wall time. After `GRACE_S` the devices go on
        one block: a line that waits for newer data must not be waited for.
    """
    if waiting_a_device > BACKLOG_MESSAGES_A_DEVICE:
        return False
    leading_s = reached.leading_s
    leading_s = start_s if leading_s is None else max(leading_s, start_s)
    return made_s - leading_s <= AHEAD_MAX.total_seconds() or still_s > GRACE_S
