"""Remaining life from nothing but the part's own path of wear: stands where too few lives are known. Pure.

Two ways on from the health index so far, as it was at each forecast: the laws of wear of `anomaly.forecaster`, as the first
layer uses them, and a straight line from new, which wear that slows down after a quick start stays closer to. Which one
is decided by the lives that are known, be they ever so few; without any, the laws stand.
"""

from typing import Literal

import msgspec
import numpy as np

from anomaly.forecaster import base_outlook, forecast_path
from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.conformal import Errors, device_weights, fit_errors
from anomaly.learn.frame import Frame
from anomaly.learn.outcome import Outcome
from anomaly.records import FloatArray, IntArray

Path = Literal["laws", "line"]
PATHS: tuple[Path, ...] = ("laws", "line")
ROWS_MIN = 8
"""Fewer values have no trend."""
ROWS_MAX = 600
"""Newest forecasts that are looked at."""
NEWEST = 5
"""Values whose mean is the wear now."""
LIVES_TRIED, TRIED_PER_LIFE = 12, 100
"""At so many lives, and forecasts of the later half of each, evenly, the ways are tried."""
_FAILURES_PER_YEAR = 0.05
_MAD = 1.4826


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """How the wear of a failure mode goes on, and how far off that is."""

    path: Path = "laws"
    errors: Errors | None = None
    """None: no life is known."""
    cap_hours: float = np.inf
    """Longest remaining life that was tried."""
    lives: int = 0
    rmse_hours: float = np.inf
    """From half of each life on, each counting the same."""


def trend_hours(frame: Frame, rows: IntArray, *, mode: str, path: Path) -> FloatArray:
    """Extrapolate the health index of one failure mode to 0.

    Parameters
    ----------
    frame : Frame
        With the age and the health of the mode. Rows of one part share a number; they are the path of its wear.
    rows : ndarray of int
        Places of those that are forecast; nothing after each is looked at.

    Returns
    -------
    ndarray, shape (rows,)
        Median of the remaining life, hours; NaN where there is too little history, infinity where the
        end is not in sight.
    """
    found = np.full(len(rows), np.nan)
    if health_of(mode) not in frame.names:
        return found
    wear = 1 - frame.x[:, frame.names.index(health_of(mode))]
    age = frame.x[:, frame.names.index("age_hours")]
    known = np.flatnonzero(np.isfinite(wear))
    first = np.searchsorted(frame.device, frame.device[rows])
    for place, (row, begin) in enumerate(zip(rows.tolist(), first.tolist(), strict=True)):
        last = int(np.searchsorted(known, row, side="right"))
        start = max(int(np.searchsorted(known, begin)), last - ROWS_MAX)
        if last - start < ROWS_MIN:
            continue
        part = known[start:last]
        if path == "line":
            found[place] = _line(float(age[row]), float(np.mean(wear[part[-NEWEST:]])))
        else:
            hours = (frame.at_us[part] - frame.at_us[row]) / US_PER_HOUR
            found[place] = _laws(hours, wear[part])
    return found


def fit_trend(frame: Frame, outcome: Outcome, *, mode: str) -> Trend:
    """Choose the path that does best on the later half of lives that ended in a failure; without any, the laws stand.

    Parameters
    ----------
    frame : Frame
        As in `trend_hours`.
    outcome : Outcome
        Of the same rows.
    """
    rows = rows_tried(frame, outcome)
    best = Trend()
    for path in PATHS if len(rows) else ():
        life = trend_hours(frame, rows, mode=mode, path=path)
        known = np.isfinite(life)
        if not known.any():
            continue
        own, said = rows[known], life[known]
        error = rmse_by_device(said, outcome.hours[own], frame.device[own])
        if error < best.rmse_hours:
            best = Trend(
                path=path,
                errors=fit_errors(said, outcome.hours[own], frame.device[own]),
                cap_hours=float(outcome.hours[own].max()),
                lives=len(np.unique(frame.device[own])),
                rmse_hours=error,
            )
    return best


def rows_tried(frame: Frame, outcome: Outcome) -> IntArray:
    """Places of rows of the later half of some lives that ended."""
    age = frame.x[:, frame.names.index("age_hours")]
    late = outcome.has_failed & (outcome.hours > 0) & (age >= outcome.hours)
    lives = np.unique(frame.device[late])
    chosen = lives[:: max(1, -(-len(lives) // LIVES_TRIED))]
    found = [np.flatnonzero(late & (frame.device == life)) for life in chosen]
    found = [rows[:: max(1, -(-len(rows) // TRIED_PER_LIFE))] for rows in found]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def rmse_by_device(said: FloatArray, left: FloatArray, device: IntArray) -> float:
    """Root mean square error, each device counting the same."""
    return float(np.sqrt(np.average((said - left) ** 2, weights=device_weights(device))))


def health_of(mode: str) -> str:
    """Name of the feature that is the health of a failure mode."""
    return f"{mode}.health"


def _line(age_hours: float, wear: float) -> float:
    if wear <= 0:
        return np.inf
    return max(age_hours * (1 / wear - 1), 0.0)


def _laws(hours: FloatArray, wear: FloatArray) -> float:
    outlook = forecast_path(
        hours, wear, noise=_noise(wear), lag_hours=0.0, correlated=1.0, belief=1.0,
        base=base_outlook(_FAILURES_PER_YEAR),
    )  # fmt: skip
    return np.inf if outlook.life_hours_q50 is None else outlook.life_hours_q50


def _noise(wear: FloatArray) -> float:
    """Standard deviation of one value, from steps between neighbours."""
    steps = np.diff(wear)
    return float(_MAD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))
