"""Simulated technicians: go to their appointments, look honestly, repair, report.

A visit is decided and written into the state first (`plan_visit`), then reported. Samples after
`found_at` are made only when that has been done.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from firmware_sim.fleet import Fleet
from firmware_sim.machine import Machine
from firmware_sim.model import Mode
from firmware_sim.plan import Failure
from firmware_sim.state import Visit

_INCIPIENT_FROM = 0.25
_NOTES = {
    "confirmed": "Part had failed. Replaced, tested, running.",
    "incipient": "Clear signs of wear, still working. Replaced before it failed.",
    "other_fault": "Looked for the reported fault and found another part worn. Replaced that one.",
    "no_fault_found": "Checked and measured; all values as they should be.",
}


def plan_visit(order: Mapping[str, Any], *, fleet: Fleet, technician: str) -> Visit | None:
    """Decide what a technician finds at an appointment; None if the device is not one of ours.

    The verdict is honest: what the physics says at the start of the visit.
    """
    name = device_name(order)
    place = next((i for i, unit in enumerate(fleet.units) if unit.name == name), None)
    if place is None or not order.get("starts_at"):
        return None
    starts_s, ends_s = seconds_of(order["starts_at"]), seconds_of(order["ends_at"])
    verdict, mode = examine(fleet.machines[place], str(order["failure_mode"]), starts_s)
    kit = order.get("kit") or []
    return Visit(
        order_id=int(order["id"]),
        technician=technician,
        device=place,
        failure_mode=mode.name,
        starts_s=starts_s,
        found_s=ends_s,
        verdict=verdict,
        component=mode.component,
        parts=[{"part": p["part"], "quantity": p.get("quantity", 1)} for p in kit]
        if verdict in {"confirmed", "incipient"}
        else [],
        checklist=[str(step) for step in order.get("checklist") or []],
    )


def examine(machine: Machine, mode_name: str, at_s: int) -> tuple[str, Mode]:
    """Return the verdict and the part it is about."""
    suspected = machine.model.mode(mode_name)
    state = {mode.name: _wear(machine, mode, at_s) for mode in machine.model.modes}
    if state[mode_name] >= 1:
        return "confirmed", suspected
    if state[mode_name] >= _INCIPIENT_FROM:
        return "incipient", suspected
    worst = max(machine.model.modes, key=lambda mode: state[mode.name])
    if state[worst.name] >= _INCIPIENT_FROM:
        return "other_fault", worst
    return "no_fault_found", suspected


def repaired_by(visit: Visit, fleet: Fleet) -> Failure | None:
    """The failure that this visit ends: begun before it, of the part that was found, not yet repaired."""
    if visit.verdict == "no_fault_found":
        return None
    return next(
        (
            failure
            for failure in fleet.machines[visit.device].failures
            if failure.mode == visit.failure_mode
            and failure.onset_s <= visit.found_s
            and failure.repaired_s is None
        ),
        None,
    )


def report_of(visit: Visit, at: str) -> dict[str, Any]:
    return {
        "verdict": visit.verdict,
        "component": visit.component,
        "note": _NOTES[visit.verdict],
        "parts": visit.parts,
        "checklist_done": visit.checklist,
        "found_at": at,
    }


def device_name(record: Mapping[str, Any]) -> str:
    device = record.get("device")
    return str(device.get("name", "")) if isinstance(device, dict) else str(device or "")


def seconds_of(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


def _wear(machine: Machine, mode: Mode, at_s: int) -> float:
    """1 as soon as the part has failed, whatever kind it is."""
    at = np.asarray([at_s], dtype=np.int64)
    for failure in machine.failures:
        if failure.mode == mode.name and failure.fails_s <= at_s and failure.repaired_s is None:
            return 1.0
    return float(machine.wear(mode, at)[0])
