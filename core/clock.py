"""The only reader of the clock. Everybody else takes `now` as an argument.

Two clocks, never mixed up: *event time* is when a device measured, *wall time* is when something is
done about it. `wall_now` is wall time; event time comes out of the rows.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def wall_now() -> datetime:
    """Return the wall time, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def monotonic_s() -> float:
    """Return seconds of a clock that never goes back, for time-outs and durations."""
    return time.monotonic()


def process_s() -> float:
    """Processor time of this process so far, seconds: for measuring what work costs."""
    return time.process_time()


def pause(seconds: float) -> None:
    """Wait in wall time."""
    time.sleep(seconds)
