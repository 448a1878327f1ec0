"""Everything about one ticket that a message or a schedule needs, read at once. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from core.product import FailureMode, Product
from maintenance.slots import Visit

_UTC = ZoneInfo("UTC")


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    owner_id: int
    name: str
    email: str
    locale: str = "en"
    timezone: str = "UTC"


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How many preventive tickets of this failure mode were inspected, and how many were right."""

    right: int = 0
    inspected: int = 0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: int
    number: str
    kind: str
    state: str
    level: str
    title: str
    opened_at: datetime
    due_at: datetime
    fails_from: datetime | None
    fails_until: datetime | None
    evidence: dict[str, Any]
    close_reason: str | None
    alert_id: int
    work_order_id: int
    work_order_state: str
    duration: timedelta
    skills: tuple[str, ...]
    device_id: int
    device_name: str
    serial: str
    product: Product
    mode: FailureMode
    is_covered: bool
    """The warranty holds at the event time of the ticket's opening."""
    owner: Owner | None
    address: str
    site_timezone: str
    latitude: float | None
    longitude: float | None
    event_now: datetime
    track_record: TrackRecord = TrackRecord()

    @property
    def owner_id(self) -> int | None:
        return self.owner.owner_id if self.owner else None

    @property
    def timezone(self) -> ZoneInfo:
        """The site's zone, as the visit happens there."""
        return zone(self.site_timezone)

    @property
    def visit(self) -> Visit:
        return Visit(
            skills=frozenset(self.skills),
            duration=self.duration,
            due_at=self.due_at,
            event_now=self.event_now,
            timezone=self.timezone,
            latitude=self.latitude,
            longitude=self.longitude,
        )

    @property
    def price(self) -> float:
        """What the owner pays for visit and parts, in the product's currency."""
        if self.is_covered:
            return 0.0
        return self.mode.cost_of_visit + sum(p.price * p.quantity for p in self.mode.kit)


def zone(name: str) -> ZoneInfo:
    """Return the time zone of that name; UTC for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return _UTC


def evidence_sentences(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences of a forecast's evidence, or of a ticket's snapshot of it.

    Owners are not told the operating conditions: room in a message is for what came of similar cases.
    """
    sentences = evidence.get("sentences")
    if not isinstance(sentences, list):
        return ()
    kept = [s for s in sentences if not isinstance(s, Mapping) or s.get("key") != "operating"]
    texts = [s.get("text") if isinstance(s, Mapping) else s for s in kept]
    return tuple(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))


def failure_mode_of(product: Product, name: str) -> FailureMode | None:
    """Return the failure mode; None when the sheet has it no more."""
    return next((mode for mode in product.failure_modes if mode.name == name), None)
