"""Ways to estimate remaining life, of which `life` makes one estimate: trees, kernels, indicators, age. Pure.

A member speaks either of the life that is left, or of the share of life that is used up, from which the rest
follows with the age: where lives differ much in length, signs of wear tell the share better. Whole lives are
lognormal; a share with its noise is one observation of the whole life, so very early, when the share is too
small to divide by, the lives that are known count for more. A device is older than nothing: its life is
longer than its age, which is all that is known once it has outlived the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from scipy.special import log_ndtr
from sklearn.ensemble import HistGradientBoostingRegressor

from anomaly.learn.conformal import device_weights
from anomaly.learn.indicator import Indicator, fit_indicators, mean_share
from anomaly.learn.kernel import Kernel, fit_kernel
from anomaly.learn.packed import Packed
from anomaly.learn.trees import Trees
from anomaly.records import FloatArray, IntArray

About = Literal["life", "share"]
Way = Literal["trees", "kernel", "indicator", "age"]
TREES = 300
RATE = 0.05
LEAVES = 8
ROWS_PER_LEAF = 30
FEATURE_SHARE = 0.2
"""Trees kept small and different from each other: rows of one device are alike, so there are fewer
independent ones than it seems. The five were chosen on folds of training units of turbofans."""
SHARE_MIN = 0.005
USUAL_SPREAD = 0.43
"""Standard deviation of the logarithm of life where wear ends it: that of a Weibull distribution of shape 3."""
USUAL_LIVES = 3.0
"""So many known lives count as much as what is usual: four that happen to be alike don't say that the fifth will be."""
NO_NEWS = 1e6
"""Noise of a share that nobody observed."""
_SPREAD_MIN = 1e-3


class Ages(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is left of the known lives at an age."""

    lives: Packed
    """Whole lives, hours, rising."""

    def predict(self, age_hours: FloatArray) -> FloatArray:
        """Mean of what the lives that were longer had left, hours; of the longest beyond it: a step's worth."""
        lives = self.lives.array
        longer = np.searchsorted(lives, age_hours, side="right")
        sums = np.append(np.cumsum(lives[::-1])[::-1], 0.0)
        count = np.maximum(len(lives) - longer, 1)
        return np.where(longer < len(lives), sums[longer] / count - age_hours, 0.0)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One fitted way."""

    about: About
    ages: Ages
    """Stands where there are no models."""
    trees: tuple[Trees, ...] = ()
    """One per seed, averaged."""
    kernels: tuple[Kernel, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    weight: float = 0.0
    """In the estimate of the remaining life."""
    share_weight: float = 0.0
    """In the estimate of the share used up."""
    noise: float = NO_NEWS
    """Standard error of the share on devices left out."""
    log_life: float = 0.0
    """Mean logarithm of the known lives in hours."""
    log_spread: float = 0.0
    """Standard deviation of the logarithm of the next life."""

    @property
    def way(self) -> Way:
        if self.trees:
            return "trees"
        if self.kernels:
            return "kernel"
        return "indicator" if self.indicators else "age"

    def raw(self, x: FloatArray, age_hours: FloatArray) -> FloatArray:
        """What the models say, hours or share; (rows,)."""
        said = [trees.predict(x) for trees in self.trees]
        said += [kernel.predict(x) for kernel in self.kernels]
        if self.about == "share" and not said:
            return mean_share(self.indicators, x)
        return np.asarray(np.mean(said, axis=0)) if said else self.ages.predict(age_hours)

    def hours(self, raw: FloatArray, age_hours: FloatArray, *, cap: float) -> FloatArray:
        """Remaining life that follows from `raw`, hours, from 0 to the cap; (rows,)."""
        if self.about == "life":
            return np.clip(raw, 0.0, cap)
        age, middle, spread, above = self._whole(raw, age_hours)
        longer = log_ndtr(above + spread) - log_ndtr(above)
        return np.asarray(np.clip(np.exp(middle + spread**2 / 2 + longer) - age, 0.0, cap))

    def used(self, raw: FloatArray, age_hours: FloatArray) -> FloatArray:
        """Share of life used up that follows from `raw`, a share, from 0 to 1; (rows,)."""
        age, middle, spread, above = self._whole(raw, age_hours)
        longer = log_ndtr(above - spread) - log_ndtr(above)
        used = np.exp(np.log(age) - middle + spread**2 / 2 + longer)
        return np.asarray(np.clip(used, 0.0, 1.0))

    def _whole(
        self, raw: FloatArray, age_hours: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Age, mean and standard deviation of the logarithm of the whole life, and how far the age lies below it."""
        age, share = np.maximum(age_hours, 1e-9), np.clip(raw, SHARE_MIN, 1.0)
        known, told = self.log_spread**-2, (share / max(self.noise, 1e-6)) ** 2
        spread = np.maximum(1 / np.sqrt(known + told), _SPREAD_MIN)
        middle = (known * self.log_life + told * np.log(age / share)) / (known + told)
        return age, middle, spread, (middle - np.log(age)) / spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Rows of devices whose failure is known."""

    x: FloatArray
    """Features; (rows, features)."""
    device: IntArray
    at_us: IntArray
    age_hours: FloatArray
    left_hours: FloatArray

    def __len__(self) -> int:
        return len(self.left_hours)

    def take(self, rows: IntArray) -> "Lives":
        return Lives(
            x=self.x[rows], device=self.device[rows], at_us=self.at_us[rows],
            age_hours=self.age_hours[rows], left_hours=self.left_hours[rows],
        )  # fmt: skip

    def thinned(self, rows: IntArray, *, most: int) -> IntArray:
        """At most about so many of the rows, evenly along every life; its end teaches nothing."""
        own = rows[self.left_hours[rows] > 0]
        return own[:: max(1, -(-len(own) // most))]

    def rmse(self, said: FloatArray, *, cap: float) -> float:
        """Error of estimates of lives up to the cap, hours; each device counts the same."""
        error = (np.minimum(said, cap) - np.minimum(self.left_hours, cap)) ** 2
        return float(np.sqrt(np.average(error, weights=device_weights(self.device))))

    @property
    def shares(self) -> FloatArray:
        """Share of life used up; (rows,)."""
        return self.age_hours / np.maximum(self.age_hours + self.left_hours, 1e-9)

    @property
    def whole_hours(self) -> FloatArray:
        """Every different life, hours, rising."""
        _, first = np.unique(self.device, return_index=True)
        return np.sort((self.age_hours + self.left_hours)[first])


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Of the kernel, as data chose."""

    width: float
    ridge: float


def grow(  # noqa: PLR0913 - one way and what it is grown from, named
    way: Way,
    about: About,
    lives: Lives,
    weight: FloatArray,
    *,
    cap: float,
    strengths: Strengths,
    seeds: Sequence[int],
) -> Member:
    """Fit one member on rows; `cap`: lives longer than this count as this, hours."""
    wholes = lives.whole_hours
    logs = np.log(np.maximum(wholes, 1e-9))
    ages = Ages(lives=Packed.of(wholes, "<f8"))
    member = Member(
        about=about, ages=ages, log_life=float(logs.mean()), log_spread=_next_spread(logs)
    )
    if way == "age":
        return member
    target = np.minimum(lives.left_hours, cap) if about == "life" else lives.shares
    if way == "indicator":
        found = fit_indicators(lives.x, target, lives.device, weight)
        return msgspec.structs.replace(member, indicators=found)
    if way == "trees":
        trees = tuple(_trees(lives.x, target, weight, seed=seed) for seed in seeds)
        return msgspec.structs.replace(member, trees=trees)
    kernels = tuple(
        fit_kernel(lives.x, target, weight, width=strengths.width, ridge=strengths.ridge, seed=seed)
        for seed in seeds
    )
    return msgspec.structs.replace(member, kernels=kernels)


def _next_spread(logs: FloatArray) -> float:
    """Standard deviation of the next life's logarithm: what is usual, and what these lives say."""
    squares = float(((logs - logs.mean()) ** 2).sum()) + USUAL_LIVES * USUAL_SPREAD**2
    return float(np.sqrt(squares / (USUAL_LIVES + len(logs) - 1) * (1 + 1 / len(logs))))


def _trees(x: FloatArray, target: FloatArray, weight: FloatArray, *, seed: int) -> Trees:
    rows = _rows_by_weight(weight)
    filled = x[rows]
    filled[:, np.isnan(filled).all(axis=0)] = 0.0  # nothing known: no split, and no error
    model = HistGradientBoostingRegressor(
        max_iter=TREES, learning_rate=RATE, max_leaf_nodes=LEAVES, min_samples_leaf=ROWS_PER_LEAF,
        max_features=FEATURE_SHARE, early_stopping=False, random_state=seed,
    )  # fmt: skip
    return Trees.of(model.fit(filled, target[rows]))


def _rows_by_weight(weight: FloatArray) -> IntArray:
    """As many rows as there are, each as often as it counts: with weights, binning takes longer than growing."""
    passed = np.cumsum(weight) / weight.sum() * len(weight)
    places = np.searchsorted(passed, np.arange(len(weight)) + 0.5)
    return np.asarray(np.minimum(places, len(weight) - 1))
