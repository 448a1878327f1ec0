"""Control: proportional hazards (Cox) on what does not change about devices. Pure.

What most would try first on lives with a few columns; a learned hazard should not rank worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.learn.history import Catalog, History
from anomaly.learn.traits import Traits
from anomaly.records import BoolArray, FloatArray, IntArray

RIDGE = 1.0
"""On coefficients of columns of about unit size: types of which nobody failed stay finite. Of 0.3, 1
and 3 on folds of training drives none was better by more than 0.002."""
_STEPS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportional:
    """Logarithm of the hazard over that of all devices, as a sum over columns."""

    catalog: Catalog
    traits: Traits
    centre: FloatArray
    scale: FloatArray
    coefficients: FloatArray

    def risk(self, histories: Sequence[History]) -> FloatArray:
        """Return a number per device; higher: expected to fail sooner."""
        table = _table(self.catalog, self.traits, histories)
        return np.asarray(_columns(self.traits, table, self.centre, self.scale) @ self.coefficients)


def fit_proportional(
    catalog: Catalog, histories: Sequence[History], hours: FloatArray, has_failed: BoolArray
) -> Proportional:
    """Learn the coefficients from lives that all begin at age 0.

    Parameters
    ----------
    hours : ndarray, shape (devices,)
        Length of each life, or how long it was watched.
    has_failed : ndarray of bool, shape (devices,)
    """
    traits = Traits.fit(catalog, histories)
    table = _table(catalog, traits, histories)
    centre, scale = np.nanmean(table, axis=0), np.nanstd(table, axis=0) + 1e-9
    columns = _columns(traits, table, centre, scale)
    return Proportional(
        catalog=catalog, traits=traits, centre=centre, scale=scale,
        coefficients=partial_likelihood(columns, hours, has_failed, ridge=RIDGE),
    )  # fmt: skip


def partial_likelihood(
    x: FloatArray, hours: FloatArray, has_failed: BoolArray, *, ridge: float
) -> FloatArray:
    """Maximise Cox's partial likelihood less ridge / 2 times the squares, by Newton's steps.

    Parameters
    ----------
    x : ndarray, shape (devices, columns)
    ridge : float
        At least 0; equal times count as Breslow has them.

    References
    ----------
    Cox (1972), J. R. Stat. Soc. B 34(2). doi:10.1111/j.2517-6161.1972.tb00899.x
    """
    order = np.argsort(-hours, kind="stable")
    x, hours, failed = x[order], hours[order], np.flatnonzero(has_failed[order])
    # Devices at risk at a failure: all up to the last one with the same time.
    last = (np.searchsorted(-hours, -hours, side="right") - 1)[failed]
    beta = np.zeros(x.shape[1])
    value, slope, bend = _at(beta, x, failed, last, ridge)
    for _ in range(_STEPS_MAX):
        step = np.linalg.solve(bend, slope)
        ahead = _at(beta + step, x, failed, last, ridge)
        while ahead[0] < value and np.abs(step).max() > 1e-9:
            step /= 2
            ahead = _at(beta + step, x, failed, last, ridge)
        beta, (value, slope, bend) = beta + step, ahead
        if np.abs(step).max() < 1e-7:
            break
    return beta


def _at(
    beta: FloatArray, x: FloatArray, failed: IntArray, last: IntArray, ridge: float
) -> tuple[float, FloatArray, FloatArray]:
    """Return the penalised log likelihood, its slope and its negative second derivative."""
    eta = x @ beta
    top = eta.max()
    weight = np.exp(eta - top)
    total = np.cumsum(weight)[last]
    mean = np.cumsum(weight[:, None] * x, axis=0)[last] / total[:, None]
    value = eta[failed].sum() - (np.log(total) + top).sum() - ridge / 2 * beta @ beta
    slope = x[failed].sum(axis=0) - mean.sum(axis=0) - ridge * beta
    # Each device counts at every failure at which it was at risk.
    at = np.bincount(last, weights=1 / total, minlength=len(x))
    often = np.cumsum(at[::-1])[::-1]
    bend = (x * (weight * often)[:, None]).T @ x - mean.T @ mean + ridge * np.eye(len(beta))
    return float(value), slope, bend


def _table(catalog: Catalog, traits: Traits, histories: Sequence[History]) -> FloatArray:
    one = np.zeros(1, dtype=np.int64)
    return np.concatenate([traits.columns(catalog, history, one) for history in histories])


def _columns(
    traits: Traits, table: FloatArray, centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Give each category a column of its own, and each number two: itself and its square."""
    columns = []
    for place, trait in enumerate(traits.traits):
        own = table[:, place]
        if trait.values is None:
            unit = np.nan_to_num((own - centre[place]) / scale[place])
            columns += [unit, unit**2]
        else:
            columns += [
                (own == number + 1).astype(np.float64) for number in range(len(trait.values))
            ]
    return np.stack(columns, axis=1)
