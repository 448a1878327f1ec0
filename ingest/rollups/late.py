"""Finds what comes late: samples behind the newest ones of their device. Pure.

The statement that saves a device's progress says whether its oldest sample lies behind what is stored;
only then are samples looked at here. Nothing late costs nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ingest.records import Columns, Integers

_APART_MS = 3_600_000
"""Late samples that lie further apart are stretches of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a device's history, milliseconds since 1970, both ends included."""

    device_id: int
    from_ms: int
    through_ms: int


def late_stretches(blocks: Iterable[Columns], late: Mapping[int, int]) -> tuple[Stretch, ...]:
    """Return the stretches that a batch fills in behind newer samples.

    Parameters
    ----------
    blocks : iterable of Columns
        The accepted samples of a batch.
    late : mapping of device id to milliseconds since 1970
        Devices that brought something behind what was stored before, and how far that was.
    """
    if not late:
        return ()
    times: dict[int, list[Integers]] = {}
    wanted = np.fromiter(late, dtype=np.int64, count=len(late))
    for block in blocks:
        device_ids, times_ms = block.device_ids, block.times_ms
        rows = np.flatnonzero(np.isin(device_ids, wanted))
        for device_id in np.unique(device_ids[rows]):
            found = times_ms[rows[device_ids[rows] == device_id]]
            behind = found[found < late[int(device_id)]]
            times.setdefault(int(device_id), []).append(behind)
    return tuple(
        stretch
        for device_id in sorted(times)
        for stretch in _stretches(device_id, np.sort(np.concatenate(times[device_id])))
    )


def _stretches(device_id: int, times_ms: Integers) -> Iterable[Stretch]:
    if not len(times_ms):
        return
    ends = np.flatnonzero(np.diff(times_ms) > _APART_MS)
    firsts = [0, *(int(i) + 1 for i in ends)]
    lasts = [*(int(i) for i in ends), len(times_ms) - 1]
    for first, last in zip(firsts, lasts, strict=True):
        yield Stretch(
            device_id=device_id,
            from_ms=int(times_ms[first]),
            through_ms=int(times_ms[last]),
        )
