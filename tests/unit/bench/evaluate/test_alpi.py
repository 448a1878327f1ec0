"""Alarm logs: order of time out of overlapping windows, features of codes, the benchmark on a small log."""

from pathlib import Path

import msgspec
import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from anomaly.learn.recurring import NAMES, NEVER, OWN_PRIOR, Recurring, Stretches
from bench.evaluate.benchmarks import alpi
from bench.evaluate.readers.alpi import AHEAD, STEP, WINDOW, places, read
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


def test_windows_of_overlapping_passes_are_put_in_the_order_of_time() -> None:
    x, y, begins = windows(*log(np.random.default_rng(6), usual=7))

    place = places(padded(x), padded(y))

    assert place is not None
    assert np.corrcoef(place, begins)[0, 1] > 0.999
    assert np.max(np.abs(np.argsort(np.argsort(place)) / len(place)
                         - np.argsort(np.argsort(begins)) / len(place))) < 0.05  # fmt: skip


def test_windows_that_share_nothing_have_no_order() -> None:
    rng = np.random.default_rng(7)

    assert places(rng.integers(1, 99, (60, 20)), rng.integers(1, 99, (60, 5))) is None


def test_machines_are_read_with_what_came_after_each_window(folder: Path) -> None:
    codes, machines, untold = read(folder)

    assert codes == (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)
    assert len(machines) == 6
    assert untold == []
    assert all(np.all(np.diff(m.at_us) >= 0) for m in machines)
    assert all(m.came.shape == (len(m.at_us), len(codes)) for m in machines)


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


def stretches() -> Stretches:
    return Stretches(
        device="one", at_us=np.array([10, 20, 30]), known_us=np.array([15, 25, 35]),
        seen=[np.array([4, 7, 4]), np.array([7]), np.array([], dtype=np.int64)],
        came=np.array([[True, False], [True, True], [False, False]]),
    )  # fmt: skip


def test_how_a_code_recurs_is_counted_by_hand() -> None:
    group = Recurring(codes=(4, 7), rate=(0.5, 0.25), follows=((0.5, 0.1), (0.3, 0.2)))

    x = group.columns(stretches())

    at = {name: x[:, :, place].tolist() for place, name in enumerate(NAMES)}
    assert at["times"] == [[2, 1], [0, 1], [0, 0]]
    assert at["events_ago"] == [[0, 1], [NEVER, 0], [NEVER, NEVER]]
    assert at["stretches_known"] == [[0, 0], [1, 1], [2, 2]]
    assert at["own_rate"][0] == [0.5, 0.25]
    assert at["own_rate"][2] == pytest.approx(
        [(2 + 0.5 * OWN_PRIOR) / (2 + OWN_PRIOR), (1 + 0.25 * OWN_PRIOR) / (2 + OWN_PRIOR)]
    )
    assert at["expected"] == [
        pytest.approx([0.4, 0.15]), pytest.approx([0.3, 0.2]), pytest.approx([0, 0])
    ]  # fmt: skip


def test_what_comes_later_changes_no_row() -> None:
    group = Recurring.fit((4, 7), [stretches()])
    whole = stretches()
    cut = Stretches(device="one", at_us=whole.at_us[:2], known_us=whole.known_us[:2],
                    seen=whole.seen[:2], came=whole.came[:2])  # fmt: skip

    assert np.array_equal(group.columns(cut), group.columns(whole)[:2])


def test_what_was_learned_of_codes_survives_storage() -> None:
    group = Recurring.fit((4, 7), [stretches()])

    kept = msgspec.json.decode(msgspec.json.encode(group), type=Recurring)

    assert np.array_equal(kept.columns(stretches()), group.columns(stretches()))
