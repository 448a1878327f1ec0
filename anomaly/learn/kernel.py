"""Smooth regression on many features: kernel ridge over landmarks, kept as plain arrays. Pure.

Where a hundred features move together a little, a smooth function of all of them sees what trees, which
look at a few at a time, do not. Laplace kernels around rows drawn from the training rows (Nyström's
approximation); each feature centred, scaled and cut off, a missing one taken as average.

Most features say little, and distance counts them all. So the kernel is fitted a few times: each time distances
are stretched along the directions in which the fit before changed most (mean outer product of its gradient).

References
----------
Radhakrishnan, Beaglehole, Pandit, Belkin (2024), Mechanism for feature learning in neural networks and
backpropagation-free machine learning models, Science 383(6690). doi:10.1126/science.adi5639
Williams, Seeger (2001), Using the Nyström method to speed up kernel machines, NIPS 13.
"""

from functools import cached_property

import msgspec
import numpy as np

from anomaly.learn.packed import Packed
from anomaly.records import FloatArray

LANDMARKS = 600
CUT = 5.0
"""Standard deviations beyond which a feature says nothing more."""
WIDTHS = (0.1, 0.3, 1.0)
"""Of the kernel, tried: exp(-√(width × mean squared distance per feature))."""
RIDGES = (0.1, 0.01, 0.001)
"""Strengths of regularisation, tried."""
ROUNDS = 3
"""How often distances are stretched; on folds of turbofans the third time still helped a little."""
STRETCH_MIN = 0.05
"""Of a direction in which nothing changes, beside 1 for that in which most does (as a square)."""
ROWS_AT_ONCE = 4096
_SLOPE_ROWS = 2_500
_JITTER = 1e-8
_NEAR = 1e-3
"""Closer to a landmark than this, the kernel's tip has no slope."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A fitted regression of one number."""

    middle: Packed
    scale: Packed
    stretch: Packed
    """From scaled features to those in which distance is measured; (features, features)."""
    landmarks: Packed
    """In stretched features; (landmarks, features)."""
    weights: Packed
    width: float
    bias: float

    def predict(self, x: FloatArray) -> FloatArray:
        """Return a number per row of x, shape (rows, features), NaN where missing.

        A row's number is the same to the bit whichever rows stand beside it.
        """
        found = np.empty(len(x))
        for first in range(0, len(x), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            scaled = scaled_rows(x[part], self.middle.array, self.scale.array)
            stretched = np.einsum("rf,fs->rs", scaled, self.stretch.array)
            near = _closeness(stretched, self._marks, self._sizes, width=self.width)
            found[part] = np.einsum("rl,l->r", near, self.weights.array) + self.bias
        return found

    @cached_property
    def _marks(self) -> FloatArray:
        marks: FloatArray = self.landmarks.array
        return marks

    @cached_property
    def _sizes(self) -> FloatArray:
        return _squares(self._marks)


def fit_kernel(  # noqa: PLR0913 - rows and two strengths, named
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    *,
    width: float,
    ridge: float,
    seed: int,
    rounds: int = ROUNDS,
) -> Kernel:
    """Fit a weighted kernel ridge regression.

    Parameters
    ----------
    x : ndarray, shape (rows, features)
        NaN where missing.
    y, weight : ndarray, shape (rows,)
        What is to be told, and how much each row counts.
    width, ridge : float
        One of `WIDTHS` and of `RIDGES`.
    seed : int
        Draws the landmarks.
    rounds : int
        How often distances are stretched; 0: all features count the same.
    """
    middle, scale = location(x)
    scaled = scaled_rows(x, middle, scale)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(scaled), min(LANDMARKS, len(scaled)), replace=False))
    even = weight / weight.mean()
    bias = float(np.average(y, weights=even))
    stretch = np.eye(scaled.shape[1])
    for left in range(rounds, -1, -1):
        stretched = scaled @ stretch
        marks = stretched[chosen]
        weights = _solved(stretched, marks, y - bias, even, width=width, ridge=ridge)
        if left:
            some = stretched[:: max(1, -(-len(stretched) // _SLOPE_ROWS))]
            slopes = _slopes(some, marks, weights, width=width) @ stretch.T
            stretch = _stretched_along(slopes, scaled)
    return Kernel(
        middle=Packed.of(middle, "<f8"),
        scale=Packed.of(scale, "<f8"),
        stretch=Packed.of(stretch, "<f8"),
        landmarks=Packed.of(marks, "<f8"),
        weights=Packed.of(weights, "<f8"),
        width=width,
        bias=bias,
    )


def _solved(  # noqa: PLR0913 - rows and two strengths, named
    rows: FloatArray,
    marks: FloatArray,
    target: FloatArray,
    weight: FloatArray,
    *,
    width: float,
    ridge: float,
) -> FloatArray:
    """Weights of the landmarks; (landmarks,)."""
    near = _fast_closeness(rows, marks, width=width)
    among = _fast_closeness(marks, marks, width=width) + _JITTER * np.eye(len(marks))
    power = (near.T * weight) @ near + ridge * among + _JITTER * np.eye(len(marks))
    return np.asarray(np.linalg.solve(power, (near.T * weight) @ target))


def _slopes(
    rows: FloatArray, marks: FloatArray, weights: FloatArray, *, width: float
) -> FloatArray:
    """Gradient of the fit at each row, in the features that the rows are given in; (rows, features)."""
    scale = width / max(rows.shape[1], 1)
    far = np.sqrt(scale * _fast_distance(rows, marks))
    pull = -np.exp(-far) * weights[None, :] * scale / np.maximum(far, _NEAR)
    return np.asarray(rows * pull.sum(axis=1)[:, None] - pull @ marks)


def _stretched_along(slopes: FloatArray, scaled: FloatArray) -> FloatArray:
    """Stretch features along the directions of large slopes; what is stretched keeps its mean size."""
    values, vectors = np.linalg.eigh(slopes.T @ slopes)
    if not values.max(initial=0.0) > 0:
        return np.eye(scaled.shape[1])
    shares = np.sqrt(np.maximum(values, 0.0) / values.max()) + STRETCH_MIN
    stretch = (vectors * np.sqrt(shares)) @ vectors.T
    before, after = _squares(scaled).mean(), _squares(scaled @ stretch).mean()
    return np.asarray(stretch * np.sqrt(before / max(after, 1e-12)))


def location(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each feature's known values."""
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, x, 0.0).sum(axis=0) / count
    rest = np.where(known, x - middle, 0.0)
    spread = np.sqrt((rest**2).sum(axis=0) / count)
    return middle, np.where(spread > 1e-9 * np.maximum(np.abs(middle), 1e-9), spread, np.inf)


def scaled_rows(x: FloatArray, middle: FloatArray, scale: FloatArray) -> FloatArray:
    return np.asarray(np.nan_to_num(np.clip((x - middle) / scale, -CUT, CUT)))


def _closeness(
    rows: FloatArray, marks: FloatArray, sizes: FloatArray, *, width: float
) -> FloatArray:
    """Kernel between rows and landmarks; einsum, since the last bit of `@` depends on the number of rows."""
    shared = np.einsum("rf,lf->rl", rows, marks)
    distance = np.maximum(_squares(rows)[:, None] + sizes[None, :] - 2 * shared, 0.0)
    return np.asarray(np.exp(-np.sqrt(width / max(rows.shape[1], 1) * distance)))


def _fast_closeness(rows: FloatArray, marks: FloatArray, *, width: float) -> FloatArray:
    return np.asarray(np.exp(-np.sqrt(width / max(rows.shape[1], 1) * _fast_distance(rows, marks))))


def _fast_distance(rows: FloatArray, marks: FloatArray) -> FloatArray:
    distance = _squares(rows)[:, None] + _squares(marks)[None, :] - 2 * rows @ marks.T
    return np.asarray(np.maximum(distance, 0.0))


def _squares(rows: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("rf,rf->r", rows, rows))
