"""A recording that is cut off, no text or badly filled is refused by name; its folder may hold gzipped files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.evaluate.benchmarks import nab, tep
from bench.evaluate.readers import alpi, azure_pdm, battery, cmapss, hdfail, nitrogen, ppd
from core.errors import InvalidError
from firmware_sim.errors import RecordingError
from firmware_sim.recordings.skab import read_recordings

CYCLES = "cell,cycle,capacity_Ah,v_mean,v_min,temp_max,t_to_3V6,t_to_3V2\n"
MINUTES = "timestamp,pressure,PW_0.5h\n"
READERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "azure_pdm": (
        azure_pdm.read,
        "PdM_failures.csv",
        "datetime,machineID,failure\n2015-01-02 03:00:00,1,comp1\n",
    ),
    "battery": (battery.read, "cycles.csv", f"{CYCLES}B5,1,1.9,3.5,2.7,38,900,3000\n"),
    "cmapss": (lambda folder: cmapss.read(folder, "FD9"), "train_FD9.txt", "1 2 3\n"),
    "hdfail": (
        hdfail.read,
        "hdfail.csv",
        "pid,event,time,num_temp,fac_brand,fac_type\n1,0,30,25,a,b\n",
    ),
    "nitrogen": (nitrogen.Recording, "train.csv", f"{MINUTES}2023-01-01 00:00:00,7.5,0\n"),
    "ppd": (ppd.read, "run.csv", "header\n" + ",".join(["1"] * 26) + "\n"),
    "tep": (tep.score, "d00.dat", "1 2 3\n"),
}
NAMES = sorted(READERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_gzipped_file_that_is_cut_off_is_named(tmp_path: Path, name: str) -> None:
    read, file, text = READERS[name]
    *header, row = text.splitlines(keepends=True)
    whole = gzip.compress("".join([*header, *[row] * 50]).encode())
    (tmp_path / f"{file}.gz").write_bytes(whole[: len(whole) - 9])

    with pytest.raises(InvalidError, match=file) as caught:
        read(tmp_path)

    assert caught.value.hint


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "held", [b"", b"\xff\xfe\x00broken\x80", b"\n\n"], ids=["empty", "no text", "blank"]
)
def test_a_file_without_a_table_is_named(tmp_path: Path, name: str, held: bytes) -> None:
    read, file, _ = READERS[name]
    (tmp_path / file).write_bytes(held)

    with pytest.raises(InvalidError, match=file) as caught:
        read(tmp_path)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("azure_pdm", "datetime,machineID,failure\n2015-01-02 03:00:00,1\n", "line 2"),
        (
            "azure_pdm",
            "datetime,machineID,failure\nsoon,1,comp1\n",
            "PdM_failures.csv: 'soon' is no date",
        ),
        ("battery", f"{CYCLES}B5,1,much,3.5,2.7,38,900,3000\n", "cycle 1: capacity_Ah is 'much'"),
        ("battery", CYCLES, "no rows"),
        ("hdfail", "pid,event,time,num_temp,fac_brand,fac_type\n1,0,long,25,a,b\n", "'long'"),
        ("nitrogen", f"{MINUTES}2023-01-01 00:00:00,high,0\n", "row 1: pressure is 'high'"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    read, file, _ = READERS[name]
    (tmp_path / file).write_text(text)

    with pytest.raises(InvalidError, match=said) as caught:
        read(tmp_path)

    assert caught.value.hint


@pytest.mark.parametrize("held", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_an_archive_that_is_none_is_named(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "alarms.npz").write_bytes(held)

    with pytest.raises(InvalidError, match="alarms.npz is no archive"):
        alpi.read(tmp_path)


def test_arrays_of_different_length_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "alarms.npz", x=np.zeros((3, 5)), y=np.zeros((2, 5)), machine=np.zeros(3))

    with pytest.raises(InvalidError, match=r"x is \(3, 5\), y \(2, 5\)"):
        alpi.read(tmp_path)


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    row = " ".join(["1"] * 26)
    for file in ("train", "test"):
        (tmp_path / f"{file}_FD9.txt").write_text(row + "\n")
    (tmp_path / "RUL_FD9.txt").write_text("nan\n")

    with pytest.raises(InvalidError, match="RUL_FD9"):
        cmapss.read(tmp_path, "FD9")


def test_labelled_series_may_be_gzipped_and_a_bad_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "combined_windows.json").write_text(json.dumps({"a.csv": [], "b.csv": []}))
    good = b"timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2\n\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(good))

    (series,) = nab.read(tmp_path)

    assert series.values.tolist() == [1, 2]

    (tmp_path / "b.csv").write_bytes(good + b"2014-04-01 00:10:00,\n")
    with pytest.raises(InvalidError, match="b.csv, row 3"):
        nab.read(tmp_path)

    (tmp_path / "combined_windows.json").write_text("{")
    with pytest.raises(InvalidError, match="combined_windows.json cannot be read"):
        nab.read(tmp_path)


def test_recordings_of_the_bench_may_be_gzipped(tmp_path: Path) -> None:
    sensors = (
        "Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage;"
        "Volume Flow RateRMS"
    )
    text = f"datetime;{sensors}\n2020-03-09 10:14:33;1;2;3;4;5;6;7;8\n".encode()
    (tmp_path / "valve").mkdir()
    (tmp_path / "valve" / "0.csv.gz").write_bytes(gzip.compress(text))

    (recording,) = read_recordings(tmp_path)

    assert (recording.name, len(recording)) == ("valve/0", 1)

    (tmp_path / "valve" / "0.csv.gz").write_bytes(gzip.compress(text)[:-9])
    with pytest.raises(RecordingError, match=r"0\.csv\.gz"):
        read_recordings(tmp_path)
