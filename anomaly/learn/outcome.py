"""What happened after each row of a frame: the time to the next failure, or how long none was seen. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.past import Past
from anomaly.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Per row of a frame, of one failure mode."""

    hours: FloatArray
    """Until the next failure, or until the observation ended; shape (rows,), at least 0."""
    has_failed: BoolArray
    """False: censored, it had not failed by then."""
    sureness: FloatArray | None = None
    """How much it counts that no failure came, greater than 0; None: 1."""

    def take(self, rows: IntArray) -> "Outcome":
        sureness = None if self.sureness is None else self.sureness[rows]
        return Outcome(hours=self.hours[rows], has_failed=self.has_failed[rows], sureness=sureness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Per row of a frame, of all failure modes of a catalog."""

    hours: FloatArray
    """As in `Outcome`; (rows, modes)."""
    has_failed: BoolArray

    def of(self, place: int) -> Outcome:
        """Return those of one mode, by its place in the catalog."""
        return Outcome(hours=self.hours[:, place], has_failed=self.has_failed[:, place])

    @property
    def flat(self) -> Outcome:
        """All modes of the first row, then of the second, …"""
        return Outcome(hours=self.hours.ravel(), has_failed=self.has_failed.ravel())


def outcome_of(
    catalog: Catalog, histories: Sequence[History], frame: Frame, *, mode: str
) -> Outcome:
    """Look up what came after each row, of one failure mode."""
    place = catalog.modes.index(mode)
    return outcomes_of(catalog, histories, frame, places=[place]).of(0)


def outcomes_of(
    catalog: Catalog,
    histories: Sequence[History],
    frame: Frame,
    *,
    places: Sequence[int] | None = None,
) -> Outcomes:
    """Look up what came after each row.

    A replacement of the component before any failure censors: the old part's failure will never be seen.

    Parameters
    ----------
    places : sequence of int, optional
        Modes that are looked up, by their place in the catalog; by default all.
    """
    modes = list(range(len(catalog.modes)) if places is None else places)
    component = _components(catalog)[modes]
    place_of = np.full(len(catalog.modes), -1, dtype=np.int64)
    place_of[modes] = np.arange(len(modes))
    hours = np.empty((len(frame), len(modes)))
    has_failed = np.empty(hours.shape, dtype=np.bool_)
    borders = np.searchsorted(frame.device, np.arange(len(histories) + 1))
    for number, history in enumerate(histories):
        rows = slice(borders[number], borders[number + 1])
        at, never = frame.at_us[rows], history.until_us + 1
        place = place_of[history.failure_mode]
        failures = Past.of(history.failure_us[place >= 0], place[place >= 0], number=len(modes))
        services = Past.of(
            history.service_us, history.service_component, number=len(catalog.components)
        )
        next_failure = failures.following(at, otherwise=never)
        next_service = services.following(at, otherwise=never)[:, component]
        ends = np.minimum(np.minimum(next_failure, next_service), history.until_us)
        has_failed[rows] = (next_failure <= next_service) & (next_failure <= history.until_us)
        hours[rows] = np.maximum(ends - at[:, None], 0) / US_PER_HOUR
    return Outcomes(hours=hours, has_failed=has_failed)


def _components(catalog: Catalog) -> IntArray:
    """Place of each mode's component."""
    found = {name: place for place, name in enumerate(catalog.components)}
    return np.array([found[mode.component] for mode in catalog.product.failure_modes])
