"""Runs the SQL of this package; the only writer of the tables in `anomaly`. Never commits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from anomaly.baseline import Baseline
from anomaly.evidence import instant
from anomaly.features import Layout
from anomaly.records import Output, Samples, ServiceEvent
from anomaly.state import DeviceState, state_from_json
from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from core.units import EPOCH

_queries = Queries("anomaly")
_COPY_HEADER_BYTES = 19
_POSTGRES_EPOCH_US = round((datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
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
class DeviceProgress:
    device_id: int
    first_us: int
    through_us: int


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
    return (at - EPOCH) // timedelta(microseconds=1)


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


def read_due_devices(
    connection: Connection, *, product_id: int, limit: int
) -> list[DeviceProgress]:
    rows = connection.execute(
        _queries["due_devices"], {"product_id": product_id, "limit": limit}
    ).fetchall()
    return [
        DeviceProgress(device_id=row[0], first_us=to_us(row[1]), through_us=to_us(row[2]))
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
    """Make room for what is scored anew from an instant on."""
    for name in ("expectations_from", "health_from"):
        connection.execute(
            _queries[f"forget_{name}"], {"device_id": device_id, "from_at": instant(from_us)}
        )


def read_fleet_progress(connection: Connection, *, product_id: int) -> list[DeviceProgress]:
    rows = connection.execute(_queries["fleet_progress"], {"product_id": product_id}).fetchall()
    return [
        DeviceProgress(device_id=row[0], first_us=to_us(row[1]), through_us=to_us(row[2]))
        for row in rows
    ]


def read_samples(
    connection: Connection, layout: Layout, *, device_id: int, from_us: int, through_us: int
) -> Samples:
    """Read a stretch of telemetry, both ends included.

    Binary COPY of rows of fixed width (a missing value travels as NaN), so that numpy can lay its
    own record over the bytes: about 25 times as fast as fetching rows.
    """
    metrics = layout.product.metrics
    columns = [
        sql.SQL("coalesce({}, 'NaN'::{})").format(
            sql.Identifier(m.name), sql.SQL("double precision" if m.precise else "real")
        )
        for m in metrics
    ]
    query = sql.SQL(
        "copy (select measured_at, {columns} from telemetry.{table} where device_id = {device}"
        " and measured_at >= {low} and measured_at <= {high} order by measured_at)"
        " to stdout (format binary)"
    ).format(
        columns=sql.SQL(", ").join(columns),
        table=sql.Identifier(layout.product.name),
        device=sql.Literal(device_id),
        low=sql.Literal(instant(from_us)),
        high=sql.Literal(instant(through_us)),
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        payload = b"".join(bytes(part) for part in copy)
    fields: list[tuple[str, str]] = [("count", ">i2"), ("at_size", ">i4"), ("at", ">i8")]
    for metric in metrics:
        fields.append((f"{metric.name} size", ">i4"))
        fields.append((metric.name, ">f8" if metric.precise else ">f4"))
    record = np.dtype(fields)
    number = (len(payload) - _COPY_HEADER_BYTES - 2) // record.itemsize
    rows = np.frombuffer(payload, dtype=record, count=number, offset=_COPY_HEADER_BYTES)
    values = np.empty((number, len(metrics)))
    for place, metric in enumerate(metrics):
        values[:, place] = rows[metric.name]
    return Samples(at_us=rows["at"].astype(np.int64) + _POSTGRES_EPOCH_US, values=values)


def claim_state(
    connection: Connection, *, device_id: int, make: Callable[[], DeviceState]
) -> tuple[int | None, DeviceState] | None:
    """Lock a device for this transaction; None while another scorer has it.

    A device without a state begins anew: `make` gives its first one.
    """
    key = {"device_id": device_id}
    row = connection.execute(_queries["claim_state"], key).fetchone()
    if row is None:
        state = make()
        made = connection.execute(
            _queries["make_state"],
            key
            | {
                "scored_through": instant(state.through_us),
                "state": Jsonb(msgspec.to_builtins(state)),
            },
        )
        if made.rowcount == 0:
            return None
        for name in ("expectations", "health", "detections", "forecasts"):
            connection.execute(_queries[f"forget_{name}"], key)
        return None, state
    return row[0], state_from_json(row[1])


def keep_state(
    connection: Connection, *, device_id: int, baseline_id: int | None, state: DeviceState
) -> None:
    connection.execute(
        _queries["keep_state"],
        {
            "device_id": device_id,
            "baseline_id": baseline_id,
            "scored_through": instant(state.through_us),
            "forecast_through": instant(state.forecast_us),
            "state": Jsonb(msgspec.to_builtins(state)),
        },
    )


def read_services(connection: Connection, *, device_id: int) -> list[ServiceEvent]:
    rows = connection.execute(_queries["findings"], {"device_id": device_id}).fetchall()
    return [
        ServiceEvent(
            finding_id=row[0],
            failure_mode=row[1],
            component=row[2],
            verdict=row[3],
            found_us=to_us(row[4]),
        )
        for row in rows
    ]


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
    return _baseline(row)


def read_baseline_by_id(connection: Connection, *, baseline_id: int) -> BaselineRow | None:
    row = connection.execute(_queries["baseline_by_id"], {"baseline_id": baseline_id}).fetchone()
    return _baseline(row)


def _baseline(row: tuple[object, ...] | None) -> BaselineRow | None:
    if row is None:
        return None
    assert isinstance(row[0], int)
    return BaselineRow(id=row[0], baseline=msgspec.convert(row[1], Baseline))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOutput:
    device_id: int
    baseline_id: int | None
    output: Output


def write_outputs(
    connection: Connection, outputs: Sequence[DeviceOutput], *, now: datetime
) -> None:
    """Write everything that a turn brought forth.

    The states that make it unrepeatable are kept in the same transaction, so plain COPY will do.
    """
    _copy(
        connection,
        "expectation (device_id, metric, at, observed, expected, spread, score)",
        [
            f"{o.device_id}\t{e.metric}\t{_at(e.at_us)}\t{_real(e.observed)}\t{_real(e.expected)}"
            f"\t{_real(e.spread)}\t{_real(e.score)}\n"
            for o in outputs
            for e in o.output.expectations
        ],
    )
    _copy(
        connection,
        "health (device_id, failure_mode, at, score, health_index)",
        [
            f"{o.device_id}\t{h.failure_mode}\t{_at(h.at_us)}\t{_real(h.score)}"
            f"\t{_real(h.health_index)}\n"
            for o in outputs
            for h in o.output.healths
        ],
    )
    detections = {
        (o.device_id, d.failure_mode, d.at_us, d.change): d
        for o in outputs
        for d in o.output.detections
    }
    _copy(
        connection,
        "detection (device_id, kind, failure_mode, change, at, score, evidence, created_at)",
        [
            f"{key[0]}\t{d.kind}\t{d.failure_mode}\t{d.change}\t{_at(d.at_us)}\t{_real(d.score)}"
            f"\t{_json(d.evidence)}\t{now.isoformat()}\n"
            for key, d in detections.items()
        ],
    )
    forecasts = {
        (o.device_id, f.failure_mode, f.made_us): (o.baseline_id, f)
        for o in outputs
        for f in o.output.forecasts
    }
    lines = []
    for (device_id, mode, _), (baseline_id, f) in forecasts.items():
        p = f.outlook
        numbers = (
            [None] * 6
            if p is None
            else [
                p.p_fail_1d, p.p_fail_7d, p.p_fail_30d,
                p.life_hours_q10, p.life_hours_q50, p.life_hours_q90,
            ]
        )  # fmt: skip
        shown = "\t".join(_real(n) for n in [f.health_index, *numbers])
        lines.append(
            f"{device_id}\t{mode}\t{_at(f.made_us)}\t{f.status}\t{shown}\t{_json(f.evidence)}"
            f"\t{baseline_id if baseline_id is not None else _NULL}\t{now.isoformat()}\n"
        )
    _copy(
        connection,
        "forecast (device_id, failure_mode, made_at, status, health_index, p_fail_1d, p_fail_7d,"
        " p_fail_30d, life_hours_q10, life_hours_q50, life_hours_q90, evidence, baseline_id,"
        " created_at)",
        lines,
    )


_NULL = "\\N"


def _copy(connection: Connection, target: str, lines: list[str]) -> None:
    if not lines:
        return
    statement = sql.SQL("copy anomaly.") + sql.SQL(target) + sql.SQL(" from stdin")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("".join(lines))


def _at(at_us: int) -> str:
    return instant(at_us).isoformat()


def _real(value: float | None) -> str:
    return _NULL if value is None else f"{value:.7g}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("\\", "\\\\")


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
