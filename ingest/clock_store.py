"""Runs the SQL about wrong clocks: the only writer of ingest.clock and ingest.shifted. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from core.pool import Connection
from core.product import Product
from core.sql import Queries
from ingest import store
from ingest.clocks import FLAG, columns_of, instants_of, set_apart
from ingest.records import Admission, Shifted

_queries = Queries("ingest")

_LOOKS_MAX = 20
"""Each moves what is in the way twice as far as the one before: the last by a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How far off a device's clock is."""

    ahead: timedelta
    """Negative: behind."""
    first_at: datetime
    last_at: datetime
    messages: int


def write_shifted(connection: Connection, admission: Admission, *, now: datetime) -> None:
    """Store the samples of devices whose clock is off, each message once.

    A repetition would get another time of arrival, so the primary key cannot tell it: the ledger of
    digests does, in the same transaction. After a crash either both are there or neither.
    """
    if not admission.shifted:
        return
    new = _claim(connection, admission.shifted, now=now)
    for name in sorted({one.product for one in new}):
        product = admission.products[name]
        apart = _set_apart(connection, product, [one for one in new if one.product == name])
        columns = columns_of(apart, product)
        store.merge_samples(connection, product, columns, flag=FLAG)
    _note_clocks(connection, new, now=now)


def clock_of(connection: Connection, device: str) -> Clock | None:
    with connection.cursor(row_factory=class_row(Clock)) as cursor:
        return cursor.execute(_queries["clock"], {"name": device}).fetchone()


def _claim(
    connection: Connection, shifted: Sequence[Shifted], *, now: datetime
) -> Sequence[Shifted]:
    """Return the messages that were not stored before, each once."""
    unique = {(one.device_id, one.digest): one for one in reversed(shifted)}
    ordered = [unique[key] for key in sorted(unique)]
    rows = connection.execute(
        _queries["claim_shifted"],
        {
            "device_ids": [one.device_id for one in ordered],
            "digests": [one.digest for one in ordered],
            "aheads_ms": [one.ahead_ms for one in ordered],
            "now": now,
        },
    ).fetchall()
    new = {(row[0], bytes(row[1])) for row in rows}
    return [one for one in ordered if (one.device_id, one.digest) in new]


def _set_apart(
    connection: Connection, product: Product, shifted: Sequence[Shifted]
) -> Sequence[Shifted]:
    """Give each message instants of its own, beside those that its device has stored already.

    Seldom more than one look: only what has come within the same few milliseconds can be in the way.
    """
    apart = set_apart(shifted, ())
    known: set[tuple[int, int]] = set()
    for attempt in range(_LOOKS_MAX):
        taken = store.taken_instants(connection, product, instants_of(apart))
        if not taken:
            break
        known |= taken
        apart = set_apart(apart, known, step_ms=2**attempt)
    return apart


def _note_clocks(connection: Connection, new: Sequence[Shifted], *, now: datetime) -> None:
    newest = {one.device_id: one.ahead_ms for one in sorted(new, key=lambda one: one.place)}
    counts = dict.fromkeys(newest, 0)
    for one in new:
        counts[one.device_id] += 1
    with connection.cursor() as cursor:
        cursor.executemany(
            _queries["note_clock"],
            [
                {"device_id": device, "ahead_ms": ahead, "messages": counts[device], "now": now}
                for device, ahead in sorted(newest.items())
            ],
        )
