"""What a ticket's evidence and history say, in sentences. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from anomaly.wording.service import LANGUAGES
from api import words
from api.records import Detection, HistoryEntry, Json
from api.written import in_language
from maintenance.reasons import explain

_NOTICED_MAX = 2
_ACTIONS = {
    "ticket.opened": "Ticket opened",
    "ticket.resolved": "Ticket closed",
    "ticket.cancelled": "Ticket cancelled",
    "ticket.raised": "Level raised",
    "alert.acknowledged": "Seen",
    "appointment.booked": "Visit booked",
    "appointment.rebooked": "Visit moved",
    "appointment.cancelled": "Visit cancelled",
    "work.started": "Technician began",
    "work.extended": "Look at another part added",
}


def sentences(evidence: Json | None) -> list[str]:
    """Find the sentences in a forecast's, a detection's or a ticket's evidence."""
    if not evidence:
        return []
    found = [_text(entry) for entry in _list(evidence, "sentences")]
    inner = evidence.get("evidence")
    if not any(found) and isinstance(inner, Mapping):
        found = [_text(entry) for entry in _list(inner, "sentences")]
    return [text for text in dict.fromkeys(found) if text]


def caveats(evidence: Json | None) -> list[str]:
    """Find what is uncertain about it."""
    inner = (evidence or {}).get("evidence") or evidence or {}
    return [text for text in map(_text, _list(inner, "caveats")) if text]


def operating(evidence: Json | None) -> list[str]:
    """Find under which conditions it was seen; messages to owners, whose sentences a ticket keeps, leave it out."""
    inner = (evidence or {}).get("evidence") or evidence or {}
    found = [
        _text(entry)
        for entry in _list(inner, "sentences")
        if isinstance(entry, Mapping) and entry.get("key") == "operating"
    ]
    return [text for text in found if text and text not in sentences(evidence)]


def measured(evidence: Json | None) -> list[Mapping[str, Any]]:
    """Find the metrics that bear it out, farthest from normal first."""
    inner = (evidence or {}).get("evidence") or evidence or {}
    found = [m for m in _list(inner, "metrics") if isinstance(m, Mapping) and m.get("title")]
    return sorted(found, key=lambda m: -abs(m.get("deviation_spreads") or 0.0))


def noticed(detection: Detection) -> list[str]:
    """What a detection says in a list; that a fault is no longer reported says nothing of metrics."""
    if (detection.kind, detection.change) == ("reported_fault", "cleared"):
        return []
    return sentences(detection.evidence)[:_NOTICED_MAX]


def action(entry: HistoryEntry) -> str:
    """Say what was done: "Visit booked"."""
    return (
        _ACTIONS.get(entry.action) or entry.action.replace(".", " ").replace("_", " ").capitalize()
    )


def action_level(entry: HistoryEntry) -> str:
    if entry.action.startswith("appointment"):
        return "watch"
    if entry.action in ("ticket.opened", "ticket.raised"):
        return "plan"
    return "ok" if entry.action in ("ticket.resolved", "work.started") else "none"


def reason(text: str) -> str:
    """Say why something was done: a decision's reason, a verdict, or what a person wrote."""
    return words.CLOSE_REASON.get(text) or words.SKILL_MATCH.get(text) or explain(text)


def close_words(reason: str | None) -> str:
    return words.CLOSE_REASON.get(reason or "", reason or "")


def _list(mapping: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = mapping.get(key)
    return value if isinstance(value, list) else []


def _text(entry: object) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Mapping):
        text = entry.get("text") or entry.get("sentence")
        if not isinstance(text, str):
            return ""
        return in_language(text, str(entry.get("language") or LANGUAGES[0]))
    return ""


def is_for_owner(entry: HistoryEntry) -> bool:
    return entry.action in _ACTIONS and not entry.action.startswith("alert")
