"""Real child processes: they come back when they die and go when their parent goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from core.supervisor import Program, Supervisor

_SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


def _wait_for(condition: object, *, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_is_killed_comes_back(tmp_path: Path) -> None:
    events: list[tuple[str, str]] = []
    supervisor = Supervisor(tmp_path, on_event=lambda name, event: events.append((name, event)))
    supervisor.start(Program(name="sleeper", arguments=_SLEEPER))
    first = supervisor.pids()["sleeper"]

    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.watch()
        return supervisor.pids().get("sleeper", first) != first

    assert _wait_for(is_back)
    assert events == [("sleeper", "started"), ("sleeper", "died"), ("sleeper", "restarted")]
    last = supervisor.pids()["sleeper"]
    supervisor.stop()
    assert not _is_alive(last)


def test_children_end_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from core.supervisor import Program, Supervisor;"
        f"s = Supervisor(Path({str(tmp_path)!r})); s.start(Program(name='c', arguments={_SLEEPER!r}));"
        "print(s.pids()['c'], flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert _wait_for(lambda: not _is_alive(child))


def test_a_program_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    supervisor = Supervisor(tmp_path, stop_s=0.5)
    supervisor.start(Program(name="stubborn", arguments=(sys.executable, "-c", stubborn)))
    assert _wait_for(lambda: "up" in (tmp_path / "stubborn.log").read_text())
    pid = supervisor.pids()["stubborn"]

    supervisor.stop()

    assert not _is_alive(pid)
