"""The private record of what was really done to the fleet. Only the final count of a demo reads it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firmware_sim.fleet import Fleet
from firmware_sim.plan import Failure
from firmware_sim.spool import Count
from firmware_sim.state import State, write_atomically
from firmware_sim.wrong_clocks import WrongClock


def rfc3339(at_s: float | None) -> str | None:
    if at_s is None:
        return None
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def outcome(failure: Failure, *, through_s: int) -> str:
    """`prevented` if somebody came before it failed, `failed`, or `pending` if neither has happened."""
    if failure.has_been_prevented:
        return "prevented"
    return "failed" if failure.fails_s <= through_s else "pending"


def write_truth(  # noqa: PLR0913 - keyword-only parts of one record
    path: Path,
    *,
    fleet: Fleet,
    state: State,
    through_s: int,
    counts: Mapping[str, Count],
    wrong_clocks: Mapping[str, WrongClock],
) -> None:
    record = _record(fleet, state, through_s, counts)
    record["wrong_clocks"] = [
        {
            "device": name,
            "kind": clock.kind,
            "from_at": rfc3339(clock.from_s),
            "ahead_s": clock.ahead_s,
        }
        for name, clock in wrong_clocks.items()
        if clock.from_s < through_s
    ]
    write_atomically(path, json.dumps(record, indent=1))


def _record(
    fleet: Fleet, state: State, through_s: int, counts: Mapping[str, Count]
) -> dict[str, Any]:
    return {
        "seed": fleet.seed,
        "start": rfc3339(fleet.start_s),
        "end": rfc3339(fleet.end_s),
        "through": rfc3339(through_s),
        "devices": len(fleet.units),
        "failures": [_failure(fleet, failure, through_s) for failure in fleet.plan.failures],
        "sensor_faults": [
            {
                "device": fleet.units[fault.device].name,
                "kind": fault.kind,
                "metric": fault.metric,
                "start_at": rfc3339(fault.start_s),
                "end_at": rfc3339(fault.end_s),
            }
            for fault in fleet.plan.sensor_faults
        ],
        "visits": [
            {
                "device": fleet.units[visit.device].name,
                "failure_mode": visit.failure_mode,
                "found_at": rfc3339(visit.found_s),
                "verdict": visit.verdict,
            }
            for visit in state.visits
            if visit.is_reported
        ],
        "samples": {
            name: {"made": count.made, "confirmed": count.confirmed}
            for name, count in counts.items()
        },
    }


def _failure(fleet: Fleet, failure: Failure, through_s: int) -> dict[str, Any]:
    unit = fleet.units[failure.device]
    mode = fleet.machines[failure.device].model.mode(failure.mode)
    result = outcome(failure, through_s=through_s)
    return {
        "device": unit.name,
        "product": unit.product,
        "failure_mode": failure.mode,
        "component": mode.component,
        "kind": mode.kind,
        "onset_at": rfc3339(failure.onset_s),
        "fails_at": rfc3339(failure.fails_s),
        "failed_at": rfc3339(failure.fails_s) if result == "failed" else None,
        "repaired_at": rfc3339(failure.repaired_s),
        "outcome": result,
        "is_ahead": failure.is_ahead,
    }
