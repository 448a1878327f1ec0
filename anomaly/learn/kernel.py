"""Smooth regression on many features: kernel ridge over landmarks, kept as plain arrays. Pure.

Where a hundred features move together a little, a smooth function of all of them sees what trees, which
look at a few at a time, do not. Radial basis functions around rows drawn from the training rows
(Nyström's approximation); each feature centred, scaled and cut off, a missing one taken as average.

References
----------
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
"""Of the kernel, tried: exp(-width × mean squared distance per feature)."""
RIDGES = (0.1, 0.01, 0.001)
"""Strengths of regularisation, tried."""
ROWS_AT_ONCE = 4096
_JITTER = 1e-8


class Kernel(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A fitted regression of one number."""

    middle: Packed
    scale: Packed
    landmarks: Packed
    """In scaled features; (landmarks, features)."""
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
            near = _closeness(scaled, self._marks, self._sizes, width=self.width)
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
    x: FloatArray, y: FloatArray, weight: FloatArray, *, width: float, ridge: float, seed: int
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
    """
    middle, scale = location(x)
    scaled = scaled_rows(x, middle, scale)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(scaled), min(LANDMARKS, len(scaled)), replace=False)
    marks = scaled[np.sort(chosen)]
    even = weight / weight.mean()
    bias = float(np.average(y, weights=even))
    near = _fast_closeness(scaled, marks, width=width)
    among = _fast_closeness(marks, marks, width=width) + _JITTER * np.eye(len(marks))
    power = (near.T * even) @ near + ridge * among + _JITTER * np.eye(len(marks))
    weights = np.linalg.solve(power, (near.T * even) @ (y - bias))
    return Kernel(
        middle=Packed.of(middle, "<f8"),
        scale=Packed.of(scale, "<f8"),
        landmarks=Packed.of(marks, "<f8"),
        weights=Packed.of(weights, "<f8"),
        width=width,
        bias=bias,
    )


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
    return np.asarray(np.exp(-width / max(rows.shape[1], 1) * distance))


def _fast_closeness(rows: FloatArray, marks: FloatArray, *, width: float) -> FloatArray:
    distance = _squares(rows)[:, None] + _squares(marks)[None, :] - 2 * rows @ marks.T
    return np.asarray(np.exp(-width / max(rows.shape[1], 1) * np.maximum(distance, 0.0)))


def _squares(rows: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("rf,rf->r", rows, rows))
