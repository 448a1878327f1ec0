"""Devices that are compared with their own normal: a recording's samples through the production code."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from anomaly.features import Layout, summarise
from anomaly.records import FloatArray, Output, Samples
from anomaly.scorer import advance
from anomaly.state import first_state
from anomaly.stream.detector import Detector
from anomaly.yardstick import Yardstick
from core.product import Evidence, FailureMode, Metric, Product


def replay(product: Product, samples: Samples) -> Output:
    """Take one device's whole stream through the scorer that serves live devices."""
    yard = Yardstick(Layout(product), None)
    state = first_state(
        first_us=int(samples.at_us[0]),
        window_us=yard.layout.window_us,
        learning_us=product.learning // timedelta(microseconds=1),
    )
    return advance(yard, state, samples, through_us=int(samples.at_us[-1]))


def windows_of(product: Product, samples: Samples) -> FloatArray:
    """Sum samples up as the scorer does; (windows, metrics)."""
    return summarise(Layout(product), samples, ranges=()).observed


def scores_of(
    learned: FloatArray, after: Sequence[FloatArray], *, hold_from: float
) -> list[FloatArray]:
    """Score stretches that each come after the same learning time, each as a device of its own.

    Parameters
    ----------
    learned : ndarray, shape (windows, metrics)
    after : sequence of ndarray, shape (windows, metrics)
    hold_from : float
        Surprise from which on references stand still.
    """
    detector = Detector.learned(np.repeat(learned[:, None, :], len(after), axis=1))
    longest = max(len(one) for one in after)
    rows = np.full((longest, len(after), learned.shape[1]), np.nan)
    for place, one in enumerate(after):
        rows[: len(one), place] = one
    found = np.array([detector.step(row, hold_from=hold_from).score for row in rows])
    return [found[: len(one), place] for place, one in enumerate(after)]


def plain_product(
    name: str,
    metrics: Sequence[str],
    *,
    interval: timedelta,
    learning: timedelta,
    false_alarms_per_year: float = 1.0,
) -> Product:
    """Make the sheet of a product of which nothing is known but its metrics."""
    return Product(
        name=name,
        title=name,
        manufacturer="public recording",
        interval=interval,
        window=interval,
        learning=learning,
        forecast_every=interval,
        late_after=learning,
        history_max=timedelta(days=36_500),
        false_alarms_per_year=false_alarms_per_year,
        metrics=tuple(Metric(name=m, title=m, unit="", low=-1e300, high=1e300) for m in metrics),
        failure_modes=(
            FailureMode(
                name="unusual",
                title="Unusual",
                component="device",
                evidence=tuple(Evidence(metric=m) for m in metrics),
                cost_of_failure=100.0,
                cost_of_visit=10.0,
                lead_time=timedelta(days=1),
            ),
        ),
    )
