"""A model finds what it looks at by its names, whatever a sheet has put before it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from anomaly.learn.fits import lost
from anomaly.learn.frame import FrameSpec, fit_spec, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.recurring import Recurring
from anomaly.learn.wear import Wear
from tests.unit.anomaly.learn.test_frame import CATALOG, history, product
from tests.unit.anomaly.learn.test_model import learned

PRODUCT = product()
EXTRA = msgspec.structs.replace(PRODUCT.metrics[1], name="extra", depends_on=())
NEW_MODE = msgspec.structs.replace(
    PRODUCT.failure_modes[0], name="lamp_worn", component="lamp", title="lamp"
)
TURNED = Catalog(
    msgspec.structs.replace(
        PRODUCT,
        metrics=(EXTRA, *PRODUCT.metrics[::-1]),
        failure_modes=(NEW_MODE, *PRODUCT.failure_modes[::-1]),
    )
)
"""With a metric and a mode inserted before all others, and those in another order."""


def without(metric: str) -> Catalog:
    metrics = tuple(
        msgspec.structs.replace(m, depends_on=tuple(c for c in m.depends_on if c != metric))
        for m in PRODUCT.metrics
        if m.name != metric
    )
    return Catalog(msgspec.structs.replace(PRODUCT, metrics=metrics))


def moved(told: History, catalog: Catalog) -> History:
    """The same device as it is read under another sheet."""

    def columns(values: np.ndarray, old: tuple[str, ...], new: tuple[str, ...]) -> np.ndarray:
        found = np.full((len(values), len(new)), np.nan)
        for place, name in enumerate(new):
            if name in old:
                found[:, place] = values[:, old.index(name)]
        return found

    def places(numbers: np.ndarray, old: tuple[str, ...], new: tuple[str, ...]) -> np.ndarray:
        return np.array([new.index(old[n]) for n in numbers.tolist()], dtype=np.int64)

    return replace(
        told,
        values=columns(told.values, CATALOG.metrics, catalog.metrics),
        health=columns(told.health, CATALOG.modes, catalog.modes),
        event_metric=places(told.event_metric, CATALOG.codes, catalog.codes),
        service_component=places(told.service_component, CATALOG.components, catalog.components),
        failure_mode=places(told.failure_mode, CATALOG.modes, catalog.modes),
        doubt_mode=places(told.doubt_mode, CATALOG.modes, catalog.modes),
    )


def with_doubts(told: History) -> History:
    return replace(told, doubt_us=told.failure_us, doubt_mode=told.failure_mode[::-1])


@pytest.fixture(scope="module")
def histories() -> list[History]:
    rng = np.random.default_rng(3)
    return [with_doubts(history(rng, name=f"press-{i}", windows=600)) for i in range(6)]


@pytest.fixture(scope="module")
def spec(histories: list[History]) -> FrameSpec:
    found = fit_spec(CATALOG, histories)
    at = [np.array([h.until_us - 10 * CATALOG.every_us]) for h in histories]
    recurring = Recurring.fit(CATALOG, histories, at_us=at, stretch_hours=24)
    return FrameSpec(groups=(*found.groups, recurring))


def kept_before(spec: FrameSpec) -> FrameSpec:
    """As models were stored before they had the names of their conditions."""
    raw = msgspec.to_builtins(spec)
    for group in raw["groups"]:
        if group["type"] == "metrics":
            del group["conditions"]
    return msgspec.convert(raw, FrameSpec)


def with_spec(spec: FrameSpec) -> ModeModel:
    return msgspec.structs.replace(learned(), spec=spec)


def test_features_are_the_same_to_the_bit_under_a_sheet_with_other_places(
    histories: list[History], spec: FrameSpec
) -> None:
    told = make_frame(CATALOG, spec, histories)

    under_another = make_frame(TURNED, spec, [moved(h, TURNED) for h in histories])

    by_place = told.x[:, spec.columns_of(Wear, Metrics)]
    assert np.isfinite(by_place).any(axis=0).all()
    assert lost(TURNED, with_spec(spec)) == ()
    assert np.array_equal(told.x, under_another.x, equal_nan=True)


def test_a_model_that_was_kept_before_is_read_and_tells_the_same_under_its_own_sheet(
    histories: list[History], spec: FrameSpec
) -> None:
    old = kept_before(spec)

    found = make_frame(CATALOG, old, histories)

    assert lost(CATALOG, with_spec(old)) == ()
    assert np.array_equal(found.x, make_frame(CATALOG, spec, histories).x, equal_nan=True)


def test_a_model_that_was_kept_before_is_not_asked_where_its_places_hold_something_else(
    spec: FrameSpec,
) -> None:
    assert {"temperature", "vibration"} <= set(lost(TURNED, with_spec(kept_before(spec))))


@pytest.mark.parametrize("name", ["load", "vibration", "error"])
def test_a_model_says_which_metric_it_lost(spec: FrameSpec, name: str) -> None:
    with_codes = next(g for g in spec.groups if isinstance(g, Metrics))

    assert "load" in (with_codes.conditions or ())
    assert name in lost(without(name), with_spec(spec))


def test_a_model_says_which_mode_and_component_it_lost(spec: FrameSpec) -> None:
    less = Catalog(msgspec.structs.replace(PRODUCT, failure_modes=PRODUCT.failure_modes[:1]))

    assert set(lost(less, with_spec(spec))) == {"pump_worn", "pump"}


def test_a_model_of_a_mode_that_is_gone_is_not_asked() -> None:
    less = Catalog(msgspec.structs.replace(PRODUCT, failure_modes=PRODUCT.failure_modes[1:]))

    assert learned().mode in lost(less, with_spec(FrameSpec(groups=())))
