"""Detections of faults that last. Time is in seconds."""

import numpy as np
import pytest

from anomaly.judge.intervals import Faults, detect, detection_figures
from anomaly.judge.lives import Watch
from anomaly.runs import Runs

S = 1_000_000


def found(*opened: tuple[int, int], grace: int = 0):
    at = np.array([o for _, o in opened], dtype=np.int64) * S
    runs = Runs(
        device=np.array([d for d, _ in opened], dtype=np.int64), opened_us=at, cleared_us=at,
        row=np.arange(len(at)),
    )  # fmt: skip
    faults = Faults(
        device=np.array([0, 0, 1]), from_us=np.array([100, 300, 100]) * S,
        until_us=np.array([199, 399, 199]) * S,
    )  # fmt: skip
    watch = Watch(
        device=np.array([0, 1]), from_us=np.array([0, 0]), until_us=np.array([900, 900]) * S
    )
    return detection_figures(detect(runs, faults=faults, watch=watch, grace_us=grace * S))


def test_an_alert_in_a_fault_catches_it_and_its_delay_counts_from_the_beginning() -> None:
    figures = found((0, 110), (0, 150), (0, 340), (1, 199))

    assert (figures.events, figures.events_caught, figures.false_runs) == (3, 3, 0)
    assert figures.median_delay_s == 40


def test_an_alert_before_or_after_a_fault_is_false() -> None:
    figures = found((0, 99), (0, 200), (1, 5))

    assert (figures.events_caught, figures.false_runs, figures.median_delay_s) == (0, 3, None)
    assert figures.healthy_hours * 3600 == pytest.approx(1800 - 3 * 99)
    assert figures.false_runs_per_hour == pytest.approx(3 / (1800 - 297) * 3600)


def test_soon_after_a_fault_an_alert_is_excused() -> None:
    figures = found((0, 205), (0, 230), grace=10)

    assert figures.false_runs == 1
    assert figures.healthy_hours * 3600 == pytest.approx(1800 - 3 * 109)


def test_an_alert_of_another_device_catches_nothing() -> None:
    figures = found((1, 310))

    assert (figures.events_caught, figures.false_runs) == (0, 1)


def test_without_alerts_nothing_is_caught() -> None:
    assert found().event_recall == 0
