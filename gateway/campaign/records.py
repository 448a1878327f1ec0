"""What crosses the border of campaigns: plans in, rows out. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.campaign.judge import Verdict
from gateway.campaign.member import Terms
from gateway.campaign.rollout import StageCount


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignDraft:
    """A campaign as a manufacturer plans it; the defaults suit a fleet of some thousand devices."""

    product: str
    version: str
    title: str = ""
    from_versions: tuple[str, ...] = ()
    """Only devices with one of these versions; empty: all with another version."""
    lots: tuple[str, ...] = ()
    stages: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    per_hour: int = 600
    hold: timedelta = timedelta(hours=1)
    watch: timedelta = timedelta(days=1)
    offers_max: int = 5
    install_within: timedelta = timedelta(days=1)
    tolerated_failures: float = 0.05
    false_stops: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as it stands."""

    id: int
    product: str
    product_title: str
    firmware_id: int
    version: str
    title: str
    from_versions: tuple[str, ...]
    lots: tuple[str, ...]
    stages: tuple[float, ...]
    per_hour: int
    hold: timedelta
    watch: timedelta
    offers_max: int
    install_within: timedelta
    tolerated_failures: float
    false_stops: float
    stop_from_e: float
    state: str
    reason: str
    stage: int
    stage_since: datetime | None
    tokens: float
    tokens_at: datetime | None
    event_from: datetime | None
    verdict: Verdict | None
    looked_at: datetime | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def terms(self) -> Terms:
        return Terms(
            version=self.version,
            offers_max=self.offers_max,
            install_within=self.install_within,
            is_running=self.state == "running",
            may_go_on=self.state in ("running", "paused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEvent:
    at: datetime
    actor: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A device of a campaign, as people see it."""

    device: str
    serial: str
    lot: str
    stage: int
    state: str
    reason: str
    from_version: str
    firmware: str
    offers: int
    chunk: int
    since: datetime
    is_connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignDetail:
    """Everything about a campaign but its devices."""

    campaign: Campaign
    counts: tuple[StageCount, ...]
    events: tuple[CampaignEvent, ...]
    chunks: int
    """Pieces of its image."""
