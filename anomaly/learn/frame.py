"""From histories to a table of features: one row per device and forecast instant. Pure.

A row knows nothing that happened after its instant: the frame of a history that was cut short is the
beginning of the frame of the whole one. Groups of features stand side by side; each learns what it
needs (categories, operating states) from the training histories and is stored with the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.learn.age import Age
from anomaly.learn.calendar import Calendar
from anomaly.learn.doubts import Doubts
from anomaly.learn.events import Events
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.recurring import Recurring
from anomaly.learn.services import Services
from anomaly.learn.traits import Traits
from anomaly.learn.wear import Wear
from anomaly.records import FloatArray, IntArray

Group = Age | Services | Events | Traits | Calendar | Wear | Metrics | Doubts
"""One group of features: a tagged Struct with `fit`, `names` and `columns`, as in `age`."""
AnyGroup = Group | Recurring
"""`Recurring` is for what all modes learn together."""
GROUPS: tuple[type[Group], ...] = (Age, Services, Events, Traits, Calendar, Wear, Metrics, Doubts)
"""In the order of their columns."""
FRAME_BYTES_MAX = 320_000_000
"""Of a frame that is learned from or calibrated on: two of them and two years of 500 devices fit into 2 GiB."""


class FrameSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned about features; stored with the model that uses it."""

    groups: tuple[AnyGroup, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self.groups for name in group.names)

    def columns_of(self, *kinds: type[AnyGroup]) -> IntArray:
        """Places of the columns that groups of these kinds make."""
        wanted = [np.full(len(group.names), isinstance(group, kinds)) for group in self.groups]
        return np.flatnonzero(np.concatenate([np.empty(0, dtype=np.bool_), *wanted]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Features of forecast instants, device after device, each device's oldest first."""

    device: IntArray
    """Place of the history; shape (rows,)."""
    at_us: IntArray
    x: FloatArray
    """(rows, features); NaN where unknown."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, rows: IntArray) -> "Frame":
        """Return some of the rows, by their places."""
        return Frame(
            device=self.device[rows], at_us=self.at_us[rows], x=self.x[rows], names=self.names
        )


def fit_spec(
    catalog: Catalog,
    histories: Sequence[History],
    *,
    groups: Sequence[type[Group]] = GROUPS,
) -> FrameSpec:
    """Learn what the groups of features need from training histories."""
    return FrameSpec(groups=tuple(group.fit(catalog, histories) for group in groups))


def instants(catalog: Catalog, history: History) -> IntArray:
    """Return the instants at which a device gets a forecast: whole multiples of `forecast_every`."""
    every = catalog.every_us
    first = (history.seen_from_us // every + 1) * every
    return np.arange(first, history.until_us + 1, every, dtype=np.int64)


def thinned(rows: Sequence[IntArray], *, width: int) -> list[IntArray]:
    """Leave out instants where a frame of them all would be too large; every n-th of each device stays.

    Neighbouring instants of a device look nearly the same, so little is lost. Each device begins with another
    one, so that no hour of the day is left out of all of them.
    """
    most = max(1, FRAME_BYTES_MAX // (8 * max(width, 1)))
    every = max(1, -(-sum(len(at) for at in rows) // most))
    return [at[number % every :: every] for number, at in enumerate(rows)]


def make_frame(
    catalog: Catalog,
    spec: FrameSpec,
    histories: Sequence[History],
    *,
    at_us: Sequence[IntArray] | None = None,
) -> Frame:
    """Compute the features of every history at its forecast instants.

    Parameters
    ----------
    at_us : sequence of ndarray, optional
        Instants per history, rising; by default those of `instants`.
    """
    rows = [instants(catalog, h) for h in histories] if at_us is None else list(at_us)
    counts = [len(at) for at in rows]
    x = np.empty((sum(counts), len(spec.names)))
    first = 0
    for history, at in zip(histories, rows, strict=True):
        own = [group.columns(catalog, history, at) for group in spec.groups]
        if own:
            np.concatenate(own, axis=1, out=x[first : first + len(at)])
        first += len(at)
    return Frame(
        device=np.repeat(np.arange(len(rows)), counts),
        at_us=np.concatenate(rows) if rows else np.empty(0, dtype=np.int64),
        x=x,
        names=spec.names,
    )
