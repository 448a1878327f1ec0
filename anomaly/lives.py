"""How far off the first layer's forecasts of remaining life were, and what that says about new ones. Pure.

The laws of wear say how quickly this part wears if it goes on by one of them and fails at the level that the sheet
gives. Real parts fail at other levels, so the intervals that the laws give are too narrow. By how much is
learned from failures that really happened: a forecast made before a failure is off by

    score = log(true life / median said) / log(end of the 90 % interval said / median said),

the end being the one on the same side. Quantiles of the scores near the same predicted life, and of parts that were about
as worn, take the place of the laws' own: the first faint signs are mostly taken for too steep a decline. How far a part is
worn when it fails, and how quickly it shows that, is a matter of its failure mode: each has quantiles of its own. All other
modes of the product count as a few failures of this one besides, and a widened law as a few failures of them, so that
there is an answer before anything has failed, and one failure does not decide.

The chance of failing within a horizon is read out of the corrected quantiles, so that the two never contradict each other.

References
----------
Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World. doi:10.1007/b106715
Guan (2023), Localized conformal prediction. Biometrika 110(1). doi:10.1093/biomet/asac040
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import numpy as np
from scipy.special import ndtri

from anomaly.forecaster import HORIZON_HOURS
from anomaly.records import LIFE_SHARES, BoolArray, FloatArray, IntArray

_MIDDLES = np.log([24.0, 96.0, 168.0, 336.0, 720.0, 1440.0, 2880.0])
"""Predicted lives, log hours, for which quantiles are kept; between them they go over into each other."""
_NEAR = 0.3
"""A forecast counts for those whose predicted life is about a factor exp(0.3) away or nearer."""
_WORN = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Degradations for which quantiles are kept, 0 as new to 1 failed; between them they go over into each other."""
_AS_WORN = 0.15
"""A forecast counts for parts whose degradation is about so far away or nearer."""
_WIDER = 1.4
"""The laws' intervals are widened by this before failures are known."""
_LAW_FAILURES = 2.0
"""The widened laws count as so many failures of a product."""
_OTHER_FAILURES = 2.0
"""What is known of a product's other failure modes counts as so many failures of one mode."""
_HALF_MIN, _HALF_MAX = 1.0, 3.0
"""Half of an interval, log: neither a certainty nor an ignorance that no path can bear out. How narrow the laws' interval is
says little about how far off they are, so none counts as narrower than a factor e."""
_HOURS_MIN = 0.5
ROWS_MAX = 40
"""Forecasts before one failure that are looked at, evenly chosen; their weight is that of all."""
FAILURES_MAX = 400
"""Newest failures of a product that are looked at."""
LEARN_EVERY = timedelta(days=7)
"""Event time between two corrections of a product."""
LOOK_BACK = timedelta(days=200)
"""Forecasts earlier before a failure than this are not looked at."""
ANY_MODE = ""

_shares = np.array(LIFE_SHARES)
_law_scores = _WIDER * ndtri((np.arange(60) + 0.5) / 60) / float(ndtri(LIFE_SHARES[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """What was said before one failure, and how long it really took."""

    mode: str
    said_hours: FloatArray
    """Quantiles of remaining life at `LIFE_SHARES`, as the laws of wear had them; (n, 5)."""
    left_hours: FloatArray
    """True remaining life, above 0; (n,)."""
    worn: FloatArray
    """Degradation of the part, 0 as new to 1 failed; (n,)."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What takes the place of the laws' own quantiles."""

    from_us: int
    """It holds for forecasts that are made later than this, event time: all failures behind it happened before."""
    failures: int
    """That it was learned from."""
    scores: Mapping[str, tuple[tuple[tuple[float, ...], ...], ...]]
    """Quantiles of the scores at `LIFE_SHARES`, by failure mode; for each degradation, one row per predicted life.
    `ANY_MODE` has those of modes of which no failure is known."""

    def of(self, mode: str) -> FloatArray:
        """Return the scores of one failure mode; (degradations, predicted lives, 5)."""
        return np.array(self.scores.get(mode, self.scores[ANY_MODE]))


def learn_correction(misses: Sequence[Miss], *, from_us: int) -> Correction:
    """Learn by how much to correct.

    Parameters
    ----------
    misses : sequence of Miss
        Of failures that happened until `from_us`, the oldest first.
    from_us : int
    """
    chosen = [miss for miss in misses[-FAILURES_MAX:] if len(miss.left_hours)]
    past = _Past.of(chosen)
    modes = [ANY_MODE, *dict.fromkeys(miss.mode for miss in chosen)]
    return Correction(
        from_us=from_us,
        failures=len(chosen),
        scores={
            mode: tuple(
                tuple(past.quantiles(mode, near=at, worn=worn) for at in _MIDDLES) for worn in _WORN
            )
            for mode in modes
        },
    )


def corrected(
    correction: Correction, said_hours: FloatArray, worn: FloatArray, *, mode: str
) -> FloatArray:
    """Correct quantiles of remaining life; those of parts that have failed or are well stay as they are.

    Parameters
    ----------
    said_hours : ndarray, shape (n, 5)
        At `LIFE_SHARES`, infinite where beyond any horizon.
    worn : ndarray, shape (n,)
        Degradation of the parts, 0 as new to 1 failed.
    mode : str
        Failure mode of all of them.

    Returns
    -------
    ndarray, shape (n, 5)
        In order, at least 0, infinite beyond `HORIZON_HOURS`.
    """
    is_open = is_corrected(said_hours)
    said = said_hours[is_open]
    middle = _log(said[:, 2])
    score = _between(correction.of(mode), middle, worn[is_open])
    low, high = _halves(said)
    hours = np.exp(
        middle[:, None] + np.where(score < 0, score * low[:, None], score * high[:, None])
    )
    found = said_hours.copy()
    found[is_open] = np.where(hours > HORIZON_HOURS, np.inf, hours)
    return found


def corrected_then(
    corrections: Sequence[Correction],
    made_us: IntArray,
    said_hours: FloatArray,
    worn: FloatArray,
    *,
    mode: str,
) -> FloatArray:
    """Correct forecasts of one failure mode by what was known when each was made.

    Parameters
    ----------
    corrections : sequence of Correction
        The oldest first; before the first one nothing had failed, and the widened laws stand.
    made_us : ndarray, shape (n,)
    said_hours : ndarray, shape (n, 5)
    worn : ndarray, shape (n,)
    mode : str
    """
    begins = np.array([one.from_us for one in corrections], dtype=np.int64)
    newest = np.searchsorted(begins, made_us) - 1
    found = said_hours.copy()
    for number in np.unique(newest).tolist():
        chosen = NOTHING_FAILED if number < 0 else corrections[number]
        rows = newest == number
        found[rows] = corrected(chosen, said_hours[rows], worn[rows], mode=mode)
    return found


def is_corrected(said_hours: FloatArray) -> BoolArray:
    """Tell which forecasts say something about a life that ends in sight; (n,)."""
    return np.asarray(np.isfinite(said_hours[:, 2]) & (said_hours[:, 2] > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What is known of the failures of a product, as columns: a row per forecast."""

    modes: tuple[str, ...]
    """Of each failure."""
    owner: IntArray
    """Place of its failure in `modes`."""
    weight: FloatArray
    middle: FloatArray
    """Predicted life, log hours."""
    worn: FloatArray
    order: IntArray
    """Of the scores of all rows and, after them, of the widened laws': the lowest first."""
    score: FloatArray
    """In that order."""

    @classmethod
    def of(cls, misses: Sequence[Miss]) -> "_Past":
        chosen = [_thinned(miss) for miss in misses]
        counts = [len(rows) for rows in chosen]
        parts = list(zip(misses, chosen, strict=True))
        none = np.empty(0)
        said = np.concatenate(
            [np.empty((0, len(LIFE_SHARES))), *(m.said_hours[rows] for m, rows in parts)]
        )
        left = np.concatenate([none, *(m.left_hours[rows] for m, rows in parts)])
        shares = [len(m.left_hours) / len(rows) for m, rows in parts]
        score = np.concatenate([_scores(said, left), _law_scores])
        order = np.argsort(score, kind="stable")
        return cls(
            modes=tuple(miss.mode for miss in misses),
            owner=np.repeat(np.arange(len(misses)), counts),
            weight=np.repeat(np.array(shares, dtype=np.float64), counts),
            middle=_log(said[:, 2]),
            worn=np.concatenate([none, *(m.worn[rows] for m, rows in parts)]),
            order=order,
            score=score[order],
        )

    def quantiles(self, mode: str, *, near: float, worn: float) -> tuple[float, ...]:
        """Quantiles of a mode's scores near a predicted life and a degradation: its own, all other modes', and the widened laws'."""
        away = ((self.middle - near) / _NEAR) ** 2 + ((self.worn - worn) / _AS_WORN) ** 2
        weight = self.weight * np.exp(-0.5 * away)
        is_own = np.array([one == mode for one in self.modes], dtype=np.bool_)[self.owner]
        own = np.where(is_own, weight, 0.0)
        other = np.where(is_own, 0.0, weight)
        law = np.full(len(_law_scores), _LAW_FAILURES * self._one(other) / len(_law_scores))
        if is_own.any():
            share = _OTHER_FAILURES * self._one(own) / (other.sum() + law.sum())
            other, law = other * share, law * share
        passed = np.cumsum(np.concatenate([own + other, law])[self.order])
        place = np.searchsorted(passed, _shares * passed[-1])
        return tuple(self.score[np.minimum(place, len(self.score) - 1)].tolist())

    def _one(self, weight: FloatArray) -> float:
        """What one failure weighs: as many of the same weight would say as much as all together."""
        whole = np.bincount(self.owner, weights=weight, minlength=1)
        return float((whole**2).sum() / whole.sum()) if whole.sum() > 0 else 1.0


def _between(table: FloatArray, middle: FloatArray, worn: FloatArray) -> FloatArray:
    """Scores at predicted lives and degradations, straight between those that are kept; (n, 5)."""
    each = np.stack([
        np.stack([np.interp(middle, _MIDDLES, column) for column in own.T], axis=1) for own in table
    ])  # fmt: skip
    known = np.clip(worn, _WORN[0], _WORN[-1])
    after = np.clip(np.searchsorted(_WORN, known), 1, len(_WORN) - 1)
    kept = np.array(_WORN)
    part = ((known - kept[after - 1]) / (kept[after] - kept[after - 1]))[:, None]
    rows = np.arange(len(middle))
    return np.asarray(each[after - 1, rows] * (1 - part) + each[after, rows] * part)


def _thinned(miss: Miss) -> IntArray:
    """Rows that are looked at."""
    number = len(miss.left_hours)
    return np.unique(np.linspace(0, number - 1, min(number, ROWS_MAX)).round().astype(np.int64))


def _scores(said: FloatArray, left: FloatArray) -> FloatArray:
    off = _log(left) - _log(said[:, 2])
    low, high = _halves(said)
    return np.asarray(np.where(off < 0, off / low, off / high))


def _halves(said: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper half of the 90 % interval, log."""
    middle = _log(said[:, 2])
    low, high = middle - _log(said[:, 0]), _log(said[:, -1]) - middle
    return np.clip(low, _HALF_MIN, _HALF_MAX), np.clip(high, _HALF_MIN, _HALF_MAX)


def _log(hours: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.clip(hours, _HOURS_MIN, 1e9)))


NOTHING_FAILED = learn_correction([], from_us=0)
"""Before any failure is known."""
