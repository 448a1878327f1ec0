"""Alarm logs: order of time out of overlapping windows, the benchmark on a small log."""

import itertools
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench.evaluate.benchmarks import alpi
from bench.evaluate.readers import alpi as alpi_reader
from bench.evaluate.readers.alpi import AHEAD, MINUTE_US, STEP, WINDOW, read, records_of
from core.errors import InvalidError

MINUTES = 60 * WINDOW


def log(rng: np.random.Generator, usual: int) -> tuple[np.ndarray, np.ndarray]:
    """Minutes and codes of one machine; code 9 follows code 8 within five hours."""
    at = np.sort(rng.choice(MINUTES, MINUTES // 60, replace=False))
    codes = rng.choice([1, 2, 3, 4, 5, 6, usual], len(at))
    sign = rng.choice(MINUTES - 400, 25, replace=False)
    at = np.concatenate([at, sign, sign + 300])
    codes = np.concatenate([codes, np.full(25, 8), np.full(25, 9)])
    order = np.argsort(at, kind="stable")
    return at[order], codes[order]


def windows(
    at: np.ndarray, codes: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Windows in passes, as the file lists them, and when each begins."""
    x, y, begins = [], [], []
    for offset in range(0, WINDOW, STEP * 4):
        for begin in range(offset, MINUTES - WINDOW - AHEAD, WINDOW):
            middle = begin + WINDOW
            seen = codes[(at >= begin) & (at < middle)]
            came = codes[(at >= middle) & (at < middle + AHEAD)]
            if len(came):
                x.append(seen)
                y.append(came)
                begins.append(begin / WINDOW)
    return x, y, begins


def padded(rows: list[np.ndarray]) -> np.ndarray:
    table = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    x, y, machine = [], [], []
    for number in range(6):
        own_x, own_y, _ = windows(*log(rng, usual=10 + number % 2))
        x += own_x
        y += own_y
        machine += [number] * len(own_x)
    made = tmp_path_factory.mktemp("alpi")
    np.savez(made / "alarms.npz", x=padded(x), y=padded(y), machine=np.array(machine))
    return made


def test_each_pass_becomes_a_record_in_the_order_of_time() -> None:
    at, codes = log(np.random.default_rng(6), usual=7)
    x, y, begins = windows(at, codes)

    records = records_of("one", padded(x), padded(y))

    assert len(records) == len(range(0, WINDOW, STEP * 4))
    first = [row for row, begin in zip(x, begins, strict=True) if begin == int(begin)]
    assert records[0].windows == len(first)
    ends = np.arange(len(first) + 1) * WINDOW * MINUTE_US
    own = [
        records[0].code[(records[0].at_us > low) & (records[0].at_us <= high)].tolist()
        for low, high in itertools.pairwise(ends)
    ]
    assert own == [row.tolist() for row in first]


def test_what_came_after_a_window_is_known_to_no_row_before_it() -> None:
    x = [np.array([1, 2, 3]), np.array([4, 5, 6])]
    y = [np.array([4, 5]), np.array([9])]

    goes_on = alpi_reader.record("m", x, y)
    has_gap = alpi_reader.record("m", x, [np.array([8]), np.array([9])])

    end, ahead = WINDOW * MINUTE_US, AHEAD * MINUTE_US
    for found, came, rest in ((goes_on, [4, 5], [6]), (has_gap, [8], [4, 5, 6])):
        at, code = found.at_us, found.code
        assert code[at <= end].tolist() == [1, 2, 3]
        assert code[(at > end) & (at <= end + ahead)].tolist() == came
        assert code[(at > end + ahead) & (at <= 2 * end)].tolist() == rest
        assert code[(at > 2 * end) & (at <= 2 * end + ahead)].tolist() == [9]


def test_windows_that_share_nothing_have_no_order() -> None:
    rng = np.random.default_rng(7)

    assert records_of("m", rng.integers(1, 99, (60, 20)), rng.integers(1, 99, (60, 5))) == []


def test_machines_are_read_as_histories_of_a_product(folder: Path) -> None:
    logs = read(folder)

    assert logs.catalog.modes == tuple(f"alarm_{c}" for c in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11))
    assert len(np.unique(logs.machine)) == 6
    assert logs.untold == []
    assert len(logs.machine) == len(logs.histories)
    assert all(np.all(np.diff(h.failure_us) >= 0) for h in logs.histories)


@pytest.mark.begins_early
def test_a_code_that_follows_another_is_foreseen_better_than_by_the_past_rate(folder: Path) -> None:
    options = ["--data", str(folder), "--json", "--seeds", "0", "--results", str(folder / "kept")]

    result = CliRunner().invoke(alpi.command, options, catch_exceptions=False)

    found = orjson.loads(result.output.splitlines()[-1])
    persistence = found["controls"]["persistence"]
    assert found["macro_ap"] > persistence["macro_ap"]
    assert found["macro_ap_unseen"] > persistence["macro_ap_unseen"]


def test_a_folder_without_the_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"alarms\.npz"):
        read(tmp_path)
