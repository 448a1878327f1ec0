"""How a firmware campaign looks to people: words, levels, shares. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.campaign.judge import Verdict
from gateway.campaign.member import BUSY, State
from gateway.campaign.records import Campaign
from gateway.campaign.rollout import StageCount

CAMPAIGN_STATE = {
    "draft": ("none", "circle-dashed", "Planned"),
    "running": ("watch", "rotate-ccw", "Running"),
    "paused": ("none", "clock", "Paused"),
    "stopped": ("act", "octagon-alert", "Stopped by itself"),
    "done": ("ok", "circle-check", "Done"),
    "cancelled": ("none", "x", "Cancelled"),
}
"""Level, icon and words."""
DEVICE_STATE = {
    "waiting": ("none", "clock", "Waiting"),
    "offered": ("watch", "mail", "Offered"),
    "downloading": ("watch", "rotate-ccw", "Downloading"),
    "downloaded": ("watch", "package", "Downloaded"),
    "verified": ("watch", "shield-check", "Verified"),
    "installing": ("watch", "wrench", "Installing"),
    "installed": ("ok", "circle-check", "Installed"),
    "failed": ("act", "octagon-alert", "Failed"),
    "rolled_back": ("act", "history", "Rolled back"),
    "skipped": ("none", "x", "Skipped"),
}
ACTION = {
    "created": "Planned",
    "started": "Started",
    "stage": "Next stage",
    "paused": "Paused",
    "resumed": "Resumed",
    "stopped": "Stopped by itself",
    "cancelled": "Cancelled",
    "retried": "Failed devices wait for another try",
    "done": "All devices have come to their end",
}
ACTION_LEVEL = {"stopped": "act", "done": "ok", "cancelled": "none", "paused": "none"}
_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)
_FAILED = (State.FAILED, State.ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Devices of a campaign, or of one of its stages, as a bar shows them."""

    devices: int
    installed: int
    busy: int
    failed: int
    waiting: int
    skipped: int

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Levels and shares of the bar, in its order."""
        numbers = (("ok", self.installed), ("watch", self.busy), ("act", self.failed))
        return tuple((level, n / max(1, self.devices)) for level, n in numbers)

    @property
    def words(self) -> str:
        named = (
            (self.installed, "installed"),
            (self.busy, "under way"),
            (self.failed, "failed"),
            (self.waiting, "waiting"),
            (self.skipped, "skipped"),
        )
        return ", ".join(f"{n:,} {name}" for n, name in named if n) or "no device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    number: int
    share: float
    is_current: bool
    is_over: bool
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One version in the comparison."""

    name: str
    detected: int
    days: float

    @property
    def per_hundred_days(self) -> float | None:
        return self.detected / self.days * 100 if self.days > 0 else None


def progress_of(counts: Mapping[State, int]) -> Progress:
    return Progress(
        devices=sum(counts.values()),
        installed=counts.get(State.INSTALLED, 0),
        busy=sum(counts.get(state, 0) for state in BUSY),
        failed=sum(counts.get(state, 0) for state in _FAILED),
        waiting=counts.get(State.WAITING, 0),
        skipped=counts.get(State.SKIPPED, 0),
    )


def stages(campaign: Campaign, counts: Sequence[StageCount]) -> list[Stage]:
    """Return the stages, each with the devices that it adds."""
    found = []
    is_begun = campaign.started_at is not None
    is_ended = campaign.state in ("done", "cancelled")
    for number, share in enumerate(campaign.stages):
        own = {count.state: count.devices for count in counts if count.stage == number}
        stage = Stage(
            number=number + 1,
            share=share,
            is_current=is_begun and not is_ended and number == campaign.stage,
            is_over=is_begun and (is_ended or number < campaign.stage),
            progress=progress_of(own),
        )
        found.append(stage)
    return found


def sides(verdict: Verdict, version: str) -> tuple[Side, Side]:
    return (
        Side(name=version, detected=verdict.new_detected, days=verdict.new_days),
        Side(name="Old version", detected=verdict.old_detected, days=verdict.old_days),
    )


def weight(e_value: float) -> str:
    """Return an e-value in as few digits as say something."""
    if e_value >= 1_000_000:
        return "over a million"
    return f"{e_value:,.0f}" if e_value >= 10 else f"{e_value:.1f}"


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def span(value: timedelta) -> str:
    """Write "2 days", "90 minutes"."""
    for unit, name in _UNITS:
        number = value / unit
        if number >= 1 and number == int(number):
            return f"{int(number):,} {name}" + ("" if number == 1 else "s")
    return f"{value.total_seconds():g} seconds" if value else "no time"
