"""How fast a campaign goes: who belongs to which stage, how many begin now, when a stage is over. Pure."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from core.errors import InvalidError
from gateway.campaign.member import BUSY, FINAL, State

_STAGES_MAX = 20
_BURST = timedelta(minutes=1)
"""After a pause no more devices begin at once than in so much time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket: one token lets one device begin."""

    tokens: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCount:
    """Devices of one stage in one state."""

    stage: int
    state: State
    devices: int
    connected: int


def check_stages(stages: Sequence[float]) -> tuple[float, ...]:
    """Return the shares as they are used.

    Raises
    ------
    InvalidError
        If they do not rise from above 0 to 1.
    """
    is_rising = all(a < b for a, b in pairwise(stages))
    if (
        not stages
        or len(stages) > _STAGES_MAX
        or not is_rising
        or stages[0] <= 0
        or stages[-1] != 1
    ):
        raise InvalidError(
            "the stages "
            + (", ".join(f"{share:.4g}" for share in stages) or "(none)")
            + " are no plan",
            hint=f"give rising shares that end with 100%, at most {_STAGES_MAX}: 1%,10%,50%,100%",
        )
    return tuple(stages)


def place_of(campaign_id: int, device: str) -> bytes:
    """Return what a campaign's devices are ordered by: as good as random, and the same for ever.

    Each campaign has its own order, so the same devices are not always the first.
    """
    return hashlib.blake2b(f"{campaign_id}/{device}".encode(), digest_size=8).digest()


def stages_of(campaign_id: int, devices: Sequence[str], stages: Sequence[float]) -> dict[str, int]:
    """Share devices out: each stage gets its share of them, and the first one at least one."""
    ordered = sorted(devices, key=lambda device: (place_of(campaign_id, device), device))
    ends = [math.ceil(share * len(ordered) - 1e-9) for share in stages]
    placed: dict[str, int] = {}
    stage = 0
    for number, device in enumerate(ordered):
        while number >= ends[stage]:
            stage += 1
        placed[device] = stage
    return placed


def refill(bucket: Bucket, *, per_hour: int, now: datetime) -> Bucket:
    """Let tokens drip in; a clock that went back gives none."""
    per_second = per_hour / 3600
    full = max(1.0, per_second * _BURST.total_seconds())
    gained = max(0.0, (now - bucket.at).total_seconds()) * per_second
    return Bucket(tokens=min(full, bucket.tokens + gained), at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where a stage stands."""

    is_over: bool
    waits_for: str
    """In words, for people; empty when it is over."""


def judge_stage(  # noqa: PLR0913 - the facts of a stage, by keyword
    counts: Sequence[StageCount],
    *,
    stage: int,
    stage_since: datetime,
    hold: timedelta,
    watch: timedelta,
    watched: timedelta,
    now: datetime,
) -> Pace:
    """Say whether the next stage may begin.

    Devices that are not there do not hold up the others: they catch up when they come. But a stage
    of which nobody has been updated teaches nothing, so it waits.

    Parameters
    ----------
    counts : sequence of StageCount
    stage : int
        The stage under way.
    stage_since : datetime
    hold : timedelta
        Shortest length of a stage, wall time.
    watch : timedelta
        Data wanted per updated device, event time.
    watched : timedelta
        Data that all updated devices have sent since, together.
    now : datetime
    """
    own = [count for count in counts if count.stage <= stage]
    busy = sum(c.devices for c in own if c.state in BUSY)
    waiting = sum(c.connected for c in own if c.state is State.WAITING)
    updated = sum(c.devices for c in own if c.state is State.INSTALLED)
    if waiting or busy:
        return Pace(is_over=False, waits_for=f"{_devices(waiting + busy)} to be updated")
    if not updated:
        return Pace(
            is_over=False, waits_for="the first device of this stage to be there and updated"
        )
    missing = watch * updated - watched
    if missing > timedelta(0):
        return Pace(
            is_over=False,
            waits_for=f"{missing / timedelta(days=1):.1f} more device-days of data from the"
            f" {_devices(updated)} that run the new version",
        )
    if now < stage_since + hold:
        return Pace(
            is_over=False, waits_for=f"the hold, until {stage_since + hold:%Y-%m-%d %H:%M} UTC"
        )
    return Pace(is_over=True, waits_for="")


def is_over(counts: Sequence[StageCount]) -> bool:
    """Whether every device has come to its end."""
    return all(count.state in FINAL for count in counts if count.devices)


def by_state(counts: Sequence[StageCount]) -> Mapping[State, int]:
    found = dict.fromkeys(State, 0)
    for count in counts:
        found[count.state] += count.devices
    return found


def _devices(number: int) -> str:
    return f"{number:,} device" + ("" if number == 1 else "s")
