"""What one message may cost, and how that is measured: CPU time and memory, never wall time."""

import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

CPU_MAX_S = 0.050
MEMORY_MAX = 10 << 20
"""Bytes."""
_TRIES = 5
_MORE_TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    cpu_s: float
    """The least of a few tries: what the code needs, not what a busy machine adds."""
    memory: int
    """Highest that Python had allocated at once, bytes."""


def cost_of(work: Callable[[], object]) -> Cost:
    """Run a piece of work a few times and say what it cost."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return Cost(cpu_s=_least_cpu_s(work), memory=memory)


def _least_cpu_s(work: Callable[[], object]) -> float:
    """CPU time of the best of some tries: on a busy machine the same work takes twice as much of it."""
    least = min(_cpu_s(work) for _ in range(_TRIES))
    for _ in range(_MORE_TRIES):
        if least <= CPU_MAX_S:
            break
        least = min(least, _cpu_s(work))
    return least


def _cpu_s(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before
