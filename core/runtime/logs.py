"""The servers' log files: their ends, their recent errors, and their limit."""

import re
from pathlib import Path

_TAIL_BYTES = 4_000
_BYTES_MAX = 10_000_000  # a longer log is set aside at the next start; one old one is kept
_ERRORS = re.compile(r"\b(ERROR|FATAL|PANIC):|^\d+: Error", re.MULTILINE)


def log_size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def log_tail(log: Path, *, since: int = 0) -> str:
    """Return the end of a log, at most 4,000 bytes, written after the byte `since`."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log_size(log) - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def recent_errors(tail: str) -> list[str]:
    return [line for line in tail.splitlines() if _ERRORS.search(line)]


def set_aside(log: Path) -> None:
    """Keep a log within its limit."""
    if log_size(log) > _BYTES_MAX:
        log.replace(log.with_name(f"{log.name}.1"))
