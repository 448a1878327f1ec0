"""What a campaign's numbers mean, in sentences that are kept with its decisions. Pure."""

from gateway.campaign.judge import Verdict

_CHANCE_MAX = 1_000_000
_TELLING = 2.0
"""Evidence below this is nothing to speak of."""


def stop_reason(verdict: Verdict, *, version: str) -> str:
    """Say why a campaign was stopped, with its evidence."""
    reasons = []
    if verdict.are_failures_worse:
        reasons.append(failures_sentence(verdict))
    if verdict.are_detections_worse:
        reasons.append(detections_sentence(verdict, version=version))
    return " ".join(reasons)


def failures_sentence(verdict: Verdict) -> str:
    tolerated = f"{verdict.tolerated_failures * 100:.3g} %"
    found = f"{_devices(verdict.failed)} of {verdict.ended:,} failed to update or rolled back"
    if verdict.failures_e < _TELLING:
        return f"{found}; that is no more than {tolerated}, the tolerated share, explain."
    return (
        f"{found}; with {tolerated} failing, the tolerated share, that happens by chance"
        f" {_chance(verdict.failures_e)}."
    )


def detections_sentence(verdict: Verdict, *, version: str) -> str:
    found = (
        f"{_detections(verdict.new_detected)} in {_days(verdict.new_days)} after {version} against"
        f" {verdict.old_detected:,} in {_days(verdict.old_days)} on the old version in the same time"
    )
    if verdict.detections_e < _TELLING:
        return f"{found}; that says nothing against the new version."
    return (
        f"{found}; if the versions were alike, that would happen by chance"
        f" {_chance(verdict.detections_e)}."
    )


def end_sentence(verdict: Verdict | None, *, version: str) -> str:
    """Say what was found when all devices have come to their end."""
    if verdict is None:
        return "No data came in to compare the versions."
    if not verdict.new_detected and not verdict.old_detected:
        return (
            f"No detection in {_days(verdict.new_days)} after {version}, nor in"
            f" {_days(verdict.old_days)} on the old version in the same time."
        )
    return (
        f"{_detections(verdict.new_detected)} in {_days(verdict.new_days)} after {version} against"
        f" {verdict.old_detected:,} in {_days(verdict.old_days)} on the old version in the same time:"
        " no difference beyond chance."
    )


def _chance(e_value: float) -> str:
    return f"in less than one of {_rounded(min(e_value, _CHANCE_MAX)):,} campaigns"


def _rounded(number: float) -> int:
    """Two leading digits, rounded down: nothing is claimed that was not reached."""
    digits = str(int(number))
    return int(digits[:2] + "0" * len(digits[2:]))


def _days(number: float) -> str:
    shown = f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
    return f"{shown} device-day" + ("" if shown == "1" else "s")


def _detections(number: int) -> str:
    return f"{number:,} device" + ("" if number == 1 else "s") + " with a detection"


def _devices(number: int) -> str:
    return f"{number:,} device" + ("" if number == 1 else "s")
