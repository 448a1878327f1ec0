"""What levels, states and verdicts are called, and which icon stands beside the word. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from api.records import DeviceRow, Drift, Learning, NeedyPart, Part, TicketRow, WorkOrder
from core.product import Product

LEVEL = {
    "ok": "Healthy",
    "watch": "Watch",
    "plan": "Plan a visit",
    "act": "Act now",
    "none": "No data",
    "learning": "Learning",
}
LEVEL_ICON = {
    "ok": "circle-check",
    "watch": "eye",
    "plan": "wrench",
    "act": "octagon-alert",
    "none": "circle-dashed",
    "learning": "circle-dashed",
}
TICKET_STATE = {
    "open": "Waiting for a date",
    "scheduled": "Visit booked",
    "in_service": "Technician at work",
    "resolved": "Done",
    "cancelled": "Cancelled",
}
TICKET_STATE_ICON = {
    "open": "clock",
    "scheduled": "calendar-check",
    "in_service": "wrench",
    "resolved": "circle-check",
    "cancelled": "x",
}
TICKET_STATE_LEVEL = {
    "open": "plan",
    "scheduled": "watch",
    "in_service": "watch",
    "resolved": "ok",
    "cancelled": "none",
}
KIND = {"preventive": "before the failure", "corrective": "after the failure"}
NOTICED = {
    ("wear", "raised"): "left its normal range",
    ("wear", "cleared"): "back to normal",
    ("reported_fault", "raised"): "reported by the device",
    ("reported_fault", "cleared"): "no longer reported by the device",
    ("sensor", "raised"): "left its normal range",
    ("sensor", "cleared"): "back to normal",
}
"""What became of a part or sensor, by kind and change of a detection."""
COUNTED_BELOW = 30
"""Cases below which counts stand alone: 3 of 3 is no 100 %."""
VERDICT = {
    "confirmed": "Fault confirmed",
    "incipient": "Beginning wear found",
    "other_fault": "Different fault found",
    "no_fault_found": "No fault found",
    "not_inspected": "No access",
}
VERDICT_ABOUT = {
    "confirmed": "The part has failed or is about to, and was replaced.",
    "incipient": "The part is worn as forecast, but still works.",
    "other_fault": "Something else was wrong: name the part below.",
    "no_fault_found": "The forecast was wrong. This teaches the detector.",
    "not_inspected": "Owner not there, or it could not be reached.",
}
VERDICT_LEVEL = {
    "confirmed": "ok",
    "incipient": "ok",
    "other_fault": "watch",
    "no_fault_found": "none",
    "not_inspected": "none",
}
CLOSE_REASON = {
    "recovered": "The values went back to normal by themselves",
    "cancelled": "Cancelled",
} | VERDICT
SKILL_MATCH = {
    "all_skills": "The technician has all the skills that are needed",
    "some_skills": "The technician has some of the skills that are needed",
    "no_skills": "Nobody with the skills was free",
}
PART_STATUS = {
    "learning": "Learning what is normal",
    "ok": "No sign of wear",
    "declining": "Wearing",
    "failed": "Failed",
    "no_data": "Too little fresh data",
    None: "Not judged yet",
}
AGREEMENT = {
    "same": "As wanted",
    "taken": "Confirmed",
    "waiting": "Not confirmed yet",
    "differs": "Differs",
    "only_reported": "Only reported",
}
AGREEMENT_ICON = {
    "same": "circle-check",
    "taken": "circle-check",
    "waiting": "clock",
    "differs": "triangle-alert",
    "only_reported": "info",
}
AGREEMENT_LEVEL = {
    "same": "ok",
    "taken": "ok",
    "waiting": "watch",
    "differs": "plan",
    "only_reported": "none",
}
COMMAND = {
    "queued": "Queued",
    "sent": "Sent",
    "acknowledged": "At work",
    "done": "Done",
    "failed": "Failed",
    "expired": "Too late",
    "cancelled": "Taken back",
}
COMMAND_ICON = {
    "queued": "clock",
    "sent": "arrow-right",
    "acknowledged": "activity",
    "done": "circle-check",
    "failed": "triangle-alert",
    "expired": "clock",
    "cancelled": "x",
}
COMMAND_LEVEL = {
    "queued": "watch",
    "sent": "watch",
    "acknowledged": "watch",
    "done": "ok",
    "failed": "plan",
    "expired": "none",
    "cancelled": "none",
}
DRIFT = {
    "metric": "Metric",
    "condition": "Condition",
    "calibration": "Forecasts",
}
DRIFT_ICON = {"metric": "activity", "condition": "activity", "calibration": "eye"}
NEXT_VISIT = "Looked at on the next visit"
"""What happens with a part whose rule was demoted."""
ROLE = {"owner": "Owner", "technician": "Technician", "manufacturer": "Manufacturer"}


def part_level(part: Part) -> str:
    """Level of a part as shown: learning is a state of its own."""
    return "learning" if part.status == "learning" and part.level == "none" else part.level


def shown_level(level: str, *, is_reporting: bool) -> str:
    """Level as shown: what needs a visit stays, the rest is not known without fresh data."""
    return level if is_reporting or level in ("act", "plan") else "none"


def worst_level(parts: list[Part], *, is_reporting: bool) -> str:
    """Level of a device from its parts; without fresh data we cannot see, whatever was before."""
    levels = {part_level(part) for part in parts}
    worst = next((lv for lv in ("act", "plan", "watch", "learning", "ok") if lv in levels), "none")
    if parts and worst == "none" and is_reporting and all(part.status is None for part in parts):
        return "learning"  # it has just begun to report
    return shown_level(worst, is_reporting=is_reporting)


def next_step(part: NeedyPart) -> tuple[str, str]:
    """Icon and words for what happens next with a part."""
    if part.ticket_state in ("scheduled", "in_service") and part.visit_starts_at is not None:
        return "calendar-check", "visit"
    if part.ticket_state == "in_service":
        return "wrench", "Technician at work"
    if part.ticket_id is not None:
        return "clock", "Owner picks a time"
    if part.is_left_to_next_visit:
        return "eye", NEXT_VISIT
    return "eye", "Watching"


def learning_days(learning: Learning) -> tuple[int, int]:
    """Days watched and days needed, for "4 of 10 days"."""
    needed = max(1, round(learning.learning / timedelta(days=1)))
    watched = int((learning.watched or timedelta()) / timedelta(days=1))
    return min(watched, needed), needed


def learning_text(watched: int, needed: int) -> str:
    """Say how far a device, or a product, has been learned."""
    return f"Learning what is normal, {watched} of {needed} {'day' if needed == 1 else 'days'}"


def presence(device: DeviceRow) -> tuple[str, str, str]:
    """Level, icon and words for *connected*, a fact of its own beside *reporting*."""
    if device.is_connected:
        return "ok", "plug", "Connected"
    return "none", "unplug", "Not connected"


def reporting(device: DeviceRow) -> tuple[str, str, str]:
    if device.is_reporting:
        return "ok", "radio", "Reporting"
    if device.measured_through is None:
        return "none", "radio", "Never reported"
    return "none", "radio", "Silent"


def titles(product: Product) -> dict[str, str]:
    """What the settings and commands of a product are called, by the names that devices know."""
    settings = {setting.name: setting.title for setting in product.settings}
    return settings | {command.name: command.title for command in product.commands}


def clock_off(ahead: timedelta) -> str:
    """Say how far off a clock is: "3 h 12 min fast"."""
    seconds = abs(ahead.total_seconds())
    for unit, smaller, size, part in (("d", "h", 86_400, 3600), ("h", "min", 3600, 60)):
        if seconds >= size:
            rest = int(seconds % size // part)
            shown = f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")
            break
    else:
        shown = f"{max(1, round(seconds / 60))} min"
    return f"{shown} {'fast' if ahead > timedelta(0) else 'slow'}"


def actor(name: str) -> str:
    """Who did something, as a history keeps it, in words that follow a "by"."""
    kind, _, _rest = name.partition(":")
    return {
        "forecare": "Forecare",
        "owner": "the owner",
        "technician": "the technician",
        "manufacturer": "the manufacturer",
        "operator": "somebody at the command line",
        "link": "the owner, by the link in the message",
    }.get(kind, name)


def as_learned(compared: Sequence[Drift]) -> str:
    """Say that nothing has drifted, and whether anybody can tell."""
    unclear = sum(one.state == "unclear" for one in compared)
    if unclear == len(compared):
        return "Nobody can tell yet whether metrics and forecasts are still as they were learned: it takes more devices, or months."
    if unclear:
        return "All that can be judged is as it was learned. Of some metrics or forecasts nobody can tell yet."
    return "All metrics and forecasts are as they were learned."


def newest_window(
    told: TicketRow | WorkOrder, part: Part | None
) -> tuple[datetime, datetime] | None:
    """When a part is likely to fail as the newest forecast sees it; None where what was told first stands."""
    if part is None or part.status != "declining" or told.kind != "preventive":
        return None
    return None if told.state in ("resolved", "cancelled", "done") else part.window


def days_until(at: datetime, now: datetime) -> int:
    return max(0, int((at - now) / timedelta(days=1)))
