"""Decides which messages may come in. Pure; the same code for the hot path and for one replayed letter.

A message is accepted or refused as a whole. Anatomy of a batch:

1. `Door.take` opens message after message. One that the product's typed reader takes goes into the
   `_Lot` of its product: per message its place in the batch, device, boot, seq, low, number of
   samples and of quotation marks; per sample its time and one value for each metric of the sheet
   (NaN: absent). What the reader does not take is decoded and judged on the spot.
2. `Door.close` turns each lot into arrays and looks for trouble in all messages at once: a tenth of
   the cost of looking value by value. It does not say what the trouble is: the few messages
   concerned are decoded again and judged alone (`ingest.judge`), so that a reason never depends on
   the batch, and their rows are left out.
3. What comes out is an `Admission`: `columns`, the accepted samples of each product, to be copied;
   `refused`, the dead letters; `shifted`, what devices with a wrong clock sent (`ingest.clocks`); and `messages`, parallel arrays with one entry per message of a known
   device, accepted or refused: device_ids, boots, seqs, lows, samples, values, oldest_ms, newest_ms.
   Whatever is to be decided per device or per message (streams, progress, limits, lateness) is
   decided from these arrays and needs no second look at a payload.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Protocol

import numpy as np

from core.product import Product, time_window
from core.units import EPOCH, to_epoch_ms
from gateway.codecs import PAYLOAD_MAX, CodecError, Telemetry, decode, salvage_numbers
from gateway.codecs.typed import NOT_TAKEN
from gateway.codecs.units import UnitError, in_sheet_units
from gateway.session import Arrival
from gateway.topics import parse_topic
from ingest.clocks import OffClock, shift
from ingest.judge import Fault, fault_of
from ingest.lots import ClosedLot, Lot
from ingest.records import (
    NEVER_MS,
    NO_BOOT,
    Admission,
    Columns,
    Device,
    Integers,
    Messages,
    Refusal,
    Refused,
    Shifted,
)

_DETAIL_MAX = 300
_TOPIC_MAX = 200
_WRONG_TIMES = (Refusal.TOO_OLD, Refusal.IN_FUTURE)
_STRANGER = Fault(Refusal.UNKNOWN_DEVICE, "no such device, or not on this topic")


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
    door = Door(registry)
    door.take(arrivals, now=now)
    return door.close()


class Door:
    """Takes the messages of one batch as they come, and says in the end what became of them."""

    def __init__(self, registry: Registry) -> None:
        self.arrivals: list[Arrival] = []
        self._registry = registry
        self._lots: dict[str, Lot] = {}
        self._faults: dict[int, tuple[Fault, int]] = {}
        """By place: what is wrong, and the device's id; 0: unknown."""
        self._shifted: list[Shifted] = []
        self._now = EPOCH
        self._now_ms = 0

    def take(self, arrivals: Sequence[Arrival], *, now: datetime) -> None:
        """Take the next messages."""
        self._now, self._now_ms = now, to_epoch_ms(now)
        device_of, lots = self._registry.device_of, self._lots
        first = len(self.arrivals)
        self.arrivals += arrivals
        for place, arrival in enumerate(arrivals, first):
            device = device_of(arrival.topic)
            if device is None:
                self._faults[place] = (_STRANGER, 0)
                continue
            lot = lots.get(device.product) or self._new_lot(device.product)
            payload = arrival.payload
            if len(payload) <= PAYLOAD_MAX:
                try:
                    if lot.add_typed(place, device.id, payload):
                        continue
                except NOT_TAKEN:
                    pass
            self._take_other(place, device.id, payload, lot)

    def close(self) -> Admission:
        """Return what became of the messages; the door takes no more."""
        columns: dict[str, Columns] = {}
        messages: list[Messages] = []
        for name, lot in self._lots.items():
            if not lot.places:
                continue
            window_ms = time_window(lot.product, now_ms=self._now_ms)
            closed = ClosedLot(lot, window_ms=window_ms)
            for place, device_id in closed.bad():
                self._take_bad(place, device_id, lot)
            found = closed.columns()
            if found is not None:
                columns[name] = found
                messages.append(closed.messages())
        letters = sorted(self._faults.items())
        messages.append(self._refused_messages(letters))
        if self._shifted:
            messages.append(_shifted_messages(self._shifted))
        return Admission(
            columns=columns,
            refused=[self._letter(place, fault) for place, (fault, _) in letters],
            messages=_in_order(messages),
            shifted=self._shifted,
            products={name: lot.product for name, lot in self._lots.items()},
        )

    def _new_lot(self, product: str) -> Lot:
        lot = self._lots[product] = Lot(self._registry.products[product])
        return lot

    def _take_other(self, place: int, device_id: int, payload: bytes, lot: Lot) -> None:
        """Take a message that is not for the typed reader."""
        read = self._read(payload, lot)
        if isinstance(read, Telemetry):
            lot.add_decoded(place, device_id, read)
        else:
            self._note(place, device_id, read, lot)

    def _take_bad(self, place: int, device_id: int, lot: Lot) -> None:
        """Say what is wrong with a message of a closed lot."""
        read = self._read(self.arrivals[place].payload, lot)
        if isinstance(read, Telemetry):
            # Kept as a dead letter, so nothing is lost, and no batch is held up for ever.
            read = Fault(
                Refusal.UNREADABLE, "refused with its batch, though nothing is wrong with it"
            )
        self._note(place, device_id, read, lot)

    def _note(self, place: int, device_id: int, read: Fault | OffClock, lot: Lot) -> None:
        if isinstance(read, Fault):
            self._faults[place] = (read, device_id)
            return
        shifted = Shifted(
            place=place,
            device_id=device_id,
            product=lot.product.name,
            ahead_ms=read.ahead_ms,
            digest=read.digest,
            message=read.message,
        )
        self._shifted.append(shifted)

    def _read(self, payload: bytes, lot: Lot) -> Telemetry | Fault | OffClock:
        if len(payload) > PAYLOAD_MAX:
            return Fault(Refusal.TOO_LARGE, f"{len(payload)} bytes, more than {PAYLOAD_MAX}")
        try:
            message = in_sheet_units(decode(payload, arrived_ms=self._now_ms), lot.product)
        except CodecError as error:
            return Fault(Refusal.UNREADABLE, str(error))
        except UnitError as error:
            return Fault(Refusal.WRONG_UNIT, str(error))
        fault = fault_of(message, lot.product, now_ms=self._now_ms)
        if fault is None:
            return message
        if fault.reason in _WRONG_TIMES:
            return shift(message, lot.product, now_ms=self._now_ms) or fault
        return fault

    def _letter(self, place: int, fault: Fault) -> Refused:
        arrival = self.arrivals[place]
        topic = parse_topic(arrival.topic)
        return Refused(
            device_name=topic.device if topic else "",
            topic=arrival.topic.replace("\0", "\\0")[:_TOPIC_MAX],
            payload=arrival.payload,
            reason=fault.reason,
            detail=fault.detail.replace("\0", "\\0")[:_DETAIL_MAX],
            received_at=self._now,
        )

    def _refused_messages(self, letters: Sequence[tuple[int, tuple[Fault, int]]]) -> Messages:
        """A refused message has a place in its stream too, if its number can still be read."""
        found = []
        for place, (_, device_id) in letters:
            if device_id:
                numbers = salvage_numbers(self.arrivals[place].payload)
                boot, seq, low = numbers or (NO_BOOT, 0, 0)
                found.append((place, device_id, boot, seq, min(low, seq)))
        table = np.array(found, dtype=np.int64).reshape(-1, 5)
        nothing = np.zeros(len(table), dtype=np.int64)
        return Messages(
            places=table[:, 0],
            device_ids=table[:, 1],
            boots=table[:, 2],
            seqs=table[:, 3],
            lows=table[:, 4],
            samples=nothing,
            values=nothing,
            oldest_ms=nothing - NEVER_MS,
            newest_ms=nothing + NEVER_MS,
        )


def _shifted_messages(shifted: Sequence[Shifted]) -> Messages:
    def column(values: Iterable[int]) -> Integers:
        return np.fromiter(values, dtype=np.int64, count=len(shifted))

    said = [one.message for one in shifted]
    return Messages(
        places=column(one.place for one in shifted),
        device_ids=column(one.device_id for one in shifted),
        boots=column(NO_BOOT if m.boot is None else m.boot for m in said),
        seqs=column(m.seq for m in said),
        lows=column(m.low for m in said),
        samples=column(len(m.samples) for m in said),
        values=column(sum(len(values) for _, values in m.samples) for m in said),
        oldest_ms=column(min(at_ms for at_ms, _ in m.samples) for m in said),
        newest_ms=column(max(at_ms for at_ms, _ in m.samples) for m in said),
    )


def _in_order(parts: Sequence[Messages]) -> Messages:
    """Join the messages of all products in order of arrival."""
    if len(parts) == 2 and not len(parts[1]):  # one product, nothing refused: nearly always
        return parts[0]
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places)
    return Messages(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
            for field in fields(Messages)
        }
    )
