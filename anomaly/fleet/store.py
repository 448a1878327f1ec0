"""Runs the SQL of emerging issues. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from psycopg.types.json import Jsonb

from anomaly.fleet.issue import Next, Reason, State
from anomaly.fleet.overlap import Overlap
from anomaly.fleet.standing import Group, Standing
from anomaly.fleet.watches import Events, Member, Sister
from anomaly.records import Sentence
from anomaly.store import to_us
from core.pool import Connection
from core.product import product_from_json
from core.sql import Queries

_queries = Queries("anomaly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An issue as it was after the look before."""

    id: int
    state: State
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRow:
    """An issue for people."""

    product: str
    state: State
    state_since: datetime
    well: int
    ratio: float
    ratio_low: float
    ratio_high: float
    sentences: tuple[Sentence, ...]


def watermark(connection: Connection, *, product_id: int, late_after: timedelta) -> datetime | None:
    values = {"product_id": product_id, "late_after": late_after}
    row = connection.execute(_queries["fleet_watermark"], values).fetchone()
    return row[0] if row else None


def read_sisters(connection: Connection, *, product_id: int) -> list[Sister]:
    rows = connection.execute(_queries["sister_products"], {"product_id": product_id}).fetchall()
    return [
        Sister(product_id=row[0], title=row[1], product=product_from_json(row[2])) for row in rows
    ]


def read_members(
    connection: Connection, *, product_ids: Sequence[int], through: datetime
) -> list[Member]:
    values = {"product_ids": list(product_ids), "through": through}
    return [
        Member(
            device_id=row[0],
            product_id=row[1],
            lot=row[2],
            city=row[3],
            firmware=row[4],
            born_us=to_us(row[5]),
            since_us=to_us(row[6]),
            until_us=to_us(row[7]),
            is_in_service=row[8],
        )
        for row in connection.execute(_queries["fleet_devices"], values)
    ]


def read_events(connection: Connection, *, product_ids: Sequence[int], through: datetime) -> Events:
    values = {"product_ids": list(product_ids), "through": through}

    def firsts(name: str) -> dict[tuple[int, str], int]:
        rows = connection.execute(_queries[name], values)
        return {(row[0], row[1]): to_us(row[2]) for row in rows}

    versions: dict[int, list[tuple[int, str]]] = {}
    for device_id, version, since in connection.execute(_queries["fleet_firmware"], values):
        versions.setdefault(device_id, []).append((to_us(since), version))
    return Events(
        failures=firsts("fleet_failures"),
        signs=firsts("fleet_signs"),
        replaced=firsts("fleet_replaced"),
        versions=versions,
    )


def read_known(connection: Connection, *, product_id: int) -> dict[Group, Known]:
    rows = connection.execute(_queries["known_issues"], {"product_id": product_id}).fetchall()
    return {
        Group(mode=row[1], trait=row[2], value=row[3]): Known(
            id=row[0], state=row[4], reason=row[5]
        )
        for row in rows
    }


def keep_issue(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    standing: Standing,
    then: Next,
    since: datetime | None,
    overlaps: Sequence[Overlap],
    sentences: Sequence[Sentence],
    through: datetime,
    now: datetime,
) -> int:
    """Write what a look saw of a group, and return the issue's id."""
    row = connection.execute(
        _queries["keep_issue"],
        {
            "product_id": product_id,
            "failure_mode": standing.group.mode,
            "trait": standing.group.trait,
            "value": standing.group.value,
            "state": then.state,
            "reason": then.reason,
            "devices": standing.devices,
            "well": standing.well,
            "failures": standing.failures,
            "expected": standing.expected,
            "signs": standing.signs,
            "expected_signs": standing.expected_signs,
            "ratio": standing.ratio,
            "ratio_low": standing.ratio_low,
            "ratio_high": standing.ratio_high,
            "log_evidence": standing.log_evidence,
            "since": since,
            "shared_with": Jsonb(msgspec.to_builtins(tuple(overlaps))),
            "sentences": Jsonb(msgspec.to_builtins(tuple(sentences))),
            "through": through,
            "now": now,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def clear_issue(connection: Connection, *, issue_id: int, through: datetime, now: datetime) -> None:
    values = {"issue_id": issue_id, "through": through, "now": now}
    connection.execute(_queries["clear_issue"], values)


def add_change(connection: Connection, *, issue_id: int, now: datetime) -> None:
    connection.execute(_queries["add_change"], {"issue_id": issue_id, "now": now})


def read_issues(
    connection: Connection, *, product: str | None, with_cleared: bool, limit: int
) -> list[IssueRow]:
    values = {"product": product, "with_cleared": with_cleared, "limit": limit}
    return [
        IssueRow(
            product=row[0],
            state=row[1],
            state_since=row[2],
            well=row[3],
            ratio=row[4],
            ratio_low=row[5],
            ratio_high=row[6],
            sentences=msgspec.convert(row[7], tuple[Sentence, ...]),
        )
        for row in connection.execute(_queries["issues"], values)
    ]
