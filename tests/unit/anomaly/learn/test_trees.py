"""Boosted trees as plain arrays."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from anomaly.learn.trees import Trees
from core.errors import InvalidError


def rows(seed: int, number: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, 4))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, np.nan_to_num(x[:, 0]) ** 2 + 0.3 * np.nan_to_num(x[:, 1]) + 0.1 * rng.normal(
        size=number
    )


@given(seed=st.integers(0, 1000), loss=st.sampled_from(["squared_error", "quantile", "poisson"]))
@settings(max_examples=12, deadline=None)
def test_stored_trees_predict_to_the_bit_what_was_fitted(seed: int, loss: str) -> None:
    x, y = rows(seed)
    model = HistGradientBoostingRegressor(
        loss=loss, max_iter=15, random_state=seed, quantile=0.8 if loss == "quantile" else None
    ).fit(x, np.exp(y))
    other = rows(seed + 1)[0]

    trees = msgspec.json.decode(msgspec.json.encode(Trees.of(model)), type=Trees)

    assert len(trees) == 15
    assert np.array_equal(trees.predict(other), model.predict(other))


def test_a_stored_classifier_gives_the_same_probability() -> None:
    x, y = rows(1)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(x, y > 1)

    trees = msgspec.msgpack.decode(msgspec.msgpack.encode(Trees.of(model)), type=Trees)

    assert np.array_equal(trees.predict(x), model.predict_proba(x)[:, 1])


def test_the_walk_in_numpy_gives_the_same_bits_as_the_compiled_one() -> None:
    x, y = rows(2)
    trees = Trees.of(HistGradientBoostingRegressor(max_iter=10, random_state=2).fit(x, y))
    starts = trees.starts.array

    total = np.zeros(len(x)) + trees.baseline
    for first, last in itertools.pairwise(starts):
        total += trees.walk(x, slice(first, last))

    assert np.array_equal(total, trees.raw(x))


def test_an_ensemble_of_several_classes_is_refused() -> None:
    x, y = rows(3)
    model = HistGradientBoostingClassifier(max_iter=2).fit(x, np.digitize(y, [0, 1]))

    with pytest.raises(InvalidError, match="one output"):
        Trees.of(model)
