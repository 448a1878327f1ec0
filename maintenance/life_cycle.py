"""Which state may follow which, for tickets, work orders and appointments. Pure.

The tables are also the guard: an UPDATE names the states it may start from, and zero rows mean that
somebody else was first.
"""

from collections.abc import Mapping

Transitions = Mapping[str, frozenset[str]]

TICKET: Transitions = {
    "open": frozenset({"scheduled", "in_service", "resolved", "cancelled"}),
    "scheduled": frozenset({"open", "in_service", "resolved", "cancelled"}),
    "in_service": frozenset({"resolved", "cancelled"}),
    "resolved": frozenset(),
    "cancelled": frozenset(),
}
"""`scheduled` → `open`: the appointment was cancelled and no new one is booked."""

WORK_ORDER: Transitions = {
    "ready": frozenset({"scheduled", "in_progress", "done", "cancelled"}),
    "scheduled": frozenset({"ready", "in_progress", "done", "cancelled"}),
    "in_progress": frozenset({"done", "cancelled"}),
    "done": frozenset(),
    "cancelled": frozenset(),
}

APPOINTMENT: Transitions = {
    "confirmed": frozenset({"done", "cancelled"}),
    "done": frozenset(),
    "cancelled": frozenset(),
}

TABLES: Mapping[str, Transitions] = {
    "ticket": TICKET,
    "work_order": WORK_ORDER,
    "appointment": APPOINTMENT,
}


def sources(table: Transitions, to: str) -> list[str]:
    """Return the states from which `to` may be reached, sorted."""
    return sorted(state for state, following in table.items() if to in following)


def is_closed(table: Transitions, state: str) -> bool:
    return not table[state]
