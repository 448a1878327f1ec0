"""Remaining life from nothing but the device's own path of wear: stands where too few lives are known. Pure.

Two ways on from the health index so far: the laws of wear of `anomaly.forecaster`, as production uses them, and
a straight line from new, which wear that slows down after a quick start stays closer to. Which one is
decided by the lives that are known, be they ever so few; without any, the laws stand.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from anomaly.forecaster import base_outlook, forecast_path
from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.conformal import Errors, fit_errors
from anomaly.learn.history import History
from anomaly.records import FloatArray, IntArray

Path = Literal["laws", "line"]
PATHS: tuple[Path, ...] = ("laws", "line")
WINDOWS_MIN = 8
"""Fewer values have no trend."""
WINDOWS_MAX = 600
"""Newest windows that are looked at."""
NEWEST = 5
"""Values whose mean is the wear now."""
_FAILURES_PER_YEAR = 0.05
_MAD = 1.4826


def trend_life(history: History, at_us: IntArray, *, place: int, path: Path) -> FloatArray:
    """Extrapolate the health index of one failure mode to 0.

    Parameters
    ----------
    history : History
        Of one device, with `health`.
    at_us : ndarray, shape (rows,)
        Instants at which to forecast; nothing after them is looked at.
    place : int
        The failure mode, in `Catalog.modes`.

    Returns
    -------
    ndarray, shape (rows,)
        Median of the remaining life, hours; NaN where there is too little history, infinity where the
        end is not in sight.
    """
    known = np.isfinite(history.health[:, place])
    known_us, wear = history.at_us[known], 1 - history.health[known, place].astype(np.float64)
    found = np.full(len(at_us), np.nan)
    for row, now in enumerate(at_us.tolist()):
        last = int(np.searchsorted(known_us, now, side="right"))
        part = slice(max(last - WINDOWS_MAX, 0), last)
        if last < WINDOWS_MIN:
            continue
        if path == "line":
            age = (now - history.begins_us) / US_PER_HOUR
            found[row] = _line(age, float(np.mean(wear[last - NEWEST : last])))
        else:
            found[row] = _laws((known_us[part] - now) / US_PER_HOUR, wear[part])
    return found


def choose_path(
    ended: Sequence[History], at_us: Sequence[IntArray], *, place: int
) -> tuple[Path, float, Errors | None]:
    """Return the path that did best on devices that ended in a failure.

    Parameters
    ----------
    ended : sequence of History
        Each observed until its failure.
    at_us : sequence of ndarray
        Instants at which each is forecast.

    Returns
    -------
    tuple of path, float, Errors or None
        Its root mean square error in hours, each device counting the same (infinite without any), and how
        far off it was; None without any.
    """
    best: tuple[Path, float, Errors | None] = ("laws", np.inf, None)
    for path in PATHS:
        said, left, device = [], [], []
        for number, (history, at) in enumerate(zip(ended, at_us, strict=True)):
            life = trend_life(history, at, place=place, path=path)
            known = np.isfinite(life)
            said.append(life[known])
            left.append(((history.until_us - at) / US_PER_HOUR)[known])
            device.append(np.full(int(known.sum()), number))
        squares = [float(np.mean((s - t) ** 2)) for s, t in zip(said, left, strict=True) if len(s)]
        error = float(np.sqrt(np.mean(squares))) if squares else np.inf
        if error < best[1]:
            errors = fit_errors(np.concatenate(said), np.concatenate(left), np.concatenate(device))
            best = (path, error, errors)
    return best


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
