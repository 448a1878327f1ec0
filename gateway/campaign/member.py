"""One device in a campaign: its states, and what moves it from one to the next. Pure.

Every message may come twice, late, or not at all. What says nothing new changes nothing; what a
device *runs*, as its birth message says, beats everything that was said or supposed before.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

REASON_MAX = 200
OFFER_AGAIN_AFTER = timedelta(seconds=30)
"""Wait for the first sign of life after an offer; doubled with every offer."""
_OFFER_AGAIN_MAX = timedelta(hours=1)
SILENT_AFTER = timedelta(minutes=5)
"""A download without a question for so long has stopped: the offer is repeated."""
BACK_WITHIN = timedelta(hours=1)
"""From installing to the next birth; later the device counts as lost."""
RETRY_AFTER = timedelta(seconds=10)
"""Wait before a device that came back with the old version is offered the new one again; doubled."""


class State(StrEnum):
    WAITING = "waiting"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    VERIFIED = "verified"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    SKIPPED = "skipped"


BUSY = (State.OFFERED, State.DOWNLOADING, State.DOWNLOADED, State.VERIFIED, State.INSTALLING)
"""The device holds an offer, in the order in which it goes on."""
WITHDRAWABLE = BUSY[:-1]
FINAL = (State.INSTALLED, State.FAILED, State.ROLLED_BACK, State.SKIPPED)
_RANK = {state: rank for rank, state in enumerate(BUSY)}


class Answer(StrEnum):
    """What the device is told in return."""

    NOTHING = "nothing"
    OFFER = "offer"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a campaign lays down for each of its devices."""

    version: str
    offers_max: int
    install_within: timedelta
    is_running: bool
    """False: paused, stopped or over. Nothing is offered anew."""
    may_go_on: bool
    """Running or paused: a device in the middle of it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    campaign_id: int
    device_id: int
    device: str
    shard: int
    stage: int
    state: State
    reason: str
    from_version: str
    offers: int
    chunk: int
    boot: int | None
    since: datetime
    due_at: datetime | None
    is_withdrawn: bool
    runs_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A progress message."""

    state: State
    chunk: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """A birth message, and what is known of the device's own time."""

    version: str
    boot: int
    event_at: datetime | None


Step = tuple[Member, Answer]


def offered(member: Member, *, boot: int | None, now: datetime) -> Member:
    """Make an offer, the first or the next one. The row is written before the offer is sent, so a
    crash in between costs one wait."""
    offers = member.offers + 1
    return replace(
        member,
        state=State.OFFERED,
        reason="",
        offers=offers,
        boot=boot if boot is not None else member.boot,
        since=now,
        due_at=now + _doubled(OFFER_AGAIN_AFTER, offers),
        is_withdrawn=False,
    )


def asked(member: Member, chunk: int, *, terms: Terms, now: datetime) -> Step:
    """The device asks for pieces from `chunk` on; Answer.NOTHING says: give them."""
    if not terms.may_go_on or not (member.state in WITHDRAWABLE or _goes_on(member, terms)):
        return member, Answer.WITHDRAW
    if member.state is State.WAITING:
        member = offered(member, boot=None, now=now)
    since = member.since if member.state is State.DOWNLOADING else now
    state, due_at = State.DOWNLOADING, now + SILENT_AFTER
    chunk = max(chunk, member.chunk) if member.state is State.DOWNLOADING else chunk
    return replace(member, state=state, chunk=chunk, since=since, due_at=due_at), Answer.NOTHING


def told(member: Member, message: Told, *, terms: Terms, now: datetime) -> Step:
    """Follow what the device says about its progress; that it is installed, only a birth proves."""
    state = State.INSTALLING if message.state is State.INSTALLED else message.state
    if state is State.FAILED:
        if member.state not in BUSY:
            return member, Answer.NOTHING
        reason = message.error[:REASON_MAX] or "the device gave no reason"
        return _ended(member, State.FAILED, reason, now=now), Answer.NOTHING
    if state not in _RANK:
        return member, Answer.NOTHING
    if member.state in BUSY:
        return _forward(member, state, message.chunk, terms=terms, now=now), Answer.NOTHING
    if _goes_on(member, terms):
        # By itself, after it came back with the old version. It counts like an offer.
        again = replace(member, offers=member.offers + 1)
        return _forward(again, state, message.chunk, terms=terms, now=now), Answer.NOTHING
    is_held = member.state in (State.WAITING, State.SKIPPED) and member.offers > 0
    if is_held and state is State.INSTALLING:
        # It began before it heard that the offer was withdrawn, and cannot be called back.
        return _forward(member, state, message.chunk, terms=terms, now=now), Answer.NOTHING
    return member, Answer.NOTHING if member.state is State.INSTALLED else Answer.WITHDRAW


def born(member: Member, birth: Born, *, terms: Terms, now: datetime) -> Step:
    """Hold what the device runs against what it was told.

    The same boot again is a reconnect. A new one with the old version, after installing began, is a
    roll-back or a reset in the middle: it is offered again, a limited number of times.
    """
    if member.boot is not None and birth.boot < member.boot:
        return member, Answer.NOTHING
    is_reboot = member.boot is None or birth.boot > member.boot
    if birth.version == terms.version:
        return _proved(member, birth, now=now), Answer.NOTHING
    if birth.version == "":
        return replace(member, boot=birth.boot), Answer.NOTHING
    member = replace(member, boot=birth.boot)
    # A third version is somebody else's update, and no roll-back.
    is_old = member.from_version in ("", birth.version)
    if member.state is State.INSTALLED and is_reboot and is_old:
        reason = f"came back with {birth.version} after it had run {terms.version}"
        return _ended(member, State.ROLLED_BACK, reason, now=now), Answer.NOTHING
    if member.state is State.INSTALLING and is_reboot:
        member = _came_back(member, birth, terms=terms, now=now)
        over = member.state is State.ROLLED_BACK
        return member, Answer.WITHDRAW if over else Answer.NOTHING
    if member.state is State.INSTALLING:
        # Offered again, not counted: if `installing` was an old message come twice, this wakes it.
        return member, Answer.OFFER if terms.may_go_on else Answer.NOTHING
    if member.state not in WITHDRAWABLE:
        return member, Answer.NOTHING
    return _interrupted(member, birth, is_reboot=is_reboot, terms=terms, now=now)


def overdue(member: Member, *, terms: Terms, is_connected: bool, now: datetime) -> Step:
    """Do what is due when nothing was heard in time."""
    if member.due_at is None or member.due_at > now:
        return member, Answer.NOTHING
    if member.state is State.INSTALLING:
        reason = f"not heard of since it began to install, {_hours(BACK_WITHIN)} ago"
        return _ended(member, State.FAILED, reason, now=now), Answer.NOTHING
    if member.state not in WITHDRAWABLE:
        return replace(member, due_at=None), Answer.NOTHING
    if member.state in (State.DOWNLOADED, State.VERIFIED) and is_connected:
        reason = f"did not begin to install within {_hours(terms.install_within)}"
        return _ended(member, State.FAILED, reason, now=now), Answer.WITHDRAW
    if not is_connected or not terms.may_go_on:
        return replace(member, due_at=None), Answer.NOTHING  # its next birth wakes it
    if member.offers >= terms.offers_max:
        what = "answered none" if member.state is State.OFFERED else "finished after none"
        reason = f"{what} of {member.offers} offers"
        return _ended(member, State.FAILED, reason, now=now), Answer.WITHDRAW
    return offered(member, boot=None, now=now), Answer.OFFER


def withdrawn(member: Member, *, state: State, reason: str, now: datetime) -> Member:
    """Take an offer back, as far as the device can still be stopped."""
    if member.state in FINAL or member.state is State.INSTALLING:
        return member
    had_offer = member.state in WITHDRAWABLE
    return replace(
        member,
        state=state,
        reason=reason,
        since=now,
        due_at=None,
        is_withdrawn=had_offer,
    )


def _interrupted(
    member: Member, birth: Born, *, is_reboot: bool, terms: Terms, now: datetime
) -> Step:
    """The device is back in the middle of a download: it is offered the same again and goes on."""
    if not terms.may_go_on:
        return member, Answer.WITHDRAW
    if not is_reboot:
        return replace(member, due_at=now + OFFER_AGAIN_AFTER), Answer.OFFER
    if member.offers >= terms.offers_max:
        reason = f"restarted in the middle each of {member.offers} times"
        return _ended(member, State.FAILED, reason, now=now), Answer.WITHDRAW
    return offered(member, boot=birth.boot, now=now), Answer.OFFER


def _goes_on(member: Member, terms: Terms) -> bool:
    """Whether a device that waits for its next try may go on without being offered it once more."""
    is_between = member.state is State.WAITING and member.offers > 0
    return is_between and terms.may_go_on and member.offers < terms.offers_max


def _forward(
    member: Member, state: State, chunk: int | None, *, terms: Terms, now: datetime
) -> Member:
    """Go on to a later state, never back: a late message says what was."""
    rank = _RANK.get(member.state, -1)
    chunk = member.chunk if chunk is None else max(member.chunk, chunk)
    if _RANK[state] < rank:
        return member
    wait = {
        State.DOWNLOADING: SILENT_AFTER,
        State.DOWNLOADED: terms.install_within,
        State.VERIFIED: terms.install_within,
        State.INSTALLING: BACK_WITHIN,
    }.get(state)
    if state is member.state:
        due_at = now + SILENT_AFTER if state is State.DOWNLOADING else member.due_at
        return replace(member, chunk=chunk, due_at=due_at)
    due_at = now + wait if wait else member.due_at
    return replace(
        member, state=state, reason="", chunk=chunk, since=now, due_at=due_at, is_withdrawn=False
    )


def _proved(member: Member, birth: Born, *, now: datetime) -> Member:
    if member.state is State.INSTALLED:
        return replace(member, boot=birth.boot)
    return replace(
        member,
        state=State.INSTALLED,
        reason="" if member.offers else "it ran the new version already",
        boot=birth.boot,
        since=now,
        due_at=None,
        is_withdrawn=False,
        runs_since=member.runs_since or birth.event_at,
    )


def _came_back(member: Member, birth: Born, *, terms: Terms, now: datetime) -> Member:
    if member.offers >= terms.offers_max or not terms.may_go_on:
        times = "" if member.offers == 1 else f", {member.offers} times"
        reason = f"came back with {birth.version or 'the old version'} after installing{times}"
        return _ended(member, State.ROLLED_BACK, reason, now=now)
    return replace(
        member,
        state=State.WAITING,
        reason=f"came back with {birth.version} after installing",
        since=now,
        due_at=now + _doubled(RETRY_AFTER, member.offers),
    )


def _ended(member: Member, state: State, reason: str, *, now: datetime) -> Member:
    return replace(member, state=state, reason=reason, since=now, due_at=None, is_withdrawn=False)


def _doubled(step: timedelta, times: int) -> timedelta:
    doublings = max(0, min(times - 1, 20))
    return min(step * float(1 << doublings), _OFFER_AGAIN_MAX)


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:g} h" if hours >= 1 else f"{span / timedelta(minutes=1):g} min"
