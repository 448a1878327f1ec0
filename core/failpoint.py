"""Named points at which a test may kill the process, to show what a crash there does.

FORECARE_FAILPOINT=ingest.after_commit:kill:0.01 kills with SIGKILL at one in a hundred visits;
several are separated by commas. Without the variable a visit costs one look at an empty dict.
"""

import os
import random
import signal

from core.errors import InvalidError

_active: dict[str, float] = {}


def set_up_failpoints(text: str) -> None:
    """Take over what FORECARE_FAILPOINT says; an empty text switches all off.

    Raises
    ------
    InvalidError
        If a part is not NAME:kill:PROBABILITY.
    """
    _active.clear()
    _active.update(_parse(part) for part in filter(None, text.split(",")))


def _parse(part: str) -> tuple[str, float]:
    name, _, rest = part.partition(":")
    action, _, probability = rest.partition(":")
    try:
        if name and action == "kill" and 0 <= (number := float(probability)) <= 1:
            return name, number
    except ValueError:
        pass
    raise InvalidError(
        f"FORECARE_FAILPOINT has the part {part!r}",
        hint="write NAME:kill:PROBABILITY, such as ingest.after_commit:kill:0.01",
    )


def failpoint(name: str) -> None:
    """Die here, if a test has asked for it."""
    if _active and name in _active and random.random() < _active[name]:  # noqa: S311 - no secret
        os.kill(os.getpid(), signal.SIGKILL)
