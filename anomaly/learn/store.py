"""Fills histories from the database: what the learned layer reads in production. Never commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from psycopg import sql

from anomaly.binary import POSTGRES_EPOCH_US
from anomaly.evidence import instant
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import Labels, ReportedFault, labels_of
from anomaly.learn.reach import Codes, codes_since_us, early_until_us
from anomaly.learn.wear import SHOWN_BELOW, has_begun_before
from anomaly.packed import Names
from anomaly.records import IntArray, Reals
from anomaly.state_store import read_layouts
from anomaly.store import read_services, to_us
from core.errors import NotFoundError
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
DEVICES_PER_READ = 20
"""Of which the windows are read with one query: some ten megabytes a device and year of hourly ones at most,
and several times that while they are taken apart."""


def read_history(
    connection: Connection, catalog: Catalog, device_id: int, *, until_us: int | None = None
) -> History:
    """Read what is known of one device, up to an instant if given.

    Raises
    ------
    NotFoundError
        If the device has sent nothing.
    """
    found = read_histories(connection, catalog, [device_id], until_us=until_us)
    if not found:
        raise NotFoundError(
            f"device {device_id} has sent nothing yet", hint="`forecare device list` shows who has"
        )
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far back is read (`anomaly.learn.reach`)."""

    from_us: Mapping[int, int]
    """First instant of which something is asked, by device."""
    windows: int
    """At and before it; beside them those of early life, and the two that tell since when wear has been seen."""
    codes: Codes | None
    """Beside the last of each kind."""


def read_recent(
    connection: Connection, catalog: Catalog, device_ids: Sequence[int], reach: Reach
) -> list[History]:
    """Read what forecasts from some instant on need of some devices, as `anomaly.learn.reach.recent` would leave it.

    What comes back does not grow with the age of a device but by its failures and replacements, and, where features count
    codes since a failure (`Codes.since_failures`), by the codes since then: that count cannot be bounded and stay the same.
    """
    found: list[History] = []
    for start in range(0, len(device_ids), DEVICES_PER_READ):
        some = device_ids[start : start + DEVICES_PER_READ]
        facts = _read_facts(connection, catalog, some, None, reach)
        histories = {life.device_id: _history(catalog, facts, life) for life in facts.lives}
        begun = _read_begins(connection, catalog, facts, histories, reach)
        if begun:
            blocks = {
                device_id: [*facts.blocks[device_id], *more] for device_id, more in begun.items()
            }
            facts = replace(facts, blocks={**facts.blocks, **blocks})
            histories |= {
                life.device_id: _history(catalog, facts, life)
                for life in facts.lives
                if life.device_id in begun
            }
        found += histories.values()
    return found


def _read_begins(
    connection: Connection,
    catalog: Catalog,
    facts: "_Facts",
    histories: Mapping[int, History],
    reach: Reach,
) -> dict[int, list["_Block"]]:
    """Windows that tell since when wear has been seen that the first of the newest windows shows already, by device."""
    asked: list[tuple[int, str, datetime, datetime]] = []
    for life in facts.lives:
        history = histories[life.device_id]
        from_us = reach.from_us[life.device_id]
        first = int(np.searchsorted(history.at_us, from_us, side="right")) - reach.windows
        early_us = early_until_us(catalog, life.begins_us)
        if first < int(np.searchsorted(history.at_us, early_us, side="right")):
            continue
        before, early = instant(int(history.at_us[first])), instant(early_us)
        asked += [
            (life.device_id, catalog.modes[mode], before, early)
            for mode in np.flatnonzero(has_begun_before(history.health[first:]))
        ]
    if not asked:
        return {}
    ids, modes, before_at, early_until = (list(column) for column in zip(*asked, strict=True))
    key = {
        "ids": ids, "modes": modes, "before": before_at, "early_until": early_until,
        "shown_below": SHOWN_BELOW,
    }  # fmt: skip
    return _read_blocks(connection, "worn_window_blocks", key)


def read_histories(
    connection: Connection,
    catalog: Catalog,
    device_ids: Sequence[int],
    *,
    until_us: int | None = None,
) -> list[History]:
    """Read what is known of some devices, in their order; those that have sent nothing are left out.

    Values and health are those of `anomaly.window`: windows that were scored, with the precision that is
    stored. A finding counts from when it was made; what came later than `until_us` is not known.
    """
    found: list[History] = []
    for start in range(0, len(device_ids), DEVICES_PER_READ):
        some = device_ids[start : start + DEVICES_PER_READ]
        facts = _read_facts(connection, catalog, some, until_us)
        found += [_history(catalog, facts, life) for life in facts.lives]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    device_id: int
    name: str
    begins_us: int
    first_us: int
    until_us: int
    traits: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Some windows of a device that were written with the same layout."""

    names: Names
    at_us: IntArray
    observed: Reals
    health: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """By device."""

    lives: Sequence[_Life]
    blocks: Mapping[int, Sequence[_Block]]
    labels: Mapping[int, Labels]
    events: Mapping[int, Sequence[tuple[int, int, int]]]
    """Instant, place in `Catalog.codes`, code."""


def _read_facts(
    connection: Connection,
    catalog: Catalog,
    device_ids: Sequence[int],
    until_us: int | None,
    reach: Reach | None = None,
) -> _Facts:
    lives = _read_lives(connection, device_ids, until_us)
    until = instant(max((life.until_us for life in lives), default=0))
    key = {"ids": [life.device_id for life in lives], "until": until}
    labels = _read_labels(connection, catalog, lives)
    if reach is None:
        blocks = _read_blocks(connection, "window_blocks", key)
        events = _read_events(connection, catalog, "codes", key)
    else:
        blocks = _read_blocks(
            connection, "recent_window_blocks", key | _ends(catalog, lives, reach)
        )
        events = _read_recent_events(connection, catalog, reach, labels, key)
    return _Facts(lives=lives, blocks=blocks, labels=labels, events=events)


def _read_labels(
    connection: Connection, catalog: Catalog, lives: Sequence[_Life]
) -> dict[int, Labels]:
    ids = [life.device_id for life in lives]
    faults: dict[int, list[ReportedFault]] = {}
    for device_id, mode, at in connection.execute(_queries["reported_faults"], {"ids": ids}):
        fault = ReportedFault(failure_mode=mode, at_us=to_us(at))
        faults.setdefault(device_id, []).append(fault)
    findings = read_services(connection, device_ids=ids)
    return {
        life.device_id: labels_of(
            catalog,
            findings=[f for f in findings.get(life.device_id, ()) if f.found_us <= life.until_us],
            faults=[f for f in faults.get(life.device_id, ()) if f.at_us <= life.until_us],
        )
        for life in lives
    }


def _read_lives(
    connection: Connection, device_ids: Sequence[int], until_us: int | None
) -> list[_Life]:
    rows = connection.execute(_queries["lives"], {"ids": list(device_ids)}).fetchall()
    by_id = {}
    for device_id, name, delivered_at, first_at, through_at, lot, firmware, city in rows:
        first, through = to_us(first_at), to_us(through_at)
        traits = {"lot": lot, "firmware": firmware, "site": city}
        by_id[device_id] = _Life(
            device_id=device_id,
            name=name,
            begins_us=first if delivered_at is None else min(first, to_us(delivered_at)),
            first_us=first,
            until_us=through if until_us is None else min(through, until_us),
            traits={key: value for key, value in traits.items() if value},
        )
    return [by_id[device_id] for device_id in device_ids if device_id in by_id]


def _ends(catalog: Catalog, lives: Sequence[_Life], reach: Reach) -> dict[str, object]:
    early = [early_until_us(catalog, life.begins_us) for life in lives]
    return {
        "early_until": [instant(at) for at in early],
        "from": [instant(reach.from_us[life.device_id]) for life in lives],
        "windows": reach.windows,
    }


def _read_blocks(
    connection: Connection, query: str, key: Mapping[str, object]
) -> dict[int, list[_Block]]:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_queries[query], key).fetchall()
    layouts = read_layouts(connection, sorted({row[1] for row in rows}))
    found: dict[int, list[_Block]] = {}
    for device_id, layout_id, at, observed, health in rows:
        names = layouts[layout_id]
        at_us = np.frombuffer(at, dtype=">i8").astype(np.int64) + POSTGRES_EPOCH_US
        block = _Block(
            names=names,
            at_us=at_us,
            observed=_arrays(observed, rows=len(at_us), width=len(names.measured)),
            health=_arrays(health, rows=len(at_us), width=len(names.modes)),
        )
        found.setdefault(device_id, []).append(block)
    return found


def _arrays(block: bytes, *, rows: int, width: int) -> Reals:
    """Take apart arrays of real in their binary form: five numbers of a head, then length and value."""
    if not width:
        return np.empty((rows, 0), dtype=np.float32)
    item = np.dtype([("size", ">i4"), ("value", ">f4")])
    record = np.dtype([("head", ">i4", (5,)), ("items", item, (width,))])
    return np.frombuffer(block, dtype=record)["items"]["value"].astype(np.float32)


def _read_recent_events(
    connection: Connection,
    catalog: Catalog,
    reach: Reach,
    labels: Mapping[int, Labels],
    key: Mapping[str, object],
) -> dict[int, list[tuple[int, int, int]]]:
    if reach.codes is None:
        return {}
    since = [
        codes_since_us(
            reach.codes, from_us=reach.from_us[device_id], failure_us=own.failure_us,
            failure_mode=own.failure_mode,
        )
        for device_id, own in labels.items()
    ]  # fmt: skip
    since_at = [instant(at_us) for at_us in since]
    return _read_events(connection, catalog, "recent_codes", {**key, "since": since_at})


def _read_events(
    connection: Connection, catalog: Catalog, name: str, key: Mapping[str, object]
) -> dict[int, list[tuple[int, int, int]]]:
    found: dict[int, list[tuple[int, int, int]]] = {}
    for place, metric in enumerate(catalog.codes):
        query = sql.SQL(_queries[name]).format(
            metric=sql.Identifier(metric), table=sql.Identifier(catalog.product.name)
        )
        for device_id, at, code in connection.execute(query, key):
            found.setdefault(device_id, []).append((to_us(at), place, code))
    return found


def _history(catalog: Catalog, facts: _Facts, life: _Life) -> History:
    blocks = facts.blocks.get(life.device_id, ())
    at_us = np.concatenate([np.empty(0, dtype=np.int64), *(block.at_us for block in blocks)])
    order = np.argsort(at_us, kind="stable")
    order = order[at_us[order] <= life.until_us]
    values = [_columns(block.observed, block.names.measured, catalog.metrics) for block in blocks]
    health = [_columns(block.health, block.names.modes, catalog.modes) for block in blocks]
    labels = facts.labels[life.device_id]
    events = sorted(e for e in facts.events.get(life.device_id, ()) if e[0] <= life.until_us)
    columns = np.array(events, dtype=np.int64).reshape(-1, 3)
    return History(
        device=life.name,
        begins_us=life.begins_us,
        until_us=life.until_us,
        watched_from_us=life.first_us,
        at_us=at_us[order],
        values=_joined(values, len(catalog.metrics), order),
        health=_joined(health, len(catalog.modes), order),
        event_us=columns[:, 0],
        event_metric=columns[:, 1],
        event_code=columns[:, 2],
        service_us=labels.service_us,
        service_component=labels.service_component,
        failure_us=labels.failure_us,
        failure_mode=labels.failure_mode,
        doubt_us=labels.doubt_us,
        doubt_mode=labels.doubt_mode,
        traits=life.traits,
    )


def _columns(table: Reals, names: Sequence[str], wanted: Sequence[str]) -> Reals:
    """Put columns into another order; NaN for those that there were not."""
    if tuple(names) == tuple(wanted):
        return table
    place = {name: i for i, name in enumerate(names)}
    found = np.full((len(table), len(wanted)), np.nan, dtype=np.float32)
    for column, name in enumerate(wanted):
        if name in place:
            found[:, column] = table[:, place[name]]
    return found


def _joined(tables: Sequence[Reals], width: int, order: IntArray) -> Reals:
    """Stack tables and take some rows; no copy where it is one table and all of its rows in their order."""
    if len(tables) == 1 and np.array_equal(order, np.arange(len(tables[0]))):
        return tables[0]
    return np.concatenate([np.empty((0, width), dtype=np.float32), *tables])[order]
