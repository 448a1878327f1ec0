"""What moves through ingest between its steps."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.product import Product

StreamKey = tuple[int, int]
"""Device id and boot."""


class Refusal(StrEnum):
    """Why a message was not stored as samples. Stored beside it and shown to people."""

    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    """No JSON of a known form: wrong types, too deep, not UTF-8, NaN, a key twice."""
    NO_SAMPLES = "no_samples"
    TOO_MANY_SAMPLES = "too_many_samples"
    UNKNOWN_DEVICE = "unknown_device"
    WRONG_TOPIC = "wrong_topic"
    """The device's credential names another shard."""
    UNKNOWN_METRIC = "unknown_metric"
    OUT_OF_RANGE = "out_of_range"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    NOT_STORABLE = "not_storable"
    """The database refused it, for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: int
    name: str
    shard: int
    product: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A message that goes to the dead letters."""

    device_name: str
    topic: str
    payload: bytes
    reason: Refusal
    detail: str
    received_at: datetime


@dataclass(slots=True)
class Columns:
    """Accepted samples of one product that have the same metrics in the same order."""

    metrics: tuple[str, ...]
    device_ids: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    """Shape (samples, metrics)."""
    order: NDArray[np.int64]
    """Place of each sample's message in the batch: of two values for one metric the first stays."""


class Numbered(msgspec.Struct, kw_only=True, gc=False):
    """One message's place in its device's stream, whether it was accepted or refused."""

    device_id: int
    boot: int
    seq: int
    low: int
    newest_ms: int | None
    """None: refused, or without samples."""


@dataclass(slots=True, kw_only=True)
class Span:
    """What a batch brought of one device."""

    oldest_ms: int
    newest_unnumbered_ms: int | None = None
    samples: int = 0


@dataclass(slots=True)
class Admission:
    """What the door made of a batch."""

    columns: dict[str, list[Columns]] = field(default_factory=dict)
    """By product."""
    refused: list[Refused] = field(default_factory=list)
    numbered: list[Numbered] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)
    """By device id; only devices of which something was accepted."""
    products: dict[str, Product] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(len(block.times_ms) for blocks in self.columns.values() for block in blocks)
