"""Says whether one message may come in, and if not, why. Pure.

The only place where a refusal gets its reason. It looks at one message alone, in a fixed order, so
the reason never depends on what else came in the same batch.
"""

from typing import NamedTuple

from core.product import Product, time_window
from gateway.codecs import SAMPLES_MAX, Telemetry
from ingest.records import Refusal

_NAMES_MAX = 5


class Fault(NamedTuple):
    """Why a message is refused."""

    reason: Refusal
    detail: str


def fault_of(message: Telemetry, product: Product, *, now_ms: int) -> Fault | None:
    """Return what is wrong with a message that could be read; None: nothing.

    Parameters
    ----------
    message : Telemetry
    product : Product
        What its device is.
    now_ms : int
        Time of arrival, milliseconds since 1970.
    """
    samples = message.samples
    if not samples:
        return Fault(Refusal.NO_SAMPLES, "no samples")
    if len(samples) > SAMPLES_MAX:
        return Fault(Refusal.TOO_MANY_SAMPLES, f"{len(samples)} samples, more than {SAMPLES_MAX}")
    return (
        _metrics(message, product) or _values(message, product) or _times(message, product, now_ms)
    )


def _metrics(message: Telemetry, product: Product) -> Fault | None:
    known = {metric.name for metric in product.metrics}
    for _, values in message.samples:
        if not values:
            return Fault(Refusal.NO_SAMPLES, "a sample without a value")
        if not values.keys() <= known:
            unknown = [name for name in values if name not in known][:_NAMES_MAX]
            return Fault(
                Refusal.UNKNOWN_METRIC, f"{product.name} has no metric {', '.join(unknown)}"
            )
    return None


def _values(message: Telemetry, product: Product) -> Fault | None:
    metrics = {metric.name: metric for metric in product.metrics}
    for _, values in message.samples:
        for name, value in values.items():
            metric = metrics[name]
            if not metric.low <= value <= metric.high:  # NaN fits nowhere
                return Fault(
                    Refusal.OUT_OF_RANGE,
                    f"{name} = {value:g} is not in [{metric.low:g}, {metric.high:g}] {metric.unit}",
                )
    return None


def _times(message: Telemetry, product: Product, now_ms: int) -> Fault | None:
    oldest_ms, newest_ms = time_window(product, now_ms=now_ms)
    for ts, _ in message.samples:
        if ts < oldest_ms:
            days = product.history_max.days
            return Fault(Refusal.TOO_OLD, f"ts {ts} is older than the {days} days allowed")
        if ts > newest_ms:
            return Fault(
                Refusal.IN_FUTURE, f"ts {ts} is ahead of the clock (ts is in milliseconds)"
            )
    return None
