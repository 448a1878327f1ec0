"""What was learned of a product stands when its sheet changes, and is found by its names."""

import msgspec
import numpy as np
import pytest

from anomaly.baseline import UNKNOWN, Baseline
from anomaly.features import Layout, summarise
from anomaly.laid_out import laid_out, without_normal
from anomaly.records import Samples
from core.product import Evidence, Product
from tests.unit.anomaly.bench import BASELINE, COLUMNS, LAYOUT, PUMP, make_samples


def with_evidence(*names: str, product: Product = PUMP) -> Product:
    """The pump, all of whose evidence is of one failure mode."""
    mode = msgspec.structs.replace(
        product.failure_modes[0],
        evidence=tuple(Evidence(metric=name, direction="up", failed_at=4.0) for name in names),
    )
    return msgspec.structs.replace(product, failure_modes=(mode,))


def with_metrics(*names: str, product: Product = PUMP) -> Product:
    return msgspec.structs.replace(product, metrics=tuple(product.metric(name) for name in names))


WITHOUT_VIBRATION = with_evidence("bearing_c", "power_w")
TURNED = with_metrics("power_w", "fault_code", "ambient_c", "bearing_c", "vibration", "load_pct")
WITH_AMBIENT = with_evidence("vibration", "bearing_c", "power_w", "ambient_c")


def expected(layout: Layout, baseline: Baseline) -> dict[str, np.ndarray]:
    """What each watched metric of one device should be, from the same samples."""
    samples = make_samples(5, days=6)
    order = [COLUMNS[metric.name] for metric in layout.product.metrics]
    told = Samples(at_us=samples.at_us, values=samples.values[:, order])
    values = baseline.expected(summarise(layout, told, ranges=baseline.ranges).terms)
    return dict(zip(layout.watched, values.T, strict=True))


def test_an_unchanged_sheet_changes_nothing():
    assert laid_out(LAYOUT, BASELINE) is BASELINE
    assert without_normal(LAYOUT, BASELINE) == ()


@pytest.mark.parametrize("product", [WITHOUT_VIBRATION, TURNED, WITH_AMBIENT])
@pytest.mark.parametrize("has_names", [True, False])
def test_each_metric_keeps_its_own_normal_when_others_come_go_or_change_places(
    product: Product, *, has_names: bool
):
    layout = Layout(product)
    kept = BASELINE if has_names else msgspec.structs.replace(BASELINE, terms=())

    found = expected(layout, laid_out(layout, kept))

    known = expected(LAYOUT, BASELINE)
    for name in set(known) & set(found):
        assert found[name] == pytest.approx(known[name], rel=1e-12)


def test_what_is_new_has_no_normal_and_the_sheet_is_told_so():
    layout = Layout(WITH_AMBIENT)

    moved = laid_out(layout, BASELINE)

    spreads = {m.metric: m.sigma for m in moved.metrics}
    assert without_normal(layout, BASELINE) == ("ambient_c",)
    assert spreads["ambient_c"] == UNKNOWN
    assert spreads["power_w"] == BASELINE.metrics[LAYOUT.watched.index("power_w")].sigma


def test_a_metric_that_was_explained_by_what_is_gone_has_no_normal():
    metrics = tuple(
        msgspec.structs.replace(m, depends_on=tuple(c for c in m.depends_on if c != "ambient_c"))
        for m in PUMP.metrics
    )
    layout = Layout(msgspec.structs.replace(PUMP, metrics=metrics))

    assert without_normal(layout, BASELINE) == ("bearing_c",)


def test_a_condition_that_is_new_explains_nothing_and_lies_nowhere_outside():
    metrics = tuple(
        msgspec.structs.replace(m, depends_on=("load_pct", "power_w"))
        if m.name == "vibration"
        else m
        for m in PUMP.metrics
    )
    layout = Layout(msgspec.structs.replace(PUMP, metrics=metrics))
    moved = laid_out(layout, BASELINE)

    windows = summarise(layout, make_samples(5, days=6), ranges=moved.ranges)

    new = layout.conditions.index("power_w")
    assert np.nanmax(np.abs(windows.excess[:, new])) == 0
    assert moved.gradients[new] == (0.0, 0.0, 0.0)
    known = expected(LAYOUT, BASELINE)
    assert expected(layout, moved)["vibration"] == pytest.approx(known["vibration"], rel=1e-12)


def test_a_baseline_without_names_that_fits_no_reading_of_the_sheet_says_nothing():
    kept = msgspec.structs.replace(BASELINE, conditions=(), terms=(), ranges=BASELINE.ranges[:1],
                                   condition_flat_share=BASELINE.condition_flat_share[:1])  # fmt: skip

    assert without_normal(LAYOUT, kept) == LAYOUT.watched
