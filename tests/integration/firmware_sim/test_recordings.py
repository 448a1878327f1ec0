"""Recordings of the bench: any folder of that layout, and clear errors for anything else."""

import json
import subprocess
import sys

import numpy as np
import pytest

from firmware_sim.errors import RecordingError
from firmware_sim.recordings import read_recordings

SENSORS = "Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage;Volume Flow RateRMS"
HEADER = f"datetime;{SENSORS};anomaly;changepoint"


def row(second, *, flow="32.0", labels=";0.0;0.0"):
    return f"2020-03-09 10:14:{second:02};0.02;0.04;1.33;-0.27;79.3;26.0;233.0;{flow}{labels}"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_nested_folders_and_files_without_labels_are_read_in_natural_order(tmp_path):
    for name in ("valve2/10.csv", "valve2/2.csv", "other/deep/1.csv"):
        write(tmp_path / name, HEADER, row(1), row(2, labels=";1.0;1.0"))
    write(tmp_path / "free.csv", f"datetime;{SENSORS}", row(3, labels=""))
    write(tmp_path / "README.md", "not a recording")

    recordings = read_recordings(tmp_path)

    assert [r.name for r in recordings] == ["free", "other/deep/1", "valve2/2", "valve2/10"]
    assert recordings[0].anomaly is None
    assert recordings[1].anomaly.tolist() == [0, 1]
    assert len(recordings[1].metrics) == 8
    assert "anomaly" not in recordings[1].metrics


def test_values_and_moments_are_as_given(tmp_path):
    (recording,) = read_recordings(write(tmp_path / "a.csv", HEADER, row(33)))

    assert recording.measured_at_ms.tolist() == [1_583_748_873_000]
    assert {name: values[0] for name, values in recording.metrics.items()} == {
        "accelerometer1_rms": 0.02,
        "accelerometer2_rms": 0.04,
        "current_a": 1.33,
        "pressure_bar": -0.27,
        "temperature_c": 79.3,
        "thermocouple_c": 26.0,
        "voltage_v": 233.0,
        "flow_rate": 32.0,
    }


def test_headers_may_differ_in_case_spaces_and_order(tmp_path):
    header = (
        "\ufeffVOLTAGE; date time ;volume flow rate rms;accelerometer1 rms;ACCELEROMETER2RMS;"
        "current ;Pressure;temperature;Thermocouple"
    )
    write(tmp_path / "a.csv", header, "230;2020-03-09T10:14:33;32;1;2;3;4;5;6")

    (recording,) = read_recordings(tmp_path)

    assert recording.metrics["voltage_v"].tolist() == [230]
    assert recording.metrics["thermocouple_c"].tolist() == [6]


def test_a_missing_value_is_missing_and_an_empty_line_is_no_row(tmp_path):
    write(tmp_path / "a.csv", HEADER, row(1), "", row(2, flow=""))

    (recording,) = read_recordings(tmp_path)

    assert len(recording) == 2
    assert np.isnan(recording.metrics["flow_rate"]).tolist() == [False, True]


def test_a_moment_that_comes_twice_keeps_its_first_row(tmp_path):
    write(tmp_path / "a.csv", HEADER, row(1, flow="1"), row(1, flow="2"), row(2, flow="3"))

    (recording,) = read_recordings(tmp_path)

    assert recording.metrics["flow_rate"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER, row(1), row(2, flow="wet")], r"a\.csv, line 3: flow_rate is 'wet', no number"),
        ([HEADER, row(1), "2020-03-09 10:14:34;0.02"], r"a\.csv, line 3: 2 columns"),
        ([HEADER, row(1), "", row(2, flow="inf")], r"a\.csv, line 4: flow_rate is infinite"),
        ([HEADER, "soon" + row(1)[19:]], r"a\.csv, line 2: 'soon' is no moment"),
        ([HEADER], r"a\.csv, line 2: there is no row"),
        (
            ["datetime;Current", "2020-03-09 10:14:33;1"],
            r"line 1: no column for accelerometer1_rms",
        ),
        (["a;b", "1;2"], r"line 1: no column datetime"),
        ([""], r"line 1: no column datetime"),
        ([HEADER + ";current"], r"line 1: two columns for current_a"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, lines, message):
    write(tmp_path / "deep" / "a.csv", *lines)

    with pytest.raises(RecordingError, match=message):
        read_recordings(tmp_path)


def test_a_folder_without_recordings_is_an_error(tmp_path):
    with pytest.raises(RecordingError, match="holds no CSV file"):
        read_recordings(tmp_path)
    with pytest.raises(RecordingError, match="no such folder"):
        read_recordings(tmp_path / "nowhere")


def play(*options):
    return subprocess.run(
        [sys.executable, "-m", "firmware_sim.player", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_recordings_are_played_as_devices_and_labels_stay_at_home(tmp_path, open_broker, storer):
    rows = [row(second, labels=";1.0;0.0") for second in range(60)]
    write(tmp_path / "valve9" / "0.csv", HEADER, *rows)
    devices = [
        {"name": f"bench-{i}", "shard": "a3", "password": "p", "file": "valve9/0.csv"}
        for i in range(2)
    ]
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps(
            {"mqtt_url": f"mqtt://127.0.0.1:{open_broker.port}", "state": "s", "devices": devices}
        )
    )

    first, again = play("--plan", plan), play("--plan", plan)

    for result in (first, again):
        assert result.returncode == 0, result.stderr
        totals = json.loads(result.stdout.splitlines()[-1])
        assert (totals["event"], totals["sent"], totals["confirmed"]) == ("finished", 120, 120)
        assert totals["devices"] == {"bench-0": 60, "bench-1": 60}
    assert {len(samples) for samples in storer.samples.values()} == {60}
    assert {len(values) for values in storer.samples["bench-0"].values()} == {8}
    assert len(storer.messages) == 2


def test_the_list_says_what_a_caller_needs_to_enrol_the_devices(tmp_path):
    write(tmp_path / "valve9" / "0.csv", HEADER, row(1), row(2))

    (item,) = [json.loads(line) for line in play("--list", tmp_path).stdout.splitlines()]

    assert (item["name"], item["product"], item["rows"]) == ("valve9/0", "skab", 2)
    assert (item["from"], item["until"]) == (
        "2020-03-09T10:14:01+00:00",
        "2020-03-09T10:14:02+00:00",
    )
    assert len(item["digest"]) == 64


def test_a_bad_plan_or_recording_ends_with_a_sentence(tmp_path):
    bad = write(tmp_path / "plan.json", '{"devices": 3}')

    for result in (play("--plan", bad), play("--list", tmp_path), play()):
        assert result.returncode == 1
        assert "how to mend it" in result.stderr
        assert "Traceback" not in result.stderr
