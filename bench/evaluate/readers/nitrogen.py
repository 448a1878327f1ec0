"""A nitrogen generator: one-minute telemetry; its faults are told by labels that look ahead."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray
from bench.evaluate.readers.tables import instant_us, number, rows_of
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

_MINUTE_US = 60_000_000
_WINDOW = 5
"""Minutes in a window, and between two forecasts."""
_LABEL = "PW_"


class Recording:
    """Both files as one device's history: the first is learned from, the second judged."""

    def __init__(self, folder: Path) -> None:
        train, labels = _table(folder, "train.csv")
        val, val_labels = _table(folder, "val.csv")
        if labels != val_labels:
            raise InvalidError(
                "train.csv and val.csv have different labels", hint="take one recording"
            )
        self.horizons_hours = tuple(sorted(float(name[len(_LABEL) : -1]) for name in labels))
        shortest = min(labels, key=lambda name: float(name[len(_LABEL) : -1]))
        metrics = [name for name in train if name not in labels and name != "timestamp"]
        self.catalog = Catalog(_product(metrics))
        self.split_us = int(train["timestamp"][-1])
        at = np.concatenate([train["timestamp"], val["timestamp"]])
        values = np.stack([np.concatenate([train[n], val[n]]) for n in metrics], axis=1)
        faults = np.concatenate([_faults(part, shortest) for part in (train, val)])
        self.history = _history(at, values, faults)


def _table(folder: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    rows = list(rows_of(folder, name, columns=("timestamp",)))
    labels = [column for column in (rows[0] if rows else ()) if column.startswith(_LABEL)]
    if not labels:
        raise InvalidError(f"{name} has no rows or no columns {_LABEL}…h", hint="is it whole?")
    columns: dict[str, FloatArray] = {
        column: np.array(
            [number(row, column, where=f"{name}, row {n}") for n, row in enumerate(rows, start=1)]
        )
        for column in rows[0]
        if column != "timestamp"
    }
    at = np.array([instant_us(row["timestamp"], where=name) for row in rows], dtype=np.int64)
    order = np.argsort(at, kind="stable")
    found = {column: values[order] for column, values in columns.items()}
    return {"timestamp": at[order], **found}, labels


def _faults(table: dict[str, Any], label: str) -> IntArray:
    """Instants of faults: the minute after a run of the shortest label ends."""
    ahead = table[label] > 0
    ends = np.flatnonzero(ahead[:-1] & ~ahead[1:])
    return np.asarray(table["timestamp"][ends] + _MINUTE_US, dtype=np.int64)


def _history(at: IntArray, values: FloatArray, faults: IntArray) -> History:
    """Sum up minutes into windows; a window's end is the first instant that knows all of it."""
    width = _WINDOW * _MINUTE_US
    window = at // width
    ends, first = np.unique(window, return_index=True)
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    counts = np.add.reduceat(known, first, axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return History(
        device="generator",
        begins_us=int(at[0]),
        until_us=int(at[-1]),
        at_us=(ends[:-1] + 1) * width,
        values=means[:-1],
        failure_us=faults,
        failure_mode=np.zeros(len(faults), dtype=np.int64),
    )


def _product(metrics: list[str]) -> Product:
    names = [name.lower().replace(" ", "_") for name in metrics]
    return Product(
        name="nitrogen",
        title="Nitrogen generator",
        manufacturer="Unknown",
        interval=timedelta(minutes=1),
        window=timedelta(minutes=_WINDOW),
        learning=timedelta(days=2),
        forecast_every=timedelta(minutes=_WINDOW),
        late_after=timedelta(minutes=10),
        history_max=timedelta(days=3650),
        metrics=tuple(
            Metric(name=name, title=title, unit="1", low=-1e9, high=1e9)
            for name, title in zip(names, metrics, strict=True)
        ),
        failure_modes=(
            FailureMode(
                name="generator_fault", title="Fault of the generator", component="generator",
                evidence=(), cost_of_failure=1000, cost_of_visit=200,
                lead_time=timedelta(minutes=30),
            ),
        ),
    )  # fmt: skip
