"""Gathers the messages of one product and turns them into arrays. Pure.

The lists grow message by message on the hot path; everything else here is done for a whole batch.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from core.product import Metric, Product
from gateway.codecs import SAMPLES_MAX, Telemetry
from gateway.codecs.typed import ABSENT, Reader, quotes, typed_reader
from ingest.records import Columns, Integers, Messages

_NAMELESS_KEYS = 1
"""Keys of the long form that every message has: `samples`."""


class Form:
    """What the door needs to know of a product's metrics."""

    __slots__ = ("high", "index", "low", "read", "width")

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.width = len(metrics)
        self.index = {metric.name: i for i, metric in enumerate(metrics)}
        self.low = np.array([metric.low for metric in metrics])
        self.high = np.array([metric.high for metric in metrics])
        self.read: Reader = typed_reader(tuple(self.index))


@lru_cache(maxsize=256)
def form_of(metrics: tuple[Metric, ...]) -> Form:
    """Return the form of a sheet's metrics, made once: a reader costs a millisecond to make."""
    return Form(metrics)


class Lot:
    """The messages of one product, while they are gathered."""

    __slots__ = (
        "boots", "counts", "devices", "flat", "form", "lows", "places", "product", "quotes",
        "seqs", "times",
    )  # fmt: skip

    def __init__(self, product: Product) -> None:
        self.product = product
        self.form = form_of(product.metrics)
        self.places: list[int] = []
        self.devices: list[int] = []
        self.boots: list[int] = []
        self.seqs: list[int] = []
        self.lows: list[int] = []
        self.counts: list[int] = []
        self.quotes: list[int] = []
        self.times: list[int] = []
        self.flat: list[float] = []

    def add_typed(self, place: int, device_id: int, payload: bytes) -> bool:
        """Read a payload and add it; False: it is not for the typed reader.

        Raises
        ------
        msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError
            If the reader does not take the payload either.
        """
        message = self.form.read(payload)
        samples = message.samples
        count = len(samples)
        if count == 1:
            at_ms, values = samples[0]
            self.times.append(at_ms)
            self.flat.extend(astuple(values))
        elif 0 < count <= SAMPLES_MAX:
            times, flat = self.times, self.flat
            for at_ms, values in samples:
                times.append(at_ms)
                flat.extend(astuple(values))
        else:
            return False
        self.places.append(place)
        self.devices.append(device_id)
        self.boots.append(message.boot)
        self.seqs.append(message.seq)
        self.lows.append(message.low)
        self.counts.append(count)
        self.quotes.append(quotes(payload))
        return True

    def add_decoded(self, place: int, device_id: int, message: Telemetry) -> None:
        """Add a message that was judged and found to be in order."""
        index, width, keys = self.form.index, self.form.width, 0
        for at_ms, values in message.samples:
            row = [np.nan] * width
            for name, value in values.items():
                row[index[name]] = value
            self.times.append(at_ms)
            self.flat.extend(row)
            keys += len(values)
        is_numbered = message.boot is not None
        self.places.append(place)
        self.devices.append(device_id)
        self.boots.append(ABSENT if message.boot is None else message.boot)
        self.seqs.append(message.seq if is_numbered else ABSENT)
        self.lows.append(message.low if is_numbered else ABSENT)
        self.counts.append(len(message.samples))
        self.quotes.append(2 * (_NAMELESS_KEYS + 3 * is_numbered + keys))


class ClosedLot:
    """The messages of one product as arrays, and which of them have something wrong."""

    def __init__(self, lot: Lot, *, window_ms: tuple[int, int]) -> None:
        count = len(lot.places)
        self.places = np.array(lot.places, dtype=np.int64)
        self.devices = np.array(lot.devices, dtype=np.int64)
        self.boots = np.array(lot.boots, dtype=np.int64)
        self.seqs = np.array(lot.seqs, dtype=np.int64)
        self.lows = np.array(lot.lows, dtype=np.int64)
        self.counts = np.array(lot.counts, dtype=np.int64)
        self.times = np.array(lot.times, dtype=np.int64)
        self.values = np.fromiter(lot.flat, np.float64, count=len(lot.flat)).reshape(
            -1, lot.form.width
        )
        self.starts = np.zeros(count, dtype=np.int64)
        np.cumsum(self.counts[:-1], out=self.starts[1:])
        self.rows = np.repeat(np.arange(count), self.counts)
        present = lot.form.width - np.isnan(self.values).sum(axis=1)
        self.present = self._sum(present)
        self.oldest = self._of_each(np.minimum, self.times)
        self.newest = self._of_each(np.maximum, self.times)
        self.is_bad = self._faults(lot, present, window_ms)

    def bad(self) -> list[tuple[int, int]]:
        """Return place and device of the messages in which something is wrong."""
        places, devices = self.places[self.is_bad], self.devices[self.is_bad]
        return list(zip(places.tolist(), devices.tolist(), strict=True))

    def columns(self) -> Columns | None:
        """Return the samples of the messages that are in order."""
        keep = ~self.is_bad[self.rows]
        if not keep.any():
            return None
        if keep.all():
            keep = slice(None)  # type: ignore[assignment]
        rows = self.rows[keep]
        return Columns(
            device_ids=self.devices[rows],
            times_ms=self.times[keep],
            values=self.values[keep],
            order=self.places[rows],
        )

    def messages(self) -> Messages:
        """Return the messages that are in order."""
        keep = ~self.is_bad
        return Messages(
            places=self.places[keep],
            device_ids=self.devices[keep],
            boots=self.boots[keep],
            seqs=self.seqs[keep],
            lows=np.maximum(self.lows[keep], 0),
            samples=self.counts[keep],
            values=self.present[keep],
            oldest_ms=self.oldest[keep],
            newest_ms=self.newest[keep],
        )

    def _faults(self, lot: Lot, present: Integers, window_ms: tuple[int, int]) -> NDArray[np.bool_]:
        has_boot, has_seq = self.boots != ABSENT, self.seqs != ABSENT
        keys = _NAMELESS_KEYS + has_boot + has_seq + (self.lows != ABSENT) + self.present
        bad: NDArray[np.bool_] = np.array(lot.quotes, dtype=np.int64) != 2 * keys
        bad |= has_boot != has_seq
        bad |= has_boot & (self.lows > self.seqs)
        bad |= (self.oldest < window_ms[0]) | (self.newest > window_ms[1])
        # NaN, an absent value, is neither below nor above.
        outside = (self.values < lot.form.low) | (self.values > lot.form.high)
        rows = outside.any(axis=1) | (present == 0)
        if rows.any():
            bad[self.rows[rows]] = True
        return bad

    def _sum(self, per_row: Integers) -> Integers:
        return self._of_each(np.add, per_row)

    def _of_each(self, how: np.ufunc, per_row: Integers) -> Integers:
        """Reduce what stands for each sample to each message."""
        if len(self.counts) == len(per_row):
            return per_row.copy()
        reduced: Integers = how.reduceat(per_row, self.starts)
        return reduced
