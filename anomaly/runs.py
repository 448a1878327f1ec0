"""Alert episodes of a whole fleet at once: what `anomaly.policy.step` finds score by score. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anomaly.ordering import Place, keys_of
from anomaly.policy import Episode, Policy
from anomaly.records import BoolArray, FloatArray, IntArray

STILL_OPEN = int(np.iinfo(np.int64).max)
"""Stands for the end of a run that has none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Scores of a fleet, device after device, each device's oldest first."""

    device: IntArray
    """Number of the device, from 0, not falling; shape (rows,)."""
    at_us: IntArray
    score: FloatArray
    """NaN where nothing is claimed."""


def _none() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaks:
    """Instants at which a device begins anew, device after device, oldest first."""

    device: IntArray = field(default_factory=_none)
    at_us: IntArray = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Episodes as columns, device after device, oldest first."""

    device: IntArray
    opened_us: IntArray
    cleared_us: IntArray
    """STILL_OPEN where an alert is not over."""
    row: IntArray
    """Place of the opening score in the rows."""

    def __len__(self) -> int:
        return len(self.device)


def runs_of(policy: Policy, rows: Rows, breaks: Breaks | None = None) -> Runs:
    """Find the episodes in whole rows; the same as `step` and `broken` find score by score."""
    breaks = breaks or Breaks()
    known = np.flatnonzero(~np.isnan(rows.score))
    device, at, score = rows.device[known], rows.at_us[known], rows.score[known]
    row_keys, break_keys = keys_of(Place(device, at), Place(breaks.device, breaks.at_us))
    past = np.searchsorted(break_keys, row_keys)  # breaks before each row, of devices before it too
    is_new = _changes(device) | _changes(past)
    place = np.arange(len(known))
    begins = np.maximum.accumulate(np.where(is_new, place, 0))
    turn = _turns(policy, at, score, is_new)
    newest = np.maximum.accumulate(np.where(turn != 0, place, -1))
    is_open = (newest >= begins) & (turn[newest] > 0)
    opens = np.flatnonzero(is_open & (is_new | ~np.append(False, is_open[:-1])))
    stops = np.append(np.flatnonzero(~is_open | is_new), len(known))
    stop = stops[np.searchsorted(stops, opens, side="right")]
    cleared = _broken(stop, device=device, past=past, breaks=breaks)
    is_calm = ~np.append(is_new, True)[stop]
    cleared = np.where(is_calm, np.append(at, STILL_OPEN)[stop], cleared)
    cool = at[opens[1:]] - cleared[:-1] <= policy.cooldown_us
    joins = np.append(False, cool & (begins[opens[1:]] == begins[opens[:-1]]))[: len(opens)]
    first = np.flatnonzero(~joins)
    last = np.append(first[1:], len(opens))[: len(first)] - 1
    return Runs(
        device=device[opens[first]],
        opened_us=at[opens[first]],
        cleared_us=cleared[last],
        row=known[opens[first]],
    )


def episodes_of(runs: Runs, *, devices: Sequence[str], mode: str) -> tuple[Episode, ...]:
    """Give runs their names."""
    columns = (runs.device.tolist(), runs.opened_us.tolist(), runs.cleared_us.tolist())
    return tuple(
        Episode(
            device=devices[device],
            mode=mode,
            opened_us=opened,
            cleared_us=None if cleared == STILL_OPEN else cleared,
        )
        for device, opened, cleared in zip(*columns, strict=True)
    )


def _changes(values: IntArray) -> BoolArray:
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _turns(policy: Policy, at: IntArray, score: FloatArray, is_new: BoolArray) -> IntArray:
    """1 where the last scores confirm, -1 where they clear, 0 where they do neither."""
    is_cut = is_new
    if policy.gap_us is not None:
        is_cut = is_new | np.append(True, np.diff(at) > policy.gap_us)[: len(at)]
    place = np.arange(len(at))
    begins = np.maximum.accumulate(np.where(is_cut, place, 0))
    first = np.maximum(begins, place - policy.of + 1)
    highs = _counted(score >= policy.open_above, first)
    lows = _counted(score < policy.clear_below, first)
    confirmed, clear = highs >= policy.confirm, lows > policy.of - policy.confirm
    return np.where(confirmed, 1, np.where(clear, -1, 0))


def _counted(hit: BoolArray, first: IntArray) -> IntArray:
    """How many are true from place `first` to each place."""
    total = np.append(0, np.cumsum(hit))
    return np.asarray(total[1:] - total[first])


def _broken(stop: IntArray, *, device: IntArray, past: IntArray, breaks: Breaks) -> IntArray:
    """First break after the last row of the runs that stop before the rows `stop`, if there is one."""
    following = past[stop - 1]
    owner = np.append(breaks.device, -1)[following]
    at = np.append(breaks.at_us, STILL_OPEN)[following]
    return np.asarray(np.where(owner == device[stop - 1], at, STILL_OPEN))
