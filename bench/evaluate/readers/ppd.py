"""Cutting blades that were run until they were blunt: one CSV per run, 25 normalised signals, the last row is the end.

One row stands for one second of event time.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import History
from bench.evaluate.readers.numbers import read_numbers
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

SIGNALS = 25
WINDOW_ROWS = 200
ROW = timedelta(seconds=1)
ROW_US = 1_000_000
LEARNING_WINDOWS = 5


def product() -> Product:
    """Sheet of the blade; all signals count, and nothing is said about which depends on which."""
    window = WINDOW_ROWS * ROW
    return Product(
        name="blade", title="Cutting blade", manufacturer="recording",
        interval=ROW, window=window, forecast_every=window, learning=LEARNING_WINDOWS * window,
        late_after=timedelta(days=1), history_max=timedelta(days=10_000),
        metrics=tuple(
            Metric(name=f"signal_{n:02}", title=f"signal {n}", unit="1", low=-1e9, high=1e9)
            for n in range(1, SIGNALS + 1)
        ),
        failure_modes=(
            FailureMode(name="blunt", title="Blade blunt", component="blade", evidence=(),
                        cost_of_failure=1000, cost_of_visit=100, lead_time=10 * window),
        ),
    )  # fmt: skip


def read(folder: Path) -> tuple[History, ...]:
    """Read every run of a folder, each as one device.

    Raises
    ------
    InvalidError
        If there are no runs, or one is not laid out as it should be.
    """
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if not files:
        raise InvalidError(f"{folder} has no .csv or .csv.gz file", hint="one file per run")
    return tuple(_run(file) for file in files)


def _run(file: Path) -> History:
    rows = read_numbers(file, width=1 + SIGNALS, delimiter=",", header=1)
    starts = np.arange(0, len(rows), WINDOW_ROWS)
    count = np.diff(np.append(starts, len(rows)))
    ends = (starts + WINDOW_ROWS) * ROW_US
    ends[-1] = max(len(rows), 1) * ROW_US
    last = np.array([len(rows) * ROW_US])
    return History(
        device=file.name.partition(".")[0], begins_us=0, until_us=int(last[0]), at_us=ends,
        values=np.add.reduceat(rows[:, 1:], starts, axis=0) / count[:, None],
        failure_us=last, failure_mode=np.zeros(1, dtype=np.int64),
    )  # fmt: skip
