"""Advances all streams of a batch at once. Pure, and remembers only what was committed.

A stream whose next messages came in order, which is nearly every one, is a row of three arrays and is
advanced by comparing arrays. Every other stream (a gap, a repetition, a new boot) goes message by
message through `ingest.streams`; both give the same answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.records import (
    NEVER_MS,
    NO_BOOT,
    DeviceSpans,
    Integers,
    Messages,
    Numbered,
    StreamKey,
)
from ingest.streams import Advance, Stream, advance

ROWS_MAX = 250_000
"""Devices whose stream is kept in memory (24 bytes each); beyond it the longest silent are forgotten
and read again when they speak."""
_GAPS_MAX = 20_000
"""Streams with a gap that are kept. Beyond it all are forgotten: the devices tell us again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advances:
    """What a batch makes of its streams: one entry each, ascending by device and boot."""

    device_ids: Integers
    boots: Integers
    stored: Integers
    """Everything up to and including this number is stored with this batch."""
    has_moved: NDArray[np.bool_]
    has_gap: NDArray[np.bool_]
    is_confirmed: NDArray[np.bool_]
    """Whether there is something to answer."""
    confirm: Integers
    """The number to answer with."""
    places: Integers
    """Place in the batch of a message of the stream: where its device's topic stands."""
    gaps: Mapping[StreamKey, Stream]
    """The streams that have something stored beyond a gap."""
    spans: DeviceSpans


class _Batch:
    """The messages of a batch by stream: sorted by device and boot, in order of arrival within."""

    def __init__(self, messages: Messages) -> None:
        order = np.lexsort((messages.boots, messages.device_ids))
        self.order = order
        self.devices = messages.device_ids[order]
        self.boots = messages.boots[order]
        self.seqs = messages.seqs[order]
        self.newest = messages.newest_ms[order]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (self.devices[1:] != self.devices[:-1]) | (self.boots[1:] != self.boots[:-1])
        self.starts = np.flatnonzero(is_first)
        self.ends = np.append(self.starts[1:], len(order))
        self.stream = np.cumsum(is_first) - 1
        self.stream_devices = self.devices[self.starts]
        self.stream_boots = self.boots[self.starts]

    def in_order(self) -> NDArray[np.bool_]:
        """Tell of each stream whether its messages follow each other without a hole."""
        step = self.seqs - self.seqs[self.starts][self.stream]
        expected = np.arange(len(step)) - self.starts[self.stream]
        fits: NDArray[np.bool_] = np.logical_and.reduceat(step == expected, self.starts)
        return fits


class StreamTable:
    """The streams of the devices that have sent lately. Not for use by two threads."""

    def __init__(self, *, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._devices: Integers = np.empty(0, dtype=np.int64)
        self._boots: Integers = np.empty(0, dtype=np.int64)
        self._stored: Integers = np.empty(0, dtype=np.int64)
        self._used: Integers = np.empty(0, dtype=np.int64)
        self._gaps: dict[StreamKey, Stream] = {}
        self._batch = 0

    def __len__(self) -> int:
        return len(self._devices)

    def unknown(self, messages: Messages) -> list[StreamKey]:
        """Return the streams of a batch that must be read from the database first."""
        if not len(messages):
            return []
        batch = _Batch(messages)
        row, is_known = self._rows(batch.stream_devices)
        missing = (batch.stream_boots != NO_BOOT) & ~(
            is_known & (self._at(self._boots, row) == batch.stream_boots)
        )
        keys = zip(
            batch.stream_devices[missing].tolist(),
            batch.stream_boots[missing].tolist(),
            strict=True,
        )
        return [key for key in keys if key not in self._gaps]

    def advance(self, messages: Messages, known: Mapping[StreamKey, Stream]) -> Advances:
        """Work out what a batch makes of its streams.

        Parameters
        ----------
        messages : Messages
        known : mapping of StreamKey to Stream
            What the database has of the streams that `unknown` asked for.
        """
        if not len(messages):
            return _nothing()
        batch = _Batch(messages)
        row, is_known = self._rows(batch.stream_devices)
        stored = self._at(self._stored, row)
        is_plain = is_known & (self._at(self._boots, row) == batch.stream_boots)
        is_plain &= batch.seqs[batch.starts] == stored + 1
        is_plain &= batch.in_order() & (batch.stream_boots != NO_BOOT)
        has_number = batch.stream_boots != NO_BOOT
        last = batch.seqs[batch.ends - 1]
        result = _Result(
            stored=np.where(is_plain, last, stored),
            has_moved=is_plain.copy(),
            has_gap=np.zeros(len(last), dtype=bool),
            is_confirmed=is_plain.copy(),
            confirm=last.copy(),
            through=np.maximum.reduceat(batch.newest, batch.starts),
        )
        gaps: dict[StreamKey, Stream] = {}
        for stream in np.flatnonzero(~is_plain & has_number).tolist():
            key = (int(batch.stream_devices[stream]), int(batch.stream_boots[stream]))
            numbered = _numbered(messages, batch.order[batch.starts[stream] : batch.ends[stream]])
            found = advance({key: self._stream(key, known)}, numbered)[key]
            result.put(stream, found)
            if found.stream.ahead:
                gaps[key] = found.stream
        return Advances(
            device_ids=batch.stream_devices[has_number],
            boots=batch.stream_boots[has_number],
            stored=result.stored[has_number],
            has_moved=result.has_moved[has_number],
            has_gap=result.has_gap[has_number],
            is_confirmed=result.is_confirmed[has_number],
            confirm=result.confirm[has_number],
            places=messages.places[batch.order[batch.starts]][has_number],
            gaps=gaps,
            spans=_spans(messages, batch, result.through),
        )

    def settle(self, advances: Advances) -> None:
        """Remember a batch that was committed."""
        self._batch += 1
        keys = zip(advances.device_ids.tolist(), advances.boots.tolist(), strict=True)
        if self._gaps:
            for key in keys:
                self._gaps.pop(key, None)
        self._gaps |= advances.gaps
        if len(self._gaps) > _GAPS_MAX:
            self._gaps.clear()
        self._put(advances)
        if len(self) > self._rows_max:
            self._forget_silent()

    def _stream(self, key: StreamKey, known: Mapping[StreamKey, Stream]) -> Stream:
        found = self._gaps.get(key) or known.get(key)
        if found is not None:
            return found
        row = int(np.searchsorted(self._devices, key[0]))
        if row < len(self) and self._devices[row] == key[0] and self._boots[row] == key[1]:
            return Stream(stored=int(self._stored[row]))
        return Stream()

    def _rows(self, devices: Integers) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the row of each device, and whether it has one."""
        row = np.searchsorted(self._devices, devices)
        is_known = row < len(self)
        is_known[is_known] = self._devices[row[is_known]] == devices[is_known]
        return row, is_known

    def _at(self, column: Integers, row: NDArray[np.intp]) -> Integers:
        """Return a column at these rows; anything where there is none."""
        if not len(column):
            return np.zeros(len(row), dtype=np.int64)
        return column[np.minimum(row, len(column) - 1)]

    def _put(self, advances: Advances) -> None:
        """Keep the newest stream of each device; one with a gap leaves a row without a boot."""
        devices = advances.device_ids
        is_last = np.ones(len(devices), dtype=bool)
        is_last[:-1] = devices[1:] != devices[:-1]
        devices, stored = devices[is_last], advances.stored[is_last]
        boots = np.where(advances.has_gap, NO_BOOT, advances.boots)[is_last]
        row, is_known = self._rows(devices)
        self._boots[row[is_known]] = boots[is_known]
        self._stored[row[is_known]] = stored[is_known]
        self._used[row[is_known]] = self._batch
        if is_known.all():
            return
        at, new = row[~is_known], ~is_known
        self._devices = np.insert(self._devices, at, devices[new])
        self._boots = np.insert(self._boots, at, boots[new])
        self._stored = np.insert(self._stored, at, stored[new])
        self._used = np.insert(self._used, at, self._batch)

    def _forget_silent(self) -> None:
        keep = self._used > np.partition(self._used, self._rows_max // 4)[self._rows_max // 4]
        self._devices, self._boots = self._devices[keep], self._boots[keep]
        self._stored, self._used = self._stored[keep], self._used[keep]


@dataclass(slots=True, kw_only=True)
class _Result:
    """What becomes of each stream, while it is worked out."""

    stored: Integers
    has_moved: NDArray[np.bool_]
    has_gap: NDArray[np.bool_]
    is_confirmed: NDArray[np.bool_]
    confirm: Integers
    through: Integers

    def put(self, stream: int, found: Advance) -> None:
        self.stored[stream] = found.stream.stored
        self.has_moved[stream] = found.has_moved
        self.has_gap[stream] = bool(found.stream.ahead)
        self.is_confirmed[stream] = found.confirm is not None
        self.confirm[stream] = -1 if found.confirm is None else found.confirm
        self.through[stream] = NEVER_MS if found.newest_ms is None else found.newest_ms


def _numbered(messages: Messages, places: NDArray[np.intp]) -> list[Numbered]:
    columns = (
        messages.device_ids,
        messages.boots,
        messages.seqs,
        messages.lows,
        messages.newest_ms,
    )
    return [
        Numbered(
            device_id=device,
            boot=boot,
            seq=seq,
            low=low,
            newest_ms=None if newest == NEVER_MS else newest,
        )
        for device, boot, seq, low, newest in zip(
            *(column[places].tolist() for column in columns), strict=True
        )
    ]


def _spans(messages: Messages, batch: _Batch, through: Integers) -> DeviceSpans:
    """Sum up what the batch brought of each device, over all its streams."""
    is_first = np.ones(len(batch.starts), dtype=bool)
    is_first[1:] = batch.stream_devices[1:] != batch.stream_devices[:-1]
    first_stream = np.flatnonzero(is_first)
    first_message = batch.starts[first_stream]
    samples = np.add.reduceat(messages.samples[batch.order], first_message)
    oldest = np.minimum.reduceat(messages.oldest_ms[batch.order], first_message)
    newest = np.maximum.reduceat(through, first_stream)
    # A message that closes a gap may bring no sample itself, and still let history go on.
    is_there = (samples > 0) | (newest > NEVER_MS)
    return DeviceSpans(
        device_ids=batch.stream_devices[first_stream][is_there],
        oldest_ms=np.where(samples > 0, oldest, newest)[is_there],
        through_ms=newest[is_there],
        samples=samples[is_there],
    )


def _nothing() -> Advances:
    none: Integers = np.empty(0, dtype=np.int64)
    false = np.empty(0, dtype=bool)
    return Advances(
        device_ids=none,
        boots=none,
        stored=none,
        has_moved=false,
        has_gap=false,
        is_confirmed=false,
        confirm=none,
        places=none,
        gaps={},
        spans=DeviceSpans(device_ids=none, oldest_ms=none, through_ms=none, samples=none),
    )
