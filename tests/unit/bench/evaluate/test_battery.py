"""Cells that fade: the reader, and the whole evaluation on a small recording."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.evaluate.benchmarks.battery import command
from bench.evaluate.readers.battery import end_of, read
from core.errors import InvalidError

HEAD = "cell,cycle,capacity_Ah,v_mean,v_min,temp_max,t_to_3V6,t_to_3V2"


def save(folder: Path, *, cells: dict[str, np.ndarray]) -> Path:
    lines = [
        f"{name},{cycle},{value:.4f},3.5,2.6,39,1300,3200"
        for name, capacity in cells.items()
        for cycle, value in enumerate(capacity, start=1)
    ]
    (folder / "cycles.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    return folder


def fading(cycles: int) -> np.ndarray:
    """From 1.9 Ah to the end after so many cycles, and a little beyond."""
    return 1.9 - 0.5 * np.arange(cycles + 4) / cycles


def test_a_single_low_value_is_no_end() -> None:
    assert end_of(np.array([1.8, 1.38, 1.8, 1.5, 1.4, 1.39, 1.45])) == 4
    assert end_of(np.array([1.8, 1.38, 1.8])) is None


def test_a_cell_is_read_up_to_its_end_and_one_without_is_censored(tmp_path: Path) -> None:
    folder = save(tmp_path, cells={"A": fading(40), "B": np.full(20, 1.8)})

    ended, censored = read(folder)

    assert ended.failure_us.tolist() == [ended.until_us]
    assert ended.health[-1, 0] == pytest.approx(0, abs=0.02)
    assert np.isnan(ended.health[0, 0])
    assert not len(censored.failure_us)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "cycles.csv").write_text("cell,cycle\nA,1\n")

    with pytest.raises(InvalidError, match="capacity_Ah"):
        read(tmp_path)


def test_an_evaluation_prints_its_figures(tmp_path: Path) -> None:
    folder = save(tmp_path, cells={"A": fading(40), "B": fading(60), "C": np.full(20, 1.8)})

    done = CliRunner().invoke(
        command,
        ["--data", str(folder), "--seeds", "0", "--json", "--results", str(tmp_path / "r")],
        catch_exceptions=False,
    )

    found = orjson.loads(done.output.splitlines()[-1])
    assert found["life_error_median"] < 0.1
    assert found["events"] == 2
    assert "1 of 3 cells" in found["notes"][0]


def test_cells_that_all_live_on_cannot_be_judged(tmp_path: Path) -> None:
    folder = save(tmp_path, cells={"A": np.full(20, 1.8), "B": np.full(20, 1.7)})

    with pytest.raises(InvalidError, match="no cell"):
        CliRunner().invoke(command, ["--data", str(folder)], catch_exceptions=False)


def test_a_cell_alone_cannot_be_judged(tmp_path: Path) -> None:
    folder = save(tmp_path, cells={"A": np.linspace(1.9, 1.3, 40)})

    with pytest.raises(InvalidError, match="1 cell") as caught:
        CliRunner().invoke(command, ["--data", str(folder)], catch_exceptions=False)
    assert caught.value.hint
