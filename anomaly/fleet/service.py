"""What others may call: look at a product's groups of devices, once for each day of its stream."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from anomaly.daily import claim_day, keep_day
from anomaly.fleet import store
from anomaly.fleet.issue import next_state
from anomaly.fleet.overlap import Overlap, overlaps
from anomaly.fleet.standing import Group, Standing, Watch, judge
from anomaly.fleet.watches import watches_of
from anomaly.fleet.words import say
from anomaly.store import ProductRow
from core.failpoint import failpoint
from core.pool import Connection
from core.product import Product
from core.units import EPOCH

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look did."""

    through: datetime
    """Event time, the end of a day."""
    groups: int
    flagged: int
    changed: int


def look_at_product(connection: Connection, row: ProductRow, *, now: datetime) -> Look | None:
    """Look at all groups of a product, once for each day of its stream; the caller commits.

    Everything is judged anew from what is stored: the evidence needs no plan of looks.
    """
    through = claim_day(connection, row, job="groups", now=now)
    if through is None:
        return None
    product_id, product = row.id, row.product
    sisters = store.read_sisters(connection, product_id=product_id)
    modes = {mode.name for mode in product.failure_modes}
    alike = [s for s in sisters if modes & {mode.name for mode in s.product.failure_modes}]
    product_ids = [s.product_id for s in alike]
    watches = watches_of(
        product_id,
        alike,
        store.read_members(connection, product_ids=product_ids, through=through),
        store.read_events(connection, product_ids=product_ids, through=through),
    )
    # Each product looks after itself; the others' rows are written when they are looked at.
    title = next(s.title for s in alike if s.product_id == product_id)
    standings = [s for s in judge(watches) if s.group.trait != "product" or s.group.value == title]
    changed = _keep(connection, standings, watches, product_id=product_id, product=product, through=through, now=now)  # fmt: skip
    groups = len(standings)
    keep_day(connection, product_id=product_id, job="groups", through=through, now=now)
    failpoint("anomaly.before_look_commit")
    return Look(
        through=through,
        groups=groups,
        flagged=sum(s.is_flagged for s in standings),
        changed=changed,
    )


def _keep(  # noqa: PLR0913 - one look, by keyword
    connection: Connection,
    standings: list[Standing],
    watches: list[Watch],
    *,
    product_id: int,
    product: Product,
    through: datetime,
    now: datetime,
) -> int:
    """Write the issues that are worth a row, and what changed; return how many changed."""
    known = store.read_known(connection, product_id=product_id)
    flagged = {group for group, before in known.items() if before.state == "flagged"}
    beside = _beside(watches, [s for s in standings if s.is_flagged or s.group in flagged])
    changed = 0
    for standing in standings:
        before = known.pop(standing.group, None)
        then = next_state(before.state if before else None, standing)
        if then is None:
            continue
        since = _instant(standing.since_day)
        shared = beside.get(standing.group, ())
        issue_id = store.keep_issue(
            connection,
            product_id=product_id,
            standing=standing,
            then=then,
            since=since,
            overlaps=shared,
            sentences=say(
                standing,
                reason=then.reason,
                mode=product.failure_mode(standing.group.mode).title,
                since=since,
                overlaps=shared,
            ),
            through=through,
            now=now,
        )
        if before is None or before.state != then.state:
            store.add_change(connection, issue_id=issue_id, now=now)
            changed += 1
    for gone in known.values():
        if gone.state != "cleared":
            store.clear_issue(connection, issue_id=gone.id, through=through, now=now)
            store.add_change(connection, issue_id=gone.id, now=now)
            changed += 1
    return changed


def _beside(watches: list[Watch], flagged: list[Standing]) -> dict[Group, tuple[Overlap, ...]]:
    """Hold each flagged group against the groups that share its devices."""
    found: dict[Group, tuple[Overlap, ...]] = {}
    for watch in watches:
        names = {trait.name for trait in watch.failed.traits}
        own = [s for s in flagged if s.group.mode == watch.mode and s.group.trait in names]
        if own:
            found |= overlaps(watch.failed, own)
    return found


def _instant(day: float | None) -> datetime | None:
    if day is None or not np.isfinite(day):
        return None
    return (EPOCH + day * _DAY).astimezone(UTC).replace(microsecond=0)
