"""River's half-space trees on the same rows: installed on demand, in an environment of its own."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np

from bench.scoring.fleet import Fleet
from core.errors import RetryableError

PACKAGE = "river==0.26.1"
_INSTALL_S_MAX = 900
_RUN_S_MAX = 300
_STAMP = "installed"


class NoTreesError(RetryableError):
    """River cannot be run here; the message says why."""


class TreesWay(msgspec.Struct, frozen=True, kw_only=True):
    """One set of parameters, behind a MinMaxScaler as river's documentation does it."""

    name: str
    """defaults, paper (Tan, Ting, Liu 2011) or between."""
    trees: int
    height: int
    per_s: float
    """Rows per second of one core, without making them."""


class TreesCost(msgspec.Struct, frozen=True, kw_only=True):
    """What half-space trees cost."""

    version: str
    ways: tuple[TreesWay, ...]


def measure_trees(fleet: Fleet, rows: int, *, cache: Path) -> TreesCost:
    """Score and learn so many of a fleet's rows, in the order in which they would come.

    Raises
    ------
    NoTreesError
        If river cannot be had.
    """
    python = _install(cache)
    minutes = -(-rows // fleet.devices)
    table = fleet.table(0, minutes)[:8].reshape(8, -1).T[:rows].astype(np.float64)
    script = cache / "half_space_trees.py"
    text = resources.files(__package__).joinpath(f"{script.name}.txt").read_text(encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    np.save(cache / "rows.npy", table)
    said = _run(
        [str(python), str(script), str(cache / "rows.npy")],
        seconds_max=_RUN_S_MAX,
    )
    return msgspec.json.decode(said.splitlines()[-1], type=TreesCost)


def _install(cache: Path) -> Path:
    python = cache / "python" / "bin" / "python"
    if not (cache / _STAMP).exists():
        cache.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(cache / "python")], seconds_max=_INSTALL_S_MAX)
        _run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], seconds_max=_INSTALL_S_MAX)
        (cache / _STAMP).touch()
    return python


def _run(command: Sequence[str], *, seconds_max: int) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds_max
        )
    except subprocess.TimeoutExpired as error:
        raise NoTreesError(f"{Path(command[0]).name} took more than {seconds_max} s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise NoTreesError(f"{Path(command[0]).name} failed: {reason}")
    return done.stdout
