"""Benchmarks of devices against their own normal, on small files of the same layouts made here."""

import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.evaluate.benchmarks import nab, skab, tep
from core.errors import InvalidError
from firmware_sim.recordings.skab import Recording

HEADER = (
    "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;"
    "Voltage;Volume Flow RateRMS"
)


def run(command, folder: Path, results: Path) -> dict:
    options = ["--data", str(folder), "--json", "--results", str(results)]
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return orjson.loads(result.output.splitlines()[-1])


def write_bench(file: Path, *, seed: int, fault: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(seed)
    values = np.array([0.03, 0.04, 1.3, 0.1, 79, 26, 230, 32]) + rng.normal(0, 1, (800, 8)) * (
        np.array([0.001, 0.001, 0.2, 0.2, 0.2, 0.05, 5, 0.4])
    )
    if fault:
        values[fault[0] : fault[1], 7] -= 3
    lines = [HEADER + (";anomaly;changepoint" if fault else "")]
    for second, row in enumerate(values):
        at = f"2020-03-09 10:{second // 60:02}:{second % 60:02}"
        label = fault and f";{float(fault[0] <= second < fault[1])};0.0"
        lines.append(f"{at};{';'.join(f'{v:.5f}' for v in row)}{label or ''}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_bench_is_judged_by_events_and_runs(tmp_path):
    write_bench(tmp_path / "in/anomaly-free/a.csv", seed=1, fault=None)
    write_bench(tmp_path / "in/some-fault/1.csv", seed=2, fault=(550, 700))

    found = run(skab.command, tmp_path / "in", tmp_path / "out")

    assert (found["events"], found["events_caught"], found["opened_within"]) == (1, 1, 1)
    assert 0 < found["median_delay_s"] <= 20
    assert found["false_runs"] <= 2
    assert found["controls"]["always_on"]["false_runs"] == 2
    assert found["controls"]["always_on"]["opened_within"] == 0
    assert list((tmp_path / "out").glob("evaluate-skab-*.json"))


def test_a_run_that_was_on_before_the_event_is_false_and_opened_outside():
    recording = Recording(
        name="a", path=Path("a"), measured_at_ms=np.arange(1000) * 1000, metrics={},
        anomaly=(np.arange(1000) >= 600).astype(float), changepoint=None,
    )  # fmt: skip
    alarm = np.zeros(1000, dtype=bool)
    alarm[450:460] = True
    alarm[590:650] = True

    judged = skab.judge(recording, alarm)

    assert judged.is_caught
    assert not judged.opened_within
    assert judged.delay_s == 0
    assert judged.false_runs == 2
    assert judged.healthy_s == 200


def write_plant(folder: Path, *, compress: bool) -> None:
    rng = np.random.default_rng(3)
    mix = rng.normal(0, 1, (10, 52))

    def rows(number: int) -> np.ndarray:
        return 5 + rng.normal(0, 1, (number, 10)) @ mix + rng.normal(0, 0.1, (number, 52))

    runs = {"d00": rows(500).T, "d00_te": rows(960), "d17_te": rows(960)}
    runs["d17_te"][160:, 8] += 2
    folder.mkdir()
    for name, values in runs.items():
        file = folder / f"{name}.dat{'.gz' if compress else ''}"
        with (gzip.open if compress else open)(file, "wt", encoding="utf-8") as stream:
            np.savetxt(stream, values)


@pytest.mark.parametrize("compress", [True, False])
def test_the_plant_is_judged_by_rows(tmp_path, compress):
    write_plant(tmp_path / "in", compress=compress)

    found = run(tep.command, tmp_path / "in", tmp_path / "out")

    assert found["detection_rate"] > 0.9
    assert found["far"] < 0.02
    assert found["median_delay_s"] <= 20 * 180
    assert list(found["details"]["by_fault"]) == ["17"]


def test_a_plant_without_faults_is_refused(tmp_path):
    write_plant(tmp_path / "in", compress=False)
    (tmp_path / "in/d17_te.dat").unlink()

    with pytest.raises(InvalidError, match="no run of a fault"):
        tep.score(tmp_path / "in")


def test_a_series_is_judged_by_its_windows(tmp_path):
    rng = np.random.default_rng(4)
    values = 10 * np.sin(np.arange(2000) / 30) + rng.normal(0, 0.3, 2000)
    values[1500:1520] += 25
    at = np.datetime64("2014-01-01T00:00:00") + np.arange(2000) * np.timedelta64(300, "s")
    (tmp_path / "in/data/made").mkdir(parents=True)
    (tmp_path / "in/labels").mkdir()
    lines = [f"{str(t).replace('T', ' ')},{v}" for t, v in zip(at, values, strict=True)]
    (tmp_path / "in/data/made/a.csv").write_text("\n".join(["timestamp,value", *lines]))
    span = [str(at[1480]).replace("T", " "), str(at[1540]).replace("T", " ")]
    labels = {"made/a.csv": [span], "made/not-there.csv": []}
    (tmp_path / "in/labels/combined_windows.json").write_bytes(orjson.dumps(labels))

    found = run(nab.command, tmp_path / "in", tmp_path / "out")

    assert found["nab_standard"] > 60
    assert found["events"] == 1
    assert found["false_alarms_per_device_year"] == 0
