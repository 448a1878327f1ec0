"""Begins trainings that are due, each in a process of its own: a scorer looks, and goes on scoring.

The process takes its claim itself, so several workers may begin the same one, and one of them trains. It
runs at low priority on one core, and its memory is given back when it ends.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from anomaly.store import ProductRow
from anomaly.training import job
from core.clock import monotonic_s
from core.log import get_logger
from core.pool import Connection
from core.supervisor import die_with_parent

EVERY_S = 60.0
"""Between two looks at a product."""
_STOP_S = 5.0
_NICE = 10
_log = get_logger("training")
Start = Callable[[str], "subprocess.Popen[bytes]"]


def start_process(product: str) -> "subprocess.Popen[bytes]":
    """Train a product if it is due, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "core.cli", "model", "train", product, "--if-due"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=_step_back,  # noqa: PLW1509 - two system calls, no Python state touched
    )


def _step_back() -> None:
    die_with_parent()
    os.nice(_NICE)


@dataclass(kw_only=True)
class Trainer:
    """One worker's: at most one training at a time."""

    is_on: bool = False
    start: Start = start_process
    _process: "subprocess.Popen[bytes] | None" = None
    _product: str = ""
    _looked_s: dict[int, float] = field(default_factory=dict)

    def look(self, connection: Connection, row: ProductRow, *, now: datetime) -> None:
        """Begin a product's training if it is due and nothing else is being trained here."""
        if not self.is_on or self._is_busy() or not self._is_time(row.id):
            return
        reason = job.why_now(connection, row, now=now)
        if reason is not None:
            self._process, self._product = self.start(row.product.name), row.product.name
            _log.info("training.begun", product=row.product.name, reason=reason)

    def stop(self) -> None:
        """End what is being trained; whoever runs next begins it again."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_busy(self) -> bool:
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        _log.info("training.ended", product=self._product, code=code)
        self._process = None
        return False

    def _is_time(self, product_id: int) -> bool:
        looked = self._looked_s.get(product_id)
        if looked is not None and monotonic_s() - looked < EVERY_S:
            return False
        self._looked_s[product_id] = monotonic_s()
        return True
