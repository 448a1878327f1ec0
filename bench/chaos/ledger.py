"""The ledger: what was attempted, acknowledged by the broker and confirmed by `stored`, on disk first.

A message is in the ledger as attempted before it goes out, so it is the devices' spool too: what it
says follows from its numbers (payloads.py). A confirmation that a kill takes away before the next
`sync` makes a device send something again, which changes nothing.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MessageKey = tuple[int, int, int]
"""Device (its place in the list), boot, seq."""


class Mark(IntEnum):
    ATTEMPTED = 1
    ACKNOWLEDGED = 2
    CONFIRMED = 3
    """Everything of this boot up to this number."""


_RECORD = np.dtype([("mark", "<u4"), ("device", "<u4"), ("boot", "<u4"), ("seq", "<u4")])
_Records = NDArray[np.void]


class Ledger:
    """Appends entries; they count after `sync`."""

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._handle).st_size
        os.ftruncate(
            self._handle, size - size % _RECORD.itemsize
        )  # half an entry of a killed writer
        self._waiting: list[tuple[Mark, int, int, int]] = []

    def add(self, mark: Mark, device: int, boot: int, seq: int) -> None:
        self._waiting.append((mark, device, boot, seq))

    def sync(self) -> None:
        """Write and fsync what was added."""
        if not self._waiting:
            return
        data = memoryview(np.array(self._waiting, dtype=_RECORD).tobytes())
        self._waiting.clear()
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)

    def close(self) -> None:
        self.sync()
        os.close(self._handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A ledger as it was read."""

    attempted: frozenset[MessageKey]
    acknowledged: frozenset[MessageKey]
    confirmed_through: dict[tuple[int, int], int]
    """By device and boot."""

    def is_confirmed(self, key: MessageKey) -> bool:
        device, boot, seq = key
        return seq <= self.confirmed_through.get((device, boot), -1)

    def confirmed(self) -> Iterator[MessageKey]:
        return (key for key in self.attempted if self.is_confirmed(key))


def read_ledger(file: Path) -> Entries:
    """Read a ledger, without the half entry that a killed writer may have left."""
    data = file.read_bytes() if file.exists() else b""
    records = np.frombuffer(data[: len(data) - len(data) % _RECORD.itemsize], dtype=_RECORD)
    through: dict[tuple[int, int], int] = {}
    for device, boot, seq in _keys(records, Mark.CONFIRMED):
        through[device, boot] = max(seq, through.get((device, boot), -1))
    return Entries(
        attempted=frozenset(_keys(records, Mark.ATTEMPTED)),
        acknowledged=frozenset(_keys(records, Mark.ACKNOWLEDGED)),
        confirmed_through=through,
    )


def _keys(records: _Records, mark: Mark) -> Iterator[MessageKey]:
    of_mark = records[records["mark"] == mark]
    columns = [of_mark[name].tolist() for name in ("device", "boot", "seq")]
    return zip(*columns, strict=True)
