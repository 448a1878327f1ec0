"""Runs the platform's processes as children: starts, watches, restarts and stops all of them.

A child that dies is started again after a pause that doubles up to 10 s. When the supervisor itself
is killed the kernel sends SIGTERM to every child (PR_SET_PDEATHSIG), so none is left behind.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import monotonic_s, pause
from core.log import get_logger

log = get_logger("supervisor")

_PR_SET_PDEATHSIG = 1
_RESTART_PAUSE_S = (0.2, 10.0)
_STABLE_AFTER_S = 30.0
_STOP_S = 8.0
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep running: `forecare` with these arguments, or any other command."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started_s: float
    restart_at_s: float | None = None
    pause_s: float = _RESTART_PAUSE_S[0]


class Supervisor:
    """Keeps programs running until `stop`.

    Parameters
    ----------
    log_dir : Path
        One log file per program, appended to.
    on_event : callable, optional
        Is told (program name, "started" | "died" | "restarted") as it happens.
    stop_s : float, optional
        How long children may take to end when they are asked to.
    stable_after_s : float, optional
        A child that has run for longer is started again after the shortest pause.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        on_event: Callable[[str, str], None] = lambda _name, _event: None,
        stop_s: float = _STOP_S,
        stable_after_s: float = _STABLE_AFTER_S,
    ) -> None:
        self.log_dir = log_dir
        self.on_event = on_event
        self.stop_s = stop_s
        self.stable_after_s = stable_after_s
        self._children: dict[str, _Child] = {}

    def start(self, program: Program) -> None:
        """Start a program and watch it from now on."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        process = self._spawn(program)
        self._children[program.name] = _Child(
            program=program, process=process, started_s=monotonic_s()
        )
        self.on_event(program.name, "started")

    def replace(self, program: Program) -> None:
        """Let the next start of the program of this name be this one."""
        self._children[program.name].program = program

    def exit_code(self, name: str) -> int | None:
        """Return how a program has ended (negative: by that signal); None while it runs."""
        return self._children[name].process.poll()

    def pids(self) -> dict[str, int]:
        """Return the process number of every running program."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process.poll() is None
        }

    def watch(self) -> None:
        """Look once after all children and start again what has died; call it several times a second."""
        now = monotonic_s()
        for name, child in self._children.items():
            if child.process.poll() is None:
                continue
            if child.restart_at_s is None:
                if now - child.started_s > self.stable_after_s:
                    child.pause_s = _RESTART_PAUSE_S[0]
                child.restart_at_s = now + child.pause_s
                log.warning("process.died", name=name, code=child.process.returncode)
                self.on_event(name, "died")
            elif now >= child.restart_at_s:
                child.process = self._spawn(child.program)
                child.started_s, child.restart_at_s = now, None
                child.pause_s = min(child.pause_s * 2, _RESTART_PAUSE_S[1])
                self.on_event(name, "restarted")

    def stop(self) -> None:
        """Ask all children to end, newest first, and kill those that do not in time."""
        running = [c for c in reversed(self._children.values()) if c.process.poll() is None]
        for child in running:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = monotonic_s() + self.stop_s
        for child in running:
            try:
                child.process.wait(timeout=max(0.1, deadline - monotonic_s()))
            except subprocess.TimeoutExpired:
                log.warning("process.killed", name=child.program.name)
                child.process.kill()
                child.process.wait()
        self._children.clear()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        with (self.log_dir / f"{program.name}.log").open("ab") as log_file:
            return subprocess.Popen(
                program.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env={**os.environ, **program.environment},
                # An own group: a Ctrl-C in the terminal reaches the supervisor alone, which stops
                # the children in order.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call, no Python state touched
            )


def forecare(name: str, *arguments: str, **environment: str) -> Program:
    """Return a program that runs `forecare ARGUMENTS` with this very interpreter."""
    return Program(
        name=name,
        arguments=(sys.executable, "-m", "core.cli", *arguments),
        environment=environment,
    )


def run_until_signal(supervisor: Supervisor, *, on_tick: Callable[[], bool | None]) -> bool:
    """Watch the children until SIGINT or SIGTERM arrives or `on_tick` returns False.

    Returns
    -------
    bool
        Whether a signal ended it.
    """
    stopping = False

    def note(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not stopping and on_tick() is not False:
            supervisor.watch()
            pause(0.1)
        return stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def die_with_parent() -> None:
    """Ask the kernel to end this process with the thread that started it; for `preexec_fn`."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
