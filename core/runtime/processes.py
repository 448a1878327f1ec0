"""Whose process is it? Nothing is ever signalled that was not recognised as our own.

A pid proves nothing: it may be stale, reused, or a zombie's. A server is ours when its working
folder is, by device and inode, the folder that we started it in, and its program and user fit.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals, pidfd_send_signal

from core.errors import PermanentError
from core.runtime.account import Account

_PROC = Path("/proc")
_GONE_STATES = frozenset("ZXx")
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What everybody may read about a process."""

    pid: int
    command: str
    state: str
    parent: int
    started_ticks: int

    @property
    def is_alive(self) -> bool:
        return self.state not in _GONE_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    signal: Signals
    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnProcesses:
    """The processes of one server, recognised by program, user and working folder."""

    folder: Path
    command: str
    account: Account

    def pids(self) -> tuple[int, ...]:
        """Return the live ones, oldest first."""
        found = [facts for facts in _all_processes() if self._looks_right(facts)]
        ours = self._working_here([facts.pid for facts in found])
        found.sort(key=lambda facts: facts.started_ticks)
        return tuple(facts.pid for facts in found if facts.pid in ours)

    def owns(self, pid: int) -> bool:
        facts = process_facts(pid)
        return facts is not None and self._looks_right(facts) and pid in self._working_here([pid])

    def signal(self, pid: int, number: Signals) -> bool:
        """Signal a process if it is ours; tell whether it was.

        The handle pins the process, so that the one that was checked is the one that is signalled
        even if the pid is handed out anew in between.
        """
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        except OSError:  # an old kernel, or a container that forbids the call
            return self._signal_by_number(pid, number)
        try:
            if not self.owns(pid):
                return False
            pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def stop(self, pid: int, steps: Sequence[StopStep]) -> bool:
        """Ask a process of ours to end, ever more firmly; tell whether it is gone."""
        for step in steps:
            if not self.signal(pid, step.signal) or wait_until_gone(pid, step.wait_seconds):
                return True
        return False

    def _signal_by_number(self, pid: int, number: Signals) -> bool:
        if not self.owns(pid):
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def _looks_right(self, facts: ProcessFacts) -> bool:
        if facts.command != self.command or not facts.is_alive:
            return False
        try:
            return (_PROC / str(facts.pid)).stat().st_uid == self.account.uid
        except OSError:
            return False

    def _working_here(self, pids: Iterable[int]) -> set[int]:
        try:
            wanted = self.folder.stat()
        except FileNotFoundError:
            return set()
        here = (wanted.st_dev, wanted.st_ino)
        return {pid for pid, place in self._places(pids) if place == here}

    def _places(self, pids: Iterable[int]) -> Iterator[tuple[int, tuple[int, int]]]:
        refused: list[int] = []
        for pid in pids:
            try:
                facts = (_PROC / str(pid) / "cwd").stat()
            except PermissionError:
                refused.append(pid)
            except OSError:
                continue
            else:
                yield pid, (facts.st_dev, facts.st_ino)
        if refused:
            yield from self._places_seen_by_account(refused)

    def _places_seen_by_account(self, pids: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
        """Ask as the account itself: root without CAP_SYS_PTRACE (Docker) may not look, it may."""
        if self.account.is_current:
            return []
        links = [f"/proc/{pid}/cwd" for pid in pids]
        result = self.account.run(
            ["stat", "-L", "-c", "%d %i %n", "--", *links],
            cwd=Path("/"),
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
        if result.returncode not in (0, 1):  # 1: some of them ended meanwhile
            raise PermanentError(
                f"cannot tell which processes are ours: {result.stderr.strip()}",
                hint="the program `stat` of coreutils is needed",
            )
        return [parse_place(line) for line in result.stdout.splitlines()]


def process_facts(pid: int) -> ProcessFacts | None:
    """Read /proc/<pid>/stat; None when there is no such process."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text(errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def parse_stat(text: str) -> ProcessFacts:
    """Read one line of /proc/<pid>/stat; the command may hold blanks and parentheses."""
    head, _, tail = text.rpartition(")")
    pid, _, command = head.partition(" (")
    fields = tail.split()
    return ProcessFacts(
        pid=int(pid),
        command=command,
        state=fields[0],
        parent=int(fields[1]),
        started_ticks=int(fields[19]),
    )


def parse_place(line: str) -> tuple[int, tuple[int, int]]:
    """Read `device inode /proc/<pid>/cwd`."""
    device, inode, link = line.split(" ", 2)
    return int(link.split("/")[2]), (int(device), int(inode))


def is_alive(pid: int) -> bool:
    facts = process_facts(pid)
    return facts is not None and facts.is_alive


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait for a process to end; a zombie has ended."""
    before = process_facts(pid)
    deadline = time.monotonic() + seconds
    while before is not None and before.is_alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
        now = process_facts(pid)
        if now is None or not now.is_alive or now.started_ticks != before.started_ticks:
            return True
    return True


def _all_processes() -> Iterator[ProcessFacts]:
    for name in os.listdir(_PROC):  # noqa: PTH208  # names only, no Path per process
        if name.isdecimal() and (facts := process_facts(int(name))) is not None:
            yield facts
