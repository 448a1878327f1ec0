"""Stores what a device with a wrong clock sends with the platform's time. Pure.

A device whose newest sample lies in the future, or further back than its product may deliver, does not
know the time: a clock that was never set, a factory date, a battery that ran empty. Its whole message is
moved so that the newest sample is of the moment in which it arrived; the time between its samples
stays. The rows say so (`_flags`), and by how much is kept, so what the device meant can be worked out.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from core.product import Product, time_window
from gateway.codecs import Telemetry
from ingest.records import Columns, Shifted

FLAG = 1
"""In `_flags`: the time is the platform's."""
_DIGEST_BYTES = 16


class OffClock(NamedTuple):
    """A message whose device does not know the time."""

    message: Telemetry
    """With the platform's time."""
    ahead_ms: int
    """How far ahead the device's clock is."""
    digest: bytes


def shift(message: Telemetry, product: Product, *, now_ms: int) -> OffClock | None:
    """Move a message to its time of arrival.

    Returns
    -------
    OffClock or None
        None: the clock is right, or the message spans more than the product may deliver.
    """
    oldest_ms, latest_ms = time_window(product, now_ms=now_ms)
    times = [at_ms for at_ms, _ in message.samples]
    newest = max(times)
    if oldest_ms <= newest <= latest_ms:
        return None
    ahead_ms = newest - now_ms
    if min(times) - ahead_ms < oldest_ms:
        return None
    samples = [(at_ms - ahead_ms, values) for at_ms, values in message.samples]
    moved = Telemetry(samples, message.boot, message.seq, message.low)
    return OffClock(moved, ahead_ms, digest_of(message))


def set_apart(
    shifted: Sequence[Shifted], taken: Collection[tuple[int, int]], *, step_ms: int = 1
) -> list[Shifted]:
    """Move messages on by a few milliseconds where two of a device would share an instant.

    Messages that arrive together all end in the same moment. In the table the second of two at one
    instant would only fill in what the first lacks: it would be lost.

    Parameters
    ----------
    shifted : sequence of Shifted
    taken : collection of (device id, milliseconds since 1970)
        Instants of which rows are stored.
    step_ms : int
        The least by which a message is moved that has to be.
    """
    used = set(taken)
    last_ms: dict[int, int] = {}
    apart = []
    for one in sorted(shifted, key=lambda one: one.place):
        times = [at_ms for at_ms, _ in one.message.samples]
        by_ms = 0
        while any((one.device_id, at_ms + by_ms) in used for at_ms in times):
            by_ms = max(by_ms, last_ms.get(one.device_id, 0)) + step_ms
        last_ms[one.device_id] = by_ms
        used.update((one.device_id, at_ms + by_ms) for at_ms in times)
        apart.append(_moved(one, by_ms) if by_ms else one)
    return apart


def instants_of(shifted: Sequence[Shifted]) -> set[tuple[int, int]]:
    """Return device and milliseconds since 1970 of each sample."""
    return {(one.device_id, at_ms) for one in shifted for at_ms, _ in one.message.samples}


def _moved(one: Shifted, by_ms: int) -> Shifted:
    said = one.message
    samples = [(at_ms + by_ms, values) for at_ms, values in said.samples]
    return replace(one, message=Telemetry(samples, said.boot, said.seq, said.low))


def digest_of(message: Telemetry) -> bytes:
    """Return what tells a message from others: its samples, and its number where it has one.

    `low` is left out, which changes from send to send. Without a number, a clock that stands still and
    the same values again cannot be told from a repetition.
    """
    number = None if message.boot is None else (message.boot, message.seq)
    said = msgspec.json.encode((number, message.samples))
    return hashlib.blake2b(said, digest_size=_DIGEST_BYTES).digest()


def columns_of(shifted: Sequence[Shifted], product: Product) -> Columns:
    """Lay the samples of some messages of a product out in columns."""
    index = {metric.name: i for i, metric in enumerate(product.metrics)}
    device_ids, times_ms, order = [], [], []
    rows = [one for one in shifted for _ in one.message.samples]
    values = np.full((len(rows), len(index)), np.nan)
    row = 0
    for one in shifted:
        for at_ms, found in one.message.samples:
            device_ids.append(one.device_id)
            times_ms.append(at_ms)
            order.append(one.place)
            for name, value in found.items():
                values[row, index[name]] = value
            row += 1
    return Columns(
        device_ids=np.array(device_ids, dtype=np.int64),
        times_ms=np.array(times_ms, dtype=np.int64),
        values=values,
        order=np.array(order, dtype=np.int64),
    )
