"""Reads windows and forecasts for the look at drift, writes what it saw. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import numpy as np
from psycopg.types.json import Jsonb

from anomaly.drift.calibration import HORIZON, SLACK, Block, block_of
from anomaly.drift.inputs import Kind, Pair, State
from anomaly.features import Layout
from anomaly.records import FloatArray, Sentence
from anomaly.state_store import read_layouts
from anomaly.store import ProductRow
from core.pool import Connection
from core.sql import Queries
from core.units import US

_queries = Queries("anomaly")
RECENT = timedelta(days=14)
"""What counts as of late."""
DEVICES_MAX = 100
"""Devices whose windows are compared, a fair choice: a look costs the same for any fleet."""
WINDOWS_MAX = 400
"""Of a device, on each side, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One row: what a look saw of a metric, or of a failure mode's forecasts."""

    kind: Kind
    name: str
    state: State
    figure: float | None
    """Stability index, or failures that came over those that were forecast."""
    figures: dict[str, float | int | str]
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """As it is listed."""

    product: str
    drift: Drift
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    metric: str
    place: int
    """Among the measured."""
    watched: int | None
    """Among the watched, where what is expected of it is known; None: its own values count."""


def read_pairs(
    connection: Connection, row: ProductRow, *, recent_from: datetime, through: datetime
) -> dict[str, list[Pair]]:
    """Return the windows of the learning time and of late, by metric and device.

    Of metrics that lean on operating conditions the difference from what is expected is taken: it is what
    is left at equal conditions. Of the others, the values.
    """
    learning = row.product.learning
    values = {
        "product_id": row.id,
        "learning": learning,
        "recent_from": recent_from,
        "through": through,
    }
    able = connection.execute(_queries["drift_devices"], values).fetchall()
    number = min(len(able), DEVICES_MAX)
    chosen = [able[i * len(able) // number] for i in range(number)]
    if not chosen:
        return {}
    longest = max(learning, through - recent_from)
    window = max(row.product.window, US)
    values |= {
        "ids": [device_id for device_id, _ in chosen],
        "first": [first for _, first in chosen],
        "window_us": window // US,
        "every": max(1, round(longest / window / WINDOWS_MAX)),
    }
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_queries["drift_windows"], values).fetchall()
    layouts = read_layouts(connection, sorted({line[2] for line in rows}))
    found: dict[str, list[Pair]] = {}
    groups: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for place, line in enumerate(rows):
        groups.setdefault((line[0], line[2]), ([], []))[bool(line[1])].append(place)
    for (_, layout_id), (reference, recent) in groups.items():
        names = layouts[layout_id]
        for column in _columns(row, names.measured, names.watched):
            pair = Pair(
                reference=_values([rows[place] for place in reference], column),
                recent=_values([rows[place] for place in recent], column),
            )
            found.setdefault(column.metric, []).append(pair)
    return found


def _columns(row: ProductRow, measured: Sequence[str], watched: Sequence[str]) -> list[_Column]:
    layout = Layout(row.product)
    known = {metric.name for metric in row.product.metrics}
    return [
        _Column(
            metric=name,
            place=place,
            watched=watched.index(name) if name in watched and not layout.follows else None,
        )
        for place, name in enumerate(measured)
        if name in known
    ]


def _values(
    rows: Sequence[tuple[int, bool, int, list[float], list[float]]], column: _Column
) -> FloatArray:
    values = np.array([line[3][column.place] for line in rows], dtype=np.float64)
    if column.watched is not None:
        values -= np.array([line[4][column.watched] for line in rows], dtype=np.float64)
    return values[np.isfinite(values)]


def read_states(connection: Connection, *, product_id: int) -> dict[tuple[Kind, str], State]:
    rows = connection.execute(_queries["drift_states"], {"product_id": product_id})
    return {(kind, name): state for kind, name, state in rows}


def first_forecast(connection: Connection, *, product_id: int) -> datetime | None:
    row = connection.execute(_queries["first_forecast"], {"product_id": product_id}).fetchone()
    return row[0] if row else None


def read_blocks(connection: Connection, *, product_id: int) -> dict[tuple[str, int], list[Block]]:
    """Return the blocks that were written, oldest first, by failure mode and speaker."""
    found: dict[tuple[str, int], list[Block]] = {}
    for row in connection.execute(_queries["calibration_blocks"], {"product_id": product_id}):
        block = Block(
            at=row[2], forecasts=row[3], expected=row[4], observed=row[5], log_ratios=tuple(row[6])
        )
        found.setdefault((row[0], row[1]), []).append(block)
    return found


def judge_block(
    connection: Connection, *, product_id: int, at: datetime
) -> dict[tuple[str, int], Block]:
    """Hold the forecasts at the beginning of a block against what came, by failure mode and speaker."""
    values = {
        "product_id": product_id,
        "from_at": at,
        "until": at + SLACK,
        "horizon": HORIZON,
    }
    rows: dict[tuple[str, int], list[tuple[float, bool]]] = {}
    for mode, speaker, chance, came in connection.execute(_queries["claims_of_block"], values):
        rows.setdefault((mode, speaker), []).append((chance, came))
    return {
        key: block_of(
            at,
            np.array([chance for chance, _ in own], dtype=np.float64),
            came=np.array([came for _, came in own], dtype=np.float64),
        )
        for key, own in rows.items()
    }


def add_blocks(
    connection: Connection, *, product_id: int, blocks: dict[tuple[str, int], Block], now: datetime
) -> None:
    rows = [
        {
            "product_id": product_id,
            "failure_mode": mode,
            "speaker": speaker,
            "at": block.at,
            "forecasts": block.forecasts,
            "expected": block.expected,
            "observed": block.observed,
            "log_ratios": list(block.log_ratios),
            "now": now,
        }
        for (mode, speaker), block in blocks.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_queries["add_calibration_block"], rows)


def keep_drift(
    connection: Connection, *, product_id: int, drift: Drift, through: datetime, now: datetime
) -> None:
    values = {
        "product_id": product_id,
        "kind": drift.kind,
        "name": drift.name,
        "state": drift.state,
        "figure": drift.figure,
        "figures": Jsonb(drift.figures),
        "sentences": Jsonb(msgspec.to_builtins(drift.sentences)),
        "through": through,
        "now": now,
    }
    connection.execute(_queries["keep_drift"], values)


def list_drift(connection: Connection, *, product: str | None, with_steady: bool) -> list[DriftRow]:
    values = {"product": product, "with_steady": with_steady}
    return [
        DriftRow(
            product=row[0],
            drift=Drift(
                kind=row[1],
                name=row[2],
                state=row[3],
                figure=row[5],
                figures=row[6],
                sentences=msgspec.convert(row[7], tuple[Sentence, ...]),
            ),
            since=row[4],
        )
        for row in connection.execute(_queries["drifts"], values)
    ]
