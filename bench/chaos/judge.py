"""Says whether a run has kept what is promised, and whether it has tested anything. Pure.

A run that lost something fails; so does one in which a fault struck less often than planned, or
that absorbed no repetition: it has proved nothing. Times are goals: they hang on the machine, are
shown when missed, and fail nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.count import Counts
from bench.chaos.plan import TRAITS, Fault

BACK_WITHIN_S = 10.0
STORM_OVER_WITHIN_S = 60.0
INGEST_BACK_IN_STORM_S = 5.0
INGEST_RSS_MIB_MAX = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often a fault has struck."""

    planned: int
    struck: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How long one strike was felt after its cause was gone."""

    fault: Fault
    back_s: float | None
    """Until a message sent after that was confirmed; None: it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    all_back_s: float | None
    ingest_back_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a run has come to."""

    counts: Counts
    faults: Mapping[Fault, Tally]
    recoveries: Sequence[Recovery]
    storms: Sequence[Storm]
    is_drained: bool
    """Whether the devices had nothing left to send."""
    receive_max: int
    in_flight_max: int
    is_receive_max_obeyed: bool
    ingest_rss_mib_max: float
    unexplained_deaths: int
    """Of ingest and gateway: none of our kills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    failures: tuple[str, ...]
    goals_missed: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        return not self.failures


def judge(observed: Observed) -> Verdict:
    return Verdict(
        failures=(
            *_broken_promises(observed.counts),
            *_broken_rules(observed),
            *_tested_too_little(observed),
        ),
        goals_missed=tuple(_goals_missed(observed)),
    )


def _broken_promises(counts: Counts) -> list[str]:
    promises = (
        (counts.lost, "messages were confirmed and are lost"),
        (counts.missing_after_resend, "messages are missing although devices sent all they had"),
        (counts.rows_twice, "rows stand there twice"),
        (counts.unexpected_rows, "rows are such as nobody has sent"),
        (counts.letters_missing, "messages that cannot be stored are not among the dead letters"),
        (counts.letters_unexpected, "dead letters are of messages that had to be stored"),
        (counts.letters_without_reason, "dead letters have no reason"),
    )
    return [f"{count} {what}" for count, what in promises if count]


def _broken_rules(observed: Observed) -> list[str]:
    rules = []
    if not observed.is_drained:
        rules.append("the devices could not get rid of all their messages")
    if not observed.is_receive_max_obeyed:
        rules.append(
            f"{observed.in_flight_max} messages were in flight, more than the Receive Maximum"
            f" of {observed.receive_max}"
        )
    if observed.unexplained_deaths:
        rules.append(f"{observed.unexplained_deaths} times a stage died by itself")
    rules += [
        f"after {recovery.fault} nothing was confirmed any more"
        for recovery in observed.recoveries
        if recovery.back_s is None
    ]
    return rules


def _tested_too_little(observed: Observed) -> list[str]:
    found = [
        f"{fault} struck {tally.struck} times, planned were {tally.planned}"
        for fault, tally in observed.faults.items()
        if tally.struck < tally.planned
    ]
    if not observed.counts.repeats_absorbed:
        found.append("no repetition was absorbed: the run has not tested what it is for")
    if not observed.receive_max:
        found.append("ingest was never seen to connect")
    return found


def _goals_missed(observed: Observed) -> list[str]:
    missed = [
        f"{recovery.fault}: back after {recovery.back_s:.1f} s, not within {BACK_WITHIN_S:.0f} s"
        for recovery in observed.recoveries
        if recovery.back_s is not None and recovery.back_s > BACK_WITHIN_S
    ]
    for storm in observed.storms:
        if storm.all_back_s is None or storm.all_back_s > STORM_OVER_WITHIN_S:
            missed.append(f"reconnect storm: over after {_seconds(storm.all_back_s)}")
        if storm.ingest_back_s is None or storm.ingest_back_s > INGEST_BACK_IN_STORM_S:
            missed.append(f"reconnect storm: ingest back after {_seconds(storm.ingest_back_s)}")
    if observed.ingest_rss_mib_max > INGEST_RSS_MIB_MAX:
        missed.append(f"ingest took {observed.ingest_rss_mib_max:.0f} MiB of memory")
    return missed


def by_part(recoveries: Sequence[Recovery]) -> dict[str, tuple[int, float, float]]:
    """Return number, median and maximum of the seconds until each part was back."""
    parts: dict[str, list[float]] = {}
    for recovery in recoveries:
        if recovery.back_s is not None:
            parts.setdefault(TRAITS[recovery.fault].part, []).append(recovery.back_s)
    return {
        part: (len(seconds), sorted(seconds)[len(seconds) // 2], max(seconds))
        for part, seconds in sorted(parts.items())
    }


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
