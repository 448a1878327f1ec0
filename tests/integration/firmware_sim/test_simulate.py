"""`forecare simulate` as a process, against a small platform and a real broker."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from firmware_sim.commands import simulate
from firmware_sim.fleet import make_fleet

FLEET = ["--devices", "5", "--days", "4", "--seed", "7"]


class Runner:
    def __init__(self, platform, state):
        self.platform = platform
        self.state = state

    def start(self, *options):
        fleet = options or FLEET
        command = [sys.executable, "-m", "core.cli", "simulate", *fleet, "--progress", "json"]
        command += ["--api", self.platform.url, "--email", "maker@example.com"]
        command += ["--state", str(self.state), "--inbox", str(self.platform.inbox)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SIMULATE_PASSWORD": "secret"},
        )

    def run(self, *options, timeout=120):
        process = self.start(*options)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def truth(self):
        return json.loads((self.state / "truth.json").read_text())


@pytest.fixture
def runner(platform, tmp_path):
    return Runner(platform, tmp_path / "state")


def wait_for(condition, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def confirmed(truth):
    return {name: count["confirmed"] for name, count in truth["samples"].items()}


def stored(platform):
    return {name: len(samples) for name, samples in platform.storer.samples.items()}


def test_devices_lose_the_time_and_the_truth_says_which(runner, platform):
    code, _, err = runner.run(
        "--devices", "2", "--days", "1", "--seed", "7", "--wrong-clocks", "1", timeout=240
    )

    assert code == 0, err
    (lost,) = runner.truth()["wrong_clocks"]
    assert (lost["device"], lost["kind"]) == ("hp-007-0002", "ahead")
    right, wrong = (max(platform.storer.samples[f"hp-007-{n}"]) for n in ("0001", "0002"))
    assert wrong - right == pytest.approx(lost["ahead_s"] * 1000, abs=600_000)
    assert confirmed(runner.truth()) == stored(platform)


def test_a_first_run_registers_all_delivers_all_and_records_the_truth(runner, platform):
    platform.tickets_wanted = {"hp-007-0001": "fan_bearing"}

    code, events, err = runner.run()

    assert code == 0, err
    assert len(platform.products) == 2
    assert sorted(platform.owners) == [
        "hp-007-0001",
        "hp-007-0002",
        "hp-007-0004",
        "wp-007-0003",
        "wp-007-0005",
    ]
    assert events[-1]["event"] == "finished"
    truth = runner.truth()
    assert confirmed(truth) == stored(platform)
    assert all(n > 4 * 1440 - 700 for n in stored(platform).values())
    assert {f["outcome"] for f in truth["failures"]} <= {"failed", "prevented", "pending"}
    assert platform.storer.largest <= 65_536


def test_an_owner_books_and_the_technician_reports_before_later_samples(runner, platform):
    platform.tickets_wanted = {"hp-007-0001": "fan_bearing"}

    code, events, err = runner.run()

    assert code == 0, err
    assert [f["device"] for f in platform.findings] == ["hp-007-0001"]
    assert platform.findings[0]["verdict"] == "no_fault_found"
    assert platform.starts[0]["at"] < platform.findings[0]["found_at"]
    assert (events[-1]["tickets"], events[-1]["visits"]) == (1, 1)


def test_an_owner_takes_the_device_whose_code_is_printed_on_it(runner, platform, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("hp-007-0001  ABCD-EFGH-JKMN-PQRS  http://127.0.0.1/claim/ABCD\n")

    code, events, err = runner.run(
        "--devices", "2", "--days", "0.25", "--seed", "7", "--claim", str(labels)
    )

    assert code == 0, err
    (form,) = platform.claims
    assert form["code"] == "ABCD-EFGH-JKMN-PQRS"
    assert form["email"] == platform.owners["hp-007-0001"]
    assert events[-1]["problems"] == []


def test_a_killed_simulator_goes_on_and_sends_nothing_under_new_numbers(runner, platform):
    """The storer fails if a number ever comes with other samples."""
    for more in (20, 40):
        process = runner.start()
        wait_for(
            lambda wanted=len(platform.storer.messages) + more: (
                len(platform.storer.messages) > wanted
            )
        )
        process.send_signal(signal.SIGKILL)
        process.communicate()

    code, _, err = runner.run()

    assert code == 0, err
    assert confirmed(runner.truth()) == stored(platform)
    assert all(n > 4 * 1440 - 700 for n in stored(platform).values())


def test_sigterm_ends_a_live_run_cleanly(runner, platform):
    process = runner.start("--devices", "2", "--days", "0.25", "--live")
    wait_for(lambda: len(platform.storer.samples) == 2)

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    assert {device for device, _ in platform.storer.wills} == set(platform.owners)


def test_a_product_without_devices_is_not_waited_for(runner):
    """Two devices are two heat pumps: no water pump will ever get anywhere."""
    code, events, err = runner.run("--devices", "2", "--days", "3")

    assert code == 0, err
    assert "line.still" not in err
    assert events[-1]["decided_day"] == pytest.approx(3, abs=0.1)


def test_of_the_owners_whose_parts_fail_later_one_books_and_only_at_the_end(runner, platform):
    options = [*FLEET, "--ahead", "2"]
    fleet = make_fleet(devices=5, days=4, seed=7, start_s=0, ahead=2)
    first, second = [f for f in fleet.plan.failures if f.is_ahead]
    names = [fleet.units[failure.device].name for failure in (first, second)]
    platform.tickets_wanted = {names[0]: first.mode, names[1]: second.mode}

    code, _, err = runner.run(*options)

    assert code == 0, err
    orders = {order["device"]: order for order in platform.orders.values()}
    truth = runner.truth()
    assert [orders[name]["state"] for name in names] == ["scheduled", "ready"]
    assert orders[names[0]]["starts_at"] > truth["end"]
    ahead = [failure for failure in truth["failures"] if failure["is_ahead"]]
    assert [failure["device"] for failure in ahead] == names
    assert all(failure["fails_at"] > truth["end"] > failure["onset_at"] for failure in ahead)


def test_another_fleet_in_the_same_state_folder_is_refused(runner, platform):
    runner.run("--devices", "1", "--days", "0.25")

    code, _, err = runner.run("--devices", "2", "--days", "0.25")

    assert code == 1
    assert "belongs to another run: --devices 1 --days 0.25" in err
    assert "how to mend it" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--products", "toaster"], "no such product: toaster"),
        (["--speed", "fast"], "--speed is 'fast'"),
        (["--sheets", "/nowhere"], "no sheet for heat_pump"),
    ],
)
def test_bad_input_ends_with_a_sentence_and_a_remedy(platform, tmp_path, options, message):
    common = ["--api", platform.url, "--email", "a@example.com", "--password", "p"]

    result = CliRunner().invoke(simulate, [*common, "--state", str(tmp_path / "s"), *options])

    assert result.exit_code == 1
    assert message in result.output
    assert "how to mend it" in result.output
