"""How much of a device's past a forecast needs: what lies before is not read for it. Pure.

Features look back over some spans of time, and at how the device was in its own early life. What lies between has no
part in them but for a billionth: sums of other windows round otherwise, and an exponentially weighted mean never quite
forgets. So a forecast of a device that is ten years old costs no more than one of a device that is two.

Of what lies further back, little tells something that never fades, and is kept: since when wear has been seen without a
break, when each code came last, and all failures and replacements. What is said of those is the same to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.events import Events
from anomaly.learn.frame import FrameSpec
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.recurring import Recurring
from anomaly.learn.trend import ROWS_MAX
from anomaly.learn.wear import Wear, begins
from anomaly.records import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Codes that features look at, beside the last one of each kind."""

    hours: float
    """So long before an instant they are counted."""
    since_failures: bool
    """Whether they are counted since each failure mode came last, too: no time bounds that, on a device that failed once."""


def codes_needed(specs: Sequence[FrameSpec]) -> Codes | None:
    """Return what the features of some specs look at; None: at no code."""
    groups = [group for spec in specs for group in spec.groups]
    counted = [group for group in groups if isinstance(group, Events) and group.names]
    recurring = [group for group in groups if isinstance(group, Recurring) and group.codes]
    if not counted and not recurring:
        return None
    spans = [span for group in counted for span in group.spans_hours]
    spans += [span for group in recurring for span in group.spans_hours]
    return Codes(hours=max(spans, default=0.0), since_failures=bool(recurring))


def codes_since_us(
    codes: Codes, *, from_us: int, failure_us: IntArray, failure_mode: IntArray
) -> int:
    """Instant after which all codes of a device are needed for forecasts from another one on.

    Parameters
    ----------
    from_us : int
        The first of the instants at which is forecast.
    failure_us, failure_mode : ndarray
        All failures of the device, the oldest first.
    """
    since = from_us - round(codes.hours * US_PER_HOUR)
    if codes.since_failures:
        past = failure_us <= from_us
        last = dict(zip(failure_mode[past].tolist(), failure_us[past].tolist(), strict=True))
        since = min(since, *last.values()) if last else since
    return since


def windows_needed(catalog: Catalog, model: ModeModel) -> int:
    """Newest windows at an instant that a model needs, beside those of early life."""
    path = 0 if model.trend is None else -(-ROWS_MAX * catalog.every_us // catalog.window_us)
    return path + windows_of(catalog, model.spec)


def windows_of(catalog: Catalog, spec: FrameSpec) -> int:
    """Newest windows at an instant that features of a spec need, beside those of early life."""
    reaches = [g.reach(catalog) for g in spec.groups if isinstance(g, Metrics | Wear)]
    return max(reaches, default=0)


def early_until_us(catalog: Catalog, begins_us: int) -> int:
    """End of the early life of a device, up to which all of its windows are needed."""
    return begins_us + round(catalog.product.learning.total_seconds() * 1e6)


def recent(
    catalog: Catalog, history: History, *, from_us: int, windows: int, codes: Codes | None
) -> History:
    """Leave out what forecasts from an instant on do not need.

    Parameters
    ----------
    from_us : int
        The first of the instants.
    windows : int
        As `windows_of` has them.
    codes : Codes or None
        As `codes_needed` has them.
    """
    history = _with_codes(history, codes, from_us=from_us)
    first = int(np.searchsorted(history.at_us, from_us, side="right")) - windows
    early = int(
        np.searchsorted(history.at_us, early_until_us(catalog, history.begins_us), side="right")
    )
    if first <= early:
        return history
    worn = begins(history.health[: first + 1])
    kept = np.unique(np.concatenate([np.arange(early), worn, np.arange(first, len(history.at_us))]))
    return replace(
        history, at_us=history.at_us[kept], values=history.values[kept],
        health=history.health[kept],
    )  # fmt: skip


def _with_codes(history: History, codes: Codes | None, *, from_us: int) -> History:
    kept = np.empty(0, dtype=np.int64)
    if codes is not None:
        since = codes_since_us(
            codes, from_us=from_us, failure_us=history.failure_us,
            failure_mode=history.failure_mode,
        )  # fmt: skip
        first = int(np.searchsorted(history.event_us, since, side="right"))
        kinds = np.stack([history.event_metric, history.event_code])[:, :first]
        _, newest_first = np.unique(kinds[:, ::-1], axis=1, return_index=True)
        last = first - 1 - newest_first
        kept = np.concatenate([np.sort(last), np.arange(first, len(history.event_us))])
    return replace(
        history, event_us=history.event_us[kept], event_metric=history.event_metric[kept],
        event_code=history.event_code[kept],
    )  # fmt: skip
