"""Writes what scoring brought forth, one COPY per table. Never commits.

The states that make it unrepeatable are kept in the same transaction, so plain COPY will do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from psycopg import sql

from anomaly.binary import (
    COPY_HEADER,
    COPY_TRAILER,
    Big,
    Column,
    Floats,
    Same,
    big,
    instant_us,
    jsonb,
    real,
    row_block,
    text,
)
from anomaly.chances import chances_of
from anomaly.evidence import instant
from anomaly.fleet_scorer import FleetOutput, QuietForecasts, WindowRows
from anomaly.forecaster import base_outlook
from anomaly.lives import Correction, corrected_then, is_corrected
from anomaly.packed import NEVER
from anomaly.records import LIFE_SHARES, Detection, FloatArray, Forecast, IntArray, Output, Values
from anomaly.report import FAILURES_PER_YEAR, quiet_evidence, worn_of
from anomaly.state_store import LayoutRow
from anomaly.yardstick import Yardstick
from core.pool import Connection
from core.product import FailureMode
from core.units import EPOCH, US

_NULL = "\\N"
_US_PER_DAY = 86_400_000_000
_WINDOW = "window (device_id, at, layout_id, observed, expected, spread, score, health, wear_score)"
_PATH = "path (device_id, at, layout_id, sizes)"
_FORECAST = (
    "forecast (device_id, failure_mode, made_at, status, health_index, p_fail_1d, p_fail_7d, p_fail_30d,"
    " life_hours_q05, life_hours_q10, life_hours_q50, life_hours_q90, life_hours_q95, evidence,"
    " baseline_id, created_at)"
)
_TOLD = _FORECAST.removesuffix(")") + ", life_said)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOutput:
    """What one device brought forth that was taken event by event."""

    device_id: int
    baseline_id: int | None
    output: Output


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdOutput:
    """What many devices brought forth together."""

    device_ids: IntArray
    """By place."""
    baseline_id: int | None
    yard: Yardstick
    output: FleetOutput


def write_results(  # noqa: PLR0913 - what one turn brought forth, named
    connection: Connection,
    kind: LayoutRow,
    *,
    devices: Sequence[DeviceOutput],
    crowds: Sequence[CrowdOutput] = (),
    corrections: Sequence[Correction] = (),
    now: datetime,
) -> None:
    """Write windows, paths, detections and forecasts, their remaining lives and chances corrected."""
    told = [*devices, *(one for crowd in crowds for one in _told(crowd))]
    copies = _Copies()
    for crowd in crowds:
        _lay_out_quiet(copies, kind, crowd, now=now)
    _lay_out_windows(copies, kind, told)
    _lay_out_traces(copies, kind, told)
    copies.write(connection)
    _write_detections(connection, told, now=now)
    _write_forecasts(connection, told, corrections, now=now)


def _told(crowd: CrowdOutput) -> Iterator[DeviceOutput]:
    for place, output in crowd.output.told.items():
        yield DeviceOutput(
            device_id=int(crowd.device_ids[place]), baseline_id=crowd.baseline_id, output=output
        )


# --- devices that have nothing to tell -------------------------------------------------------------


def _lay_out_quiet(
    copies: "_Copies", kind: LayoutRow, crowd: CrowdOutput, *, now: datetime
) -> None:
    rows, forecasts = crowd.output.rows, crowd.output.forecasts
    _lay_out_rows(copies, kind, crowd.device_ids[rows.owner], rows)
    known = ~forecasts.is_silent
    copies.add(
        _PATH,
        [
            Big(values=crowd.device_ids[forecasts.owner[known]]),
            Big(values=forecasts.at_us[known], is_instant=True),
            big(kind.id),
            Floats(values=forecasts.sizes[known], is_double=True),
        ],
        rows=int(known.sum()),
    )
    now_us = (now - EPOCH) // US
    for number, mode in enumerate(crowd.yard.layout.product.failure_modes):
        for chosen, status, evidence in _alike(crowd.yard, forecasts, number, mode):
            copies.add(
                _FORECAST,
                [
                    Big(values=crowd.device_ids[forecasts.owner[chosen]]),
                    text(mode.name),
                    Big(values=forecasts.at_us[chosen], is_instant=True),
                    text(status),
                    real(1.0),
                    *_base_numbers(),
                    jsonb(evidence),
                    Same(value=None) if crowd.baseline_id is None else big(crowd.baseline_id),
                    instant_us(now_us),
                ],
                rows=len(chosen),
            )


def _base_numbers() -> list[Same]:
    p = base_outlook(FAILURES_PER_YEAR)
    values = (p.p_fail_1d, p.p_fail_7d, p.p_fail_30d)
    return [real(value) for value in (*values, *p.lives)]


def _alike(
    yard: Yardstick, forecasts: QuietForecasts, number: int, mode: FailureMode
) -> Iterator[tuple[IntArray, str, bytes]]:
    """Forecasts of a mode that say the same: rows, status, evidence."""
    if not len(forecasts.owner):
        return
    serviced = forecasts.serviced_us[:, number]
    day = np.where(serviced == NEVER, NEVER, serviced // _US_PER_DAY)
    keys = np.column_stack([forecasts.is_silent, forecasts.outside, day])
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    for place, example in enumerate(first.tolist()):
        serviced_us = int(serviced[example])
        evidence = quiet_evidence(
            yard,
            mode,
            outside=forecasts.outside[example].tolist(),
            serviced_us=None if serviced_us == NEVER else serviced_us,
        )
        status = "no_data" if forecasts.is_silent[example] else "ok"
        yield np.flatnonzero(group.ravel() == place), status, msgspec.json.encode(evidence)


# --- devices that were taken event by event ---------------------------------------------------------


def _lay_out_windows(copies: "_Copies", kind: LayoutRow, told: Sequence[DeviceOutput]) -> None:
    windows = [(one.device_id, window) for one in told for window in one.output.windows]
    if not windows:
        return

    def table(name: str) -> FloatArray:
        return _table([getattr(window, name) for _, window in windows])

    _lay_out_rows(
        copies,
        kind,
        np.array([device_id for device_id, _ in windows], dtype=np.int64),
        WindowRows(
            owner=np.empty(0, dtype=np.int64),
            at_us=np.array([window.at_us for _, window in windows], dtype=np.int64),
            measured=table("measured"),
            expected=table("expected"),
            spread=table("spread"),
            score=table("score"),
            health=table("health"),
            wear_score=table("wear_score"),
        ),
    )


def _table(rows: Sequence[Values]) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def _lay_out_traces(copies: "_Copies", kind: LayoutRow, told: Sequence[DeviceOutput]) -> None:
    traces = [(one.device_id, trace) for one in told for trace in one.output.traces]
    if not traces:
        return
    copies.add(
        _PATH,
        [
            Big(values=np.array([device_id for device_id, _ in traces], dtype=np.int64)),
            Big(values=np.array([t.at_us for _, t in traces], dtype=np.int64), is_instant=True),
            big(kind.id),
            Floats(values=_table([trace.sizes for _, trace in traces]), is_double=True),
        ],
        rows=len(traces),
    )


def _write_detections(
    connection: Connection, told: Sequence[DeviceOutput], *, now: datetime
) -> None:
    detections: dict[tuple[int, str, int, str], Detection] = {
        (one.device_id, d.failure_mode, d.at_us, d.change): d
        for one in told
        for d in one.output.detections
    }
    _copy_text(
        connection,
        "detection (device_id, kind, failure_mode, change, at, score, evidence, created_at)",
        [
            f"{key[0]}\t{d.kind}\t{d.failure_mode}\t{d.change}\t{_at(d.at_us)}\t{_real(d.score)}"
            f"\t{_json(d.evidence)}\t{now.isoformat()}\n"
            for key, d in detections.items()
        ],
    )


def _write_forecasts(
    connection: Connection,
    told: Sequence[DeviceOutput],
    corrections: Sequence[Correction],
    *,
    now: datetime,
) -> None:
    forecasts = {
        (one.device_id, f.failure_mode, f.made_us): (one.baseline_id, f)
        for one in told
        for f in one.output.forecasts
    }
    numbers = _numbers([f for _, f in forecasts.values()], corrections)
    _copy_text(
        connection,
        _TOLD,
        [
            f"{key[0]}\t{_forecast_line(f, own)}\t{_NULL if baseline_id is None else baseline_id}"
            f"\t{now.isoformat()}\t{_said(f)}\n"
            for (key, (baseline_id, f)), own in zip(forecasts.items(), numbers, strict=True)
        ],
    )


def _numbers(forecasts: Sequence[Forecast], corrections: Sequence[Correction]) -> list[Values]:
    """Correct chances and quantiles of remaining life of forecasts by the failures that were known then."""
    said = np.array([_quantiles(f) for f in forecasts]).reshape(-1, len(LIFE_SHARES))
    p_said = np.array([_chances(f) for f in forecasts]).reshape(-1, 3)
    made_us = np.array([f.made_us for f in forecasts], dtype=np.int64)
    modes = np.array([f.failure_mode for f in forecasts])
    worn = np.array([worn_of(f) for f in forecasts], dtype=np.float64)
    life = said.copy()
    for mode in dict.fromkeys(modes.tolist()):
        rows = modes == mode
        life[rows] = corrected_then(corrections, made_us[rows], said[rows], worn[rows], mode=mode)
    numbers = np.concatenate([chances_of(said, life, p_said), life], axis=1)
    return [tuple(v if np.isfinite(v) else None for v in row) for row in numbers.tolist()]


def _chances(f: Forecast) -> list[float]:
    """Chances as the laws of wear have them, NaN where nothing is claimed."""
    p = f.outlook
    return [np.nan] * 3 if p is None else [p.p_fail_1d, p.p_fail_7d, p.p_fail_30d]


def _quantiles(f: Forecast) -> list[float]:
    """Quantiles as the laws of wear have them, infinite beyond any horizon."""
    lives = (None,) * len(LIFE_SHARES) if f.outlook is None else f.outlook.lives
    return [np.inf if value is None else value for value in lives]


def _said(f: Forecast) -> str:
    """Keep what the laws have said, where it was corrected: from that is learned on."""
    said = np.array([_quantiles(f)])
    if not is_corrected(said)[0]:
        return _NULL
    return "{" + ",".join("Infinity" if v == np.inf else f"{v:.9g}" for v in said[0].tolist()) + "}"


def _forecast_line(f: Forecast, numbers: Values) -> str:
    shown = "\t".join(_real(n) for n in [f.health_index, *numbers])
    return f"{f.failure_mode}\t{_at(f.made_us)}\t{f.status}\t{shown}\t{_json(f.evidence)}"


# --- COPY -------------------------------------------------------------------------------------------


def _lay_out_rows(
    copies: "_Copies", kind: LayoutRow, device_ids: IntArray, rows: WindowRows
) -> None:
    number = len(device_ids)
    columns: list[Column] = [
        Big(values=device_ids),
        Big(values=rows.at_us, is_instant=True),
        big(kind.id),
        *(
            Floats(values=np.broadcast_to(values, (number, values.shape[-1])))
            for values in (
                rows.measured, rows.expected, rows.spread, rows.score, rows.health, rows.wear_score,
            )
        ),
    ]  # fmt: skip
    copies.add(_WINDOW, columns, rows=number)


class _Copies:
    """Rows in binary form, by the table that they go into: a COPY costs about as much as a hundred rows."""

    def __init__(self) -> None:
        self._blocks: dict[str, list[bytes]] = {}

    def add(self, target: str, columns: Sequence[Column], *, rows: int) -> None:
        if rows:
            self._blocks.setdefault(target, []).append(row_block(columns, rows=rows))

    def write(self, connection: Connection) -> None:
        for target, blocks in self._blocks.items():
            into = sql.SQL("copy anomaly.") + sql.SQL(target)
            statement = into + sql.SQL(" from stdin (format binary)")
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                for block in (COPY_HEADER, *blocks, COPY_TRAILER):
                    copy.write(block)


def _copy_text(connection: Connection, target: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    statement = sql.SQL("copy anomaly.") + sql.SQL(target) + sql.SQL(" from stdin")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("".join(lines))


def _at(at_us: int) -> str:
    return instant(at_us).isoformat()


def _real(value: float | None) -> str:
    return _NULL if value is None else f"{value:.9g}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("\\", "\\\\")
