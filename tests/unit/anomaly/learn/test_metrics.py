"""Features of measured metrics, and the operating states within which they are judged."""

from datetime import timedelta

import numpy as np
import pytest

from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import FIRST_SPAN, Metrics, early_life
from anomaly.learn.regimes import fit_regimes
from core.product import Metric, Product
from tests.unit.anomaly.learn.test_frame import HOUR

CATALOG = Catalog(
    Product(
        name="engine", title="Engine", manufacturer="Maker", interval=timedelta(hours=1),
        window=timedelta(hours=1), learning=timedelta(hours=10), forecast_every=timedelta(hours=1),
        late_after=timedelta(days=1), history_max=timedelta(days=1000),
        metrics=(
            Metric(name="load", title="Load", unit="1", low=-1e9, high=1e9),
            *(Metric(name=m, title=m, unit="1", low=-1e9, high=1e9, depends_on=("load",))
              for m in ("heat", "noise", "constant")),
        ),
        failure_modes=(),
    )
)  # fmt: skip


def device(
    load: np.ndarray, rng: np.random.Generator, *, worn: float = 0.0, name: str = "a"
) -> History:
    """Heat follows the load in its own way in each of three ranges; wear adds to heat and noise."""
    n = len(load)
    wear = worn * np.linspace(0, 1, n) ** 3
    heat = np.select([load < 1, load < 2], [10.0, 50.0], 20.0) + 0.1 * rng.normal(size=n) + wear
    noise = 5 - load + 0.1 * rng.normal(size=n) + wear
    values = np.stack([load, heat, noise, np.full(n, 7.0)], axis=1)
    at = (np.arange(n) + 1) * HOUR
    return History(device=name, begins_us=0, until_us=int(at[-1]), at_us=at, values=values)


def modes(rng: np.random.Generator, n: int = 200) -> np.ndarray:
    return rng.choice([0.5, 1.5, 2.5], n) + 0.001 * rng.normal(size=n)


def test_as_many_states_are_learned_as_there_are() -> None:
    rng = np.random.default_rng(1)
    regimes = fit_regimes(CATALOG, [device(modes(rng), rng) for _ in range(4)])

    assert regimes.states == 3
    strange = regimes.strange(device(modes(rng), rng).values)
    assert np.abs(strange.mean(axis=0)) == pytest.approx(0, abs=0.3)
    assert strange.std(axis=0) == pytest.approx(1, abs=0.2)


def test_a_metric_that_never_moves_is_left_out() -> None:
    rng = np.random.default_rng(2)

    group = Metrics.fit(CATALOG, [device(modes(rng), rng) for _ in range(4)])

    assert group.metrics == ("heat", "noise")


def test_one_state_is_enough_where_conditions_explain_nothing() -> None:
    rng = np.random.default_rng(3)
    steady = [device(0.5 + 0.01 * rng.normal(size=200), rng) for _ in range(4)]

    assert fit_regimes(CATALOG, steady).states == 1


def test_a_missing_condition_makes_the_rest_unknown_and_nothing_else() -> None:
    rng = np.random.default_rng(4)
    regimes = fit_regimes(CATALOG, [device(modes(rng), rng) for _ in range(4)])
    values = device(modes(rng), rng).values
    values[5, 0] = np.nan

    strange = regimes.strange(values)

    assert np.isnan(strange[5]).all()
    assert np.isfinite(np.delete(strange, 5, axis=0)).all()


def test_early_life_is_the_mean_while_learning_and_then_stands_still() -> None:
    rng = np.random.default_rng(5)
    one = device(modes(rng), rng)
    column = np.arange(200.0)[:, None]
    column[3] = np.nan

    early = early_life(CATALOG, one, column)[:, 0]

    assert early[:3].tolist() == [0, 0.5, 1]
    assert early[3] == 1
    assert np.all(early[9:] == pytest.approx((45 - 3) / 9))


def test_means_changes_and_spreads_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(6)
    group = Metrics.fit(CATALOG, [device(modes(rng), rng) for _ in range(4)])
    assert group.regimes is not None
    one = device(modes(rng), rng, worn=3)

    x = group.columns(CATALOG, one, one.at_us)

    at = dict(zip(group.names, x.T, strict=True))
    clean = group.regimes.strange(one.values)
    heat = clean[:, 0] - clean[:10, 0].mean()
    assert group.spans == (FIRST_SPAN, 15, 45)
    assert at["heat.early"][-1] == pytest.approx(clean[:10, 0].mean())
    assert at["heat.mean_15"][-1] == pytest.approx(heat[-15:].mean())
    assert at["heat.change_15"][-1] == pytest.approx(heat[-15:].mean() - heat[-30:-15].mean())
    assert at["heat.spread_15"][-1] == pytest.approx(heat[-15:].std())
    assert at["heat.level"][-1] == pytest.approx(clean[-5:, 0].mean())
    assert x.shape == (200, len(group.names))


def test_metrics_that_move_together_make_a_mixture_that_stands_out_more_than_each() -> None:
    rng = np.random.default_rng(7)
    group = Metrics.fit(CATALOG, [device(modes(rng), rng, worn=1) for _ in range(6)])
    one = device(modes(rng), rng, worn=1)

    at = dict(zip(group.names, group.columns(CATALOG, one, one.at_us).T, strict=True))

    def clearness(name: str) -> float:
        return float(at[f"{name}.mean_15"][-1] / at[f"{name}.mean_5"][20:80].std())

    assert clearness("mixture_0") > clearness("heat")
    assert clearness("mixture_0") > clearness("noise")


def test_a_device_without_windows_is_unknown() -> None:
    rng = np.random.default_rng(8)
    group = Metrics.fit(CATALOG, [device(modes(rng), rng) for _ in range(4)])

    x = group.columns(CATALOG, History(device="new", begins_us=0, until_us=HOUR), np.array([HOUR]))

    assert x.shape == (1, len(group.names))
    assert np.isnan(x).all()
