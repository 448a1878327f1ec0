"""What is learned from: findings and reported faults become failures and replacements. Pure.

`confirmed` and `incipient` findings are failures: the part was broken, or would have broken. `other_fault`
says that the component was replaced, `no_fault_found` is a soft negative (the fault may come and go),
and `not_inspected` says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.history import Catalog
from anomaly.records import IntArray, ServiceEvent

_FAILED = ("confirmed", "incipient")
REPLACED = (*_FAILED, "other_fault")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFault:
    """The device itself reported a failure."""

    failure_mode: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """One device's, each pair of arrays in order of time; places as in the catalog."""

    failure_us: IntArray
    failure_mode: IntArray
    service_us: IntArray
    service_component: IntArray
    doubt_us: IntArray
    """Visits at which no fault was found."""
    doubt_mode: IntArray


def labels_of(
    catalog: Catalog, *, findings: Sequence[ServiceEvent], faults: Sequence[ReportedFault]
) -> Labels:
    """Turn what was found and reported about one device into labels.

    A failure is counted once: the finding of a fault that the device had reported itself, since its
    component was last replaced, adds none; nor does a report that is repeated before the repair.
    """
    failures: list[tuple[int, int]] = []
    services: list[tuple[int, int]] = []
    doubts: list[tuple[int, int]] = []
    is_down: set[str] = set()
    events: list[tuple[int, int, str, ServiceEvent | None]] = [
        (fault.at_us, 0, fault.failure_mode, None) for fault in faults
    ]
    events += [(found.found_us, 1, found.failure_mode, found) for found in findings]
    for at_us, _, mode, found in sorted(events, key=lambda event: event[:3]):
        if mode not in catalog.modes:
            continue
        place = catalog.modes.index(mode)
        if (found is None or found.verdict in _FAILED) and mode not in is_down:
            failures.append((at_us, place))
            is_down.add(mode)
        if found is None:
            continue
        if found.verdict in REPLACED and found.component in catalog.components:
            services.append((at_us, catalog.components.index(found.component)))
            is_down -= {
                m.name
                for m in catalog.product.failure_modes
                if m.component == found.component or m.name == mode
            }
        elif found.verdict == "no_fault_found":
            doubts.append((at_us, place))
    return Labels(
        failure_us=_column(failures, 0), failure_mode=_column(failures, 1),
        service_us=_column(services, 0), service_component=_column(services, 1),
        doubt_us=_column(doubts, 0), doubt_mode=_column(doubts, 1),
    )  # fmt: skip


def _column(pairs: Sequence[tuple[int, int]], place: int) -> IntArray:
    return np.array([pair[place] for pair in pairs], dtype=np.int64)
