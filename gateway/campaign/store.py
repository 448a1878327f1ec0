"""Runs the SQL of campaigns: the only writer of gateway.campaign and what hangs on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg.rows import class_row, dict_row

from core.pool import Connection
from core.sql import Queries
from gateway.campaign.judge import Life, Verdict
from gateway.campaign.member import Member, State
from gateway.campaign.records import Campaign, CampaignDraft, CampaignEvent, MemberRow
from gateway.campaign.rollout import Bucket, StageCount

_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFilter:
    campaign_id: int | None = None
    ids: Sequence[int] | None = None
    states: Sequence[str] | None = None
    product: str | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device that a campaign may update."""

    id: int
    name: str
    firmware: str


def insert_campaign(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    draft: CampaignDraft,
    *,
    product_id: int,
    firmware_id: int,
    by: str,
    now: datetime,
) -> int:
    row = connection.execute(
        _queries["insert_campaign"],
        {
            "product_id": product_id,
            "firmware_id": firmware_id,
            "title": draft.title or f"{draft.product} {draft.version}",
            "from_versions": list(draft.from_versions),
            "lots": list(draft.lots),
            "stages": list(draft.stages),
            "per_hour": draft.per_hour,
            "hold": draft.hold,
            "watch": draft.watch,
            "offers_max": draft.offers_max,
            "install_within": draft.install_within,
            "tolerated_failures": draft.tolerated_failures,
            "false_stops": draft.false_stops,
            "by": by,
            "now": now,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def list_campaigns(connection: Connection, wanted: CampaignFilter) -> tuple[Campaign, ...]:
    """Return campaigns, the newest first."""
    values = {
        "id": wanted.campaign_id,
        "ids": None if wanted.ids is None else list(wanted.ids),
        "states": None if wanted.states is None else list(wanted.states),
        "product": wanted.product,
        "before": wanted.before,
        "limit": wanted.limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return tuple(_campaign(row) for row in cursor.execute(_queries["list_campaigns"], values))


def lock_campaign(connection: Connection, campaign_id: int) -> str | None:
    """Hold a campaign until the transaction ends; returns its state, None when there is none."""
    row = connection.execute(_queries["lock_campaign"], {"id": campaign_id}).fetchone()
    return str(row[0]) if row else None


def set_state(
    connection: Connection, campaign_id: int, state: str, *, reason: str, now: datetime
) -> None:
    connection.execute(
        _queries["set_campaign_state"],
        {"id": campaign_id, "state": state, "reason": reason, "now": now},
    )


def go_on_in_spite(connection: Connection, campaign_id: int) -> None:
    connection.execute(_queries["go_on_in_spite"], {"id": campaign_id})


def start_clock(connection: Connection, campaign_id: int, *, now: datetime) -> None:
    connection.execute(_queries["start_campaign_clock"], {"id": campaign_id, "now": now})


def begin_comparison(connection: Connection, campaign_id: int) -> None:
    connection.execute(_queries["begin_comparison"], {"id": campaign_id})


def set_stage(connection: Connection, campaign_id: int, stage: int, *, now: datetime) -> None:
    connection.execute(
        _queries["set_campaign_stage"], {"id": campaign_id, "stage": stage, "now": now}
    )


def set_reason(connection: Connection, campaign_id: int, reason: str) -> None:
    connection.execute(_queries["set_campaign_reason"], {"id": campaign_id, "reason": reason})


def set_tokens(connection: Connection, campaign_id: int, bucket: Bucket) -> None:
    connection.execute(
        _queries["set_campaign_tokens"],
        {"id": campaign_id, "tokens": bucket.tokens, "now": bucket.at},
    )


def set_verdict(
    connection: Connection, campaign_id: int, verdict: Verdict, *, now: datetime
) -> None:
    text = msgspec.json.encode(verdict).decode()
    connection.execute(
        _queries["set_campaign_verdict"], {"id": campaign_id, "verdict": text, "now": now}
    )


def add_event(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    campaign_id: int,
    *,
    action: str,
    by: str,
    reason: str = "",
    now: datetime,
) -> None:
    connection.execute(
        _queries["add_campaign_event"],
        {"id": campaign_id, "action": action, "by": by, "reason": reason, "now": now},
    )


def events(connection: Connection, campaign_id: int, *, limit: int) -> tuple[CampaignEvent, ...]:
    with connection.cursor(row_factory=class_row(CampaignEvent)) as cursor:
        return tuple(
            cursor.execute(_queries["campaign_events"], {"id": campaign_id, "limit": limit})
        )


def candidates(connection: Connection, campaign_id: int) -> list[Candidate]:
    with connection.cursor(row_factory=class_row(Candidate)) as cursor:
        return list(cursor.execute(_queries["campaign_candidates"], {"id": campaign_id}))


def overlaps(
    connection: Connection, campaign_id: int, device_ids: Sequence[int]
) -> Mapping[int, int]:
    """Return how many of these devices other unfinished campaigns may still update."""
    rows = connection.execute(
        _queries["campaign_overlaps"], {"id": campaign_id, "device_ids": list(device_ids)}
    ).fetchall()
    return {int(row[0]): int(row[1]) for row in rows}


def insert_members(
    connection: Connection,
    campaign_id: int,
    members: Sequence[Candidate],
    *,
    stages: Mapping[str, int],
    now: datetime,
) -> None:
    connection.execute(
        _queries["insert_members"],
        {
            "id": campaign_id,
            "device_ids": [member.id for member in members],
            "stages": [stages[member.name] for member in members],
            "versions": [member.firmware for member in members],
            "now": now,
        },
    )


def members_of_devices(
    connection: Connection, devices: Iterable[str], *, campaign_ids: Iterable[int]
) -> list[Member]:
    """Return, and lock, the memberships that messages of these devices may concern."""
    return _members(
        connection,
        "members_of_devices",
        {"devices": sorted(devices), "campaign_ids": sorted(campaign_ids)},
    )


def members_to_offer(
    connection: Connection, campaign_id: int, *, stage: int, now: datetime, limit: int
) -> list[Member]:
    return _members(
        connection,
        "members_to_offer",
        {"id": campaign_id, "stage": stage, "now": now, "limit": limit},
    )


def members_to_withdraw(connection: Connection, *, limit: int) -> list[Member]:
    return _members(connection, "members_to_withdraw", {"limit": limit})


def members_overdue(
    connection: Connection, *, now: datetime, limit: int
) -> list[tuple[Member, bool]]:
    """Return, and lock, members of whom nothing was heard in time, and whether each is connected."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_queries["members_overdue"], {"now": now, "limit": limit}).fetchall()
    return [(_member(row), bool(row["is_connected"])) for row in rows]


def keep_members(connection: Connection, members: Sequence[Member]) -> None:
    """Write members that the caller holds locked."""
    if not members:
        return
    connection.execute(
        _queries["keep_members"],
        {
            "campaign_ids": [m.campaign_id for m in members],
            "device_ids": [m.device_id for m in members],
            "states": [m.state.value for m in members],
            "reasons": [m.reason for m in members],
            "offers": [m.offers for m in members],
            "chunks": [m.chunk for m in members],
            "boots": [m.boot for m in members],
            "sinces": [m.since for m in members],
            "dues": [m.due_at for m in members],
            "withdrawn": [m.is_withdrawn for m in members],
            "runs": [m.runs_since for m in members],
        },
    )


def withdraw_members(
    connection: Connection, campaign_id: int, *, state: State, reason: str, now: datetime
) -> int:
    """Take back what can be taken back; returns how many devices it concerns."""
    return connection.execute(
        _queries["withdraw_members"],
        {"id": campaign_id, "state": state.value, "reason": reason, "now": now},
    ).rowcount


def retry_members(
    connection: Connection, campaign_id: int, *, device: str | None, now: datetime
) -> int:
    return connection.execute(
        _queries["retry_members"], {"id": campaign_id, "device": device, "now": now}
    ).rowcount


def device_boots(connection: Connection, device_ids: Sequence[int]) -> dict[int, int]:
    rows = connection.execute(_queries["device_boots"], {"device_ids": list(device_ids)}).fetchall()
    return {int(row[0]): int(row[1]) for row in rows}


def device_event_times(connection: Connection, devices: Iterable[str]) -> dict[str, datetime]:
    rows = connection.execute(
        _queries["device_event_times"], {"devices": sorted(devices)}
    ).fetchall()
    return {str(row[0]): row[1] for row in rows}


def stage_counts(connection: Connection, campaign_id: int) -> tuple[StageCount, ...]:
    rows = connection.execute(_queries["stage_counts"], {"id": campaign_id}).fetchall()
    return tuple(
        StageCount(stage=row[0], state=State(row[1]), devices=row[2], connected=row[3])
        for row in rows
    )


def state_counts(
    connection: Connection, campaign_ids: Sequence[int]
) -> dict[int, dict[State, int]]:
    found: dict[int, dict[State, int]] = {number: {} for number in campaign_ids}
    rows = connection.execute(_queries["state_counts"], {"ids": list(campaign_ids)}).fetchall()
    for campaign_id, state, devices in rows:
        found[campaign_id][State(state)] = devices
    return found


def lives(connection: Connection, campaign_id: int) -> list[Life]:
    rows = connection.execute(_queries["lives"], {"id": campaign_id}).fetchall()
    return [Life(through=row[0], runs_since=row[1], detected_at=row[2]) for row in rows]


def late_after(connection: Connection, campaign_id: int) -> timedelta:
    row = connection.execute(_queries["campaign_late_after"], {"id": campaign_id}).fetchone()
    assert row is not None
    found: timedelta = row[0]
    return found


def list_members(
    connection: Connection,
    campaign_id: int,
    *,
    states: Sequence[str] | None,
    after: str | None,
    limit: int,
) -> tuple[MemberRow, ...]:
    with connection.cursor(row_factory=class_row(MemberRow)) as cursor:
        return tuple(
            cursor.execute(
                _queries["list_members"],
                {
                    "id": campaign_id,
                    "states": None if states is None else list(states),
                    "after": after,
                    "limit": limit,
                },
            )
        )


def _members(connection: Connection, query: str, values: dict[str, object]) -> list[Member]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_member(row) for row in cursor.execute(_queries[query], values)]


def _member(row: dict[str, Any]) -> Member:
    columns = {name: value for name, value in row.items() if name != "is_connected"}
    return Member(**columns | {"state": State(row["state"])})


def _campaign(row: dict[str, Any]) -> Campaign:
    verdict = row["verdict"]
    return Campaign(
        **row
        | {
            "from_versions": tuple(row["from_versions"]),
            "lots": tuple(row["lots"]),
            "stages": tuple(row["stages"]),
            "verdict": None if verdict is None else msgspec.convert(verdict, Verdict),
        }
    )
