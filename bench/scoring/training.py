"""What training a product costs: `forecare model train` in a process of its own, time and memory of all of it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from bench.ingest.instance import Instance
from bench.scoring.fleet import Fleet
from bench.scoring.years import DAYS, Years, store_years
from core.clock import monotonic_s
from core.errors import RetryableError


class TrainingFailedError(RetryableError):
    """The command ended with an error; the message has its last words."""


def measure_training(
    instance: Instance, *, devices: int, days: int = DAYS, console: Console
) -> Mapping[str, Any]:
    """Store a fleet's years and train on them.

    Raises
    ------
    TrainingFailedError
        If nothing was trained.
    """
    years = Years(Fleet("bench_years", devices), days=days)
    with console.status(f"{devices} devices, {days} days: storing what scoring would have left"):
        failures = store_years(instance, years)
    with console.status(f"{devices} devices, {days} days, {failures} failures: training"):
        began_s = monotonic_s()
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "model", "train", years.fleet.name],
            env={**instance.environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = monotonic_s() - began_s
    if process.returncode != 0:
        raise TrainingFailedError(f"training failed: {said[-2000:]}")
    return {
        "devices": devices,
        "days": days,
        "windows": devices * days * 24,
        "modes": len(years.fleet.product.failure_modes),
        "failures": failures,
        "seconds": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }
