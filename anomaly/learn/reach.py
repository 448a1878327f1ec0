"""How much of a device's past a forecast needs: windows beyond that are not read for it. Pure.

Features look back over some spans of time, and at how the device was in its own early life. What lies between has no
part in them but for a billionth: sums of other windows round otherwise, and an exponentially weighted mean never quite
forgets. So a forecast of a device that is ten years old costs no more than one of a device that is two.
"""

from dataclasses import replace

import numpy as np

from anomaly.learn.frame import FrameSpec
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.trend import ROWS_MAX
from anomaly.learn.wear import Wear, has_begun_before


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


def recent(catalog: Catalog, history: History, *, from_us: int, windows: int) -> History:
    """Leave out what forecasts from an instant on do not need.

    A device on which wear was seen without a break since before those windows stays whole: since when is not told by
    them.

    Parameters
    ----------
    from_us : int
        The first of the instants.
    windows : int
        As `windows_of` has them.
    """
    first = int(np.searchsorted(history.at_us, from_us, side="right")) - windows
    early = int(
        np.searchsorted(history.at_us, early_until_us(catalog, history.begins_us), side="right")
    )
    if first <= early or has_begun_before(history.health[first:]).any():
        return history
    kept = np.concatenate([np.arange(early), np.arange(first, len(history.at_us))])
    return replace(
        history, at_us=history.at_us[kept], values=history.values[kept],
        health=history.health[kept],
    )  # fmt: skip
