"""Two years of a fleet, as scoring would have left them in the database: what training is measured on.

Windows of an hour, findings of failures, and that the first layer said all the time that all is well. Values
follow the weather and the load, and part from that for some weeks before a part fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from psycopg.types.json import Jsonb

from anomaly import store
from anomaly.evidence import instant
from anomaly.fleet_scorer import FleetOutput, QuietForecasts, WindowRows
from anomaly.packed import NEVER
from anomaly.records import FloatArray, IntArray
from anomaly.result_store import CrowdOutput, write_results
from anomaly.state_store import LayoutRow, read_layout
from anomaly.training.slices import CALIBRATE_SHARE, TRAIN_SHARE
from bench.ingest.instance import Instance
from bench.ingest.rows import queries
from bench.scoring.fleet import BEGINS_US, Fleet
from bench.scoring.measure import let_in
from core.clock import wall_now
from core.pool import Connection
from core.sql import Queries
from ingest.records import DeviceSpans
from ingest.store import save_progress

_maintenance = Queries("maintenance")
DAYS = 730
HOUR_US = 3_600_000_000
_DAY_US = 24 * HOUR_US
_AT_ONCE = 20
"""Devices whose windows are written together: some hundred megabytes."""
_HEALTHY_SHARE = 0.25
_LIFE_DAYS, _LIFE_SHAPE = 1_500.0, 2.0
_WARNING_DAYS = (20.0, 60.0)
_REPAIR_DAYS = 1.0
_SEED = 20_260_902
_MOVES = {
    "fan_bearing": (5, 6),
    "refrigerant_leak": (3, 4),
    "pump_wear": (7,),
    "condenser_fouling": (4,),
}
"""By failure mode, places of the metrics that move."""
_SIZE = (0, 0, 0, 60.0, 3.0, 0.3, 1.5, 2.0)
"""How far each metric has moved at the failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """What is known of one device."""

    values: FloatArray
    """Means of the measured metrics; (windows, 8)."""
    wear: FloatArray
    """Of each failure mode, 0 as new, 1 failed; (windows, modes)."""
    fails_us: IntArray
    mode: IntArray
    """Place of the failure mode; (failures,)."""


@dataclass(frozen=True)
class Years:
    """A fleet of the scoring bench that is two years old."""

    fleet: Fleet
    days: int = DAYS

    @property
    def begins_us(self) -> int:
        return BEGINS_US - self.days * _DAY_US

    @property
    def at_us(self) -> IntArray:
        """Ends of the windows."""
        return self.begins_us + HOUR_US * np.arange(1, 24 * self.days + 1, dtype=np.int64)

    def year(self, device: int) -> Year:
        """Draw one device; the same for whatever number of devices there is."""
        rng = np.random.default_rng([_SEED, device])
        hours = np.arange(24 * self.days)
        modes = [mode.name for mode in self.fleet.product.failure_modes]
        wear = np.zeros((len(hours), len(modes)))
        failures: list[tuple[int, int]] = []
        is_healthy = rng.random() < _HEALTHY_SHARE
        for place in range(len(modes)):
            for fails in () if is_healthy else _failures(rng, self.days):
                failures.append((self.begins_us + round(fails * _DAY_US), place))
                ahead = fails - hours / 24
                sign = np.clip(1 - ahead / rng.uniform(*_WARNING_DAYS), 0, 1)
                wear[:, place] += np.where(ahead >= 0, sign**1.5, 0)
        values = _weather(rng, hours)
        for place, name in enumerate(modes):
            for metric in _MOVES[name]:
                values[:, metric] += _SIZE[metric] * wear[:, place]
        columns = np.array(sorted(failures), dtype=np.int64).reshape(-1, 2)
        return Year(values=values, wear=wear, fails_us=columns[:, 0], mode=columns[:, 1])


def _failures(rng: np.random.Generator, days: int) -> Iterator[float]:
    at = -rng.uniform(0, 700)
    while True:
        at += _LIFE_DAYS * rng.weibull(_LIFE_SHAPE)
        if at >= days - _REPAIR_DAYS:
            return
        if at > 0:
            yield at
        at += _REPAIR_DAYS


def _weather(rng: np.random.Generator, hours: IntArray) -> FloatArray:
    """Means of an hour of the eight metrics of a healthy device."""
    day = hours / 24 + rng.random()
    noise = rng.standard_normal((8, len(hours)))
    own = rng.standard_normal(5)
    ambient = 8 - 10 * np.cos(2 * np.pi * day / 365.25) + 5 * np.sin(2 * np.pi * day) + noise[0]
    load = np.clip(60 + 25 * np.sin(2 * np.pi * day + 1) + 8 * noise[1], 10, 120)
    outlet = 35 + 0.1 * load + 0.5 * noise[2]
    return np.stack(
        [
            ambient,
            load,
            outlet,
            300 + 22 * load + 0.05 * load**2 + 6 * outlet - 4 * ambient + 15 * own[0] + 20 * noise[3],
            40 + 0.4 * load + 0.6 * outlet + 0.1 * ambient + own[1] + 0.8 * noise[4],
            0.6 + 0.004 * load + 0.002 * ambient + 0.02 * own[2] + 0.03 * noise[5],
            1 + 0.01 * load + 0.1 * own[3] + 0.15 * noise[6],
            12 + 0.1 * load + 0.3 * own[4] + 0.3 * noise[7],
        ],
        axis=1,
    )  # fmt: skip


def store_years(instance: Instance, years: Years) -> int:
    """Leave a fleet's years in the tables that training reads; return the number of failures."""
    fleet = years.fleet
    ids = let_in(instance, fleet)
    with instance.pool.connection() as connection:
        product_id = _product_id(connection, fleet)
        kind = read_layout(connection, product_id=product_id, layout=fleet.layout)
        save_progress(
            connection,
            DeviceSpans(
                device_ids=np.sort(ids),
                oldest_ms=np.full(len(ids), years.begins_us // 1000),
                through_ms=np.full(len(ids), BEGINS_US // 1000),
                samples=np.full(len(ids), years.days * 1440),
            ),
            now=wall_now(),
        )
    failures = 0
    for first in range(0, fleet.devices, _AT_ONCE):
        some = range(first, min(fleet.devices, first + _AT_ONCE))
        drawn = [years.year(device) for device in some]
        failures += sum(len(year.fails_us) for year in drawn)
        with instance.pool.connection() as connection:
            _leave(connection, kind, years, ids[first : some.stop], drawn)
            _store_findings(connection, years, ids[first : some.stop], drawn)
    with instance.pool.connection() as connection:
        connection.execute("analyze anomaly.window")
        connection.execute("analyze anomaly.forecast")
    return failures


def _leave(
    connection: Connection, kind: LayoutRow, years: Years, ids: IntArray, drawn: list[Year]
) -> None:
    """Write windows of all, and what the first layer said of those that judge, as the scorer does."""
    yard = years.fleet.yard
    rows = sum(len(year.values) for year in drawn)
    normal = np.zeros((rows, len(kind.names.watched)))
    wear = np.concatenate([year.wear for year in drawn])
    output = FleetOutput(
        rows=WindowRows(
            owner=np.repeat(np.arange(len(ids)), len(years.at_us)),
            at_us=np.tile(years.at_us, len(drawn)),
            measured=np.concatenate([year.values for year in drawn]),
            expected=normal,
            spread=yard.sigma,
            score=normal,
            health=np.clip(1 - wear, 0, 1),
            wear_score=4 * wear,
        ),
        forecasts=_said(years, ids),
        told={},
        fresh={},
    )
    baseline = store.read_baseline(connection, product_id=_product_id(connection, years.fleet))
    assert baseline is not None
    crowd = CrowdOutput(device_ids=ids, baseline_id=baseline.id, yard=yard, output=output)
    write_results(connection, kind, devices=(), crowds=[crowd], now=wall_now())


def _said(years: Years, ids: IntArray) -> QuietForecasts:
    """All is well, said at every instant that is judged of every device."""
    every = int(years.fleet.product.forecast_every.total_seconds() * 1e6)
    begins = years.begins_us + round((TRAIN_SHARE + CALIBRATE_SHARE) * years.days * _DAY_US)
    at_us = np.arange(begins // every + 1, BEGINS_US // every + 1, dtype=np.int64) * every
    number, modes = len(ids) * len(at_us), len(years.fleet.layout.modes)
    return QuietForecasts(
        owner=np.repeat(np.arange(len(ids)), len(at_us)),
        at_us=np.tile(at_us, len(ids)),
        is_silent=np.zeros(number, dtype=np.bool_),
        outside=np.zeros((number, len(years.fleet.layout.conditions)), dtype=np.bool_),
        serviced_us=np.full((number, modes), NEVER),
        sizes=np.zeros((number, modes)),
    )


def _product_id(connection: Connection, fleet: Fleet) -> int:
    row = connection.execute(queries["scoring_product"], {"name": fleet.name}).fetchone()
    assert row is not None
    return int(row[0])


def _store_findings(connection: Connection, years: Years, ids: IntArray, drawn: list[Year]) -> None:
    """Findings without the tickets before them: they are all that learning reads."""
    connection.execute("set local session_replication_role = replica")
    modes = years.fleet.product.failure_modes
    found = [
        (device_id, modes[place].name, modes[place].component, at_us)
        for device_id, year in zip(ids.tolist(), drawn, strict=True)
        for at_us, place in zip(year.fails_us.tolist(), year.mode.tolist(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_maintenance["record_finding"], [_finding(*one) for one in found])
    connection.execute("set local session_replication_role = origin")


def _finding(device_id: int, mode: str, component: str, at_us: int) -> dict[str, object]:
    """Of a visit that was never planned: its work order's number is below 0, where there are none."""
    return {
        "work_order_id": -1 - device_id * 1_000_000 - (at_us - BEGINS_US) // HOUR_US,
        "device_id": device_id, "failure_mode": mode, "component": component,
        "verdict": "confirmed", "note": "", "parts": Jsonb([]), "checklist_done": Jsonb([]),
        "found_at": instant(at_us), "by": "bench", "now": wall_now(),
    }  # fmt: skip
