"""Gathers the messages of one product and turns them into arrays. Pure.

The lists grow message by message on the hot path; everything else here is done for a whole batch.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.product import Metric, Product
from gateway.codecs import SAMPLES_MAX, Telemetry
from gateway.codecs.typed import ABSENT, TypedForm, quotes
from ingest.records import Columns, Integers, Messages

_LAID_AT_ONCE = 64
"""Samples: enough that the call costs little, and few enough to lie in the processor's cache."""
_NAMELESS_KEYS = 1
"""Keys of the long form that every message has: `samples`."""


class Form:
    """What the door needs to know of a product's metrics."""

    __slots__ = ("high", "low", "typed", "width")

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.width = len(metrics)
        self.low = np.array([metric.low for metric in metrics])
        self.high = np.array([metric.high for metric in metrics])
        self.typed = TypedForm([metric.name for metric in metrics])


@lru_cache(maxsize=256)
def form_of(metrics: tuple[Metric, ...]) -> Form:
    """Return the form of a sheet's metrics, made once: a reader costs a millisecond to make."""
    return Form(metrics)


class Lot:
    """The messages of one product, while they are gathered."""

    __slots__ = (
        "_scratch", "_waiting", "boots", "counts", "devices", "form", "lows", "places", "product",
        "quotes", "seqs", "table",
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
        self.table = bytearray()
        """The samples, as `form.typed` lays them."""
        self._waiting: list[tuple[int, Any]] = []
        self._scratch = bytearray()

    def add_typed(self, place: int, device_id: int, payload: bytes) -> bool:
        """Read a payload and add it; False: it is not for the typed reader.

        Raises
        ------
        msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError
            If the reader does not take the payload either.
        """
        message = self.form.typed.read(payload)
        samples = message.samples
        count = len(samples)
        if not 0 < count <= SAMPLES_MAX:
            return False
        self._waiting += samples
        if len(self._waiting) >= _LAID_AT_ONCE:
            self.lay()
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
        keys = 0
        for at_ms, values in message.samples:
            self._waiting.append((at_ms, self.form.typed.sample(values)))
            keys += len(values)
        if len(self._waiting) >= _LAID_AT_ONCE:
            self.lay()
        is_numbered = message.boot is not None
        self.places.append(place)
        self.devices.append(device_id)
        self.boots.append(ABSENT if message.boot is None else message.boot)
        self.seqs.append(message.seq if is_numbered else ABSENT)
        self.lows.append(message.low if is_numbered else ABSENT)
        self.counts.append(len(message.samples))
        self.quotes.append(2 * (_NAMELESS_KEYS + 3 * is_numbered + keys))

    def lay(self) -> None:
        """Lay the samples that wait into the table."""
        self.form.typed.lay(self._waiting, self.table, scratch=self._scratch)
        self._waiting.clear()


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
        lot.lay()
        self.times, self.values = lot.form.typed.arrays(lot.table)
        """Of the values: shape (metrics, samples), so that what is done for a metric goes straight on."""
        self.starts = np.zeros(count, dtype=np.int64)
        np.cumsum(self.counts[:-1], out=self.starts[1:])
        self.rows = np.repeat(np.arange(count), self.counts)
        is_whole = self._is_whole(lot.form)
        present = self._present(is_whole=is_whole)
        self.present = self._sum(present)
        self.oldest = self._of_each(np.minimum, self.times)
        self.newest = self._of_each(np.maximum, self.times)
        self.is_bad = self._faults(lot, window_ms)
        if not is_whole:
            self._judge_values(lot.form, present)

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
            values=self.values[:, keep].T,
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

    def _is_whole(self, form: Form) -> bool:
        """Tell whether every sample has every metric, each within its range: nearly always, and then
        nothing needs to be looked at sample by sample."""
        least, most = self.values.min(axis=1), self.values.max(axis=1)  # NaN, if one is NaN
        return bool((least >= form.low).all() and (most <= form.high).all())

    def _present(self, *, is_whole: bool) -> Integers:
        """Count the values of each sample."""
        width, count = self.values.shape
        if is_whole:
            return np.full(count, width, dtype=np.int64)
        present: Integers = width - np.isnan(self.values).sum(axis=0)
        return present

    def _judge_values(self, form: Form, present: Integers) -> None:
        # NaN, an absent value, is neither below nor above.
        outside = (self.values < form.low[:, None]) | (self.values > form.high[:, None])
        rows = outside.any(axis=0) | (present == 0)
        self.is_bad[self.rows[rows]] = True

    def _faults(self, lot: Lot, window_ms: tuple[int, int]) -> NDArray[np.bool_]:
        has_boot, has_seq = self.boots != ABSENT, self.seqs != ABSENT
        keys = _NAMELESS_KEYS + has_boot + has_seq + (self.lows != ABSENT) + self.present
        bad: NDArray[np.bool_] = np.array(lot.quotes, dtype=np.int64) != 2 * keys
        bad |= has_boot != has_seq
        bad |= has_boot & (self.lows > self.seqs)
        bad |= (self.oldest < window_ms[0]) | (self.newest > window_ms[1])
        return bad

    def _sum(self, per_row: Integers) -> Integers:
        return self._of_each(np.add, per_row)

    def _of_each(self, how: np.ufunc, per_row: Integers) -> Integers:
        """Reduce what stands for each sample to each message."""
        if len(self.counts) == len(per_row):
            return per_row.copy()
        reduced: Integers = how.reduceat(per_row, self.starts)
        return reduced
