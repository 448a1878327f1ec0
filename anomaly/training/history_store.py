"""Reads histories of devices out of the database. Never writes.

The server lays each column of the windows end to end, so that a column arrives as one block of bytes.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from psycopg import sql

from anomaly.binary import POSTGRES_EPOCH_US
from anomaly.evidence import instant
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import ReportedFault, labels_of
from anomaly.records import FloatArray, IntArray, ServiceEvent
from anomaly.training.said import Said
from core.pool import Connection
from core.sql import Queries
from core.units import EPOCH, US

_queries = Queries("anomaly")
DEVICES_PER_READ = 50
"""A year of hourly windows of so many devices is about 20 MB."""


def read_histories(
    connection: Connection,
    catalog: Catalog,
    *,
    product_id: int,
    device_ids: Sequence[int] | None = None,
) -> dict[int, History]:
    """Return the histories of a product's devices, or of some of them, by device.

    They reach as far as the devices have been scored.
    """
    ids = None if device_ids is None else list(device_ids)
    rows = connection.execute(
        _queries["history_devices"], {"product_id": product_id, "device_ids": ids}
    ).fetchall()
    found: dict[int, History] = {}
    for start in range(0, len(rows), DEVICES_PER_READ):
        part = rows[start : start + DEVICES_PER_READ]
        found |= _read_part(connection, catalog, part)
    return found


def _read_part(
    connection: Connection, catalog: Catalog, rows: Sequence[tuple[object, ...]]
) -> dict[int, History]:
    ids = [int(str(row[0])) for row in rows]
    windows = _windows(connection, catalog, ids)
    events = _events(connection, catalog, ids)
    faults = _faults(connection, ids)
    findings = read_findings(connection, ids)
    found = {}
    for device_id, row in zip(ids, rows, strict=True):
        _, name, begins_at, first_at, through_at, lot, firmware, city = row
        assert isinstance(begins_at, datetime)
        assert isinstance(first_at, datetime)
        assert isinstance(through_at, datetime)
        labels = labels_of(
            catalog, findings=findings.get(device_id, []), faults=faults.get(device_id, [])
        )
        at_us, values, health = windows[device_id]
        event_us, event_metric, event_code = events[device_id]
        found[device_id] = History(
            device=str(name),
            begins_us=_us(min(begins_at, first_at)),
            until_us=_us(through_at),
            watched_from_us=_us(first_at),
            at_us=at_us,
            values=values,
            health=health,
            event_us=event_us,
            event_metric=event_metric,
            event_code=event_code,
            service_us=labels.service_us,
            service_component=labels.service_component,
            failure_us=labels.failure_us,
            failure_mode=labels.failure_mode,
            traits={"lot": str(lot), "firmware": str(firmware), "site": str(city)},
        )
    return found


def read_findings(connection: Connection, ids: Sequence[int]) -> dict[int, list[ServiceEvent]]:
    found: dict[int, list[ServiceEvent]] = {}
    for row in connection.execute(_queries["history_findings"], {"device_ids": list(ids)}):
        found.setdefault(row[0], []).append(
            ServiceEvent(
                finding_id=row[1], failure_mode=row[2], component=row[3], verdict=row[4],
                found_us=_us(row[5]),
            )
        )  # fmt: skip
    return found


def read_said(
    connection: Connection, catalog: Catalog, *, names: dict[int, str], from_us: int
) -> dict[str, Said]:
    """Return what the first layer said from an instant on, by device name."""
    place = {mode: number for number, mode in enumerate(catalog.modes)}
    rows: dict[int, list[tuple[int, int, float, float, float]]] = {}
    query = {"device_ids": list(names), "from_at": instant(from_us)}
    for row in connection.execute(_queries["first_layer_said"], query):
        if row[1] in place:
            rows.setdefault(row[0], []).append((_us(row[2]), place[row[1]], *row[3:6]))
    found = {}
    for device_id, own in rows.items():
        table = np.array(own, dtype=np.float64)
        at = np.array([line[0] for line in own], dtype=np.int64)
        made, row_of = np.unique(at, return_inverse=True)
        p_fail = np.full((len(made), len(catalog.modes), 3), np.nan)
        p_fail[row_of, table[:, 1].astype(np.int64)] = table[:, 2:]
        found[names[device_id]] = Said(made_us=made, p_fail=p_fail)
    return found


_Windows = tuple[IntArray, FloatArray, FloatArray]


def _windows(connection: Connection, catalog: Catalog, ids: Sequence[int]) -> dict[int, _Windows]:
    """Windows of some devices; a sheet that has changed left rows of another layout behind."""
    layouts = connection.execute(_queries["history_layouts"], {"device_ids": list(ids)}).fetchall()
    parts = [
        _layout_windows(
            connection, catalog, ids, layout_id=layout_id, measured=measured, modes=modes
        )
        for layout_id, measured, modes in layouts
    ]
    empty = (
        np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64),
        np.empty((0, len(catalog.metrics))), np.empty((0, len(catalog.modes))),
    )  # fmt: skip
    device, at_us, values, health = (
        np.concatenate(columns) for columns in zip(empty, *parts, strict=True)
    )
    order = np.lexsort((at_us, device))
    device, at_us, values, health = device[order], at_us[order], values[order], health[order]
    found = {}
    for device_id in ids:
        first, last = np.searchsorted(device, [device_id, device_id + 1])
        found[device_id] = (at_us[first:last], values[first:last], health[first:last])
    return found


def _layout_windows(  # noqa: PLR0913 - one layout's parts
    connection: Connection,
    catalog: Catalog,
    ids: Sequence[int],
    *,
    layout_id: int,
    measured: Sequence[str],
    modes: Sequence[str],
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    metrics = [name for name in catalog.metrics if name in measured]
    kept = [name for name in catalog.modes if name in modes]
    columns = [_block("observed", measured.index(name)) for name in metrics]
    columns += [_block("health", modes.index(name)) for name in kept]
    query = sql.SQL(
        "select string_agg(int8send(device_id), ''), string_agg(timestamptz_send(at), '') {columns}"
        " from anomaly.window where device_id = any({ids}) and layout_id = {layout}"
    ).format(
        columns=sql.SQL("").join(sql.SQL(", ") + column for column in columns),
        ids=sql.Literal(list(ids)),
        layout=sql.Literal(layout_id),
    )
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(query).fetchone()
    assert row is not None
    blocks = [block or b"" for block in row]
    device = np.frombuffer(blocks[0], dtype=">i8").astype(np.int64)
    at_us = np.frombuffer(blocks[1], dtype=">i8").astype(np.int64) + POSTGRES_EPOCH_US
    values = np.full((len(device), len(catalog.metrics)), np.nan)
    health = np.full((len(device), len(catalog.modes)), np.nan)
    for name, block in zip(metrics, blocks[2:], strict=False):
        values[:, catalog.metrics.index(name)] = np.frombuffer(block, dtype=">f4")
    for name, block in zip(kept, blocks[2 + len(metrics) :], strict=True):
        health[:, catalog.modes.index(name)] = np.frombuffer(block, dtype=">f4")
    return device, at_us, values, health


def _block(array: str, place: int) -> sql.Composed:
    return sql.SQL("string_agg(float4send(coalesce({}[{}], 'NaN')), '')").format(
        sql.Identifier(array), sql.Literal(place + 1)
    )


_Events = tuple[IntArray, IntArray, IntArray]


def _events(connection: Connection, catalog: Catalog, ids: Sequence[int]) -> dict[int, _Events]:
    """Codes of events: every known value other than 0 of a metric that is a code."""
    rows: dict[int, list[tuple[int, int, int]]] = {device_id: [] for device_id in ids}
    for place, name in enumerate(catalog.codes):
        query = sql.SQL(
            "select device_id, measured_at, {metric} from telemetry.{table}"
            " where device_id = any({ids}) and {metric} <> 0"
        ).format(
            metric=sql.Identifier(name),
            table=sql.Identifier(catalog.product.name),
            ids=sql.Literal(list(ids)),
        )
        for device_id, at, code in connection.execute(query):
            rows[device_id].append((_us(at), place, int(code)))
    found = {}
    for device_id, own in rows.items():
        table = np.array(sorted(own), dtype=np.int64).reshape(-1, 3)
        found[device_id] = (table[:, 0], table[:, 1], table[:, 2])
    return found


def _faults(connection: Connection, ids: Sequence[int]) -> dict[int, list[ReportedFault]]:
    found: dict[int, list[ReportedFault]] = {}
    for device_id, mode, at in connection.execute(
        _queries["history_faults"], {"device_ids": list(ids)}
    ):
        found.setdefault(device_id, []).append(ReportedFault(failure_mode=mode, at_us=_us(at)))
    return found


def _us(at: datetime) -> int:
    return (at - EPOCH) // US
