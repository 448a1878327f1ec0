"""Turbofan run-to-failure recordings (C-MAPSS): one row per unit and cycle, blanks between numbers.

`train_X` are whole lives, the last row of a unit being its failure; `test_X` are lives that were cut off,
and `RUL_X` says how many cycles each had left. One cycle stands for one hour of event time.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import History
from anomaly.records import FloatArray
from bench.evaluate.readers.numbers import find, find_optional, read_numbers
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

SETTINGS, SENSORS = 3, 21
CYCLE = timedelta(hours=1)
CYCLE_US = 3_600_000_000
LEARNING_CYCLES = 20
"""Of each unit's life, after which its own normal is known."""
ALERT_CYCLES = 10
"""Warning that a shop visit wants."""


def product() -> Product:
    """Sheet of the engine: sensors depend on the flight condition that the settings make."""
    settings = tuple(f"setting_{n}" for n in range(1, SETTINGS + 1))
    return Product(
        name="turbofan", title="Turbofan engine", manufacturer="recording",
        interval=CYCLE, window=CYCLE, forecast_every=CYCLE, learning=LEARNING_CYCLES * CYCLE,
        late_after=timedelta(days=1), history_max=timedelta(days=10_000),
        metrics=(
            *(Metric(name=n, title=n, unit="1", low=-1e9, high=1e9) for n in settings),
            *(Metric(name=f"sensor_{n:02}", title=f"sensor {n}", unit="1", low=-1e9, high=1e9,
                     depends_on=settings) for n in range(1, SENSORS + 1)),
        ),
        failure_modes=(
            FailureMode(name="failure", title="Engine failure", component="engine", evidence=(),
                        cost_of_failure=100_000, cost_of_visit=5_000,
                        lead_time=ALERT_CYCLES * CYCLE),
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One subset."""

    train: tuple[History, ...]
    test: tuple[History, ...]
    """Cut off before the failure; empty where there is no such file."""
    left_cycles: FloatArray | None
    """Remaining life of each of `test` at its last row; None where there is no such file."""


def read(folder: Path, subset: str) -> Recording:
    """Read the files of one subset, plain or compressed.

    Raises
    ------
    InvalidError
        If there is no training file, or one of the files is not laid out as it should be.
    """
    train = find(folder, f"train_{subset}.txt")
    test = find_optional(folder, f"test_{subset}.txt")
    answers = find_optional(folder, f"RUL_{subset}.txt")
    cut = () if test is None else _units(test, has_failed=False)
    left = None if answers is None else read_numbers(answers, width=1)[:, 0]
    if left is not None and not np.isfinite(left).all():
        raise InvalidError(
            f"{answers} has rows that are no number", hint="it needs the cycles left of each unit"
        )
    if left is not None and len(left) != len(cut):
        raise InvalidError(
            f"{answers} has {len(left)} rows, and the test file of {subset} has {len(cut)} units",
            hint="it needs one number per unit of the test file, in their order",
        )
    return Recording(train=_units(train, has_failed=True), test=cut, left_cycles=left)


def _units(file: Path, *, has_failed: bool) -> tuple[History, ...]:
    rows = read_numbers(file, width=2 + SETTINGS + SENSORS)
    units = rows[:, 0]
    found = []
    for unit in dict.fromkeys(units.tolist()):
        own = rows[units == unit]
        own = own[np.argsort(own[:, 1], kind="stable")]
        at = np.round(own[:, 1] * CYCLE_US).astype(np.int64)
        ends = at[-1:]
        found.append(
            History(
                device=f"unit-{unit:g}",
                begins_us=0,
                until_us=int(ends[0]),
                at_us=at,
                values=own[:, 2:],
                failure_us=ends if has_failed else np.empty(0, dtype=np.int64),
                failure_mode=np.zeros(int(has_failed), dtype=np.int64),
            )
        )
    return tuple(found)
