"""What really happened, and what was watched: the truth against which alerts are judged. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.ordering import Place, keys_of
from anomaly.records import BoolArray, IntArray
from anomaly.runs import Breaks, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Lives of one component under one failure mode: each from new (or first seen) to failed, replaced
    or not observed any longer. Device after device, oldest first, without a gap within a device."""

    devices: tuple[str, ...]
    device: IntArray
    """Place in `devices`; shape (lives,)."""
    begins_us: IntArray
    ends_us: IntArray
    has_failed: BoolArray
    """False: it was replaced, or the observation ended."""

    def __len__(self) -> int:
        return len(self.device)

    @property
    def breaks(self) -> Breaks:
        """Ends of the lives: where the policy begins anew."""
        return Breaks(device=self.device, at_us=self.ends_us)


def lives_of(
    catalog: Catalog,
    histories: Sequence[History],
    *,
    mode: str,
    from_us: int | None = None,
    until_us: int | None = None,
) -> Lives:
    """Cut histories into lives at each failure of the mode and each replacement of its component.

    Parameters
    ----------
    mode : str
        Failure mode of the catalog's product.
    from_us, until_us : int, optional
        Only what lies between them, microseconds since 1970: the test part of a recording.
    """
    place = catalog.modes.index(mode)
    component = catalog.components.index(catalog.product.failure_mode(mode).component)
    columns: list[tuple[IntArray, IntArray, IntArray, BoolArray]] = []
    for number, history in enumerate(histories):
        first = history.begins_us if from_us is None else max(history.begins_us, from_us)
        last = history.until_us if until_us is None else min(history.until_us, until_us)
        if last <= first:
            continue
        failures = history.failure_us[history.failure_mode == place]
        replaced = history.service_us[history.service_component == component]
        cuts = np.concatenate([failures, replaced])
        ends = np.unique(np.append(cuts[(cuts > first) & (cuts <= last)], last))
        begins = np.append(first, ends[:-1])
        columns.append((np.full(len(ends), number), begins, ends, np.isin(ends, failures)))
    empty = np.empty(0, dtype=np.int64)
    whole = [np.concatenate(part) for part in zip(*columns, strict=True)] or [empty] * 4
    return Lives(
        devices=tuple(history.device for history in histories),
        device=whole[0].astype(np.int64),
        begins_us=whole[1].astype(np.int64),
        ends_us=whole[2].astype(np.int64),
        has_failed=whole[3].astype(np.bool_),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Stretches in which forecasts were made, device after device, oldest first, not overlapping."""

    device: IntArray
    from_us: IntArray
    until_us: IntArray

    def before(self, device: IntArray, at_us: IntArray) -> IntArray:
        """Time watched before instants, over all devices up to the given one, microseconds.

        Only differences within one device mean something.
        """
        starts, keys = keys_of(Place(self.device, self.from_us), Place(device, at_us))
        place = np.searchsorted(starts, keys, side="right") - 1
        length = self.until_us - self.from_us
        whole = np.append(0, np.cumsum(length))[np.maximum(place, 0)]
        own = np.append(self.device, -1)[place] == device
        since = np.where(own, at_us - np.append(self.from_us, 0)[place], STRETCH_MAX_US)
        part = np.minimum(since, np.append(length, 0)[place])
        return np.asarray(np.where(place < 0, 0, whole + part))

    def first_after(self, device: IntArray, at_us: IntArray) -> IntArray:
        """First watched instant of a device at or after given instants; STRETCH_MAX_US if none."""
        ends, keys = keys_of(Place(self.device, self.until_us), Place(device, at_us))
        place = np.searchsorted(ends, keys)
        own = np.append(self.device, -1)[place] == device
        first = np.maximum(np.append(self.from_us, 0)[place], at_us)
        return np.asarray(np.where(own, first, STRETCH_MAX_US))


STRETCH_MAX_US = int(np.iinfo(np.int64).max)
"""Longer than any stretch, later than any instant."""


def watch_of(rows: Rows, *, every_us: int, gap_us: int | None = None) -> Watch:
    """Join forecast rows into watched stretches.

    A row watches the time until the next one was due. Rows without a claim (NaN) watch nothing.

    Parameters
    ----------
    every_us : int
        Time between two forecasts, microseconds.
    gap_us : int, optional
        Rows further apart are two stretches; by default three times `every_us`.
    """
    known = ~np.isnan(rows.score)
    device, at = rows.device[known], rows.at_us[known]
    limit = 3 * every_us if gap_us is None else gap_us
    is_first = np.append(True, (device[1:] != device[:-1]) | (np.diff(at) > limit))[: len(at)]
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(at))[: len(first)] - 1
    return Watch(device=device[first], from_us=at[first], until_us=at[last] + every_us)
