"""Reads what earlier cases came to, keeps summaries of it, and puts them beside new forecasts. Never commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
from psycopg.types.json import Jsonb

from anomaly.precedent.summary import Declines, Found, Summary, endings_of
from anomaly.store import ProductRow, to_us
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
LOOK_BACK = timedelta(days=3 * 365)
"""Older cases are forgotten: a look costs no more however long the platform has run."""

Known = Sequence[tuple[datetime, Summary]]
"""Summaries of one failure mode and since when each was known, oldest first."""


def read_declines(
    connection: Connection, row: ProductRow, *, through: datetime
) -> dict[str, list[Declines]]:
    """Return what was forecast of declining parts and what came of it, by failure mode."""
    values = {"product_id": row.id, "from_at": through - LOOK_BACK, "through": through}
    claims: dict[tuple[str, int], list[tuple[int, float, float]]] = {}
    for device_id, mode, made_at, degradation, chance in connection.execute(
        _queries["declines"], values
    ):
        claim = (to_us(made_at), _number(degradation), _number(chance))
        claims.setdefault((mode, device_id), []).append(claim)
    if not claims:
        return {}
    values |= {"device_ids": sorted({device_id for _, device_id in claims})}
    found: dict[int, list[Found]] = {}
    for device_id, mode, component, verdict, at in connection.execute(_queries["found_on"], values):
        one = Found(failure_mode=mode, component=component, verdict=verdict, at_us=to_us(at))
        found.setdefault(device_id, []).append(one)
    reported: dict[tuple[str, int], list[int]] = {}
    for device_id, mode, at in connection.execute(_queries["reported_by"], values):
        reported.setdefault((mode, device_id), []).append(to_us(at))
    watched: dict[int, datetime] = dict(
        connection.execute(_queries["watched_through"], values).fetchall()
    )
    made: dict[str, list[Declines]] = {}
    for mode in row.product.failure_modes:
        for (name, device_id), own in claims.items():
            if name != mode.name:
                continue
            table = np.array(own, dtype=np.float64)
            made.setdefault(name, []).append(
                Declines(
                    at_us=np.array([line[0] for line in own], dtype=np.int64),
                    degradation=table[:, 1],
                    chance=table[:, 2],
                    endings=endings_of(
                        component=mode.component, mode=name, found=found.get(device_id, []),
                        reported_us=reported.get((name, device_id), []),
                    ),
                    watched_us=to_us(watched[device_id]),
                )
            )  # fmt: skip
    return made


def read_known(connection: Connection, *, product_id: int) -> dict[str, Known]:
    """Return all summaries of a product by failure mode."""
    known: dict[str, list[tuple[datetime, Summary]]] = {}
    for mode, at, summary in connection.execute(_queries["precedents"], {"product_id": product_id}):
        known.setdefault(mode, []).append((at, msgspec.convert(summary, Summary)))
    return dict(known)


def known_mark(connection: Connection, *, product_id: int) -> tuple[int, datetime | None]:
    """Return what changes whenever a summary is added."""
    row = connection.execute(_queries["precedents_mark"], {"product_id": product_id}).fetchone()
    assert row is not None
    return row[0], row[1]


def add_summary(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    failure_mode: str,
    summary: Summary,
    through: datetime,
    now: datetime,
) -> None:
    values = {
        "product_id": product_id,
        "failure_mode": failure_mode,
        "through": through,
        "summary": Jsonb(msgspec.to_builtins(summary)),
        "now": now,
    }
    connection.execute(_queries["add_precedent"], values)


def keep_evidence(
    connection: Connection, query: str, changed: Sequence[tuple[int, Mapping[str, object]]]
) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            _queries[query], [{"id": row_id, "evidence": Jsonb(said)} for row_id, said in changed]
        )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
