"""Cutting blades that were run until they were blunt: one CSV per run, 25 normalised signals, the last row is the end.

One row stands for one second of event time. The columns are L_1 … L_10 of the blade and A, B, C with _1 … _5 of three
film drives. Some of them stand still for thousands of rows and then jump to another level: the order being
run sets them, and how the blade is driven (forwards, backwards). The others answer to them.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import History
from bench.evaluate.readers.numbers import read_numbers
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

SIGNALS = 25
SET = (1, 3, 5, 7, 15)
"""Signals, counted from 1, that are set: the speed of the blade, of each film drive, and the blade's direction."""
WINDOW_ROWS = 20
"""Shorter than the machine mostly runs at one speed: the mean over a change of speed is neither."""
FORECAST_ROWS = 200
ROW = timedelta(seconds=1)
ROW_US = 1_000_000
LEARNING_ROWS = 1000


def product() -> Product:
    """Sheet of the blade: all signals count; those that are set explain the others."""
    names = tuple(f"signal_{n:02}" for n in range(1, SIGNALS + 1))
    conditions = tuple(names[n - 1] for n in SET)
    return Product(
        name="blade", title="Cutting blade", manufacturer="recording",
        interval=ROW, window=WINDOW_ROWS * ROW, forecast_every=FORECAST_ROWS * ROW,
        learning=LEARNING_ROWS * ROW,
        late_after=timedelta(days=1), history_max=timedelta(days=10_000),
        metrics=tuple(
            Metric(name=name, title=name, unit="1", low=-1e9, high=1e9,
                   depends_on=() if name in conditions else conditions)
            for name in names
        ),
        failure_modes=(
            FailureMode(name="blunt", title="Blade blunt", component="blade", evidence=(),
                        cost_of_failure=1000, cost_of_visit=100, lead_time=10 * FORECAST_ROWS * ROW),
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
