"""Turbofan recordings: the reader, and the whole evaluation on a small one."""

import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.evaluate.benchmarks.cmapss import command
from bench.evaluate.readers.cmapss import CYCLE_US, read
from core.errors import InvalidError


def lives(rng: np.random.Generator, units: int) -> list[np.ndarray]:
    """Engines that live 60 to 120 cycles and show wear in two of the sensors."""
    found = []
    for unit in range(1, units + 1):
        cycles = np.arange(1, rng.integers(60, 120))
        wear = (cycles / len(cycles)) ** 3
        settings = np.tile([0.0, 0.0, 100.0], (len(cycles), 1))
        sensors = np.tile(np.arange(100.0, 121), (len(cycles), 1))
        for place, way in ((3, 1), (10, -1)):
            sensors[:, place] += way * wear + 0.05 * rng.normal(size=len(cycles))
        head = np.stack([np.full(len(cycles), unit), cycles], axis=1)
        found.append(np.concatenate([head, settings, sensors], axis=1))
    return found


def save(file: Path, rows: np.ndarray) -> None:
    text = "".join(" ".join(f"{value:.4f}" for value in row) + "  \n" for row in rows)
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    save(tmp_path / "train_S1.txt.gz", np.concatenate(lives(rng, 12)))
    whole = lives(rng, 4)
    cuts = [30, 50, 45, 40]
    parts = [life[:cut] for life, cut in zip(whole, cuts, strict=True)]
    save(tmp_path / "test_S1.txt", np.concatenate(parts))
    left = [[len(life) - cut] for life, cut in zip(whole, cuts, strict=True)]
    save(tmp_path / "RUL_S1.txt", np.array(left, dtype=np.float64))
    return tmp_path


def test_a_unit_fails_at_its_last_row_and_a_test_unit_is_cut_off(folder: Path) -> None:
    recording = read(folder, "S1")

    first = recording.train[0]
    assert len(recording.train) == 12
    assert first.failure_us.tolist() == [first.until_us]
    assert first.until_us == len(first.at_us) * CYCLE_US
    assert first.values.shape == (len(first.at_us), 24)
    assert [len(unit.at_us) for unit in recording.test] == [30, 50, 45, 40]
    assert not len(recording.test[0].failure_us)
    assert recording.left_cycles is not None
    assert len(recording.left_cycles) == 4


def test_a_missing_or_broken_file_is_named(folder: Path) -> None:
    with pytest.raises(InvalidError, match=r"train_S2\.txt"):
        read(folder, "S2")
    save(folder / "RUL_S1.txt", np.array([[1.0]]))
    with pytest.raises(InvalidError, match="1 rows, and the test file of S1 has 4"):
        read(folder, "S1")
    save(folder / "RUL_S1.txt", np.array([[1.0, 2.0]]))
    with pytest.raises(InvalidError, match="each row needs|2 columns"):
        read(folder, "S1")


def test_an_evaluation_prints_its_figures_and_the_control_and_does_without_answers(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "RUL_S1.txt").unlink()
    arguments = ["--data", str(folder), "--subset", "S1", "--seeds", "0", "--json",
                 "--results", str(tmp_path / "results")]  # fmt: skip

    done = CliRunner().invoke(command, arguments, catch_exceptions=False)

    found = orjson.loads(done.output.splitlines()[-1])
    assert found["rmse_raw"] is None
    assert found["events"] == 12
    assert found["event_recall"] > found["controls"]["age"]["event_recall"]
    assert any("cannot be judged" in note for note in found["notes"])
