"""A forecast needs a bounded part of the past: the rest changes nothing."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.learn.events import Events
from anomaly.learn.frame import FrameSpec, fit_spec, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.reach import codes_needed, early_until_us, recent, windows_of
from anomaly.learn.recurring import Recurring
from anomaly.learn.wear import Wear
from tests.unit.anomaly.learn.test_frame import HOUR, history, product

CATALOG = Catalog(msgspec.structs.replace(product(), learning=timedelta(days=2)))
LONG = 9_000


def old(number: int, *, shown_from: float = 1.0) -> History:
    """A device of more than a year, whose first part wears from some share of it on; metrics drift slowly."""
    rng = np.random.default_rng([number, 9])
    one = history(rng, name=f"press-{number}", windows=LONG)
    wear = np.clip(np.arange(len(one.at_us)) / len(one.at_us) - shown_from, 0, 1) + 0.2
    health = np.column_stack([np.where(wear > 0.2, 1 - wear, 1.0), np.ones(len(wear))])
    drift = np.arange(len(one.at_us))[:, None] / 500
    return replace(one, values=one.values + drift, health=health)


@pytest.fixture(scope="module")
def spec() -> FrameSpec:
    """Of short-lived devices, so that spans are short beside the year."""
    rng = np.random.default_rng(1)
    return fit_spec(
        CATALOG, [history(rng, name=str(n), windows=500) for n in range(6)], groups=(Wear, Metrics)
    )


def test_features_of_recent_windows_are_those_of_the_whole_history(spec: FrameSpec) -> None:
    devices = [old(number) for number in range(3)]
    windows = windows_of(CATALOG, spec)
    at = [device.until_us - HOUR * np.array([60, 31, 7, 0]) for device in devices]

    short = [
        recent(CATALOG, device, from_us=int(own[0]), windows=windows, codes=None)
        for device, own in zip(devices, at, strict=True)
    ]

    assert max(len(device.at_us) for device in short) < windows + 48 + 61
    assert windows < LONG / 5
    whole = make_frame(CATALOG, spec, devices, at_us=at).x
    assert np.isfinite(whole).mean() > 0.8
    found = make_frame(CATALOG, spec, short, at_us=at).x
    assert found == pytest.approx(whole, rel=1e-9, abs=1e-9, nan_ok=True)


def test_fewer_windows_would_not_do(spec: FrameSpec) -> None:
    """The reach is not far too long."""
    device = old(4)
    at = [np.array([device.until_us])]
    windows = windows_of(CATALOG, spec)

    short = recent(CATALOG, device, from_us=device.until_us, windows=windows // 2, codes=None)

    whole = make_frame(CATALOG, spec, [device], at_us=at).x
    found = make_frame(CATALOG, spec, [short], at_us=at).x
    assert found != pytest.approx(whole, rel=1e-9, abs=1e-9, nan_ok=True)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60)
def test_since_when_wear_has_been_seen_is_told_to_the_bit(seed: int) -> None:
    """Whenever wear began in each of two modes: in early life, between, in the newest windows, or never; with gaps."""
    rng = np.random.default_rng(seed)
    device = history(rng, windows=400)
    health = np.where(rng.random((len(device.at_us), 2)) < 0.01, 1.0, 0.9)
    health[rng.random(health.shape) < 0.005] = np.nan
    device = replace(device, health=health.astype(np.float32))
    wear = FrameSpec(groups=(Wear(modes=CATALOG.modes),))
    at = [device.until_us - HOUR * np.array([9, 4, 0])]

    short = recent(CATALOG, device, from_us=int(at[0][0]), windows=20, codes=None)

    last = Wear(modes=CATALOG.modes).names.index("belt_worn.wear_seen_hours")
    columns = [last, last + len(wear.names) // 2]
    found = make_frame(CATALOG, wear, [short], at_us=at).x[:, columns]
    whole = make_frame(CATALOG, wear, [device], at_us=at).x[:, columns]
    assert np.array_equal(found, whole, equal_nan=True)
    assert len(short.at_us) <= 48 + 4 + 20 + 9


def test_a_device_whose_wear_has_been_seen_for_longer_costs_two_windows_more(
    spec: FrameSpec,
) -> None:
    worn = old(5, shown_from=0.3)
    windows = windows_of(CATALOG, spec)
    at = [np.array([worn.until_us])]

    short = recent(CATALOG, worn, from_us=worn.until_us, windows=windows, codes=None)

    early = int((worn.at_us <= early_until_us(CATALOG, worn.begins_us)).sum())
    assert len(short.at_us) == early + 2 + windows
    wear = spec.columns_of(Wear)
    whole = make_frame(CATALOG, spec, [worn], at_us=at).x
    found = make_frame(CATALOG, spec, [short], at_us=at).x
    assert found[0, spec.names.index("belt_worn.wear_seen_hours")] > 2 * windows
    assert np.array_equal(found[:, wear], whole[:, wear], equal_nan=True)
    assert found == pytest.approx(whole, rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_young_device_stays_whole(spec: FrameSpec) -> None:
    young = history(np.random.default_rng(3), windows=80)

    short = recent(
        CATALOG, young, from_us=young.until_us, windows=60, codes=codes_needed([telling()])
    )

    assert short.at_us.tolist() == young.at_us.tolist()
    assert short.event_us.tolist() == young.event_us.tolist()


# --- codes that devices report -------------------------------------------------------------------


def talking(number: int) -> History:
    """A device of a year that reports codes, some of them only in its youth, and fails now and then."""
    rng = np.random.default_rng([number, 4])
    one = history(rng, name=f"press-{number}", windows=LONG)
    at = np.sort(rng.choice(one.until_us - one.begins_us, 600, replace=False)) + one.begins_us
    young = np.arange(600) < 60
    code = np.where(young, rng.integers(1, 9, 600), rng.integers(1, 4, 600))
    failed = one.until_us - HOUR * np.array([5000, 1000, 3])
    return replace(
        one, event_us=at, event_metric=np.zeros(600, dtype=np.int64), event_code=code,
        failure_us=failed, failure_mode=np.array([0, 1, 0]),
    )  # fmt: skip


def telling(*groups: type[Events] | type[Recurring]) -> FrameSpec:
    """Features that look at codes."""
    devices = [talking(number) for number in range(20, 24)]
    found = {
        Events: msgspec.structs.replace(Events.fit(CATALOG, devices), spans_hours=(3.0, 12.0, 48.0)),
        Recurring: Recurring.fit(
            CATALOG, devices, stretch_hours=24,
            at_us=[instants(CATALOG, device)[::50] for device in devices],
        ),
    }  # fmt: skip
    return FrameSpec(groups=tuple(found[group] for group in groups or (Events, Recurring)))


@pytest.mark.parametrize("groups", [(Events,), (Recurring,), (Events, Recurring)])
def test_features_of_codes_are_the_same_to_the_bit_without_the_old_ones(
    groups: tuple[type[Events]],
) -> None:
    spec, device = telling(*groups), talking(1)
    at = [device.until_us - HOUR * np.array([60, 31, 7, 0])]

    short = recent(CATALOG, device, from_us=int(at[0][0]), windows=9, codes=codes_needed([spec]))

    assert len(short.event_us) < (30 if groups == (Events,) else 500)
    whole = make_frame(CATALOG, spec, [device], at_us=at).x
    found = make_frame(CATALOG, spec, [short], at_us=at).x
    assert np.isfinite(whole).mean() > 0.8
    assert np.array_equal(found, whole, equal_nan=True)


@pytest.mark.parametrize(
    ("group", "what"),
    [(Events, "the last of each"), (Events, "half"), (Recurring, "half"), (Recurring, "failures")],
)
def test_fewer_codes_would_not_do(group: type[Events], what: str) -> None:
    spec, device = telling(group), talking(1)
    at = [np.array([device.until_us])]
    codes = codes_needed([spec])
    assert codes is not None
    if what == "half":
        codes = replace(codes, hours=codes.hours / 2, since_failures=False)
    if what == "failures":
        codes = replace(codes, since_failures=False)

    short = recent(CATALOG, device, from_us=device.until_us, windows=9, codes=codes)
    if what == "the last of each":
        late = short.event_us > device.until_us - codes.hours * HOUR
        short = replace(
            short, event_us=short.event_us[late], event_metric=short.event_metric[late],
            event_code=short.event_code[late],
        )  # fmt: skip

    whole = make_frame(CATALOG, spec, [device], at_us=at).x
    found = make_frame(CATALOG, spec, [short], at_us=at).x
    assert not np.array_equal(found, whole, equal_nan=True)


def test_where_no_feature_looks_at_codes_none_are_needed(spec: FrameSpec) -> None:
    silent = Events.fit(CATALOG, [replace(talking(1), event_us=np.empty(0, dtype=np.int64),
                                          event_metric=np.empty(0, dtype=np.int64),
                                          event_code=np.empty(0, dtype=np.int64))])  # fmt: skip

    assert codes_needed([spec, FrameSpec(groups=(silent,))]) is None
    assert not len(recent(CATALOG, talking(1), from_us=0, windows=9, codes=None).event_us)
