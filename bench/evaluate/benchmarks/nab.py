"""`forecare evaluate nab`: series of a single metric, judged by NAB's published scoring."""

import csv
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from anomaly.judge.published import NabSeries, nab_scores
from anomaly.records import FloatArray, IntArray, Samples
from anomaly.stream.news import news_of
from anomaly.stream.tails import YEAR
from bench.evaluate.followed import plain_product, scores_of, windows_of
from bench.evaluate.readers.numbers import find_optional
from bench.evaluate.readers.tables import instant_us, lines_of
from bench.evaluate.report import Report, common_options, deliver
from core.errors import InvalidError

QUIET = 100
"""Cool-down, rows: what stands out is told once in it, and again only when it is stranger."""
_PROBATION, _PROBATION_MAX = 0.15, 750
_LABELS = ("labels/combined_windows.json", "combined_windows.json")


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One series and the spans in which it is anomalous."""

    name: str
    at_us: IntArray
    values: FloatArray
    windows: tuple[tuple[int, int], ...]
    """First and last row of each."""


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """Numenta's benchmark: single series, each as a device that learns in its first 15 %.

    NAB chooses its threshold on the series that it scores, one for all: a figure to compare with, not
    one to promise. False alarms per series-year are those at that threshold.
    """
    started = time.monotonic()
    corpus = read(data)
    scores = [score(series) for series in corpus]
    rng = np.random.default_rng(seeds[0])
    controls = {
        "random": figures_of(corpus, [rng.random(len(one)) for one in scores]),
        "always_on": figures_of(corpus, [np.ones(len(one)) for one in scores]),
    }
    report = Report(
        name="nab",
        figures=figures_of(corpus, scores),
        controls=controls,
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={"series": len(corpus)},
        notes=(
            "The detector draws nothing at random; the first seed is that of the random control.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def read(folder: Path) -> list[Series]:
    """Read all labelled series of a folder."""
    file = next((folder / name for name in _LABELS if (folder / name).is_file()), None)
    if file is None:
        raise InvalidError(f"{folder} has no {_LABELS[0]}", hint="--data is the folder of NAB")
    try:
        labels = msgspec.json.decode(file.read_bytes(), type=dict[str, list[tuple[str, str]]])
    except msgspec.MsgspecError as error:
        raise InvalidError(
            f"{file} cannot be read: {error}",
            hint="it should map each series to spans, from and to",
        ) from None
    base = folder / "data" if (folder / "data").is_dir() else folder
    found = [
        _series(series, name, spans)
        for name, spans in sorted(labels.items())
        if (series := find_optional(base, name)) is not None
    ]
    if not found:
        raise InvalidError(f"{base} has none of the labelled series", hint="such as data/x/y.csv")
    return found


def score(series: Series) -> FloatArray:
    """Score one series: what of its surprise is new; 0 while it learns."""
    steps = np.diff(series.at_us)
    interval = timedelta(microseconds=float(np.median(steps[steps > 0])))
    learned = learning_rows(len(series.values))
    product = plain_product(
        "series", ["value"], interval=interval, learning=interval * max(learned, 1)
    )
    # rows are windows: a series that stands still or jumps keeps every row that it has
    even = np.arange(len(series.values)) * (interval // timedelta(microseconds=1))
    windows = windows_of(product, Samples(at_us=even, values=series.values[:, None]))
    (found,) = scores_of(windows[:learned], [windows[learned:]], hold_from=np.inf)
    return np.concatenate([np.zeros(learned), news_of(found, quiet=QUIET)])


def learning_rows(rows: int) -> int:
    return int(min(_PROBATION * rows, _PROBATION_MAX))


def figures_of(corpus: Sequence[Series], scores: Sequence[FloatArray]) -> dict[str, Any]:
    judged = nab_scores(
        [NabSeries(score=s, windows=one.windows) for one, s in zip(corpus, scores, strict=True)]
    )
    threshold = judged[0].threshold
    false, years = 0, 0.0
    for one, found in zip(corpus, scores, strict=True):
        learned = learning_rows(len(found))
        is_inside = np.zeros(len(found), dtype=np.bool_)
        for first, last in one.windows:
            is_inside[first : last + 1] = True
        false += int(((found >= threshold) & ~is_inside)[learned:].sum())
        years += float(one.at_us[-1] - one.at_us[learned]) / (YEAR / timedelta(microseconds=1))
    return {
        **{one.profile: one.score for one in judged},
        "events": judged[0].windows,
        "false_alarms_per_device_year": false / years if years else None,
        "threshold": threshold if np.isfinite(threshold) else None,
    }


def _series(file: Path, name: str, spans: Sequence[tuple[str, str]]) -> Series:
    with lines_of(file) as lines:
        rows = [row for row in csv.reader(lines) if row][1:]
    if len(rows) < 2:
        raise InvalidError(f"{file} has no rows", hint="each has a moment and a value")
    at = np.empty(len(rows), dtype=np.int64)
    values = np.empty(len(rows))
    for place, row in enumerate(rows):
        try:
            at[place], values[place] = instant_us(row[0]), float(row[1])
        except (IndexError, ValueError, InvalidError):
            raise InvalidError(
                f"{file}, row {place + 1}: {','.join(row)!r}",
                hint="it should be a moment and a value",
            ) from None
    inside = [
        np.flatnonzero((at >= instant_us(first)) & (at <= instant_us(last)))
        for first, last in spans
    ]
    windows = tuple((int(place[0]), int(place[-1])) for place in inside if len(place))
    return Series(name=name, at_us=at, values=values, windows=windows)
