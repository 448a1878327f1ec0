"""Which devices and which time teach, calibrate and judge. Pure.

A device that judges is never learned from, whatever its product's data become: it is chosen by its
name. Time is cut in three; what was learned knows nothing after its slice, because histories are cut
there and lives that go on are censored, so no gap between the slices is needed for honesty.
"""

import zlib
from collections.abc import Sequence

import msgspec

from anomaly.learn.history import History
from core.errors import InvalidError

JUDGES_OF = 4
"""One device of so many judges."""
TRAIN_SHARE, CALIBRATE_SHARE = 0.6, 0.2
"""Of the observed time; what is left is the test."""


class Slices(msgspec.Struct, frozen=True, kw_only=True):
    """Event time, microseconds since 1970."""

    from_us: int
    train_until_us: int
    calibrate_until_us: int
    until_us: int


def is_judge(device: str) -> bool:
    """Whether a device is kept out of all training, now and later."""
    return zlib.crc32(device.encode()) % JUDGES_OF == 0


def cut(histories: Sequence[History]) -> Slices:
    """Cut the time that a product's devices were observed for.

    Raises
    ------
    InvalidError
        If there is nothing to cut.
    """
    if not histories:
        raise InvalidError("no device has a history yet", hint="wait until devices have sent data")
    start = min(history.seen_from_us for history in histories)
    until = max(history.until_us for history in histories)
    span = until - start
    return Slices(
        from_us=start,
        train_until_us=start + round(TRAIN_SHARE * span),
        calibrate_until_us=start + round((TRAIN_SHARE + CALIBRATE_SHARE) * span),
        until_us=until,
    )
