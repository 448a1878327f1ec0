"""Rows as the endpoints and pages read them: frozen records with names. Pure.

Times are UTC; those named `…_at` of samples, forecasts, tickets and visits are event time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Level = Literal["ok", "watch", "plan", "act", "learning", "none"]
TicketState = Literal["open", "scheduled", "in_service", "resolved", "cancelled"]
WorkState = Literal["ready", "scheduled", "in_progress", "done", "cancelled"]
Verdict = Literal["confirmed", "incipient", "other_fault", "no_fault_found", "not_inspected"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is said about devices, and of what it was made."""

    key: str
    values: Json
    text: str
    """In the language of whoever asks (`Accept-Language`), as far as it is translated."""
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    stored_through: datetime | None
    scored_through: datetime | None
    decided_through: datetime | None
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPace:
    id: int
    late_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    name: str
    title: str
    revision: int
    manufacturer: str
    updated_at: datetime
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    id: int
    name: str
    product: str
    product_title: str
    serial: str
    lot: str
    firmware: str
    owner: str
    owner_phone: str
    site: str
    address: str
    city: str
    timezone: str
    access_note: str
    delivered_at: datetime | None
    warranty_until: datetime | None
    is_connected: bool
    is_reporting: bool
    first_measured_at: datetime | None
    measured_through: datetime | None
    received_at: datetime | None
    samples: int
    event_now: datetime | None
    level: Level
    learning_watched_days: int | None = None
    """Days that a device has been watched to learn what is normal; null once it is judged."""
    learning_needed_days: int | None = None
    owned_since: datetime | None = None
    """For its owner alone, where somebody else owned it before: what was measured until then tells
    about that person, and is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One failure mode of one device: its newest forecast and what has come of it."""

    device_id: int
    failure_mode: str
    title: str
    component: str
    cost_of_failure: float
    position: int
    forecast_id: int | None
    made_at: datetime | None
    status: str | None
    health_index: float | None
    p_fail_1d: float | None
    p_fail_7d: float | None
    p_fail_30d: float | None
    life_hours_q10: float | None
    life_hours_q50: float | None
    life_hours_q90: float | None
    evidence: Json | None
    alert_level: Level | None
    alert_opened_at: datetime | None
    ticket_id: int | None
    ticket_number: str | None
    ticket_state: TicketState | None
    ticket_kind: str | None
    fails_from: datetime | None
    fails_until: datetime | None
    visit_starts_at: datetime | None
    visit_ends_at: datetime | None
    level: Level

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """When it is likely to fail, as the newest forecast sees it."""
        if self.made_at is None or self.life_hours_q10 is None or self.life_hours_q90 is None:
            return None
        return (
            self.made_at + timedelta(hours=self.life_hours_q10),
            self.made_at + timedelta(hours=self.life_hours_q90),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedyPart(Part):
    device: str
    product: str
    product_title: str
    serial: str
    owner: str
    city: str
    timezone: str
    event_now: datetime | None
    is_reporting: bool
    at_stake: float
    is_left_to_next_visit: bool
    """Its rule was wrong too often to open a ticket: whoever comes next looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    id: int
    kind: str
    failure_mode: str
    change: str
    at: datetime
    score: float
    evidence: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    id: int
    failure_mode: str
    made_at: datetime
    status: str
    health_index: float | None
    p_fail_1d: float | None
    p_fail_7d: float | None
    p_fail_30d: float | None
    life_hours_q05: float | None
    life_hours_q10: float | None
    life_hours_q50: float | None
    life_hours_q90: float | None
    life_hours_q95: float | None
    evidence: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Lowest and highest value within one step of a chart; both null where there is a gap."""

    at: datetime
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalBucket:
    """What was measured within one step of a chart, and what a healthy device would have shown."""

    at: datetime
    low: float | None
    high: float | None
    expected: float | None
    """Mean over the step."""
    spread: float | None
    score: float | None
    low_expected: float | None = None
    """In the window of the lowest value."""
    low_spread: float | None = None
    high_expected: float | None = None
    high_spread: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    devices: int
    reporting: int
    at_risk: int
    prevented: int
    without_warning: int
    too_late: int
    forecasts_right: int
    forecasts_checked: int
    lead_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergingIssue:
    """A group of devices that fails more often than others of the same age."""

    id: int
    product: str
    product_title: str
    failure_mode: str
    failure_mode_title: str
    trait: str
    """lot, firmware, city or product."""
    value: str
    state: Literal["watched", "flagged", "cleared"]
    reason: str
    state_since: datetime
    flagged_at: datetime | None
    devices: int
    well: int
    """Members today that have not failed: what is at stake."""
    failures: int
    expected: float
    """Failures that the others' rates at the same ages would have brought."""
    signs: int
    """Devices with a detection: weaker, and sooner."""
    expected_signs: float
    ratio: float
    """Rate of failures over that of the others; with its 95 % interval."""
    ratio_low: float
    ratio_high: float
    since: datetime | None
    looked_through: datetime
    shared_with: list[Json]
    """Other groups with many of the same devices, and which of the two explains the other."""
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How often the warnings of a failure mode were wrong, against its budget."""

    product: str
    product_title: str
    failure_mode: str
    failure_mode_title: str
    standing: Literal["full", "inspect_at_next_visit"]
    """`inspect_at_next_visit`: it opens no tickets, because it was wrong too often."""
    since: datetime | None
    model_id: int | None
    """Learned model whose forecasts are counted; null: the first layer's."""
    counted_from: datetime | None
    """Null: from the first forecast on."""
    counted_through: datetime | None
    right_alarms: int
    false_alarms: int
    unknown_alarms: int
    """Of which nobody can ever say what they were worth."""
    waiting_alarms: int
    device_years: float
    budget_per_device_year: float
    evidence: float
    """How much likelier the count is under an overdraft than at the budget; 20 demotes."""
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A metric that is compared with what was learned, or forecasts that are held against what came."""

    product: str
    product_title: str
    kind: Literal["metric", "condition", "calibration"]
    name: str
    """Of the metric, or of the failure mode."""
    title: str
    state: Literal["steady", "drifted", "unclear"]
    since: datetime
    figure: float | None
    """Population stability index; for calibration, failures that came over those that were forecast."""
    figures: Json
    looked_through: datetime
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was made of a forecast, and why."""

    failure_mode: str
    decided_at: datetime
    action: str
    reason: str
    cost_of_waiting: float | None
    cost_of_acting: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    name: str
    title: str
    learning: timedelta
    watched: timedelta | None
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    samples: int
    received_at: datetime | None
    measured_through: datetime | None
    dead_letters: int
    forecast_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    migrations: int
    stored_through: datetime | None
    scored_through: datetime | None
    decided_through: datetime | None
    notifications_waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    id: int
    number: str
    device: str
    product: str
    product_title: str
    owner: str
    city: str
    timezone: str
    failure_mode: str
    component: str
    kind: str
    state: TicketState
    level: Level
    reason: str
    title: str
    opened_at: datetime
    due_at: datetime
    fails_from: datetime | None
    fails_until: datetime | None
    closed_at: datetime | None
    close_reason: str | None
    work_order_id: int | None
    verdict: Verdict | None
    visit_starts_at: datetime | None
    visit_ends_at: datetime | None
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEvidence:
    evidence: Json
    alert_id: int
    device_id: int
    kind: str
    decision_reason: str | None
    cost_of_waiting: float | None
    cost_of_acting: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    id: int
    at: datetime
    actor: str
    action: str
    reason: str
    detail: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    id: int
    event_key: str
    channel: str
    address: str
    subject: str
    body_text: str
    state: str
    state_reason: str
    attempts: int
    event_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    id: int
    work_order_id: int
    technician_id: int
    technician: str
    technician_phone: str
    starts_at: datetime
    ends_at: datetime
    state: str
    booked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    id: int
    number: str
    ticket_id: int
    device: str
    product: str
    product_title: str
    serial: str
    failure_mode: str
    component: str
    title: str
    state: WorkState
    starts_at: datetime | None
    ends_at: datetime | None
    due_at: datetime
    kit: list[Json]
    skills: list[str]
    checklist: list[str]
    duration: timedelta
    started_at: datetime | None
    done_at: datetime | None
    owner: str
    owner_phone: str
    site: str
    address: str
    city: str
    timezone: str
    access_note: str
    event_now: datetime | None
    warranty_until: datetime | None
    level: Level
    kind: str
    fails_from: datetime | None
    fails_until: datetime | None
    technician: str | None
    verdict: Verdict | None
    found_component: str | None
    found_note: str | None
    found_parts: list[str] | None
    checklist_done: list[str] | None
    found_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    forecasts_right: int
    forecasts_checked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    id: int
    device_name: str
    topic: str
    reason: str
    detail: str
    received_at: datetime
    replayed_at: datetime | None
    replay_result: str | None
