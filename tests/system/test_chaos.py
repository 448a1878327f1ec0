"""A short run of everything that can break: nothing lost, nothing twice, and no fault left out."""

import json
import os
import signal
import subprocess
import sys

import pytest

from core.runtime import service as runtime

_COMMAND = (sys.executable, "-m", "core.cli", "chaos", "--json")
_SHORT = ("--minutes", "0.7", "--devices", "120", "--rate", "150", "--seed", "7")


@pytest.mark.begins_early
@pytest.mark.timeout(300)
def test_a_short_run_of_all_faults_loses_nothing(runtime_paths: runtime.RuntimePaths) -> None:
    result = subprocess.run(
        [*_COMMAND, *_SHORT], capture_output=True, text=True, check=False, env=dict(os.environ)
    )

    assert result.returncode == 0, result.stderr[-4000:]
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["lost"] == report["missing_after_resend"] == report["unexpected_rows"] == 0
    assert report["confirmed"] == report["stored"] == report["attempted"] > 0
    assert report["duplicates"]["rows_twice"] == 0
    assert report["duplicates"]["absorbed"] > 0
    assert report["dead_letters"]["found"] == report["dead_letters"]["expected"] > 0
    assert all(tally["struck"] >= tally["planned"] for tally in report["faults"].values())
    assert report["ingest"]["in_flight_max"] <= report["ingest"]["receive_max"]
    _assert_nothing_is_left(runtime_paths.instance("chaos"))


@pytest.mark.timeout(200)
def test_ctrl_c_in_the_middle_leaves_nothing_running_and_nothing_mounted(
    runtime_paths: runtime.RuntimePaths,
) -> None:
    process = subprocess.Popen(
        [*_COMMAND, "--minutes", "5", "--devices", "5", "--faults", "disk_full,ingest_kill"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        said = iter(process.stderr)
        assert any(" struck, " in line for line in said)
        process.send_signal(signal.SIGINT)
        rest = list(said)

    assert process.returncode == 130, rest
    _assert_nothing_is_left(runtime_paths.instance("chaos"))


@pytest.mark.timeout(200)
def test_a_run_that_has_tested_nothing_fails() -> None:
    result = subprocess.run(
        [*_COMMAND, "--minutes", "0.1", "--devices", "20", "--faults", "wrong_clock"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1, result.stderr[-4000:]
    assert "no repetition was absorbed" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["is_passed"] is False


def _assert_nothing_is_left(paths: runtime.RuntimePaths) -> None:
    assert not runtime.status(paths).is_any_running
    assert not paths.postgres.is_mount()
