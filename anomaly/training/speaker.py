"""Lets a learned model speak where it has proved better: its outlook in the place of the first layer's. Pure.

The first layer goes on to say what is seen (health, evidence, reported faults, silence); the model says
what comes of it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from anomaly.backtest.track import HORIZONS_HOURS, STATUSES, Track
from anomaly.learn.frame import make_frame
from anomaly.learn.history import Catalog
from anomaly.learn.model import ModeModel
from anomaly.records import LIFE_SHARES, FloatArray

SIGN = 0.1
"""Chance of failing within a month from which a device counts as declining, whatever its health says."""
_LIFE_HOURS = np.geomspace(1.0, 3 * 8766.0, 120)
_LEARNING, _OK, _DECLINING = (STATUSES.index(name) for name in ("learning", "ok", "declining"))


def speak(catalog: Catalog, track: Track, models: Mapping[str, ModeModel]) -> Track:
    """Return a device's track with the forecasts of `models` in the place of the first layer's."""
    status, p_fail, life = track.status.copy(), track.p_fail.copy(), track.life_hours.copy()
    for name, model in models.items():
        place = catalog.modes.index(name)
        open_rows = np.isin(status[:, place], (_OK, _DECLINING))
        frame = make_frame(catalog, model.spec, [track.history], at_us=[track.made_us[open_rows]])
        chance, quantiles = outlook_rows(model, frame.x)
        p_fail[open_rows, place] = chance
        life[open_rows, place] = quantiles
        seen = status[open_rows, place]
        status[open_rows, place] = np.where(chance[:, -1] >= SIGN, _DECLINING, seen)
    return replace(track, status=status, p_fail=p_fail, life_hours=life)


def outlook_rows(model: ModeModel, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Forecast rows of features.

    Returns
    -------
    tuple of ndarray
        Chance of failing within 24, 168 and 720 hours, (rows, 3); quantiles of remaining life at
        `LIFE_SHARES` in hours, inf beyond three years, (rows, 5).
    """
    failed = 1 - model.survival(x, (*HORIZONS_HOURS, *_LIFE_HOURS))
    number = len(HORIZONS_HOURS)
    return failed[:, :number], _quantiles(np.maximum.accumulate(failed[:, number:], axis=1))


def _quantiles(failed: FloatArray) -> FloatArray:
    """First hours at which the chance has reached each quantile; shape (rows, 5)."""
    columns = []
    for share in LIFE_SHARES:
        place = (failed < share).sum(axis=1)
        after = np.minimum(place, len(_LIFE_HOURS) - 1)
        before = np.maximum(after - 1, 0)
        rows = np.arange(len(failed))
        low, high = failed[rows, before], failed[rows, after]
        part = np.clip((share - low) / np.maximum(high - low, 1e-12), 0, 1)
        hours = _LIFE_HOURS[before] + part * (_LIFE_HOURS[after] - _LIFE_HOURS[before])
        columns.append(np.where(place < len(_LIFE_HOURS), hours, np.inf))
    return np.stack(columns, axis=1)
