"""What processes cost, from /proc: processor time and memory."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


def cpu_s(pid: int) -> float:
    """Return user and system time of a process so far, all its threads included; 0 if it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def tree_cpu_s(pid: int) -> float:
    """Return the same for a process and its children, those that have ended included."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    own = sum(int(field) for field in fields[11:15]) / _TICKS
    return own + sum(cpu_s(child) for child in _children(pid))


def tree_pids(pid: int) -> list[int]:
    """Return a process and its descendants, parents first."""
    found = [pid]
    for parent in found:
        found += _children(parent)
    return found


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it is gone."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _stat(pid: int) -> list[str]:
    """Return the fields of `stat` from the state (field 3) on; the name before may hold spaces."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _children(pid: int) -> Iterable[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields and int(fields[1]) == pid:
                yield int(entry.name)
