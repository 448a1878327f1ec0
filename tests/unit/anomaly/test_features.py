import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.features import Windows, summarise
from tests.unit.anomaly.bench import (
    BASELINE,
    COLUMNS,
    LAYOUT,
    START_US,
    make_samples,
    with_metric,
)

SAMPLES = make_samples(3, days=4)
HOUR_US = LAYOUT.window_us


def test_a_window_holds_the_mean_of_its_running_samples():
    windows = summarise(LAYOUT, SAMPLES, ranges=BASELINE.ranges)

    first = SAMPLES.between(START_US, START_US + HOUR_US)
    place = LAYOUT.watched.index("power_w")
    assert windows.observed[0, place] == np.float64(first.values[:, COLUMNS["power_w"]].mean())


def test_samples_of_a_stopped_or_faulty_device_do_not_count():
    broken = with_metric(SAMPLES, "fault_code", 21.0, from_day=2)

    windows = summarise(LAYOUT, broken, ranges=BASELINE.ranges)

    assert (windows.index * HOUR_US < START_US + 2 * 24 * HOUR_US).all()
    assert len(windows) < 2 * 24


@settings(deadline=None, max_examples=25)
@given(hours=st.lists(st.integers(1, 95), min_size=1, max_size=5))
def test_windows_are_the_same_to_the_bit_however_the_stream_is_cut(hours):
    whole = summarise(LAYOUT, SAMPLES, ranges=BASELINE.ranges)
    borders = [0, *sorted(START_US + h * HOUR_US for h in set(hours)), 1 << 62]

    parts = [
        summarise(LAYOUT, SAMPLES.between(a, b), ranges=BASELINE.ranges)
        for a, b in itertools.pairwise(borders)
    ]

    for name in Windows.__slots__:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert joined.tobytes() == getattr(whole, name).tobytes()


def test_terms_go_on_in_a_straight_line_outside_the_learned_range():
    top = BASELINE.ranges[LAYOUT.conditions.index("load_pct")].high
    levels = [top + 2, top + 12, top + 22]

    windows = [
        summarise(
            LAYOUT, with_metric(SAMPLES, "load_pct", level, from_day=0), ranges=BASELINE.ranges
        )
        for level in levels
    ]

    expected = [BASELINE.expected(w.terms)[0, LAYOUT.watched.index("power_w")] for w in windows]
    assert np.isclose(expected[1] - expected[0], expected[2] - expected[1])
    assert windows[2].excess.max() > windows[0].excess.max() > 0


def test_no_samples_give_no_windows():
    nothing = replace(SAMPLES, at_us=SAMPLES.at_us[:0], values=SAMPLES.values[:0])

    assert len(summarise(LAYOUT, nothing, ranges=BASELINE.ranges)) == 0
