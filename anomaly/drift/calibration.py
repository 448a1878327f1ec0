"""Do as many parts fail as the forecasts say? A test that may be looked at as often as one likes. Pure.

Once in every block of 31 days the first forecast of each device is held against the 30 days after it, so
a block is over before the next one's forecasts are made. How much likelier the outcomes are when the odds
of failing are off by a factor is a martingale that begins at 1 if the forecasts are true (devices fail
independently of each other, given their forecasts). Factors and beginnings of the trouble are mixed.

References
----------
Ville (1939), Étude critique de la notion de collectif; Ramdas et al. (2023), Stat. Sci. 38(4).
doi:10.1214/23-STS894
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from anomaly.records import FloatArray
from core.units import EPOCH

BLOCK = timedelta(days=31)
SLACK = timedelta(days=1)
"""After the beginning of a block, within which its forecast must be made."""
HORIZON = timedelta(days=30)
MISTAKE_MAX = 0.05
"""Chance of ever finding fault with forecasts that are true."""
FACTORS = (0.1, 0.2, 1 / 3, 0.5, 2.0, 3.0, 5.0, 10.0)
"""By which the odds of failing may be off; all have the same weight."""
_CHANCE_MIN = 1e-6

Direction = Literal["too_few", "too_many"]
"""Failures that the forecasts expect, against those that come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The forecasts of one block whose outcome is known."""

    at: datetime
    """Event time of its beginning."""
    forecasts: int
    expected: float
    observed: int
    log_ratios: tuple[float, ...]
    """Per factor: logarithm of how much likelier the outcomes are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All blocks of one speaker together."""

    forecasts: int
    expected: float
    observed: int
    evidence: float
    """Highest so far of how much likelier the outcomes are when the forecasts are off."""
    direction: Direction
    has_drifted: bool


def block_of(at: datetime, chance: FloatArray, *, came: FloatArray) -> Block:
    """Sum up a block.

    Parameters
    ----------
    at : datetime
        Its beginning.
    chance : ndarray, shape (n,)
        Of failing within 30 days, as forecast.
    came : ndarray, shape (n,)
        1 where it failed within them, else 0.
    """
    p = np.clip(chance, _CHANCE_MIN, 1 - _CHANCE_MIN)
    ratios = [
        float(np.sum(came * np.log(factor) - np.log1p(p * (factor - 1)))) for factor in FACTORS
    ]
    return Block(
        at=at,
        forecasts=len(p),
        expected=float(chance.sum()),
        observed=int(came.sum()),
        log_ratios=tuple(ratios),
    )


def weigh(blocks: Sequence[Block]) -> Calibration | None:
    """Weigh all blocks, oldest first; None where there is none."""
    if not blocks:
        return None
    steps = np.array([block.log_ratios for block in blocks])
    by_factor = [evidence_after(steps[: number + 1]) for number in range(len(steps))]
    peak = max(by_factor, key=lambda one: float(one.mean()))
    above = np.array(FACTORS) > 1
    evidence = max(1.0, float(peak.mean()))
    return Calibration(
        forecasts=sum(block.forecasts for block in blocks),
        expected=sum(block.expected for block in blocks),
        observed=sum(block.observed for block in blocks),
        evidence=evidence,
        direction="too_few" if peak[above].sum() >= peak[~above].sum() else "too_many",
        has_drifted=evidence >= 1 / MISTAKE_MAX,
    )


def evidence_after(steps: FloatArray) -> FloatArray:
    """Return the evidence per factor after some blocks; shape (factors,).

    Trouble may have begun with any block; the k-th has the weight 1 / (k (k + 1)), so that good years do not
    hide a bad month. Weights that are left over stay at 1.
    """
    number = len(steps)
    place = np.arange(1, number + 1)
    weight = 1 / (place * (place + 1))
    since = np.cumsum(steps[::-1], axis=0)[::-1]
    grown = np.exp(np.minimum(since, 600.0))
    return np.asarray(weight @ grown + (1 - weight.sum()))


def blocks_until(first: datetime, through: datetime) -> list[datetime]:
    """Return the beginnings of all blocks between two instants that are over; the same for everybody."""
    place = -((EPOCH - first + SLACK) // BLOCK)
    found = []
    while EPOCH + (place + 1) * BLOCK <= through:
        found.append(EPOCH + place * BLOCK)
        place += 1
    return found
