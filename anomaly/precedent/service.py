"""What others may call: sum up what earlier cases came to, once a day, and say it beside new forecasts."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from anomaly import evidence as words
from anomaly.daily import claim_day, keep_day
from anomaly.precedent import store
from anomaly.precedent.store import Known
from anomaly.precedent.summary import Summary, summarise_cases
from anomaly.records import Sentence
from anomaly.store import ProductRow, to_us
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
KEYS = ("similar", "record")


def look_at_precedents(connection: Connection, row: ProductRow, *, now: datetime) -> int:
    """Sum up the cases of a product as far as they are known, once for each day; the caller commits.

    Returns
    -------
    int
        Failure modes of which something new is known.
    """
    through = claim_day(connection, row, job="precedents", now=now)
    if through is None:
        return 0
    known = store.read_known(connection, product_id=row.id)
    changed = 0
    for mode, devices in store.read_declines(connection, row, through=through).items():
        summary = summarise_cases(devices, through_us=to_us(through))
        before = known[mode][-1][1] if mode in known else Summary()
        if summary != before:
            store.add_summary(
                connection, product_id=row.id, failure_mode=mode, summary=summary, through=through,
                now=now,
            )  # fmt: skip
            changed += 1
    keep_day(connection, product_id=row.id, job="precedents", through=through, now=now)
    return changed


class Precedents:
    """What is known of each product's cases, read again only when something was added."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Mapping[str, Known]]] = {}

    def of(self, connection: Connection, product_id: int) -> Mapping[str, Known]:
        mark = store.known_mark(connection, product_id=product_id)
        known = self._known.get(product_id)
        if known is None or known[0] != mark:
            found = store.read_known(connection, product_id=product_id) if mark[0] else {}
            known = self._known[product_id] = (mark, found)
        return known[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """A forecast or a detection of a declining part, written in this transaction."""

    id: int
    failure_mode: str
    at: datetime
    degradation: float | None
    chance: float | None
    evidence: dict[str, Any]


def tell_precedents(
    connection: Connection,
    *,
    known: Mapping[str, Known],
    device_ids: Sequence[int],
    since_us: int,
    now: datetime,
) -> int:
    """Put beside new forecasts and detections what was known then of earlier cases; the caller commits.

    Parameters
    ----------
    known : mapping
        By failure mode; nothing is read where it is empty.
    device_ids : sequence of int
        Devices that were scored in this transaction.
    since_us : int
        Event time before which none of what is new was made, microseconds since 1970.
    now : datetime
        Wall time that the rows of this transaction bear.

    Returns
    -------
    int
        Rows to which something was added.
    """
    if not known or not device_ids:
        return 0
    values = {
        "device_ids": list(device_ids),
        "now": now,
        "from_at": words.instant(since_us),
        "modes": list(known),
    }
    told = 0
    for name in ("forecasts", "detections"):
        rows = connection.execute(_queries[f"fresh_declining_{name}"], values).fetchall()
        changed = []
        for row in rows:
            fresh = _Fresh(
                id=row[0], failure_mode=row[1], at=row[2], degradation=row[3], chance=row[4],
                evidence=row[5],
            )  # fmt: skip
            said = sentences_for(
                known_at(known[fresh.failure_mode], fresh.at),
                degradation=fresh.degradation,
                chance=fresh.chance,
            )
            if said:
                changed.append((fresh.id, _with(fresh.evidence, said)))
        if changed:
            store.keep_evidence(connection, f"keep_evidence_of_{name}", changed)
        told += len(changed)
    return told


def known_at(known: Known, at: datetime) -> Summary:
    """Return what was known at an instant: the newest summary that is not of later days."""
    place = bisect_right([since for since, _ in known], at)
    return known[place - 1][1] if place else Summary()


def sentences_for(
    summary: Summary, *, degradation: float | None, chance: float | None
) -> list[Sentence]:
    """Say what earlier cases came to; nothing where there were none."""
    said = []
    similar = summary.similar_to(degradation)
    if similar is not None and similar.cases:
        said.append(
            words.similar_sentence(
                cases=similar.cases, failed=similar.failed, first_days=similar.first_days,
                last_days=similar.last_days, worn=similar.worn, nothing=similar.nothing,
            )
        )  # fmt: skip
    record = summary.record_of(chance)
    if record is not None and record.cases:
        said.append(
            words.record_sentence(
                low=record.low, high=record.high, cases=record.cases, right=record.right
            )
        )
    return said


def _with(evidence: dict[str, Any], said: Sequence[Sentence]) -> dict[str, Any]:
    before = [s for s in evidence.get("sentences", []) if s.get("key") not in KEYS]
    return evidence | {"sentences": [*before, *map(msgspec.to_builtins, said)]}
