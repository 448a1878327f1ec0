"""On what it was measured: machine, servers, libraries, revision."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench.ingest.instance import Instance
from bench.ingest.rows import queries
from core.clock import monotonic_s
from core.endpoints import runtime_paths
from core.runtime import service as runtime
from core.settings import PROJECT_ROOT

_SYNCS = 40
_PAGE = bytes(8192)
_LIBRARIES = ("mqtt5", "msgspec", "numpy", "psycopg")


def machine_facts(folder: Path) -> dict[str, Any]:
    """Return processor, cores, kernel, and what a durable write of a page takes in a folder."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "fdatasync_ms": round(fdatasync_ms(folder), 2),
    }


def versions(instance: Instance) -> dict[str, Any]:
    """Return the versions of everything that takes part, and the settings that make it durable."""
    status = runtime.status(runtime_paths(instance.settings))
    servers = status.installed.versions() if status.installed else {}
    with instance.pool.connection() as connection:
        settings: dict[str, str] = dict(connection.execute(queries["ingest_settings"]).fetchall())
        extension = connection.execute(queries["ingest_extension"]).fetchone()
    assert extension is not None
    return {
        "revision": revision(),
        "python": platform.python_version(),
        **servers,
        "timescaledb": extension[0],
        **{name: version(name) for name in _LIBRARIES},
        "settings": settings,
    }


def revision() -> str:
    """Return the short name of the commit that is checked out; empty outside a git checkout."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip()


def fdatasync_ms(folder: Path) -> float:
    """Return the median time of writing a page and waiting until the disk has it."""
    file = folder / "bench-disk"
    times = []
    with file.open("wb", buffering=0) as stream:
        for _ in range(_SYNCS):
            began_s = monotonic_s()
            stream.write(_PAGE)
            os.fdatasync(stream.fileno())
            times.append(1000 * (monotonic_s() - began_s))
    file.unlink()
    return median(times)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
