"""Finds and kills the real processes of one installation."""

import os
import signal
from pathlib import Path


def stage_pids(words: str, *, runtime_dir: Path) -> list[int]:
    """Return the processes that run `forecare WORDS` for an installation.

    Parameters
    ----------
    words : str
        Arguments of the command, such as "ingest run".
    runtime_dir : Path
        The FORECARE_RUNTIME_DIR that they were started with.
    """
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and _is_stage(process, words, runtime_dir)
    ]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_with_children(pid: int) -> None:
    """Kill a server and everything it has started, as a crash of the machine would."""
    children = [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and _parent(process) == pid
    ]
    for number in (pid, *children):
        try:
            kill(number)
        except ProcessLookupError:
            continue


def _is_stage(process: Path, words: str, runtime_dir: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        environment = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        f"core.cli {words} " in command
        and f"FORECARE_RUNTIME_DIR={runtime_dir}".encode() in environment
    )


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return -1
