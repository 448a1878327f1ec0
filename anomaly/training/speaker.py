"""Lets a learned model speak where it has proved better: its outlook in the place of the first layer's. Pure.

The first layer goes on to say what is seen (health, evidence, reported faults, silence); the model says
what comes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.frame import Frame, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.outlook import outlook_rows
from anomaly.learn.remaining import (
    PartMemory,
    life_hours,
    life_hours_on,
    part_begins_us,
    path_frame,
)
from anomaly.learn.trend import ROWS_MAX, Trend, trend_hours
from anomaly.records import FloatArray, IntArray

SIGN = 0.1
"""Chance of failing within a month from which a device counts as declining, whatever its health says."""
_LEARNING, _OK, _DECLINING = (STATUSES.index(name) for name in ("learning", "ok", "declining"))


def speak(catalog: Catalog, track: Track, models: Mapping[str, ModeModel]) -> Track:
    """Return a device's track with the forecasts of `models` in the place of the first layer's."""
    status, p_fail, life = track.status.copy(), track.p_fail.copy(), track.life_hours.copy()
    for name, model in models.items():
        place = catalog.modes.index(name)
        open_rows = np.isin(status[:, place], (_OK, _DECLINING))
        chance, quantiles = look(catalog, model, [track.history], [track.made_us[open_rows]])
        p_fail[open_rows, place] = chance
        life[open_rows, place] = quantiles
        seen = status[open_rows, place]
        status[open_rows, place] = np.where(chance[:, -1] >= SIGN, _DECLINING, seen)
    return replace(track, status=status, p_fail=p_fail, life_hours=life)


def look(
    catalog: Catalog, model: ModeModel, histories: Sequence[History], at_us: Sequence[IntArray]
) -> tuple[FloatArray, FloatArray]:
    """Forecast at some instants of each device, rising; what is returned is that of `outlook_rows`."""
    frame = make_frame(catalog, model.spec, histories, at_us=at_us)
    return outlook_rows(model, frame.x, hours_of(catalog, model, histories, frame))


def hours_of(
    catalog: Catalog, model: ModeModel, histories: Sequence[History], frame: Frame
) -> FloatArray | None:
    """Remaining life that lives which ended tell of each row of a frame of the model's; None without any.

    Where earlier estimates count, they are made at every instant at which the product's devices get a forecast,
    whoever spoke then: what is said does not depend on since when a model speaks.
    """
    life = model.life
    if model.trend is not None:
        return _by_path(catalog, model, model.trend, histories, frame)
    if life is None:
        return None
    if life.memory_hours <= 0:
        return life_hours(catalog, life, frame, histories, mode=model.mode)
    found = np.empty(len(frame))
    for number, history in enumerate(histories):
        rows = np.flatnonzero(frame.device == number)
        asked = frame.at_us[rows]
        every = instants(catalog, history)
        at = np.union1d(every[every <= asked.max(initial=0)], asked)
        own = make_frame(catalog, model.spec, [history], at_us=[at])
        hours = life_hours(catalog, life, own, [history], mode=model.mode)
        found[rows] = hours[np.isin(at, asked)]
    return found


def _by_path(
    catalog: Catalog, model: ModeModel, trend: Trend, histories: Sequence[History], frame: Frame
) -> FloatArray:
    """The same from each part's path of wear: its health at the forecasts before."""
    found = np.empty(len(frame))
    for number, history in enumerate(histories):
        rows = np.flatnonzero(frame.device == number)
        asked = frame.at_us[rows]
        every = instants(catalog, history)
        first, last = np.searchsorted(every, [asked.min(initial=0), asked.max(initial=0)])
        at = np.union1d(every[max(0, int(first) - ROWS_MAX) : last], asked)
        own = make_frame(catalog, model.spec, [history], at_us=[at])
        path = path_frame(catalog, own, [history], mode=model.mode)
        places = np.flatnonzero(np.isin(at, asked))
        found[rows] = trend_hours(path, places, mode=model.mode, path=trend.path)
    return found


def go_on(
    catalog: Catalog,
    model: ModeModel,
    history: History,
    at_us: IntArray,
    kept: PartMemory | None,
) -> tuple[FloatArray, PartMemory]:
    """Remaining life at some instants of a device, rising, from where a model was; the same numbers as `hours_of`.

    Parameters
    ----------
    model : ModeModel
        That has learned remaining life.
    history : History
        As much as the model looks at from `kept` on.
    at_us : ndarray, shape (n,)
        At least one, all later than `kept`.
    kept : PartMemory or None
        None: it begins with the part.
    """
    assert model.life is not None
    every = instants(catalog, history)
    begins_us = part_begins_us(catalog, history, int(at_us[0]), mode=model.mode)
    since_us = begins_us if kept is None else kept.memory.at_us + 1
    at = np.union1d(every[(every >= since_us) & (every <= at_us[-1])], at_us)
    frame = make_frame(catalog, model.spec, [history], at_us=[at])
    hours, now = life_hours_on(
        catalog, model.life, frame, history, mode=model.mode, kept=kept
    )  # fmt: skip
    assert now is not None
    return hours[np.isin(at, at_us)], now
