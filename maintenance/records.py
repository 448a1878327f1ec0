"""Records that cross the border between maintenance and those who call its service. Pure."""

from datetime import datetime
from typing import Literal

import msgspec

Verdict = Literal["confirmed", "incipient", "other_fault", "no_fault_found", "not_inspected"]


class Appointment(msgspec.Struct, frozen=True, kw_only=True):
    """A technician, a site, an interval."""

    appointment_id: int
    ticket_id: int
    work_order_id: int
    technician_id: int
    technician_name: str
    starts_at: datetime
    ends_at: datetime
    state: str


class TechnicianDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A technician as given from outside; the e-mail address says who it is."""

    name: str
    email: str
    phone: str = ""
    skills: tuple[str, ...] = ()
    timezone: str = "UTC"
    latitude: float | None = None
    longitude: float | None = None
