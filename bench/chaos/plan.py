"""What will be broken, when and for how long: follows from the seed alone. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import sqrt
from random import Random
from typing import Any

from core.errors import InvalidError

_SPREADS = 4.0
"""Messages that carry a fault are drawn one by one; so many standard deviations below their
expected number a draw falls once in thirty thousand runs."""


class Fault(StrEnum):
    """Everything that is broken. The value is the name on the command line and in the report."""

    INGEST_KILL = "ingest_kill"
    INGEST_RECEIVED = "ingest_received"
    INGEST_BEFORE_COMMIT = "ingest_before_commit"
    INGEST_AFTER_COMMIT = "ingest_after_commit"
    INGEST_AFTER_ACK = "ingest_after_ack"
    BROKER_KILL = "broker_kill"
    BROKER_WIPE = "broker_wipe"
    DATABASE_KILL = "database_kill"
    DATABASE_AWAY = "database_away"
    DATABASE_LATENCY = "database_latency"
    DATABASE_BANDWIDTH = "database_bandwidth"
    DATABASE_BLACKHOLE = "database_blackhole"
    DATABASE_RESET = "database_reset"
    DISK_FULL = "disk_full"
    DEVICES_KILL = "devices_kill"
    RECONNECT_STORM = "reconnect_storm"
    POISON = "poison"
    DUPLICATES = "duplicates"
    SHUFFLED = "shuffled"
    WRONG_CLOCK = "wrong_clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """What the plan has to know of a fault."""

    about: str
    part: str
    """Whose recovery is counted: ingest, broker, database or devices."""
    recovery_s: float = 3.0
    """Seconds set aside for what follows; when it takes longer the rest of the plan waits."""
    hold: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Share of the run for which it is held, and its limits in seconds."""
    weight: float = 1.0
    """How often it is drawn for the time that is left when each fault has had its turn."""
    share: float = 0.0
    """Part of the messages that carry it; such a fault has no time of its own."""
    burst: int = 1
    """Messages of a device that carry it one after another."""


TRAITS: Mapping[Fault, Trait] = {
    Fault.INGEST_KILL: Trait(
        about="kill -9 of ingest at a random moment", part="ingest", recovery_s=2.5, weight=4
    ),
    Fault.INGEST_RECEIVED: Trait(
        about="kill -9 of ingest when it has received messages", part="ingest", weight=2
    ),
    Fault.INGEST_BEFORE_COMMIT: Trait(
        about="kill -9 of ingest just before COMMIT", part="ingest", weight=2
    ),
    Fault.INGEST_AFTER_COMMIT: Trait(
        about="kill -9 of ingest after COMMIT, before the broker's acknowledgement",
        part="ingest",
        weight=2,
    ),
    Fault.INGEST_AFTER_ACK: Trait(
        about="kill -9 of ingest after the acknowledgement, before `stored`",
        part="ingest",
        weight=2,
    ),
    Fault.BROKER_KILL: Trait(about="kill -9 of the broker", part="broker", weight=2),
    Fault.BROKER_WIPE: Trait(
        about="kill -9 of the broker, and its saved sessions and queues removed",
        part="broker",
        weight=1,
    ),
    Fault.DATABASE_KILL: Trait(
        about="kill -9 of PostgreSQL and all its children",
        part="database",
        recovery_s=4,
        weight=2,
    ),
    Fault.DATABASE_AWAY: Trait(
        about="PostgreSQL stopped at once, and away for a while",
        part="database",
        hold=(0.1, 2.0, 300.0),
        weight=0,
    ),
    Fault.DATABASE_LATENCY: Trait(
        about="each packet to and from PostgreSQL late by half a second or so",
        part="database",
        hold=(0.03, 2.0, 60.0),
        weight=0.3,
    ),
    Fault.DATABASE_BANDWIDTH: Trait(
        about="20 kB/s between ingest and PostgreSQL",
        part="database",
        hold=(0.03, 2.0, 60.0),
        weight=0.3,
    ),
    Fault.DATABASE_BLACKHOLE: Trait(
        about="nothing comes through between ingest and PostgreSQL, then a reset",
        part="database",
        hold=(0.04, 2.0, 120.0),
        weight=0.3,
    ),
    Fault.DATABASE_RESET: Trait(
        about="the connection to PostgreSQL is reset", part="database", recovery_s=2.0, weight=2
    ),
    Fault.DISK_FULL: Trait(
        about="no space left for PostgreSQL (a tmpfs that is made smaller)",
        part="database",
        recovery_s=5.0,
        hold=(0.03, 2.0, 60.0),
        weight=0.2,
    ),
    Fault.DEVICES_KILL: Trait(
        about="kill -9 of all devices; they go on from their spools with a new boot",
        part="devices",
        recovery_s=3.0,
        weight=0.5,
    ),
    Fault.RECONNECT_STORM: Trait(
        about="the broker is killed, and all devices come back at once, without jitter",
        part="devices",
        recovery_s=5.0,
        weight=0.3,
    ),
    Fault.POISON: Trait(about="messages that cannot be stored", part="messages", share=0.01),
    Fault.DUPLICATES: Trait(about="messages sent twice", part="messages", share=0.02),
    Fault.SHUFFLED: Trait(about="messages sent before an older one", part="messages", share=0.02),
    Fault.WRONG_CLOCK: Trait(
        about="a device's clock is wrong for a while", part="messages", share=0.01, burst=8
    ),
}

FAILPOINTS: Mapping[Fault, str] = {
    Fault.INGEST_RECEIVED: "ingest.received",
    Fault.INGEST_BEFORE_COMMIT: "ingest.before_commit",
    Fault.INGEST_AFTER_COMMIT: "ingest.after_commit",
    Fault.INGEST_AFTER_ACK: "ingest.after_ack",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault at one time."""

    at_s: float
    """Seconds after the first message."""
    fault: Fault
    hold_s: float
    strength: float
    """0 to 1, drawn; what it means is the fault's own matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    seed: int
    seconds: float
    faults: tuple[Fault, ...]
    strikes: tuple[Strike, ...]

    def planned(self, fault: Fault, *, messages: float) -> int:
        """Return how often a fault has to strike, given the messages that the run should send."""
        if share := TRAITS[fault].share:
            expected = share * messages
            least = max(1, int(expected - _SPREADS * sqrt(expected * TRAITS[fault].burst)))
            return least if fault in self.faults else 0
        return sum(strike.fault is fault for strike in self.strikes)

    def shares(self) -> dict[str, float]:
        """Return the part of the messages that carries each of the carried faults."""
        return {fault.value: TRAITS[fault].share for fault in self.faults if TRAITS[fault].share}

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(strike) for strike in self.strikes]


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read a list of names; an empty text means all.

    Raises
    ------
    InvalidError
        If a name is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {fault.value for fault in Fault}
    if unknown := [name for name in names if name not in known]:
        raise InvalidError(
            f"no such fault: {', '.join(unknown)}", hint=f"there are {', '.join(sorted(known))}"
        )
    return tuple(fault for fault in Fault if not names or fault.value in names)


def make_plan(*, seed: int, minutes: float, faults: Sequence[Fault]) -> Plan:
    """Draw a plan: each fault once, in a drawn order; the time that is left goes to what is quick.

    Raises
    ------
    InvalidError
        If there is no time.
    """
    if not 0 < minutes <= 24 * 60:
        raise InvalidError(f"a run of {minutes:g} minutes", hint="give 0.1 to 1440 minutes")
    rng = Random(seed)  # noqa: S311 - to be drawn again, not to be secret
    timed = [fault for fault in faults if not TRAITS[fault].share]
    rng.shuffle(timed)
    seconds = minutes * 60
    left_s = seconds - sum(_cost_s(fault, seconds) for fault in timed)
    more = [fault for fault in timed if TRAITS[fault].weight]
    while more:
        (fault,) = rng.choices(more, [TRAITS[fault].weight for fault in more])
        left_s -= _cost_s(fault, seconds)
        if left_s < 0:
            break
        timed.append(fault)
    # In a short run there is less time in between, and what is late waits for what comes before.
    pace = min(1.0, seconds / max(1.0, sum(_cost_s(fault, seconds) for fault in timed)))
    strikes, at_s = [], 0.5
    for fault in timed:
        hold_s = _hold_s(fault, seconds)
        strikes.append(
            Strike(
                at_s=round(at_s + pace * rng.uniform(0, 0.5), 3),
                fault=fault,
                hold_s=round(hold_s, 3),
                strength=round(rng.random(), 4),
            )
        )
        at_s += pace * _cost_s(fault, seconds)
    return Plan(seed=seed, seconds=seconds, faults=tuple(faults), strikes=tuple(strikes))


def without(plan: Plan, fault: Fault) -> Plan:
    """Return the plan without a fault that this machine does not allow."""
    return Plan(
        seed=plan.seed,
        seconds=plan.seconds,
        faults=tuple(kept for kept in plan.faults if kept is not fault),
        strikes=tuple(strike for strike in plan.strikes if strike.fault is not fault),
    )


def _hold_s(fault: Fault, seconds: float) -> float:
    share, low, high = TRAITS[fault].hold
    return min(high, max(low, share * seconds))


def _cost_s(fault: Fault, seconds: float) -> float:
    return _hold_s(fault, seconds) + TRAITS[fault].recovery_s
