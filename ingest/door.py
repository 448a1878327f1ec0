"""Decides which messages may come in. Pure; the same code for the hot path and for one replayed letter.

A message is accepted or refused as a whole. A message is taken apart once; ranges and times are then
checked column by column for the whole batch, which costs a tenth of checking value by value.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.product import Product
from core.units import to_epoch_ms
from gateway.codecs import (
    PAYLOAD_MAX,
    SAMPLES_MAX,
    CodecError,
    Telemetry,
    decode,
    salvage_numbers,
)
from gateway.session import Arrival
from gateway.topics import parse_topic
from ingest.records import Admission, Columns, Device, Numbered, Refusal, Refused, Span

_DETAIL_MAX = 300


class Registry(Protocol):
    """Who may send what."""

    def device_of(self, topic: str) -> Device | None:
        """Return the device that writes to a topic; None when there is none."""

    @property
    def products(self) -> Mapping[str, Product]:
        """By name."""


def admit(arrivals: Sequence[Arrival], registry: Registry, *, now: datetime) -> Admission:
    """Check a batch of messages.

    Parameters
    ----------
    arrivals : sequence of Arrival
        In order of arrival.
    registry : Registry
    now : datetime
        Time of arrival: the time window of every product hangs on it.
    """
    return _Door(arrivals, registry, now).admit()


class _Shape:
    """Samples of one product with the same metrics in the same order, while they are gathered."""

    __slots__ = ("device_ids", "flat", "metrics", "order", "product", "times_ms")

    def __init__(self, product: Product, metrics: tuple[str, ...]) -> None:
        self.product = product
        self.metrics = metrics
        self.device_ids: list[int] = []
        self.times_ms: list[int] = []
        self.flat: list[float] = []
        self.order: list[int] = []


class _Door:
    def __init__(self, arrivals: Sequence[Arrival], registry: Registry, now: datetime) -> None:
        self._arrivals = arrivals
        self._registry = registry
        self._now = now
        self._now_ms = to_epoch_ms(now)
        self._shapes: dict[str, dict[tuple[str, ...], _Shape]] = {}
        self._read: list[tuple[Device, Telemetry] | None] = []
        self._why: dict[int, tuple[Refusal, str]] = {}

    def admit(self) -> Admission:
        for place, arrival in enumerate(self._arrivals):
            self._read.append(self._open(place, arrival))
        blocks = [self._block(shape) for of in self._shapes.values() for shape in of.values()]
        admission = Admission(products=dict(self._registry.products))
        bad = np.fromiter(self._why, dtype=np.int64, count=len(self._why))
        for shape, block in blocks:
            kept = _without(block, bad)
            if len(kept.times_ms):
                admission.columns.setdefault(shape.product.name, []).append(kept)
        for place in range(len(self._arrivals)):
            self._account(place, admission)
        return admission

    def _open(self, place: int, arrival: Arrival) -> tuple[Device, Telemetry] | None:
        device = self._registry.device_of(arrival.topic)
        if device is None:
            self._refuse(place, Refusal.UNKNOWN_DEVICE, "no such device, or not on this topic")
            return None
        if len(arrival.payload) > PAYLOAD_MAX:
            self._refuse(
                place, Refusal.TOO_LARGE, f"{len(arrival.payload)} bytes, more than {PAYLOAD_MAX}"
            )
            return None
        try:
            message = decode(arrival.payload, arrived_ms=self._now_ms)
        except CodecError as error:
            self._refuse(place, Refusal.UNREADABLE, str(error))
            return None
        samples = message.samples
        if not samples:
            self._refuse(place, Refusal.NO_SAMPLES, "no samples")
        elif len(samples) > SAMPLES_MAX:
            self._refuse(
                place, Refusal.TOO_MANY_SAMPLES, f"{len(samples)} samples, more than {SAMPLES_MAX}"
            )
        else:
            self._gather(place, device, message)
        return device, message

    def _gather(self, place: int, device: Device, message: Telemetry) -> None:
        shapes = self._shapes.setdefault(device.product, {})
        device_id = device.id
        for ts, values in message.samples:
            metrics = tuple(values)
            shape = shapes.get(metrics)
            if shape is None:
                shape = self._new_shape(place, device, metrics)
                if shape is None:
                    return
                shapes[metrics] = shape
            shape.flat.extend(values.values())
            shape.device_ids.append(device_id)
            shape.times_ms.append(ts)
            shape.order.append(place)

    def _new_shape(self, place: int, device: Device, metrics: tuple[str, ...]) -> _Shape | None:
        product = self._registry.products[device.product]
        known = {metric.name for metric in product.metrics}
        unknown = [name for name in metrics if name not in known]
        if unknown:
            detail = f"{product.name} has no metric {', '.join(unknown[:5])}"
            self._refuse(place, Refusal.UNKNOWN_METRIC, detail)
            return None
        if not metrics:
            self._refuse(place, Refusal.NO_SAMPLES, "a sample without a value")
            return None
        return _Shape(product, metrics)

    def _block(self, shape: _Shape) -> tuple[_Shape, Columns]:
        """Turn a shape into arrays and refuse the messages whose values it does not allow."""
        width = len(shape.metrics)
        values = np.array(shape.flat, dtype=np.float64).reshape(-1, width)
        block = Columns(
            metrics=shape.metrics,
            device_ids=np.array(shape.device_ids, dtype=np.int64),
            times_ms=np.array(shape.times_ms, dtype=np.int64),
            values=values,
            order=np.array(shape.order, dtype=np.int64),
        )
        self._check_ranges(shape, block)
        self._check_times(shape.product, block)
        return shape, block

    def _check_ranges(self, shape: _Shape, block: Columns) -> None:
        metrics = [shape.product.metric(name) for name in shape.metrics]
        low = np.array([metric.low for metric in metrics])
        high = np.array([metric.high for metric in metrics])
        fits = (block.values >= low) & (block.values <= high)  # NaN fits nowhere
        if fits.all():
            return
        for row in _first_of_each(np.flatnonzero(~fits.all(axis=1)), block):
            column = int(np.argmin(fits[row]))
            metric, value = metrics[column], block.values[row, column]
            self._refuse(
                int(block.order[row]),
                Refusal.OUT_OF_RANGE,
                f"{metric.name} = {value:g} is not in [{metric.low:g}, {metric.high:g}] {metric.unit}",
            )

    def _check_times(self, product: Product, block: Columns) -> None:
        oldest_ms = self._now_ms - product.history_max // timedelta(milliseconds=1)
        newest_ms = self._now_ms + product.future_max // timedelta(milliseconds=1)
        for row in _first_of_each(np.flatnonzero(block.times_ms < oldest_ms), block):
            self._refuse(
                int(block.order[row]),
                Refusal.TOO_OLD,
                f"ts {block.times_ms[row]} is older than the {product.history_max.days} days allowed",
            )
        for row in _first_of_each(np.flatnonzero(block.times_ms > newest_ms), block):
            self._refuse(
                int(block.order[row]),
                Refusal.IN_FUTURE,
                f"ts {block.times_ms[row]} is ahead of the clock (ts is in milliseconds)",
            )

    def _refuse(self, place: int, reason: Refusal, detail: str) -> None:
        self._why.setdefault(place, (reason, detail.replace("\0", "\\0")[:_DETAIL_MAX]))

    def _account(self, place: int, admission: Admission) -> None:
        """Note a message's place in its stream, and what came of it."""
        read = self._read[place]
        if place in self._why:
            self._account_refused(place, read, admission)
            return
        assert read is not None
        device, message = read
        samples = message.samples
        if len(samples) == 1:
            oldest = newest = samples[0][0]
        else:
            times = [sample[0] for sample in samples]
            oldest, newest = min(times), max(times)
        span = admission.spans.get(device.id)
        if span is None:
            span = admission.spans[device.id] = Span(oldest_ms=oldest)
        span.samples += len(samples)
        span.oldest_ms = min(span.oldest_ms, oldest)
        if message.boot is None:
            before = span.newest_unnumbered_ms
            span.newest_unnumbered_ms = newest if before is None else max(before, newest)
            return
        admission.numbered.append(
            Numbered(
                device_id=device.id,
                boot=message.boot,
                seq=message.seq,
                low=message.low,
                newest_ms=newest,
            )
        )

    def _account_refused(
        self, place: int, read: tuple[Device, Telemetry] | None, admission: Admission
    ) -> None:
        arrival = self._arrivals[place]
        reason, detail = self._why[place]
        device = read[0] if read else self._registry.device_of(arrival.topic)
        topic = parse_topic(arrival.topic)
        admission.refused.append(
            Refused(
                device_name=device.name if device else (topic.device if topic else ""),
                topic=arrival.topic.replace("\0", "\\0")[:200],
                payload=arrival.payload,
                reason=reason,
                detail=detail,
                received_at=self._now,
            )
        )
        if device is None:
            return
        if read and read[1].boot is not None:
            numbers = (read[1].boot, read[1].seq, read[1].low)
        else:
            found = salvage_numbers(arrival.payload)
            if found is None:
                return
            numbers = found
        boot, seq, low = numbers
        admission.numbered.append(
            Numbered(device_id=device.id, boot=boot, seq=seq, low=low, newest_ms=None)
        )


def _first_of_each(rows: NDArray[np.intp], block: Columns) -> list[int]:
    """Keep one row of each message: a message is refused once."""
    if not len(rows):
        return []
    _, first = np.unique(block.order[rows], return_index=True)
    return [int(row) for row in rows[first]]


def _without(block: Columns, bad: NDArray[np.int64]) -> Columns:
    if not len(bad):
        return block
    keep = ~np.isin(block.order, bad)
    if keep.all():
        return block
    return Columns(
        metrics=block.metrics,
        device_ids=block.device_ids[keep],
        times_ms=block.times_ms[keep],
        values=block.values[keep],
        order=block.order[keep],
    )
