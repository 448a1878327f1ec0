"""Tells what arrives too late to alarm anybody: long behind the newest sample of its product. Pure
but for the one query that says where a product's stream stands when the process starts.

Both ends of the comparison are event time, so a fleet that replays an old recording is as live as one
that measures now: late is a device that comes back, or is let in, with days that the others have
behind them.
"""

from collections.abc import Iterable
from datetime import timedelta

import numpy as np

from core.pool import Connection
from core.product import Product
from ingest import store
from ingest.records import NEVER_MS, Columns

_MS = timedelta(milliseconds=1)


def late_through(columns: Columns, *, edge_ms: int, late_after: timedelta) -> dict[int, int]:
    """Return, by device, the newest of its samples that came too late.

    Parameters
    ----------
    columns : Columns
        Samples of one product that one batch brings.
    edge_ms : int
        The newest sample of the product so far, these included, milliseconds since 1970.
    late_after : timedelta
        How far behind is late.
    """
    is_late = columns.times_ms < edge_ms - late_after // _MS
    if not is_late.any():
        return {}
    device_ids, times_ms = columns.device_ids[is_late], columns.times_ms[is_late]
    devices, place = np.unique(device_ids, return_inverse=True)
    newest = np.full(len(devices), NEVER_MS, dtype=np.int64)
    np.maximum.at(newest, place, times_ms)
    return dict(zip(devices.tolist(), newest.tolist(), strict=True))


class Edges:
    """The newest sample of each product, as this process knows it. Not for use by two threads."""

    def __init__(self) -> None:
        self._edge_ms: dict[str, int] = {}

    def late(
        self, connection: Connection, blocks: Iterable[tuple[Product, Columns]]
    ) -> dict[int, int]:
        """Take a batch into account; return the devices with late samples, and up to when."""
        late: dict[int, int] = {}
        for product, block in blocks:
            if product.name not in self._edge_ms:
                self._edge_ms[product.name] = store.newest_ms(connection, product.name)
            edge_ms = max(self._edge_ms[product.name], int(block.times_ms.max()))
            self._edge_ms[product.name] = edge_ms
            found = late_through(block, edge_ms=edge_ms, late_after=product.late_after)
            for device_id, through_ms in found.items():
                late[device_id] = max(through_ms, late.get(device_id, through_ms))
        return late
