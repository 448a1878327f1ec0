"""Reads telemetry, of one device or of many at once. Never commits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from psycopg import sql

from anomaly.binary import POSTGRES_EPOCH_US
from anomaly.evidence import instant
from anomaly.features import Layout
from anomaly.records import BoolArray, FleetSamples, IntArray, Samples, side_by_side
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
SAMPLES_PER_READ_MAX = 1_000_000
"""Rough limit of one query: a value of PostgreSQL may have 1 GB, and eight bytes times this is far below."""
_WASTE_MAX = 2.0
"""Devices are read together while the query brings at most so many times what they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is to be read of one device, both ends included."""

    device_id: int
    from_us: int
    through_us: int

    @property
    def length_us(self) -> int:
        return max(0, self.through_us - self.from_us)


def read_samples(
    connection: Connection, layout: Layout, *, device_id: int, from_us: int, through_us: int
) -> Samples:
    """Read a stretch of one device's telemetry, both ends included."""
    stretch = Stretch(device_id=device_id, from_us=from_us, through_us=through_us)
    return read_fleet_samples(connection, layout, [stretch]).of(0)


def read_fleet_samples(
    connection: Connection, layout: Layout, stretches: Sequence[Stretch]
) -> FleetSamples:
    """Read stretches of many devices; `owner` is the place in `stretches`.

    Each query lets the server lay the values of a column end to end (`string_agg` of their binary forms), so that a
    column arrives as one block of bytes. A row of COPY costs psycopg 2 µs, five times what the server needs for it.
    """
    parts = [_read_group(connection, layout, group) for group in _groups(layout, stretches)]
    if len(parts) == 1:
        return parts[0]
    nothing = _no_samples(layout)
    owner = np.concatenate([part.owner for part in (nothing, *parts)])
    at_us = np.concatenate([part.at_us for part in (nothing, *parts)])
    order = np.argsort(owner, kind="stable")
    values = [
        np.concatenate([part.values[:, place] for part in (nothing, *parts)])[order]
        for place in range(len(layout.product.metrics))
    ]
    return FleetSamples(
        owner=owner[order], at_us=at_us[order], values=side_by_side(values, rows=len(owner))
    )


def _no_samples(layout: Layout) -> FleetSamples:
    nothing = np.empty(0, dtype=np.int64)
    values = np.empty((0, len(layout.product.metrics)))
    return FleetSamples(owner=nothing, at_us=nothing, values=values)


_Group = Sequence[tuple[int, Stretch]]


def _groups(layout: Layout, stretches: Sequence[Stretch]) -> Iterator[_Group]:
    """Group devices whose stretches are about the same, so that one query brings little else."""
    interval_us = max(1, round(layout.product.interval.total_seconds() * 1e6))
    able = [(i, s) for i, s in enumerate(stretches) if s.through_us >= s.from_us]
    able.sort(key=lambda pair: (pair[1].from_us, pair[1].through_us))
    group: list[tuple[int, Stretch]] = []
    wanted = until = 0
    for place, stretch in able:
        if group:
            begins = group[0][1].from_us
            latest = max(until, stretch.through_us)
            read = (latest - begins + layout.window_us) * (len(group) + 1)
            needed = wanted + stretch.length_us + layout.window_us * (len(group) + 1)
            if read > _WASTE_MAX * needed or read > SAMPLES_PER_READ_MAX * interval_us:
                yield group
                group, wanted, until = [], 0, 0
        group.append((place, stretch))
        wanted += stretch.length_us
        until = max(until, stretch.through_us)
    if group:
        yield group


def _read_group(connection: Connection, layout: Layout, group: _Group) -> FleetSamples:
    low = min(stretch.from_us for _, stretch in group)
    high = max(stretch.through_us for _, stretch in group)
    blocks = _fetch(connection, layout, [s.device_id for _, s in group], low=low, high=high)
    device = np.frombuffer(blocks[0], dtype=">i8").astype(np.int64)
    at_us = np.frombuffer(blocks[1], dtype=">i8").astype(np.int64) + POSTGRES_EPOCH_US
    owner, wanted = _owners(group, device, at_us)
    order = _order(owner, at_us, wanted)
    values = np.empty((len(layout.product.metrics), len(order)))
    is_whole = len(order) == len(at_us) and bool((order[1:] > order[:-1]).all())
    for place, (metric, block) in enumerate(zip(layout.product.metrics, blocks[2:], strict=True)):
        column = np.frombuffer(block, dtype=">f8" if metric.precise else ">f4")
        # Turned into the machine's own byte order while small, and only then put into order.
        native = column.astype(column.dtype.newbyteorder("="))
        values[place] = native if is_whole else native[order]
    if not is_whole:
        owner, at_us = owner[order], at_us[order]
    return FleetSamples(owner=owner, at_us=at_us, values=values.T)


def _fetch(
    connection: Connection, layout: Layout, device_ids: Sequence[int], *, low: int, high: int
) -> Sequence[bytes]:
    """Device, instant and every metric, each as one block of values in network byte order."""
    columns = [
        sql.SQL("string_agg({send}(coalesce({name}, 'NaN')), '')").format(
            send=sql.SQL("float8send" if m.precise else "float4send"), name=sql.Identifier(m.name)
        )
        for m in layout.product.metrics
    ]
    # The instants stand in the text, so that chunks outside of them are left out when it is planned.
    query = sql.SQL(
        "select string_agg(int8send(device_id), ''), string_agg(timestamptz_send(measured_at), ''),"
        " {columns} from telemetry.{table} where {devices}"
        " and measured_at >= {low} and measured_at <= {high}"
    ).format(
        columns=sql.SQL(", ").join(columns),
        table=sql.Identifier(layout.product.name),
        devices=_devices(device_ids),
        low=sql.Literal(instant(low)),
        high=sql.Literal(instant(high)),
    )
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_queries["one_core"])
        row = cursor.execute(query).fetchone()
    assert row is not None
    return [block or b"" for block in row]


def _devices(device_ids: Sequence[int]) -> sql.Composed:
    if len(device_ids) == 1:
        return sql.SQL("device_id = {}").format(sql.Literal(device_ids[0]))
    listed = "{" + ",".join(map(str, sorted(device_ids))) + "}"
    return sql.SQL("device_id = any({}::bigint[])").format(sql.Literal(listed))


def _owners(group: _Group, device: IntArray, at_us: IntArray) -> tuple[IntArray, BoolArray]:
    """Place of each sample's device, and whether the sample lies in its stretch."""
    ids = np.array([stretch.device_id for _, stretch in group])
    sorter = np.argsort(ids, kind="stable")
    within = sorter[np.searchsorted(ids[sorter], device)]
    from_us = np.array([stretch.from_us for _, stretch in group])
    through_us = np.array([stretch.through_us for _, stretch in group])
    wanted = (at_us >= from_us[within]) & (at_us <= through_us[within])
    return np.array([place for place, _ in group])[within], wanted


def _order(owner: IntArray, at_us: IntArray, wanted: BoolArray) -> IntArray:
    """Device after device, each oldest first: rows mostly arrive in order of time."""
    rows = np.flatnonzero(wanted)
    places, instants = owner[rows], at_us[rows]
    if (np.diff(places) >= 0).all():
        order = np.arange(len(rows))
    elif len(places) and places.max() <= np.iinfo(np.uint16).max:
        order = np.argsort(places.astype(np.uint16), kind="stable")  # a radix sort
    else:
        order = np.argsort(places, kind="stable")
    later = np.diff(instants[order]) > 0
    if not (later | (np.diff(places[order]) > 0)).all():
        order = np.lexsort((instants, places))
    return rows[order]
