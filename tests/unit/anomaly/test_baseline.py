import msgspec
import numpy as np
import pytest

from anomaly.baseline import Baseline, own_offsets
from anomaly.features import summarise
from anomaly.records import Samples
from tests.unit.anomaly.bench import (
    BASELINE,
    BEARING,
    COLUMNS,
    DAY_US,
    LAYOUT,
    START_US,
    Wear,
    drift,
    learned_baseline,
    make_samples,
    with_metric,
)


def test_the_conditions_explain_what_they_cause():
    explained = {m.metric: m.explained for m in BASELINE.metrics}

    assert explained["power_w"] > 0.95
    assert explained["bearing_c"] > 0.9


def test_a_few_sick_devices_do_not_bend_the_baseline():
    sick = Wear(from_day=-6, fails_day=8, moves=BEARING)
    fleet = [make_samples(1000 + i, days=6, wear=sick if i < 2 else None) for i in range(10)]

    bent = learned_baseline(fleet)

    windows = summarise(LAYOUT, make_samples(5, days=6), ranges=BASELINE.ranges)
    own = summarise(LAYOUT, make_samples(5, days=6), ranges=bent.ranges)
    difference = bent.expected(own.terms) - BASELINE.expected(windows.terms)
    between_devices = np.array([m.tau for m in BASELINE.metrics])
    within_a_device = np.array([m.sigma for m in BASELINE.metrics])
    assert (np.abs(np.nanmedian(difference, axis=0)) < 2 * between_devices).all()
    assert (np.nanstd(difference, axis=0) < within_a_device).all()


def test_a_device_that_is_odd_from_the_start_stays_odd():
    samples = make_samples(6, days=6)
    odd = with_metric(
        samples, "vibration", drift(samples, from_day=-400, per_day=0.008), from_day=0
    )

    offsets = own_offsets(LAYOUT, BASELINE, summarise(LAYOUT, odd, ranges=BASELINE.ranges))

    assert offsets[LAYOUT.watched.index("vibration")] < 1.5


def with_power_meter(seed: int, *, days: float, factor: float) -> Samples:
    """A device whose power meter shows too much by a factor."""
    samples = make_samples(seed, days=days)
    power = samples.values[:, COLUMNS["power_w"]]
    return with_metric(samples, "power_w", (factor - 1) * power, from_day=0)


def test_devices_that_differ_by_a_factor_and_devices_that_differ_by_a_sum_are_told_apart():
    factors = np.random.default_rng(1).normal(1, 0.1, 30)
    fleet = [with_power_meter(200 + n, days=6, factor=f) for n, f in enumerate(factors.tolist())]

    levels = {m.metric: m.level for m in learned_baseline(fleet).metrics}

    assert levels["power_w"] == pytest.approx(690, rel=0.1)
    assert levels["bearing_c"] == levels["vibration"] == 0
    assert all(m.level == 0 for m in BASELINE.metrics), "these differ by a sum"


def test_a_factor_learned_at_low_load_holds_at_high_load():
    factors = np.random.default_rng(1).normal(1, 0.1, 30)
    fleet = [with_power_meter(200 + n, days=6, factor=f) for n, f in enumerate(factors.tolist())]
    baseline = learned_baseline(fleet)
    samples = with_power_meter(7, days=6, factor=1.1)
    windows = summarise(LAYOUT, samples, ranges=baseline.ranges)
    power = LAYOUT.watched.index("power_w")
    expected = baseline.expected(windows.terms)
    is_low = expected[:, power] < np.median(expected[:, power])

    offsets = own_offsets(LAYOUT, baseline, windows.kept(is_low))
    left = windows.observed - baseline.normal(expected, offsets)

    by_sum = (
        windows.observed - expected - np.nanmedian((windows.observed - expected)[is_low], axis=0)
    )
    assert abs(np.nanmedian(left[~is_low, power])) < 8
    assert np.nanmedian(by_sum[~is_low, power]) > 25


def test_a_baseline_that_was_kept_before_there_were_factors_is_read_and_means_sums():
    kept = msgspec.to_builtins(BASELINE)
    for metric in kept["metrics"]:
        del metric["level"]

    old = msgspec.convert(kept, Baseline)
    expected = old.expected(summarise(LAYOUT, make_samples(8, days=1), ranges=old.ranges).terms)

    assert old == BASELINE
    assert np.array_equal(old.normal(expected, np.ones(3)), expected + 1, equal_nan=True)


def test_a_baseline_survives_json_to_the_bit():
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(BASELINE)), Baseline)

    assert again == BASELINE


def test_nothing_is_expected_where_conditions_are_missing():
    samples = make_samples(7, days=2)
    blind = with_metric(samples, "ambient_c", float("nan"), from_day=1)

    windows = summarise(LAYOUT, blind, ranges=BASELINE.ranges)
    residuals = windows.observed - BASELINE.expected(windows.terms)

    late = (windows.index + 1) * LAYOUT.window_us > START_US + DAY_US
    bearing, vibration = LAYOUT.watched.index("bearing_c"), LAYOUT.watched.index("vibration")
    assert np.isnan(residuals[late, bearing]).all()
    assert np.isfinite(residuals[~late, bearing]).any()
    assert np.isnan(residuals[:, vibration]).sum() == 0
