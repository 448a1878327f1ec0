"""The simulator's only reader of the clock."""

import time


def wall_s() -> float:
    """Return seconds since 1970, UTC."""
    return time.time()  # noqa: TID251 - a stranger has a clock of its own, and this is its one place


def monotonic_s() -> float:
    return time.monotonic()


def pause(seconds: float) -> None:
    time.sleep(seconds)
