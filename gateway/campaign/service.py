"""What others may ask of campaigns: plan, start, pause, resume, cancel, retry, look.

Each call is one transaction and leaves a row in gateway.campaign_event. What it changes is sent to
the devices by the gateway process.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Connection, Pool
from gateway import store as registry
from gateway.campaign import rollout, store
from gateway.campaign.member import State
from gateway.campaign.records import Campaign, CampaignDetail, CampaignDraft, MemberRow
from gateway.campaign.store import CampaignFilter
from gateway.firmware import store as firmware_store

_EVENTS_MAX = 100
_TITLE_MAX = 120
_NAMES_MAX = 50
_PER_HOUR_MAX = 1_000_000
_DEVICES_MAX = 1_000_000
_FROM = {
    "running": ("draft",),
    "paused": ("running",),
    "resumed": ("paused", "stopped"),
    "cancelled": ("draft", "running", "paused", "stopped"),
}


def create_campaign(pool: Pool, draft: CampaignDraft, *, by: str, now: datetime) -> Campaign:
    """Plan a campaign. Nothing is offered before it is started.

    Raises
    ------
    NotFoundError
        If there is no such product or firmware version.
    InvalidError
        If a number of the plan makes no sense.
    """
    check_draft(draft)
    with pool.connection() as connection:
        product = registry.product_id(connection, draft.product)
        images = firmware_store.list_firmware(
            connection, product=draft.product, version=draft.version, limit=1
        )
        if product is None or not images:
            what = f"firmware {draft.version} of product" if product else "product"
            raise NotFoundError(
                f'there is no {what} "{draft.product}"',
                hint="`forecare firmware list` shows what there is; `forecare firmware add` adds one",
            )
        campaign_id = store.insert_campaign(
            connection, draft, product_id=product[0], firmware_id=images[0].id, by=by, now=now
        )
        store.add_event(connection, campaign_id, action="created", by=by, now=now)
        return _one(connection, campaign_id)


def check_draft(draft: CampaignDraft) -> None:
    """Check the numbers of a plan. Pure.

    Raises
    ------
    InvalidError
        With the first number that makes no sense, and what does.
    """
    rollout.check_stages(draft.stages)
    _check(len(draft.title) <= _TITLE_MAX, "the title", f"at most {_TITLE_MAX} characters")
    _check(
        1 <= draft.per_hour <= _PER_HOUR_MAX, "the rate", f"1 to {_PER_HOUR_MAX:,} devices an hour"
    )
    _check(1 <= draft.offers_max <= 100, "the number of offers", "1 to 100")
    span = timedelta(0) <= draft.hold <= timedelta(days=90)
    _check(span, "the hold", "0 to 90 days")
    span = timedelta(0) <= draft.watch <= timedelta(days=90)
    _check(span, "the watch", "0 to 90 days of data per device")
    span = timedelta(minutes=1) <= draft.install_within <= timedelta(days=90)
    _check(span, "the time to install", "1 minute to 90 days")
    share = 0.001 <= draft.tolerated_failures <= 0.5
    _check(share, "the tolerated share of failures", "0.1% to 50%")
    share = 0.0001 <= draft.false_stops <= 0.2
    _check(share, "the share of false stops", "0.01% to 20%")
    for names in (draft.from_versions, draft.lots):
        is_short = len(names) <= _NAMES_MAX and all(1 <= len(name) <= 64 for name in names)
        _check(is_short, "a version or lot", f"at most {_NAMES_MAX} of 1 to 64 characters each")


def start(pool: Pool, *, campaign_id: int, by: str, now: datetime) -> Campaign:
    """Share its devices out over the stages, and begin with the first one.

    The devices are fixed here: those that may connect and run another version just now.

    Raises
    ------
    ConflictError
        If it was started before, has no device, or shares devices with a campaign under way.
    """
    with pool.connection() as connection:
        _hold(connection, campaign_id, "running")
        found = store.candidates(connection, campaign_id)
        campaign = _one(connection, campaign_id)
        if not found:
            raise ConflictError(
                f"no device matches campaign {campaign_id}",
                hint=f"devices of {campaign.product} that may connect, run another version than"
                f" {campaign.version}, and match its versions and lots; `forecare firmware show`"
                " counts the versions in use",
            )
        if len(found) > _DEVICES_MAX:
            raise InvalidError(
                f"{len(found):,} devices match", hint=f"at most {_DEVICES_MAX:,}: choose by lot"
            )
        others = store.overlaps(connection, campaign_id, [device.id for device in found])
        if others:
            shown = ", ".join(f"{n:,} in campaign {other}" for other, n in others.items())
            raise ConflictError(
                f"of its {len(found):,} devices, {shown} are still to be updated",
                hint="cancel that campaign or let it come to its end; one campaign at a time works"
                " on a device",
            )
        stages = rollout.stages_of(campaign_id, [d.name for d in found], campaign.stages)
        store.insert_members(connection, campaign_id, found, stages=stages, now=now)
        store.start_clock(connection, campaign_id, now=now)
        store.set_state(connection, campaign_id, "running", reason="", now=now)
        store.add_event(
            connection,
            campaign_id,
            action="started",
            by=by,
            reason=f"{len(found):,} devices",
            now=now,
        )
        return _one(connection, campaign_id)


def pause(pool: Pool, *, campaign_id: int, by: str, reason: str = "", now: datetime) -> Campaign:
    """Offer it to nobody else; devices in the middle of it go on."""
    with pool.connection() as connection:
        _hold(connection, campaign_id, "paused")
        reason = reason or "paused by a person"
        store.set_state(connection, campaign_id, "paused", reason=reason, now=now)
        store.add_event(connection, campaign_id, action="paused", by=by, reason=reason, now=now)
        return _one(connection, campaign_id)


def resume(pool: Pool, *, campaign_id: int, by: str, now: datetime) -> Campaign:
    """Go on where it was paused or stopped."""
    with pool.connection() as connection:
        before = _hold(connection, campaign_id, "resumed")
        if before == "stopped":
            store.go_on_in_spite(connection, campaign_id)
        store.set_state(connection, campaign_id, "running", reason="", now=now)
        reason = "in spite of the automatic stop" if before == "stopped" else ""
        store.add_event(connection, campaign_id, action="resumed", by=by, reason=reason, now=now)
        return _one(connection, campaign_id)


def cancel(pool: Pool, *, campaign_id: int, by: str, reason: str = "", now: datetime) -> Campaign:
    """End it: offers are withdrawn; what is being installed cannot be called back."""
    with pool.connection() as connection:
        _hold(connection, campaign_id, "cancelled")
        reason = reason or "cancelled by a person"
        store.withdraw_members(
            connection, campaign_id, state=State.SKIPPED, reason="campaign cancelled", now=now
        )
        store.set_state(connection, campaign_id, "cancelled", reason=reason, now=now)
        store.add_event(connection, campaign_id, action="cancelled", by=by, reason=reason, now=now)
        return _one(connection, campaign_id)


def retry(
    pool: Pool, *, campaign_id: int, device: str | None = None, by: str, now: datetime
) -> int:
    """Let devices whose update failed or rolled back try again; returns how many."""
    with pool.connection() as connection:
        state = store.lock_campaign(connection, campaign_id)
        if state is None:
            raise _no_campaign(campaign_id)
        if state not in ("running", "paused", "stopped"):
            raise ConflictError(
                f"campaign {campaign_id} is {state}", hint="plan a new one for what is left"
            )
        count = store.retry_members(connection, campaign_id, device=device, now=now)
        if count:
            reason = device or f"{count:,} devices"
            store.add_event(
                connection, campaign_id, action="retried", by=by, reason=reason, now=now
            )
        return count


def campaigns(pool: Pool, wanted: CampaignFilter) -> tuple[Campaign, ...]:
    """Return campaigns, the newest first."""
    with pool.connection() as connection:
        return store.list_campaigns(connection, wanted)


def counts_by_campaign(pool: Pool, ids: Sequence[int]) -> Mapping[int, Mapping[State, int]]:
    """Return how many devices of each campaign are in which state."""
    with pool.connection() as connection:
        return store.state_counts(connection, ids)


def campaign(pool: Pool, *, campaign_id: int) -> CampaignDetail:
    """Return a campaign with its counts and its history.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    """
    with pool.connection() as connection:
        found = _one(connection, campaign_id)
        (image,) = firmware_store.list_firmware(connection, firmware_id=found.firmware_id, limit=1)
        return CampaignDetail(
            campaign=found,
            counts=store.stage_counts(connection, campaign_id),
            events=store.events(connection, campaign_id, limit=_EVENTS_MAX),
            chunks=image.chunks,
        )


def members(
    pool: Pool,
    *,
    campaign_id: int,
    states: Sequence[str] | None = None,
    after: str | None = None,
    limit: int,
) -> tuple[MemberRow, ...]:
    """Return devices of a campaign by name; `after` goes on behind one."""
    with pool.connection() as connection:
        return store.list_members(connection, campaign_id, states=states, after=after, limit=limit)


def _hold(connection: Connection, campaign_id: int, action: str) -> str:
    state = store.lock_campaign(connection, campaign_id)
    if state is None:
        raise _no_campaign(campaign_id)
    if state not in _FROM[action]:
        what = {"running": "started"}.get(action, action)
        raise ConflictError(
            f"campaign {campaign_id} is {state} and cannot be {what}",
            hint=f"only one that is {' or '.join(_FROM[action])} can",
        )
    return state


def _one(connection: Connection, campaign_id: int) -> Campaign:
    found = store.list_campaigns(connection, CampaignFilter(campaign_id=campaign_id, limit=1))
    if not found:
        raise _no_campaign(campaign_id)
    return found[0]


def _no_campaign(campaign_id: int) -> NotFoundError:
    return NotFoundError(
        f"there is no campaign {campaign_id}", hint="`forecare campaign list` shows them"
    )


def _check(is_sound: bool, what: str, allowed: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not is_sound:
        raise InvalidError(f"{what} makes no sense", hint=f"allowed: {allowed}")
