"""Products, progress, findings, baselines: the small queries of this package. Never commits.

Telemetry is read by `sample_store`, states by `state_store`; `result_store` writes what comes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from psycopg.types.json import Jsonb

from anomaly.baseline import Baseline
from anomaly.evidence import instant
from anomaly.records import ServiceEvent
from anomaly.state_store import DeviceProgress
from core.errors import NotFoundError
from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from core.units import EPOCH, US

_queries = Queries("anomaly")
CODE_VERSION = "1"
"""Of the meaning of baseline and state; raise it when they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    id: int
    product: Product
    revision: int
    first_us: int
    newest_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDevice:
    """A device into whose stored history samples came late."""

    device_id: int
    progress: DeviceProgress
    mark_id: int
    """Newest mark."""
    from_us: int
    """Oldest late sample since the last rescoring."""
    gone_before_us: int | None
    """Samples before it were let go; None: all are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRow:
    id: int
    baseline: Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductStatus:
    name: str
    devices: int
    scored: int
    learning: int
    newest_at: datetime | None
    behind: timedelta | None
    baseline: int | None
    detections: int


def to_us(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - EPOCH) // US


def read_products(connection: Connection) -> list[ProductRow]:
    rows = connection.execute(_queries["products"]).fetchall()
    return [
        ProductRow(
            id=row[0],
            product=product_from_json(row[2]),
            revision=row[3],
            first_us=to_us(row[4]),
            newest_us=to_us(row[5]),
        )
        for row in rows
    ]


def product_named(connection: Connection, name: str) -> ProductRow:
    """Return the product of that name.

    Raises
    ------
    NotFoundError
        If there is none with data.
    """
    rows = {row.product.name: row for row in read_products(connection)}
    if name not in rows:
        raise NotFoundError(
            f"there is no product {name!r} with data",
            hint=f"products with data: {', '.join(sorted(rows)) or 'none'}",
        )
    return rows[name]


def read_due_devices(
    connection: Connection, *, product_id: int, limit: int
) -> list[DeviceProgress]:
    rows = connection.execute(
        _queries["due_devices"], {"product_id": product_id, "limit": limit}
    ).fetchall()
    return [
        DeviceProgress(
            device_id=row[0],
            first_us=to_us(row[1]),
            through_us=to_us(row[2]),
            scored_us=None if row[3] is None else to_us(row[3]),
        )
        for row in rows
    ]


def read_marked_devices(
    connection: Connection, *, product_id: int, rescored_before: datetime, limit: int
) -> list[MarkedDevice]:
    values = {"product_id": product_id, "rescored_before": rescored_before, "limit": limit}
    rows = connection.execute(_queries["marked_devices"], values).fetchall()
    return [
        MarkedDevice(
            device_id=row[0],
            progress=DeviceProgress(
                device_id=row[0], first_us=to_us(row[1]), through_us=to_us(row[2])
            ),
            mark_id=row[3],
            from_us=to_us(row[4]),
            gone_before_us=None if row[5] is None else to_us(row[5]),
        )
        for row in rows
    ]


def keep_rescored(connection: Connection, marked: MarkedDevice, *, now: datetime) -> None:
    connection.execute(
        _queries["keep_rescored"],
        {
            "device_id": marked.device_id,
            "mark_id": marked.mark_id,
            "from_at": instant(marked.from_us),
            "now": now,
        },
    )


def forget_history(connection: Connection, *, device_id: int, from_us: int) -> None:
    """Make room for what is scored anew from an instant on; paths are made anew from their beginning."""
    values = {"device_id": device_id, "from_at": instant(from_us)}
    connection.execute(_queries["forget_windows_from"], values)
    connection.execute(_queries["forget_path"], {"ids": [device_id]})
    connection.execute(_queries["forget_life_memory"], {"ids": [device_id]})


def read_fleet_progress(connection: Connection, *, product_id: int) -> list[DeviceProgress]:
    rows = connection.execute(_queries["fleet_progress"], {"product_id": product_id}).fetchall()
    return [
        DeviceProgress(device_id=row[0], first_us=to_us(row[1]), through_us=to_us(row[2]))
        for row in rows
    ]


def read_services(
    connection: Connection, *, device_ids: Sequence[int]
) -> dict[int, list[ServiceEvent]]:
    """Read what technicians found, by device, oldest first."""
    rows = connection.execute(_queries["findings"], {"ids": list(device_ids)}).fetchall()
    found: dict[int, list[ServiceEvent]] = {}
    for row in rows:
        event = ServiceEvent(
            finding_id=row[1],
            failure_mode=row[2],
            component=row[3],
            verdict=row[4],
            found_us=to_us(row[5]),
        )
        found.setdefault(row[0], []).append(event)
    return found


def add_labels(
    connection: Connection, *, device_id: int, services: Sequence[ServiceEvent], now: datetime
) -> None:
    for service in services:
        connection.execute(
            _queries["add_label"],
            {
                "finding_id": service.finding_id,
                "device_id": device_id,
                "failure_mode": service.failure_mode,
                "component": service.component,
                "verdict": service.verdict,
                "found_at": instant(service.found_us),
                "now": now,
            },
        )


def read_baseline(connection: Connection, *, product_id: int) -> BaselineRow | None:
    """Return the newest baseline of a product."""
    row = connection.execute(_queries["baseline_newest"], {"product_id": product_id}).fetchone()
    return _baseline(connection, row)


def read_baseline_by_id(connection: Connection, *, baseline_id: int) -> BaselineRow | None:
    row = connection.execute(_queries["baseline_by_id"], {"baseline_id": baseline_id}).fetchone()
    return _baseline(connection, row)


def _baseline(connection: Connection, row: tuple[object, ...] | None) -> BaselineRow | None:
    if row is None:
        return None
    assert isinstance(row[0], int)
    return BaselineRow(id=row[0], baseline=baseline_from_json(connection, row[0], row[1]))


def baseline_from_json(connection: Connection, baseline_id: int, value: object) -> Baseline:
    """Read a baseline; one that was kept before it had names takes those of its conditions from its layout."""
    baseline = msgspec.convert(value, Baseline)
    if baseline.conditions or not baseline.ranges:
        return baseline
    key = {"baseline_id": baseline_id, "watched": [m.metric for m in baseline.metrics]}
    row = connection.execute(_queries["baseline_conditions"], key).fetchone()
    return msgspec.structs.replace(baseline, conditions=tuple(row[0]) if row else ())


def add_baseline(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    baseline: Baseline,
    from_us: int,
    through_us: int,
    now: datetime,
) -> None:
    quality = {
        "devices": baseline.devices,
        "windows": baseline.windows,
        "explained": {m.metric: round(m.explained, 4) for m in baseline.metrics},
    }
    connection.execute(
        _queries["add_baseline"],
        {
            "product_id": product_id,
            "learned_from": instant(from_us),
            "learned_through": instant(through_us),
            "parameters": Jsonb(msgspec.to_builtins(baseline)),
            "quality": Jsonb(quality),
            "code_version": CODE_VERSION,
            "now": now,
        },
    )


def read_status(connection: Connection) -> list[ProductStatus]:
    rows = connection.execute(_queries["status"]).fetchall()
    return [
        ProductStatus(
            name=row[0],
            devices=row[1],
            scored=row[2],
            learning=row[3],
            newest_at=row[4],
            behind=row[5],
            baseline=row[6],
            detections=row[7],
        )
        for row in rows
    ]
