"""Finds what comes late: samples behind the newest ones of their device. Pure.

Nothing in order costs more than one comparison per device and batch: only where a device's oldest
sample lies behind what is stored are its samples looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_APART_MS = 3_600_000
"""Late samples that lie further apart are stretches of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a device's history, milliseconds since 1970, both ends included."""

    device_id: int
    from_ms: int
    through_ms: int


def late_devices(oldest_ms: Mapping[int, int], through_ms: Mapping[int, int]) -> dict[int, int]:
    """Return the devices that brought something late, and how far their history had come.

    Parameters
    ----------
    oldest_ms : mapping of device id to milliseconds since 1970
        The oldest sample that a batch brings of each device.
    through_ms : mapping of device id to milliseconds since 1970
        How far each device's history had come before the batch (`ingest.progress`). A device that
        is missing had none: whatever comes of it is new.
    """
    return {
        device_id: through
        for device_id, oldest in oldest_ms.items()
        if (through := through_ms.get(device_id)) is not None and oldest < through
    }


def late_stretches(
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], late: Mapping[int, int]
) -> tuple[Stretch, ...]:
    """Return the stretches that a batch fills in behind newer samples.

    Parameters
    ----------
    blocks : iterable of pairs of ndarray of int64, each of shape (samples,)
        Device ids and times in milliseconds since 1970.
    late : mapping
        What `late_devices` found.
    """
    if not late:
        return ()
    times: dict[int, list[NDArray[np.int64]]] = {}
    wanted = np.fromiter(late, dtype=np.int64, count=len(late))
    for device_ids, times_ms in blocks:
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


def _stretches(device_id: int, times_ms: NDArray[np.int64]) -> Iterable[Stretch]:
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
