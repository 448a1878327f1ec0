"""When a message that a connected device has not answered is sent again. Pure."""

from datetime import datetime, timedelta

FIRST = timedelta(seconds=5)
_DOUBLINGS_MAX = 16


def next_try(now: datetime, *, tries: int, longest: timedelta) -> datetime:
    """Return when to try again after `tries` tries, at least 1: 5 s, 10 s, 20 s … `longest`."""
    doublings = min(max(tries, 1) - 1, _DOUBLINGS_MAX)
    return now + min(longest, FIRST * float(1 << doublings))
