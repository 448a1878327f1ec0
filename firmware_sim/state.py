"""What the simulator remembers from run to run, besides the spool: one JSON file, written atomically.

It holds the credentials that were shown once, so nobody but its owner may read it.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from firmware_sim.errors import SimulatorError


@dataclass(slots=True, kw_only=True)
class Visit:
    """A technician's visit. It is written down before the platform hears of it, so that a crash in
    between cannot part what was repaired from what was reported."""

    order_id: int
    technician: str
    device: int
    """Place in the fleet."""
    failure_mode: str
    starts_s: int
    found_s: int
    verdict: str
    component: str
    parts: list[dict[str, Any]]
    checklist: list[str]
    is_reported: bool = False


@dataclass(slots=True, kw_only=True)
class Link:
    """A link out of an owner's mail."""

    token: str
    email: str
    state: str = "new"
    """new, ignored, booked or over."""
    device: str = ""
    ticket_id: int = 0
    tries_after_s: int = 0
    """Simulated time of the next look at it."""


@dataclass(slots=True, kw_only=True)
class State:
    seed: int
    devices: int
    days: float
    products: list[str]
    start_s: int
    ahead: int = 0
    bad_lot: str = ""
    speak: list[str] = field(default_factory=lambda: ["json"])
    """How the devices write, dealt out over the fleet."""
    wrong_clocks: int = 0
    mqtt_url: str = ""
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    """Per device: shard and password."""
    names: dict[str, str] = field(default_factory=dict)
    """Names that the platform gave at a first contact, by those that the factory had in mind."""
    nonces: dict[str, str] = field(default_factory=dict)
    """Proofs of the devices that come for their credential, by the factory's names."""
    technicians: list[dict[str, str]] = field(default_factory=list)
    technician_ids: list[int] = field(default_factory=list)
    """The platform's numbers of these technicians; empty if it did not say."""
    owners: list[dict[str, str]] = field(default_factory=list)
    spoken_for: dict[str, str] = field(default_factory=dict)
    """The node that may speak for a device behind it, as the platform was told."""
    accounts: list[str] = field(default_factory=list)
    """Owners who have registered by themselves: their e-mail addresses."""
    claimed: dict[str, str] = field(default_factory=dict)
    """The code with which its owner took a device, by the device's name."""
    repairs: list[dict[str, int]] = field(default_factory=list)
    """Which planned failure (its place in the plan) was repaired when."""
    visits: list[Visit] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    """Unique parts of the names of mails that have been read."""


def load_state(path: Path) -> State | None:
    """Read the file; None if there is none yet."""
    if not path.exists():
        return None
    try:
        raw = json.loads(path.read_text())
        raw["visits"] = [Visit(**visit) for visit in raw["visits"]]
        raw["links"] = [Link(**link) for link in raw["links"]]
        return State(**raw)
    except (ValueError, TypeError, KeyError) as error:
        raise SimulatorError(
            f"{path} cannot be read: {error}",
            hint="it may be of another version: start with another --state folder",
        ) from error


def save_state(path: Path, state: State) -> None:
    write_atomically(path, json.dumps(asdict(state), indent=1))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner alone."""
    new = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
