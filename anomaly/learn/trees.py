"""Boosted trees as plain arrays: stored without pickle, and predicting to the bit as they were fitted.

scikit-learn grows them (HistGradientBoosting); what is kept is one row per node. Where scikit-learn's
compiled walk over such nodes fits, it is used because it is some thirty times faster than the walk in
numpy; both give the same bits, and a test says so.
"""

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting import predictor as compiled

from anomaly.learn.packed import Packed
from anomaly.records import FloatArray, IntArray
from core.errors import InvalidError

Link = Literal["identity", "log", "logit"]
_LINKS: dict[str, Link] = {
    "log_loss": "logit",
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
    "poisson": "log",
    "gamma": "log",
}
_INVERSE: dict[Link, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda raw: raw,
    "log": np.exp,
    "logit": expit,
}


class Trees(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A fitted ensemble for one number: `predict` is link⁻¹(baseline + sum of leaves)."""

    link: Link
    baseline: float
    width: int
    """Number of features."""
    starts: Packed
    """Place of each tree's root among the nodes; shape (trees + 1,)."""
    feature: Packed
    threshold: Packed
    """A value at most this goes left."""
    missing_left: Packed
    left: Packed
    """Place within the tree; 0 in both of left and right: a leaf."""
    right: Packed
    value: Packed

    @classmethod
    def of(cls, model: HistGradientBoostingClassifier | HistGradientBoostingRegressor) -> "Trees":
        """Take the nodes out of a fitted model of one output without categorical features."""
        grown = model._predictors  # noqa: SLF001 - what was learned has no public place
        trees = [row[0].nodes for row in grown]
        if any(len(row) != 1 for row in grown) or model.is_categorical_ is not None:
            raise InvalidError(
                "only ensembles with one output and numeric features are kept",
                hint="turn categories into numbers, and classes into one model each",
            )
        nodes = np.concatenate(trees)
        inner = nodes["is_leaf"] == 0
        return cls(
            link=_LINKS[model.loss],
            baseline=float(np.ravel(model._baseline_prediction)[0]),  # noqa: SLF001 - as above
            width=int(model.n_features_in_),
            starts=Packed.of(np.cumsum([0, *(len(tree) for tree in trees)]), "<i8"),
            feature=Packed.of(np.where(inner, nodes["feature_idx"], 0), "<i4"),
            threshold=Packed.of(np.where(inner, nodes["num_threshold"], 0.0), "<f8"),
            missing_left=Packed.of(nodes["missing_go_to_left"], "|u1"),
            left=Packed.of(np.where(inner, nodes["left"], 0), "<i4"),
            right=Packed.of(np.where(inner, nodes["right"], 0), "<i4"),
            value=Packed.of(nodes["value"], "<f8"),
        )

    def __len__(self) -> int:
        return self.starts.shape[0] - 1

    def predict(self, x: FloatArray) -> FloatArray:
        """Return a number per row of x, shape (rows, width), NaN where missing."""
        return np.asarray(_INVERSE[self.link](self.raw(x)))

    def raw(self, x: FloatArray) -> FloatArray:
        """Return the prediction before the link; shape (rows,)."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        total = np.zeros(len(x)) + self.baseline
        for walk in self._walks:
            total += walk(x)
        return total

    @cached_property
    def _walks(self) -> list[Callable[[FloatArray], FloatArray]]:
        """One function per tree, from rows to leaves."""
        starts = self.starts.array
        slices = [slice(a, b) for a, b in itertools.pairwise(starts)]
        if _FIELDS == _KNOWN_FIELDS:
            return [_Compiled(self._nodes(part)) for part in slices]
        return [lambda x, part=part: self.walk(x, part) for part in slices]  # type: ignore[misc]

    def walk(self, x: FloatArray, part: slice) -> FloatArray:
        """Walk one tree in numpy, all rows a level at a time."""
        left, right = self.left.array[part], self.right.array[part]
        feature, threshold = self.feature.array[part], self.threshold.array[part]
        missing_left = self.missing_left.array[part].astype(bool)
        node: IntArray = np.zeros(len(x), dtype=np.int64)
        going: IntArray = np.flatnonzero(left[node] != 0)
        while len(going):
            at = node[going]
            seen = x[going, feature[at]]
            goes_left = np.where(np.isnan(seen), missing_left[at], seen <= threshold[at])
            node[going] = np.where(goes_left, left[at], right[at])
            going = going[left[node[going]] != 0]
        return np.asarray(self.value.array[part][node])

    def _nodes(self, part: slice) -> Any:
        """Lay one tree's nodes out as scikit-learn's compiled walk reads them."""
        nodes = np.zeros(part.stop - part.start, dtype=compiled.PREDICTOR_RECORD_DTYPE)
        nodes["value"] = self.value.array[part]
        nodes["feature_idx"] = self.feature.array[part]
        nodes["num_threshold"] = self.threshold.array[part]
        nodes["missing_go_to_left"] = self.missing_left.array[part]
        nodes["left"] = self.left.array[part]
        nodes["right"] = self.right.array[part]
        nodes["is_leaf"] = self.left.array[part] == 0
        return nodes


_FIELDS = frozenset(compiled.PREDICTOR_RECORD_DTYPE.names or ())
_KNOWN_FIELDS = frozenset(
    ("value", "count", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right",
     "gain", "depth", "is_leaf", "bin_threshold", "is_categorical", "bitset_idx")
)  # fmt: skip
"""Fields of a node that the compiled walk is known to read; should they change, numpy walks."""
_NO_SETS = np.zeros((0, 8), dtype=np.uint32)
_NO_MAP = np.zeros(0, dtype=np.uint32)


class _Compiled:
    def __init__(self, nodes: Any) -> None:
        self._tree = compiled.TreePredictor(nodes, _NO_SETS, _NO_SETS)

    def __call__(self, x: FloatArray) -> FloatArray:
        return np.asarray(self._tree.predict(x, _NO_SETS, _NO_MAP, 1))
