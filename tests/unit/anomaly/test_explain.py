import numpy as np
import pytest

from anomaly.explain import explain
from tests.unit.anomaly.bench import BEARING, LAYOUT, WINDING, YARD

SPREADS = np.hypot(YARD.sigma_smooth, YARD.patterns.unmodelled)


def deviations(**sizes: float) -> np.ndarray:
    return np.array([sizes.get(name, 0.0) for name in LAYOUT.watched])


@pytest.mark.parametrize("size", [0.3, 0.6, 1.0])
@pytest.mark.parametrize(("mode", "moves"), [("bearing_wear", BEARING), ("winding_fault", WINDING)])
def test_the_mode_whose_pattern_is_seen_is_named_alone(mode, moves, size):
    seen = deviations(**{metric: size * full for metric, full in moves})

    found = explain(YARD.patterns, seen, SPREADS)

    assert found.degradation == {mode: pytest.approx(size, rel=0.1)}
    assert found.sensors == {}


@pytest.mark.parametrize("metric", LAYOUT.watched)
def test_one_metric_alone_is_a_bad_sensor(metric):
    found = explain(
        YARD.patterns, deviations(**{metric: 30 * SPREADS[LAYOUT.watched.index(metric)]}), SPREADS
    )

    assert found.degradation == {}
    assert list(found.sensors) == [metric]


def test_a_bad_condition_is_named_when_all_that_leans_on_it_is_off():
    place = LAYOUT.conditions.index("load_pct")
    seen = -40 * np.array(YARD.patterns.baseline.gradients[place])

    found = explain(YARD.patterns, seen, SPREADS)

    assert found.degradation == {}
    assert list(found.sensors) == ["load_pct"]


def test_the_wrong_direction_is_no_wear():
    seen = deviations(**{metric: -0.6 * full for metric, full in BEARING})

    assert explain(YARD.patterns, seen, SPREADS).degradation == {}


def test_small_deviations_need_no_explanation_but_leave_a_trace():
    seen = deviations(**{metric: 0.08 * full for metric, full in BEARING})

    found = explain(YARD.patterns, seen, SPREADS)

    assert found.degradation == {}
    assert found.traces["bearing_wear"] == pytest.approx(0.08, rel=0.3)


def test_missing_metrics_explain_nothing():
    seen = np.full(len(LAYOUT.watched), np.nan)

    found = explain(YARD.patterns, seen, SPREADS)

    assert found.degradation == {}
    assert found.sensors == {}
