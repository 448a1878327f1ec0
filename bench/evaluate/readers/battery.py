"""Cells that were charged and discharged until they were worn out: `cycles.csv`, one row per cell and cycle.

A cell is at its end when its capacity stays at or below 1.4 Ah (a single low value is a bad measurement).
Cells that never get there are censored. One cycle stands for one hour of event time.
"""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import History
from anomaly.records import FloatArray
from bench.evaluate.readers.tables import number, rows_of
from core.errors import InvalidError
from core.product import Evidence, FailureMode, Metric, Product

END_AH = 1.4
STAYS = 2
"""Cycles in a row that are at or below the end."""
EARLY = 5
"""Cycles whose median is the capacity as new."""
CYCLE = timedelta(hours=1)
CYCLE_US = 3_600_000_000
CAPACITY = "capacity_Ah"
METRICS = (CAPACITY, "v_mean", "v_min", "temp_max", "t_to_3V6", "t_to_3V2")


def product() -> Product:
    """Sheet of a cell: its capacity fades."""
    names = tuple(name.lower() for name in METRICS)
    return Product(
        name="cell", title="Li-ion cell", manufacturer="recording",
        interval=CYCLE, window=CYCLE, forecast_every=CYCLE, learning=EARLY * CYCLE,
        late_after=timedelta(days=1), history_max=timedelta(days=10_000),
        metrics=tuple(Metric(name=n, title=n, unit="1", low=-1e9, high=1e9) for n in names),
        failure_modes=(
            FailureMode(name="faded", title="Capacity faded", component="cell",
                        evidence=(Evidence(metric=names[0], direction="down"),),
                        cost_of_failure=100, cost_of_visit=10, lead_time=10 * CYCLE),
        ),
    )  # fmt: skip


def read(folder: Path) -> tuple[History, ...]:
    """Read all cells up to their end.

    Raises
    ------
    InvalidError
        If there is no such file, or it lacks a column.
    """
    cells: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for row in rows_of(folder, "cycles.csv", columns=("cell", "cycle", *METRICS)):
        where = f"cycles.csv, cell {row['cell']}, cycle {row['cycle']}"
        cells[row["cell"]].append(
            tuple(number(row, name, where=where) for name in ("cycle", *METRICS))
        )
    if not cells:
        raise InvalidError(f"cycles.csv in {folder} has no rows", hint="is the file whole?")
    return tuple(_cell(name, np.array(sorted(own))) for name, own in cells.items())


def _cell(name: str, rows: FloatArray) -> History:
    capacity = rows[:, 1]
    end = end_of(capacity)
    rows = rows if end is None else rows[: end + 1]
    at = np.round(rows[:, 0] * CYCLE_US).astype(np.int64)
    new = np.median(capacity[:EARLY])
    health = (rows[:, 1] - END_AH) / max(new - END_AH, 1e-9)
    return History(
        device=name, begins_us=0, until_us=int(at[-1]), at_us=at, values=rows[:, 1:],
        health=_since(health, EARLY)[:, None],
        failure_us=at[-1:] if end is not None else at[:0],
        failure_mode=np.zeros(int(end is not None), dtype=np.int64),
    )  # fmt: skip


def end_of(capacity: FloatArray) -> int | None:
    """Place of the first of `STAYS` values in a row that are at or below the end; None if there is none."""
    low = capacity <= END_AH
    stays = np.convolve(low, np.ones(STAYS), mode="valid") == STAYS
    return int(np.argmax(stays)) if stays.any() else None


def _since(values: FloatArray, first: int) -> FloatArray:
    """Unknown while the device is learned."""
    found = values.copy()
    found[:first] = np.nan
    return found
