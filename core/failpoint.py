"""Named points at which a test may kill the process, to show what a crash there does.

FORECARE_FAILPOINT=ingest.after_commit:kill:0.01 kills with SIGKILL at one in a hundred visits;
several are separated by commas. Without the variable a visit costs one look at an empty dict.
"""

import os
import random
import signal

_active: dict[str, float] = {}


def set_up_failpoints(text: str) -> None:
    _active.clear()
    for part in filter(None, text.split(",")):
        name, action, probability = part.split(":")
        if action != "kill":
            message = f"failpoint {name}: unknown action {action!r}; only `kill` exists"
            raise ValueError(message)
        _active[name] = float(probability)


def failpoint(name: str) -> None:
    """Die here, if a test has asked for it."""
    if _active and name in _active and random.random() < _active[name]:  # noqa: S311 - no secret
        os.kill(os.getpid(), signal.SIGKILL)
