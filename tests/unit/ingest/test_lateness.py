"""Late is what lies long behind the newest sample of the product, by event time."""

from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.lateness import late_through
from ingest.records import Columns

HOUR_MS = 3_600_000
EDGE_MS = 1_790_000_000_000


def columns(*samples: tuple[int, float]) -> Columns:
    """Samples as (device, hours behind the edge)."""
    times = [EDGE_MS - round(hours * HOUR_MS) for _, hours in samples]
    return Columns(
        device_ids=np.array([device for device, _ in samples], dtype=np.int64),
        times_ms=np.array(times, dtype=np.int64),
        values=np.zeros((len(samples), 1)),
        order=np.zeros(len(samples), dtype=np.int64),
    )


def late_hours(found: dict[int, int]) -> dict[int, float]:
    return {device: (EDGE_MS - at_ms) / HOUR_MS for device, at_ms in found.items()}


def test_what_is_live_is_not_late() -> None:
    block = columns((1, 0), (2, 11.9))

    assert late_through(block, edge_ms=EDGE_MS, late_after=timedelta(hours=12)) == {}


def test_a_device_that_comes_back_is_late_until_it_has_caught_up() -> None:
    block = columns((1, 0), (2, 60), (2, 40), (2, 13), (2, 5), (3, 20))

    found = late_through(block, edge_ms=EDGE_MS, late_after=timedelta(hours=12))

    assert late_hours(found) == {2: 13, 3: 20}


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 100)), max_size=30))
def test_it_is_the_newest_late_sample_of_each_device(samples: list[tuple[int, float]]) -> None:
    found = late_through(columns(*samples), edge_ms=EDGE_MS, late_after=timedelta(hours=12))

    expected: dict[int, int] = {}
    for device, hours in samples:
        behind_ms = round(hours * HOUR_MS)
        if behind_ms > 12 * HOUR_MS:
            expected[device] = max(expected.get(device, 0), EDGE_MS - behind_ms)
    assert found == expected
