"""The arithmetic of the bench: percentiles, rates, ratios, medians. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from bench.ingest.records import Sent


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    Parameters
    ----------
    ordered : sequence of float
        At least one, smallest first.
    share : float
        In (0, 1].
    """
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max; nothing for no values."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": round(percentile(ordered, 0.5), 1),
        "p99": round(percentile(ordered, 0.99), 1),
        "max": round(ordered[-1], 1),
    }


def per_second(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def rate_of(sent: Sent) -> float:
    """Return messages/s of the measured part; of the whole run when that was too short to have one."""
    if sent.measured and sent.measured_s:
        return sent.measured / sent.measured_s
    return per_second(sent.done, sent.seconds)


def ratio(value: float, base: float) -> float | None:
    return round(value / base, 3) if base else None


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are there."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def lost_rows(confirmed: Mapping[str, int], stored: Mapping[str, int], *, samples: int) -> int:
    """Count rows that were confirmed and are not in the table.

    Parameters
    ----------
    confirmed : mapping
        Highest message number confirmed, by device; -1 for none. Numbers begin at 0.
    stored : mapping
        Rows in the table, by device.
    samples : int
        Rows that a message makes.
    """
    return sum(
        max(0, (seq + 1) * samples - stored.get(device, 0)) for device, seq in confirmed.items()
    )


def messages_for(rate: float, *, seconds: float, devices: int, at_most: int) -> int:
    """Return how many messages keep the line busy for so long: a whole number per device."""
    wanted = min(at_most, max(devices, rate * seconds))
    return max(1, round(wanted / devices)) * devices
