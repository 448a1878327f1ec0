"""A forecast needs a bounded part of the past: the rest changes nothing."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from anomaly.learn.frame import FrameSpec, fit_spec, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.reach import recent, windows_of
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
        recent(CATALOG, device, from_us=int(own[0]), windows=windows)
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

    short = recent(CATALOG, device, from_us=device.until_us, windows=windows // 2)

    whole = make_frame(CATALOG, spec, [device], at_us=at).x
    found = make_frame(CATALOG, spec, [short], at_us=at).x
    assert found != pytest.approx(whole, rel=1e-9, abs=1e-9, nan_ok=True)


def test_a_device_whose_wear_has_been_seen_for_longer_stays_whole(spec: FrameSpec) -> None:
    worn = old(5, shown_from=0.3)

    short = recent(CATALOG, worn, from_us=worn.until_us, windows=windows_of(CATALOG, spec))

    assert short is worn


def test_a_young_device_stays_whole(spec: FrameSpec) -> None:
    young = history(np.random.default_rng(3), windows=80)

    assert recent(CATALOG, young, from_us=young.until_us, windows=60) is young
