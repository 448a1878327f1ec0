"""`forecare evaluate tep`: faults of the simulated Tennessee Eastman plant, normal learned from its calm run alone."""

import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np

from anomaly.features import Layout
from anomaly.follow import alert_threshold
from anomaly.judge.published import row_figures
from anomaly.records import FloatArray, Samples
from bench.evaluate.followed import plain_product, scores_of, windows_of
from bench.evaluate.readers.numbers import find, read_numbers
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

METRICS = 52
FAULT_FROM = 160
"""The fault of a test run begins after so many rows."""
HARD = (3, 9, 15)
"""Faults that the literature leaves out, because hardly anything shows them."""
INTERVAL = timedelta(minutes=3)
FALSE_ALARMS_PER_YEAR = 500.0
"""One in seventeen hours of running: the plant is watched by an operator."""
_NAME = re.compile(r"d(\d+)_te\.dat(\.gz)?$")


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """The Tennessee Eastman process: d00 for learning, dNN_te for judging.

    Counted as published: rows at or above the threshold among those after row 160 of each fault's run
    (detection rate, mean over faults), and among d00_te and the first 160 rows of the others (far). The
    threshold follows from a false-alarm budget; no fault is seen before it stands.
    """
    started = time.monotonic()
    found, threshold = score(data)
    report = Report(
        name="tep",
        figures=figures_of(found, threshold),
        controls={
            "always_on": figures_of({n: np.full(len(s), 99.0) for n, s in found.items()}, threshold)
        },
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={"by_fault": by_fault(found, threshold), "threshold": threshold},
        notes=("Nothing is drawn at random: all seeds give the same figures.",),
    )
    deliver(report, as_json=as_json, folder=folder)


def score(folder: Path) -> tuple[dict[int, FloatArray], float]:
    """Return the scores of each test run, by its fault (0: none), and the threshold."""
    calm = _read(find(folder, "d00.dat"))
    runs = {
        int(match[1]): _read(file)
        for file in sorted(folder.iterdir())
        if (match := _NAME.search(file.name))
    }
    if not any(runs):
        raise InvalidError(
            f"{folder} has no run of a fault",
            hint="its files are named d01_te.dat or d01_te.dat.gz",
        )
    product = plain_product(
        "tep",
        [f"x{place + 1:02}" for place in range(METRICS)],
        interval=INTERVAL,
        learning=INTERVAL * len(calm),
        false_alarms_per_year=FALSE_ALARMS_PER_YEAR,
    )
    threshold = alert_threshold(Layout(product))
    windows = {number: windows_of(product, _samples(rows)) for number, rows in runs.items()}
    scores = scores_of(
        windows_of(product, _samples(calm)), list(windows.values()), hold_from=threshold
    )
    return dict(zip(windows, scores, strict=True)), threshold


def figures_of(found: Mapping[int, FloatArray], threshold: float) -> Mapping[str, Any]:
    """Average over faults; the delay is to the first of three rows in a row above the threshold."""
    faults = by_fault(found, threshold)
    rates = {number: one["detection_rate"] for number, one in faults.items()}
    easy = [rate for number, rate in rates.items() if int(number) not in HARD]
    calm = np.concatenate([s if n == 0 else s[:FAULT_FROM] for n, s in found.items()])
    delays = [one["delay_s"] for one in faults.values() if one["delay_s"] is not None]
    return {
        "events": len(rates),
        "events_caught": len(delays),
        "detection_rate": float(np.mean(list(rates.values()))),
        "detection_rate_without_hard": float(np.mean(easy)) if easy else None,
        "far": float((calm >= threshold).mean()),
        "median_delay_s": float(np.median(delays)) if delays else None,
    }


def by_fault(found: Mapping[int, FloatArray], threshold: float) -> dict[str, dict[str, Any]]:
    faults = {}
    for number, scores in sorted(found.items()):
        if number == 0:
            continue
        hits = scores[FAULT_FROM:] >= threshold
        thrice = np.flatnonzero(hits[2:] & hits[1:-1] & hits[:-2])
        delay = (thrice[0] + 3) * INTERVAL.total_seconds() if len(thrice) else None
        rate = row_figures(hits, np.ones(len(hits), dtype=np.bool_)).detection_rate
        faults[str(number)] = {"detection_rate": rate, "delay_s": delay}
    return faults


def _read(file: Path) -> FloatArray:
    """Read a run as rows of 52 metrics; the calm one is stored the other way round."""
    rows = read_numbers(file)
    if rows.shape[1] != METRICS:
        rows = rows.T
    if rows.shape[1] != METRICS:
        raise InvalidError(
            f"{file} has {rows.shape[1]} rows of {rows.shape[0]} columns",
            hint=f"each row needs {METRICS} numbers",
        )
    return rows


def _samples(rows: FloatArray) -> Samples:
    step = round(INTERVAL.total_seconds() * 1e6)
    return Samples(at_us=np.arange(len(rows), dtype=np.int64) * step, values=rows)
