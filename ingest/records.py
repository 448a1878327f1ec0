"""What moves through ingest between its steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.product import Product
from gateway.codecs import Telemetry

Integers = NDArray[np.int64]
StreamKey = tuple[int, int]
"""Device id and boot."""
NO_BOOT = -1
"""Boot of a message without a number."""
NEVER_MS = -(1 << 62)
"""Where there is no newest sample; smaller than every instant that a device may send."""


class Refusal(StrEnum):
    """Why a message was not stored as samples. Stored beside it and shown to people."""

    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    """Of no known form: wrong types, too deep, not UTF-8, NaN, a key twice."""
    NO_SAMPLES = "no_samples"
    TOO_MANY_SAMPLES = "too_many_samples"
    UNKNOWN_DEVICE = "unknown_device"
    WRONG_TOPIC = "wrong_topic"
    """The device's credential names another shard."""
    NOT_DECLARED = "not_declared"
    """A Sparkplug message whose names no birth has declared, or not for sure."""
    UNKNOWN_METRIC = "unknown_metric"
    WRONG_UNIT = "wrong_unit"
    """The message names a unit that cannot be turned into the product sheet's."""
    OUT_OF_RANGE = "out_of_range"
    TOO_OLD = "too_old"
    """A sample too old, and no clock that is off: the newest one is of now."""
    IN_FUTURE = "in_future"
    """A clock ahead, in a message that spans more than a device may deliver."""
    OVER_LIMIT = "over_limit"
    """More than its sender may send, and without a number with which it could come again."""
    NOT_STORABLE = "not_storable"
    """The database refused it, for ever."""


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Accepted samples of one product."""

    device_ids: Integers
    times_ms: Integers
    values: NDArray[np.float64]
    """Shape (samples, metrics of the product); NaN: the sample does not have this metric."""
    order: Integers
    """Place of each sample's message in the batch: of two values for one metric the first stays."""

    def __len__(self) -> int:
        return len(self.times_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """The messages of known devices, one entry each in order of arrival, accepted or refused."""

    places: Integers
    """Place in the batch."""
    device_ids: Integers
    boots: Integers
    """NO_BOOT: the message has no number and is never confirmed."""
    seqs: Integers
    lows: Integers
    samples: Integers
    """0: refused."""
    values: Integers
    oldest_ms: Integers
    """-NEVER_MS: refused."""
    newest_ms: Integers
    """NEVER_MS: refused."""

    def __len__(self) -> int:
        return len(self.places)


class Numbered(msgspec.Struct, kw_only=True, gc=False):
    """One message's place in its device's stream, whether it was accepted or refused."""

    device_id: int
    boot: int
    seq: int
    low: int
    newest_ms: int | None
    """None: refused, or without samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpans:
    """What a batch brought of each device that it has something of, ascending by device."""

    device_ids: Integers
    oldest_ms: Integers
    through_ms: Integers
    """Newest sample of the part that has no gap before it; NEVER_MS: none."""
    samples: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """A message that is stored with the platform's time, because its device's clock is off."""

    place: int
    """In the batch."""
    device_id: int
    product: str
    ahead_ms: int
    """Of the device's clock; was taken off its times."""
    digest: bytes
    """Of the samples as they came: the same message again would get another time."""
    message: Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the door made of a batch."""

    columns: dict[str, Columns]
    """By product; only products of which something was accepted."""
    refused: Sequence[Refused]
    messages: Messages
    shifted: Sequence[Shifted] = ()
    """Messages of devices whose clock is off; their samples stand in no column."""
    products: dict[str, Product] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        shifted = sum(len(one.message.samples) for one in self.shifted)
        return sum(map(len, self.columns.values())) + shifted
