"""One process alone runs an installation, and a killed one leaves no lock behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.line import LineTakenError, only_runner
from core.settings import PROJECT_ROOT, Settings

_HOLD = (
    "import sys; from core.line import only_runner; from core.settings import Settings\n"
    "with only_runner(Settings(runtime_dir=sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)
_FAIL = (
    "from core.failpoint import failpoint, set_up_failpoints\n"
    "set_up_failpoints('here:kill:1')\n"
    "failpoint('elsewhere'); print('alive', flush=True); failpoint('here'); print('too far')\n"
)


@contextmanager
def _holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_runner_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    with (
        _holder(tmp_path) as first,
        pytest.raises(LineTakenError, match=f"process {first.pid} ") as caught,
        only_runner(Settings(runtime_dir=str(tmp_path))),
    ):
        pass

    assert "FORECARE_RUNTIME_DIR" in caught.value.hint


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        first.kill()
        assert first.wait() == -signal.SIGKILL

        with only_runner(Settings(runtime_dir=str(tmp_path))):
            pass


def test_two_installations_run_side_by_side(tmp_path: Path) -> None:
    with _holder(tmp_path / "one"), only_runner(Settings(runtime_dir=str(tmp_path / "two"))):
        pass


def test_one_after_the_other_is_fine(tmp_path: Path) -> None:
    settings = Settings(runtime_dir=str(tmp_path))
    for _ in range(2):
        with only_runner(settings):
            pass


def test_a_failpoint_kills_the_process_there_and_nowhere_else() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _FAIL], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == -signal.SIGKILL
    assert result.stdout == "alive\n"
