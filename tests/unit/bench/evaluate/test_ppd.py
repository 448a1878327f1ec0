"""Cutting blades: the reader, and the whole evaluation on small runs."""

import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from anomaly.learn.history import Catalog
from bench.evaluate.benchmarks.ppd import command
from bench.evaluate.readers import ppd
from core.errors import InvalidError


def save(file: Path, rows: int, rng: np.random.Generator) -> None:
    """Two of the signals follow the wear."""
    wear = np.arange(rows) / rows
    values = 20 * rng.normal(size=(rows, ppd.SIGNALS))
    values[:, 1] += 60 * wear
    values[:, 7] -= 40 * wear
    head = "Timestamp," + ",".join(f"S_{n}" for n in range(ppd.SIGNALS))
    lines = [f"{n}," + ",".join(f"{v:.2f}" for v in row) for n, row in enumerate(values)]
    text = "\n".join([head, *lines]) + "\n"
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for number, rows in enumerate((6000, 9000, 12000, 8100)):
        save(tmp_path / f"C{number}.csv{'.gz' if number % 2 else ''}", rows, rng)
    return tmp_path


def test_rows_are_summed_up_in_windows_and_the_last_row_is_the_end(folder: Path) -> None:
    last = ppd.read(folder)[3]

    assert last.device == "C3"
    assert last.values.shape == (405, ppd.SIGNALS)
    assert last.until_us == last.failure_us[0] == 8100 * ppd.ROW_US
    assert last.at_us[-1] == last.until_us
    assert last.values[-10:, 1].mean() == pytest.approx(60, abs=8)


def test_what_is_set_explains_what_is_not() -> None:
    catalog = Catalog(ppd.product())

    assert catalog.conditions == tuple(f"signal_{n:02}" for n in ppd.SET)
    assert len(catalog.metrics) == ppd.SIGNALS


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="no .csv"):
        ppd.read(tmp_path)


def test_an_evaluation_beats_the_age(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command,
        ["--data", str(folder), "--seeds", "0", "--json", "--results", str(tmp_path / "r")],
        catch_exceptions=False,
    )

    found = orjson.loads(done.output.splitlines()[-1])
    assert found["life_fraction_rmse"] < found["controls"]["age"]["life_fraction_rmse"]
    assert len(found["details"]["runs"]) == 4
