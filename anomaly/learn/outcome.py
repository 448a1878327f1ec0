"""What happened after each row of a frame: the time to the next failure, or how long none was seen. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Per row of a frame, of one failure mode."""

    hours: FloatArray
    """Until the next failure, or until the observation ended; shape (rows,), at least 0."""
    has_failed: BoolArray
    """False: censored, it had not failed by then."""


def outcome_of(
    catalog: Catalog, histories: Sequence[History], frame: Frame, *, mode: str
) -> Outcome:
    """Look up what came after each row.

    A replacement of the component before any failure censors: the old part's failure will never be seen.
    """
    place = catalog.modes.index(mode)
    component = catalog.components.index(catalog.product.failure_mode(mode).component)
    hours, has_failed = np.empty(len(frame)), np.empty(len(frame), dtype=np.bool_)
    borders = np.searchsorted(frame.device, np.arange(len(histories) + 1))
    for number, history in enumerate(histories):
        rows = slice(borders[number], borders[number + 1])
        at = frame.at_us[rows]
        failures = history.failure_us[history.failure_mode == place]
        replaced = history.service_us[history.service_component == component]
        next_failure = _next(failures, at, otherwise=history.until_us + 1)
        next_service = _next(replaced, at, otherwise=history.until_us + 1)
        ends = np.minimum(np.minimum(next_failure, next_service), history.until_us)
        has_failed[rows] = (next_failure <= next_service) & (next_failure <= history.until_us)
        hours[rows] = np.maximum(ends - at, 0) / US_PER_HOUR
    return Outcome(hours=hours, has_failed=has_failed)


def _next(instants: IntArray, at: IntArray, *, otherwise: int) -> IntArray:
    """First of the rising instants after each of `at`."""
    padded = np.append(instants, otherwise)
    return np.asarray(padded[np.searchsorted(instants, at, side="right")])
