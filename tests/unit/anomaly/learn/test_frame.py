"""Features of forecast instants, and what came after them."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.learn import frame as frame_module
from anomaly.learn.frame import FrameSpec, fit_spec, make_frame, thinned
from anomaly.learn.history import Catalog, History
from anomaly.learn.outcome import outcome_of
from core.product import FailureMode, Metric, Product

HOUR = 3_600_000_000
METRICS = ("load", "temperature", "vibration")


def product(name: str = "press") -> Product:
    return Product(
        name=name, title="Press", manufacturer="Maker", interval=timedelta(hours=1),
        window=timedelta(hours=1), learning=timedelta(days=2), forecast_every=timedelta(hours=3),
        late_after=timedelta(days=1), history_max=timedelta(days=1000),
        metrics=(
            *(Metric(name=m, title=m, unit="1", low=-1e9, high=1e9,
                     depends_on=() if m == "load" else ("load",)) for m in METRICS),
            Metric(name="error", title="Error", unit="1", low=0, high=99, kind="code"),
        ),
        failure_modes=tuple(
            FailureMode(name=f"{part}_worn", title=part, component=part, evidence=(),
                        cost_of_failure=1000, cost_of_visit=100, lead_time=timedelta(days=1))
            for part in ("belt", "pump")
        ),
    )  # fmt: skip


CATALOG = Catalog(product())


def history(rng: np.random.Generator, *, name: str = "press-1", windows: int = 60) -> History:
    """A device with gaps, missing values, errors, services and failures."""
    begins = 1_700_000_000_000_000 // HOUR * HOUR
    kept = np.flatnonzero(rng.random(windows) < 0.9)
    at = begins + (kept + 1) * HOUR
    values = rng.normal(size=(len(at), len(CATALOG.metrics)))
    values[rng.random(values.shape) < 0.1] = np.nan
    until = begins + windows * HOUR

    def some(number: int) -> np.ndarray:
        return np.sort(rng.integers(begins, until, number))

    return History(
        device=name, begins_us=begins, until_us=until, at_us=at, values=values,
        health=1 - np.abs(rng.normal(0, 0.2, (len(at), len(CATALOG.modes)))),
        event_us=some(9), event_metric=np.zeros(9, dtype=np.int64),
        event_code=rng.integers(1, 4, 9),
        service_us=some(3), service_component=rng.integers(0, 2, 3),
        failure_us=some(2), failure_mode=rng.integers(0, 2, 2),
        traits={"lot": str(rng.integers(3)), "model": "a"},
    )  # fmt: skip


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_the_features_of_a_cut_history_begin_those_of_the_whole(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    whole = history(rng)
    spec = fit_spec(CATALOG, [history(rng, name=f"press-{i}") for i in range(4)])

    full = make_frame(CATALOG, spec, [whole])
    short = make_frame(CATALOG, spec, [whole.upto(whole.begins_us + cut * HOUR)])

    assert np.array_equal(short.x, full.x[: len(short)], equal_nan=True)


def test_what_was_learned_about_features_survives_storage() -> None:
    rng = np.random.default_rng(1)
    spec = fit_spec(CATALOG, [history(rng, name=f"press-{i}") for i in range(4)])

    kept = msgspec.json.decode(msgspec.json.encode(spec), type=FrameSpec)

    again = history(np.random.default_rng(2))
    before, after = (make_frame(CATALOG, s, [again]).x for s in (spec, kept))
    assert np.array_equal(before, after, equal_nan=True)
    assert kept.names == spec.names
    assert len(set(spec.names)) == len(spec.names)


def test_rows_of_several_devices_stand_one_after_the_other() -> None:
    rng = np.random.default_rng(3)
    both = [history(rng, name="one"), history(rng, name="two", windows=20)]
    spec = fit_spec(CATALOG, both)

    frame = make_frame(CATALOG, spec, both)

    assert frame.x.shape == (len(frame), len(spec.names))
    assert np.all(np.diff(frame.device) >= 0)
    assert np.all((frame.at_us % CATALOG.every_us) == 0)
    assert np.array_equal(make_frame(CATALOG, spec, both[1:]).x,
                          frame.x[frame.device == 1], equal_nan=True)  # fmt: skip


def test_the_time_to_a_failure_is_counted_and_a_replacement_censors() -> None:
    begins = 0
    one = History(
        device="one", begins_us=begins, until_us=30 * HOUR,
        service_us=np.array([9 * HOUR]), service_component=np.array([0]),
        failure_us=np.array([15 * HOUR]), failure_mode=np.array([0]),
    )  # fmt: skip
    one = replace(one, values=np.empty((0, len(CATALOG.metrics))))
    spec = fit_spec(CATALOG, [one])
    frame = make_frame(CATALOG, spec, [one])

    belt = outcome_of(CATALOG, [one], frame, mode="belt_worn")
    pump = outcome_of(CATALOG, [one], frame, mode="pump_worn")

    assert frame.at_us.tolist() == [n * HOUR for n in range(3, 31, 3)]
    assert belt.hours.tolist() == pytest.approx([6, 3, 6, 3, 15, 12, 9, 6, 3, 0])
    assert belt.has_failed.tolist() == [False, False, True, True] + [False] * 6
    assert pump.hours.tolist() == pytest.approx([27, 24, 21, 18, 15, 12, 9, 6, 3, 0])
    assert not pump.has_failed.any()


def test_a_device_has_no_rows_before_it_was_watched() -> None:
    late = History(
        device="late", begins_us=0, until_us=12 * HOUR, watched_from_us=7 * HOUR,
        values=np.empty((0, len(CATALOG.metrics))),
    )  # fmt: skip
    spec = fit_spec(CATALOG, [late])

    frame = make_frame(CATALOG, spec, [late])

    assert frame.at_us.tolist() == [9 * HOUR, 12 * HOUR]
    assert frame.x[:, spec.names.index("age_hours")].tolist() == [9.0, 12.0]


def test_values_as_they_are_stored_give_the_same_features_as_in_double_precision() -> None:
    stored = [
        replace(h, values=h.values.astype(np.float32), health=h.health.astype(np.float32))
        for h in (history(np.random.default_rng(n), name=f"press-{n}") for n in range(4))
    ]
    doubled = [
        replace(h, values=h.values.astype(np.float64), health=h.health.astype(np.float64))
        for h in stored
    ]

    specs = [fit_spec(CATALOG, of) for of in (stored, doubled)]
    frames = [
        make_frame(CATALOG, spec, of) for spec, of in zip(specs, (stored, doubled), strict=True)
    ]

    assert specs[0] == specs[1]
    assert frames[0].x.dtype == np.float64
    assert np.array_equal(frames[0].x, frames[1].x, equal_nan=True)


def test_a_frame_that_would_be_too_large_leaves_out_instants_evenly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [np.arange(10), np.arange(100, 130), np.arange(5)]
    monkeypatch.setattr(frame_module, "FRAME_BYTES_MAX", 8 * 4 * 15)

    found = thinned(rows, width=4)

    assert [at.tolist() for at in found] == [[0, 3, 6, 9], list(range(101, 130, 3)), [2]]
    assert [len(at) for at in thinned(rows, width=1)] == [10, 30, 5]
