"""Benchmarks of failures, on small files of the same layout."""

import gzip
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.evaluate.benchmarks import azure_pdm, hdfail, nitrogen
from bench.evaluate.readers import azure_pdm as azure_reader
from bench.evaluate.readers import hdfail as hdfail_reader
from bench.evaluate.readers.nitrogen import Recording
from core.errors import InvalidError

START = datetime(2020, 1, 1)


def write(folder: Path, name: str, header: str, rows: Iterable[Sequence[object]]) -> None:
    text = "\n".join([header, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n"
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text)


def run(command: object, folder: Path, *more: str) -> dict[str, object]:
    options = ["--data", str(folder), "--json", "--results", str(folder / "kept"), "--seeds", "0"]
    result = CliRunner().invoke(command, [*options, *more], catch_exceptions=False)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    found: dict[str, object] = orjson.loads(result.output.splitlines()[-1])
    return found


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """Eight machines; `error1` comes a day before each failure of comp1."""
    rng = np.random.default_rng(1)
    errors, failures = [], []
    for machine in range(1, 9):
        at = START
        while (at := at + timedelta(days=int(rng.integers(8, 20)))) < START + timedelta(days=100):
            failures.append((at, machine, "comp1"))
            errors.append((at - timedelta(days=1), machine, "error1"))
        errors += [
            (START + timedelta(hours=int(h)), machine, "error2") for h in rng.integers(0, 2400, 7)
        ]
    replaced = [*failures, (START - timedelta(days=60), 1, "comp2")]
    write(tmp_path, "PdM_errors.csv.gz", "datetime,machineID,errorID", sorted(errors))
    write(tmp_path, "PdM_failures.csv", "datetime,machineID,failure", failures)
    write(tmp_path, "PdM_maint.csv", "datetime,machineID,comp", replaced)
    write(tmp_path, "PdM_machines.csv", "machineID,model,age",
          [(m, f"model{m % 2}", 3 + m) for m in range(1, 9)])  # fmt: skip
    return tmp_path


def test_machines_are_read_with_errors_replacements_and_failures(machines: Path) -> None:
    catalog, histories = azure_reader.read(machines)

    first = histories[0]
    assert catalog.modes == ("comp1_fails", "comp2_fails")
    assert len(histories) == 8
    assert first.traits == {"model": "model1", "age_years": "4"}
    assert np.all(np.isin(first.failure_us, first.service_us))
    assert first.service_us[0] < first.begins_us
    assert set(first.event_code.tolist()) == {1, 2}


def test_failures_that_an_error_announces_are_caught_a_day_ahead(machines: Path) -> None:
    found = run(azure_pdm.command, machines, "--split-date", "2020-03-10")

    assert found["event_recall"] > 0.9  # type: ignore[operator]
    assert found["alert_precision"] > 0.7  # type: ignore[operator]
    assert set(found["controls"]) == {"always", "random", "calendar", "age", "persistence"}  # type: ignore[call-overload]
    assert set(found["by_lead_hours"]) == {"12", "24"}  # type: ignore[call-overload]
    assert list((machines / "kept").glob("evaluate-azure-pdm-2020-03-10-*.json"))


def test_a_split_outside_the_recording_is_refused(machines: Path) -> None:
    with pytest.raises(InvalidError, match="outside the recording"):
        run(azure_pdm.command, machines, "--split-date", "2031-01-01")


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """Six days a file; pressure falls for an hour before each of two faults a day."""
    rng = np.random.default_rng(2)
    for file, first_day, days in (("train.csv.gz", 0, 8), ("val.csv", 8, 4)):
        at = START + timedelta(days=first_day)
        minutes = np.arange(days * 1440)
        faults = np.concatenate([[d * 1440 + int(m) for m in rng.integers([300, 900], [700, 1400])]
                                 for d in range(days)])  # fmt: skip
        ahead = (faults[None, :] - minutes[:, None]).astype(float)
        left = np.where(ahead > 0, ahead, np.inf).min(axis=1)
        pressure = np.where(left <= 60, left / 60, 1.0) + 0.05 * rng.normal(size=len(minutes))
        rows = [
            (at + timedelta(minutes=int(m)), f"{p:.4f}", int(h <= 30), int(h <= 60))
            for m, p, h in zip(minutes, pressure, left, strict=True)
        ]
        write(tmp_path, file, "timestamp,Nitrogen pressure,PW_0.5h,PW_1.0h", rows)
    return tmp_path


def test_the_instants_of_faults_come_out_of_the_labels(generator: Path) -> None:
    recording = Recording(generator)

    assert recording.horizons_hours == (0.5, 1.0)
    assert len(recording.history.failure_us) == 24
    assert recording.catalog.metrics == ("nitrogen_pressure",)
    assert np.sum(recording.history.failure_us > recording.split_us) == 8
    assert np.all(recording.history.at_us % (5 * 60_000_000) == 0)


def test_a_falling_pressure_says_more_than_the_calendar(generator: Path) -> None:
    found = run(nitrogen.command, generator)

    calendar = found["controls"]["calendar"]["average_precision"]  # type: ignore[index]
    assert found["average_precision"]["0.5"] > calendar["0.5"] + 0.3  # type: ignore[index]
    assert found["events"] == 8


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Drives of two types; one fails five times as often."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(1200):
        kind = "bad" if number % 3 == 0 else "good"
        life = rng.exponential(900 if kind == "bad" else 4500)
        watched = rng.uniform(50, 1500)
        rows.append((number, int(life < watched), min(life, watched), 25 + number % 7, "B", kind,
                     0, 0, 0))  # fmt: skip
    header = "pid,event,time,num_temp,fac_brand,fac_type,fac_rsc,fac_rer,fac_psc"
    write(tmp_path, "hdfail.csv.gz", header, rows)
    return tmp_path


def test_drives_are_read_without_the_flags_of_their_whole_life(drives: Path) -> None:
    catalog, histories = hdfail_reader.read(drives)

    assert len(histories) == 1200
    assert set(histories[0].traits) == {"brand", "type", "temperature"}
    assert catalog.modes == ("drive_fails",)
    assert all(len(h.failure_us) == 0 or h.failure_us[-1] <= h.until_us + 1 for h in histories)


def test_drives_of_the_bad_type_are_expected_to_fail_sooner(drives: Path) -> None:
    found = run(hdfail.command, drives)

    assert found["c_index"] > 0.6  # type: ignore[operator]
    assert found["brier"]["730 d"] < found["brier_of_kaplan_meier"]["730 d"]  # type: ignore[index]
    assert found["controls"]["age"]["c_index"] == pytest.approx(0.5, abs=0.01)  # type: ignore[index]


def test_a_folder_without_the_recording_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"hdfail\.csv"):
        hdfail_reader.read(tmp_path)
