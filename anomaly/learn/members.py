"""Ways to estimate remaining life, of which `life` makes one estimate: trees, kernels, age. Pure.

A member speaks either of the life that is left, or of the share of life that is used up, from which the rest
follows with the age: where lives differ much in length, signs of wear tell the share better. Very early the
share is too small to divide by, so the whole life that it implies is drawn towards those known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from anomaly.learn.kernel import Kernel, fit_kernel
from anomaly.learn.packed import Packed
from anomaly.learn.trees import Trees
from anomaly.records import FloatArray, IntArray

About = Literal["life", "share"]
Way = Literal["trees", "kernel", "age"]
TREES = 300
RATE = 0.05
LEAVES = 8
ROWS_PER_LEAF = 30
FEATURE_SHARE = 0.2
"""Trees kept small and different from each other: rows of one device are alike, so there are fewer
independent ones than it seems. The five were chosen on folds of training units of turbofans."""
SHARE_MIN = 0.005


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
    weight: float = 0.0
    """In the estimate."""
    noise: float = 0.0
    """Standard error of the share on devices left out."""
    log_life: float = 0.0
    """Mean logarithm of the known lives in hours."""
    log_spread: float = 0.0
    """Standard deviation of it."""

    def raw(self, x: FloatArray, age_hours: FloatArray) -> FloatArray:
        """What the models say, hours or share; (rows,)."""
        said = [trees.predict(x) for trees in self.trees]
        said += [kernel.predict(x) for kernel in self.kernels]
        return np.asarray(np.mean(said, axis=0)) if said else self.ages.predict(age_hours)

    def hours(self, raw: FloatArray, age_hours: FloatArray, *, cap: float) -> FloatArray:
        """Remaining life that follows from `raw`, hours, from 0 to the cap; (rows,)."""
        if self.about == "life":
            return np.clip(raw, 0.0, cap)
        share = np.clip(raw, SHARE_MIN, 1.0)
        trust = self.log_spread**2 / (self.log_spread**2 + (self.noise / share) ** 2 + 1e-12)
        whole = np.log(np.maximum(age_hours, 1e-9) / share)
        life = np.exp(trust * whole + (1 - trust) * self.log_life)
        return np.clip(life - age_hours, 0.0, cap)


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
        about=about, ages=ages, log_life=float(logs.mean()), log_spread=float(logs.std())
    )
    if way == "age":
        return member
    target = np.minimum(lives.left_hours, cap)
    if about == "share":
        target = lives.age_hours / np.maximum(lives.age_hours + lives.left_hours, 1e-9)
    if way == "trees":
        trees = tuple(_trees(lives.x, target, weight, seed=seed) for seed in seeds)
        return msgspec.structs.replace(member, trees=trees)
    kernels = tuple(
        fit_kernel(lives.x, target, weight, width=strengths.width, ridge=strengths.ridge, seed=seed)
        for seed in seeds
    )
    return msgspec.structs.replace(member, kernels=kernels)


def _trees(x: FloatArray, target: FloatArray, weight: FloatArray, *, seed: int) -> Trees:
    filled = x.copy()
    filled[:, np.isnan(x).all(axis=0)] = 0.0  # nothing known: no split, and no error
    model = HistGradientBoostingRegressor(
        max_iter=TREES, learning_rate=RATE, max_leaf_nodes=LEAVES, min_samples_leaf=ROWS_PER_LEAF,
        max_features=FEATURE_SHARE, early_stopping=False, random_state=seed,
    )  # fmt: skip
    return Trees.of(model.fit(filled, target, sample_weight=weight / weight.mean()))
