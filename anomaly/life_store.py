"""Keeps what failures have taught about remaining lives, and learns it anew. The caller commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg.types.json import Jsonb

from anomaly import store
from anomaly.evidence import instant
from anomaly.learn.labels import REPLACED
from anomaly.lives import FAILURES_MAX, LEARN_EVERY, LOOK_BACK, Correction, Miss, learn_correction
from anomaly.records import LIFE_SHARES
from anomaly.report import stored_worn
from core.pool import Connection
from core.product import Product
from core.sql import Queries
from core.units import US

_US_PER_HOUR = 3.6e9
_queries = Queries("anomaly")


def read_corrections(
    connection: Connection, *, product_id: int, since_us: int | None = None
) -> list[Correction]:
    """Read those in force for forecasts that are made at an instant or later, the oldest first; by default all there ever were."""
    since = None if since_us is None else instant(since_us)
    key = {"product_id": product_id, "since": since}
    rows = connection.execute(_queries["life_corrections"], key).fetchall()
    return [
        Correction(
            from_us=store.to_us(from_at),
            failures=failures,
            scores={
                mode: tuple(tuple(tuple(row) for row in rows) for rows in by_worn)
                for mode, by_worn in by_mode.items()
            },
        )
        for from_at, failures, by_mode in rows
    ]


def learn_lives(
    connection: Connection, *, product_id: int, product: Product, newest_us: int, now: datetime
) -> Correction | None:
    """Learn from all failures up to now if something has failed since, at most once a week of event time.

    Parameters
    ----------
    newest_us : int
        Event time of the product's newest sample: no forecast has been made about the time after it.

    Returns
    -------
    Correction or None
        None where there is nothing new.
    """
    newest = connection.execute(_queries["newest_life_correction"], {"product_id": product_id})
    row = newest.fetchone()
    since_us = store.to_us(row[0]) if row and row[0] else 0
    if newest_us - since_us < LEARN_EVERY // US:
        return None
    failures = _failures(connection, product_id=product_id, until_us=newest_us)
    if not failures or failures[-1].at_us <= since_us:
        return None
    misses = _misses(connection, product, failures)
    found = learn_correction(misses, from_us=newest_us)
    connection.execute(
        _queries["add_life_correction"],
        {
            "product_id": product_id, "from_at": instant(found.from_us),
            "failures": found.failures, "scores": Jsonb(found.scores), "now": now,
        },
    )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    device_id: int
    mode: str
    at_us: int


def _failures(connection: Connection, *, product_id: int, until_us: int) -> list[_Failure]:
    """Find the newest failures, the oldest first."""
    rows = connection.execute(
        _queries["failures_reported"],
        {"product_id": product_id, "until": instant(until_us), "limit": FAILURES_MAX},
    ).fetchall()
    return [_Failure(device_id=r[0], mode=r[1], at_us=store.to_us(r[2])) for r in reversed(rows)]


def _misses(connection: Connection, product: Product, failures: Sequence[_Failure]) -> list[Miss]:
    """Read what was said before each failure, since the part before it failed or was replaced."""
    begins = _begins(connection, product, failures)
    rows = connection.execute(
        _queries["lives_said"],
        {
            "numbers": list(range(len(failures))),
            "ids": [one.device_id for one in failures],
            "modes": [one.mode for one in failures],
            "since": [instant(begin) for begin in begins],
            "until": [instant(one.at_us) for one in failures],
        },
    )
    made: list[list[int]] = [[] for _ in failures]
    said: list[list[list[float]]] = [[] for _ in failures]
    worn: list[list[float]] = [[] for _ in failures]
    for number, made_at, life, health in rows:
        made[number].append(store.to_us(made_at))
        said[number].append(life)
        worn[number].append(stored_worn(health))
    return [
        Miss(
            mode=one.mode,
            said_hours=np.array(life, dtype=np.float64).reshape(-1, len(LIFE_SHARES)),
            left_hours=(one.at_us - np.array(at, dtype=np.int64)) / _US_PER_HOUR,
            worn=np.array(own, dtype=np.float64),
        )
        for one, at, life, own in zip(failures, made, said, worn, strict=True)
    ]


def _begins(connection: Connection, product: Product, failures: Sequence[_Failure]) -> list[int]:
    """When each part that failed was new, as far as it matters."""
    components = {mode.name: mode.component for mode in product.failure_modes}
    services = store.read_services(connection, device_ids=[one.device_id for one in failures])
    found = []
    for one in failures:
        begins = [one.at_us - LOOK_BACK // US]
        begins += [
            other.at_us
            for other in failures
            if (other.device_id, other.mode) == (one.device_id, one.mode)
            and other.at_us < one.at_us
        ]
        begins += [
            service.found_us
            for service in services.get(one.device_id, ())
            if service.verdict in REPLACED
            and service.component == components.get(one.mode)
            and service.found_us < one.at_us
        ]
        found.append(max(begins))
    return found
