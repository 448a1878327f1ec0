"""Scorers of published benchmarks, as their authors count. Pure.

They are here to be comparable, not as goals: SKAB's counts rows, of which half are faulty; NAB tunes its
threshold on the series that it scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.records import BoolArray, FloatArray, IntArray

SKAB_SKIPPED = 400
"""Rows at the beginning of each SKAB recording that are for learning and are not scored."""


class RowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Rows alarmed and rows faulty, counted one by one."""

    f1: float | None
    far: float | None
    """Alarmed among healthy rows; a share, published in percent."""
    mar: float | None
    """Not alarmed among faulty rows; a share, published in percent."""
    detection_rate: float | None
    """Alarmed among faulty rows."""


def row_figures(alarmed: BoolArray, is_faulty: BoolArray) -> RowFigures:
    """Count rows, as SKAB (all recordings in one, without their first 400 rows) and the Tennessee Eastman papers do.

    Parameters
    ----------
    alarmed, is_faulty : ndarray of bool, shape (rows,)

    References
    ----------
    Katser and Kozitsin (2020), Skoltech Anomaly Benchmark. doi:10.34740/KAGGLE/DSV/1693952
    Russell, Chiang, Braatz (2000), Chemom. Intell. Lab. Syst. 51(1). doi:10.1016/S0169-7439(00)00058-7
    """
    hit, false = int((alarmed & is_faulty).sum()), int((alarmed & ~is_faulty).sum())
    missed, calm = int((~alarmed & is_faulty).sum()), int((~alarmed & ~is_faulty).sum())
    return RowFigures(
        f1=_over(hit, hit + (missed + false) / 2),
        far=_over(false, false + calm),
        mar=_over(missed, missed + hit),
        detection_rate=_over(hit, hit + missed),
    )


class NabProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What counts how much; NAB version 1.1."""

    name: str
    hit: float
    """First alarm in a window, at its very beginning."""
    false: float
    """Alarm far behind any window."""
    missed: float
    """A window without an alarm."""


NAB_PROFILES = (
    NabProfile(name="nab_standard", hit=1.0, false=0.11, missed=1.0),
    NabProfile(name="nab_low_fp", hit=1.0, false=0.22, missed=1.0),
    NabProfile(name="nab_low_fn", hit=1.0, false=0.11, missed=2.0),
)
_PROBATION, _PROBATION_ROWS_MAX = 0.15, 750.0
_STEEP, _FAR = 5.0, 3.0
"""Steepness of the sigmoid over a window's width, and from how many widths behind it an alarm counts fully false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NabSeries:
    """One series with its anomaly windows."""

    score: FloatArray
    """Higher is stranger; shape (rows,)."""
    windows: Sequence[tuple[int, int]]
    """First and last row of each, in order, not overlapping."""


class NabScore(msgspec.Struct, frozen=True, kw_only=True):
    """NAB's score of a whole corpus under one profile."""

    profile: str
    score: float
    """0 for a detector that never alarms, 100 for one that alarms at the first row of each window only."""
    threshold: float
    """Alarms from here on; infinite: never."""
    windows: int


def nab_scores(corpus: Sequence[NabSeries]) -> tuple[NabScore, ...]:
    """Score a corpus under each profile at the threshold that suits the profile best, as NAB does.

    One threshold for all series. Rows of the first 15 % of a series (750 at most) count for nothing.

    References
    ----------
    Lavin and Ahmad (2015), arXiv:1510.03336.
    """
    return tuple(_best(corpus, profile) for profile in NAB_PROFILES)


def nab_score(corpus: Sequence[NabSeries], profile: NabProfile, *, threshold: float) -> NabScore:
    """Score a corpus at a threshold that was chosen elsewhere."""
    levels, totals, windows = _curve(corpus, profile)
    reached = np.flatnonzero(levels >= threshold)
    raw = totals[reached[-1]] if len(reached) else -profile.missed * windows
    return _normalised(profile, float(raw), threshold=threshold, windows=windows)


def _best(corpus: Sequence[NabSeries], profile: NabProfile) -> NabScore:
    levels, totals, windows = _curve(corpus, profile)
    silent = -profile.missed * windows
    place = int(np.argmax(totals)) if len(totals) else -1
    if place < 0 or totals[place] <= silent:
        return _normalised(profile, silent, threshold=float("inf"), windows=windows)
    raw, level = float(totals[place]), float(levels[place])
    return _normalised(profile, raw, threshold=level, windows=windows)


def _normalised(profile: NabProfile, raw: float, *, threshold: float, windows: int) -> NabScore:
    silent, perfect = -profile.missed * windows, profile.hit * windows
    score = 100 * (raw - silent) / (perfect - silent) if windows else 0.0
    return NabScore(profile=profile.name, score=score, threshold=threshold, windows=windows)


def _curve(corpus: Sequence[NabSeries], profile: NabProfile) -> tuple[FloatArray, FloatArray, int]:
    """Every threshold that makes a difference, highest first, and the raw score of the corpus at it."""
    scores, changes, windows = [np.empty(0)], [np.empty(0)], 0
    for series in corpus:
        windows += len(series.windows)
        value, window = _worth(series, profile)
        for number in range(len(series.windows)):
            rows = np.flatnonzero(window == number)
            rows = rows[np.argsort(-series.score[rows], kind="stable")]
            best = np.maximum.accumulate(np.append(-profile.missed, value[rows]))
            value[rows] = np.diff(best)
        scored = np.arange(len(value)) >= _probation(len(value))
        scored &= ~np.isnan(series.score)
        scores.append(series.score[scored])
        changes.append(value[scored])
    score, change = np.concatenate(scores), np.concatenate(changes)
    order = np.argsort(-score, kind="stable")
    score, total = score[order], np.cumsum(change[order]) - profile.missed * windows
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: len(score)])
    return score[last], total[last], windows


def _probation(rows: int) -> float:
    return float(min(np.floor(_PROBATION * rows), _PROBATION_ROWS_MAX))


def _worth(series: NabSeries, profile: NabProfile) -> tuple[FloatArray, IntArray]:
    """What an alarm on each row is worth alone, and the window in which it lies (-1 for none)."""
    rows = np.arange(len(series.score))
    window = np.full(len(rows), -1)
    behind = np.full(len(rows), _FAR)
    value = np.empty(len(rows))
    for number, (first, last) in enumerate(series.windows):
        later = rows > last
        behind[later] = (rows[later] - last) / max(last - first, 1)
        window[first : last + 1] = number
        position = (rows[first : last + 1] - last - 1) / (last - first + 1)
        value[first : last + 1] = profile.hit * _sigmoid(position) / _sigmoid(np.array(-1.0))
    outside = window < 0
    value[outside] = profile.false * np.where(behind >= _FAR, -1.0, _sigmoid(behind))[outside]
    value[: int(_probation(len(rows)))] = 0.0
    window[: int(_probation(len(rows)))] = -1
    return value, window


def _sigmoid(position: FloatArray) -> FloatArray:
    """From 1 far ahead of a window's end over 0 at it to -1 far behind."""
    return np.asarray(2 / (1 + np.exp(_STEEP * position)) - 1)


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
