"""Remaining life, learned from devices that were watched until they failed. Pure; stored as plain arrays.

Several ways of estimating (`members`) are weighted by how well they do together on devices left out; so with
hundreds of lives smooth functions and trees carry the estimate, with four the share of life used up or just
the age. Successive estimates of a device are filtered: a life falls by one hour an hour, and how long
earlier estimates are worth anything is chosen on devices left out. Errors on those devices make the
quantiles (`conformal`). Far from the end there is no sign; up to where lives can be told apart is learned too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.optimize import nnls

from anomaly.learn.age import US_PER_HOUR, Age
from anomaly.learn.conformal import DEVICES_MIN, Errors, device_weights, fit_errors
from anomaly.learn.events import Events
from anomaly.learn.frame import Frame, Group
from anomaly.learn.kernel import RIDGES, WIDTHS, fit_kernel
from anomaly.learn.members import About, Lives, Member, Strengths, Way, grow
from anomaly.learn.metrics import Metrics
from anomaly.learn.outcome import Outcome
from anomaly.learn.services import Services
from anomaly.learn.traits import Traits
from anomaly.learn.wear import Wear
from anomaly.records import LIFE_SHARES, FloatArray, IntArray

GROUPS: tuple[type[Group], ...] = (Age, Services, Events, Traits, Wear, Metrics)
"""Features that remaining life is learned from: the hour of the week has no part in it."""
LIVES_MIN = 3
"""Fewer lives say nothing about the next one."""
FOLDS = 5
ALONE_MAX = 10
"""Up to so many lives, each is left out by itself."""
ROWS_MAX = 12_000
"""Rows that members learn from: rows of one life are alike, so more of them teach little."""
JUDGED_MAX = 100_000
"""Rows on which they are judged, by members that did not see the device."""
TRIAL_ROWS = 4_000
TOLD_APART = 0.9
"""Share of the variance of lives up to the cap that must be explained on devices left out."""
CAP_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MEMORIES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""How long an earlier estimate counts, in steps between rows, tried."""
WORTH_IT = 0.99
"""Memory must bring the error below this share of what it is without."""
WAYS: tuple[tuple[Way, About], ...] = (
    ("trees", "life"), ("kernel", "life"), ("trees", "share"), ("kernel", "share"),
    ("indicator", "share"), ("age", "share"), ("age", "life"),
)  # fmt: skip
BELIEF_LIVES = 3.0
"""Equal weights of the members are given up for others as if so many more lives had spoken for them."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one device between forecasts."""

    at_us: int
    hours: float
    """Remaining life, as filtered."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned of one failure mode's remaining life."""

    names: tuple[str, ...]
    """Features, in order."""
    members: tuple[Member, ...]
    cap_hours: float
    """Up to here lives can be told apart."""
    memory_hours: float
    """Time after which an earlier estimate counts by 1/e; 0: at once."""
    errors: Errors
    lives: int
    """Learned from."""
    rmse_hours: float
    """On devices left out, of lives up to the cap, each device counting the same."""
    rmse_age_hours: float
    """The same for estimates from nothing but the age."""

    def estimate(self, frame: Frame) -> FloatArray:
        """Remaining life in hours of every row by itself; (rows,)."""
        age = frame.x[:, self.names.index("age_hours")]
        total = np.zeros(len(frame))
        for member in self.members:
            if member.weight > 0:
                raw = member.raw(without_age(frame.x, self.names, member.about), age)
                total += member.weight * member.hours(raw, age, cap=self.cap_hours)
        return total

    def used_up(self, frame: Frame) -> FloatArray:
        """Share of life used up of every row by itself, from 0 to 1; (rows,).

        Not the age over the age plus `estimate`: the share of a mean life is not the mean of the shares. Only
        members that know how sure they are of the whole life have a part in it, with weights by their errors
        of the share, in which long lives count no more than short ones.
        """
        age = frame.x[:, self.names.index("age_hours")]
        total = np.zeros(len(frame))
        for member in self.members:
            if member.share_weight > 0:
                raw = member.raw(without_age(frame.x, self.names, member.about), age)
                total += member.share_weight * member.used(raw, age)
        return total

    def seen_names(self, about: About) -> tuple[str, ...]:
        """Names of the features that a member looks at."""
        return seen_names(self.names, about)

    def predict(self, frame: Frame) -> FloatArray:
        """Remaining life in hours of every row, filtered along each device from its first row on."""
        return follow(
            self.estimate(frame), frame.device, frame.at_us, memory_hours=self.memory_hours
        )

    def step(self, memory: Memory | None, *, at_us: int, estimate: float) -> Memory:
        """Filter one more estimate of a device; the same numbers as `predict`."""
        if memory is None or self.memory_hours <= 0:
            return Memory(at_us=at_us, hours=estimate)
        hours = (at_us - memory.at_us) / US_PER_HOUR
        return Memory(
            at_us=at_us, hours=_joined(memory.hours, hours, estimate, memory=self.memory_hours)
        )

    def quantiles(self, life: FloatArray) -> FloatArray:
        """Quantiles of the remaining life at `LIFE_SHARES`, hours; (rows, shares)."""
        return np.stack([self.errors.quantile(life, share) for share in LIFE_SHARES], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What members said about devices that they had not seen."""

    rows: IntArray
    """Places in the frame."""
    life_hours: FloatArray
    """Filtered estimates."""
    by_age_hours: FloatArray
    """Estimates from nothing but the age: what they must beat."""


def fit_life(
    frame: Frame, outcome: Outcome, *, seeds: Sequence[int], horizon_hours: float = np.inf
) -> Life | None:
    """Learn remaining life; None with fewer than `LIVES_MIN` lives that ended in a failure.

    Parameters
    ----------
    frame : Frame
        With the features of `GROUPS`.
    outcome : Outcome
        Of the same rows.
    seeds : sequence of int
        Members are averaged over them; the first one draws the folds.
    horizon_hours : float
        Lives beyond it need not be told apart, even where they could be.
    """
    fitted = fit_and_judge(frame, outcome, seeds=seeds, horizon_hours=horizon_hours)
    return None if fitted is None else fitted[0]


def fit_and_judge(
    frame: Frame, outcome: Outcome, *, seeds: Sequence[int], horizon_hours: float = np.inf
) -> tuple[Life, LeftOut] | None:
    """As `fit_life`, and return the estimates for devices left out with it."""
    rows = np.flatnonzero(outcome.has_failed)
    rows = rows[:: max(1, -(-len(rows) // JUDGED_MAX))]
    if len(np.unique(frame.device[rows])) < LIVES_MIN:
        return None
    lives = Lives(
        x=frame.x[rows], device=frame.device[rows], at_us=frame.at_us[rows],
        age_hours=frame.x[rows, frame.names.index("age_hours")],
        left_hours=outcome.hours[rows],
    )  # fmt: skip
    fold = _folds(lives.device, seed=seeds[0])
    strengths = _choose_strengths(lives, fold, seed=seeds[0])
    cap = min(_choose_cap(lives, fold, strengths, seed=seeds[0]), horizon_hours)
    raws = [
        _left_out(way, lives, fold, names=frame.names, cap=cap, strengths=strengths, seed=seeds[0])
        for way in WAYS
    ]
    members = _weighted(lives, raws, cap=cap)
    alone = _together(members, raws, lives, cap=cap)
    memory, life = _choose_memory(alone, lives, cap=cap)
    everything = _thinned(lives, np.arange(len(lives)), ROWS_MAX)
    part = lives.take(everything)
    kept = []
    for (way, about), member in zip(WAYS, members, strict=True):
        if member.weight > 0 or member.share_weight > 0:
            grown = grow(
                way, about, _seen(part, frame.names, about), device_weights(part.device),
                cap=cap, strengths=strengths, seeds=tuple(seeds),
            )  # fmt: skip
            kept.append(
                msgspec.structs.replace(
                    grown, weight=member.weight, share_weight=member.share_weight,
                    noise=member.noise,
                )
            )  # fmt: skip
    by_age = members[-1].hours(raws[-1], lives.age_hours, cap=cap)
    return Life(
        names=frame.names,
        members=tuple(kept),
        cap_hours=cap,
        memory_hours=memory,
        errors=fit_errors(life, lives.left_hours, lives.device),
        lives=len(np.unique(lives.device)),
        rmse_hours=_rmse(life, lives, cap=cap),
        rmse_age_hours=_rmse(by_age, lives, cap=cap),
    ), LeftOut(rows=rows, life_hours=life, by_age_hours=by_age)


def follow(
    estimate: FloatArray, device: IntArray, at_us: IntArray, *, memory_hours: float
) -> FloatArray:
    """Filter estimates along each device's rows: the one before, less the time that passed, counts too."""
    if memory_hours <= 0:
        return estimate
    found = estimate.copy()
    for row in range(1, len(found)):
        if device[row] == device[row - 1]:
            hours = (at_us[row] - at_us[row - 1]) / US_PER_HOUR
            found[row] = _joined(found[row - 1], hours, float(estimate[row]), memory=memory_hours)
    return found


def without_age(x: FloatArray, names: Sequence[str], about: About) -> FloatArray:
    """Return the features that a member looks at: one that tells the share used up does not know the age."""
    if about == "life":
        return x
    seen = seen_names(names, about)
    return x[:, [n for n, name in enumerate(names) if name in seen]]


def seen_names(names: Sequence[str], about: About) -> tuple[str, ...]:
    """Return the names of the features that a member looks at."""
    return tuple(name for name in names if about == "life" or name != "age_hours")


def _joined(before: float, hours: float, estimate: float, *, memory: float) -> float:
    share = float(np.exp(-hours / memory))
    return share * max(before - hours, 0.0) + (1 - share) * estimate


def _seen(lives: Lives, names: Sequence[str], about: About) -> Lives:
    return Lives(
        x=without_age(lives.x, names, about), device=lives.device, at_us=lives.at_us,
        age_hours=lives.age_hours, left_hours=lives.left_hours,
    )  # fmt: skip


def _folds(device: IntArray, *, seed: int) -> IntArray:
    names, place = np.unique(device, return_inverse=True)
    count = len(names) if len(names) <= ALONE_MAX else FOLDS
    drawn = np.empty(len(names), dtype=np.int64)
    drawn[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % count
    return np.asarray(drawn[place])


def _thinned(lives: Lives, rows: IntArray, most: int) -> IntArray:
    """At most about so many of the rows, evenly along every life."""
    own = rows[lives.left_hours[rows] > 0]
    return own[:: max(1, -(-len(own) // most))]


def _trial(
    lives: Lives, fold: IntArray, strengths: Strengths, *, cap: float, seed: int
) -> tuple[IntArray, FloatArray]:
    """Kernel estimates of a part of the lives that were left out of a part of the rows."""
    tested, said = [], []
    for number in range(2 if fold.max() + 1 == FOLDS else int(fold.max()) + 1):
        learn = _thinned(lives, np.flatnonzero(fold != number), TRIAL_ROWS)
        test = _thinned(lives, np.flatnonzero(fold == number), TRIAL_ROWS)
        model = fit_kernel(
            lives.x[learn], np.minimum(lives.left_hours[learn], cap),
            device_weights(lives.device[learn]),
            width=strengths.width, ridge=strengths.ridge, seed=seed, rounds=0,
        )  # fmt: skip
        tested.append(test)
        said.append(np.clip(model.predict(lives.x[test]), 0, cap))
    return np.concatenate(tested), np.concatenate(said)


def _choose_strengths(lives: Lives, fold: IntArray, *, seed: int) -> Strengths:
    cap = float(np.quantile(lives.left_hours, 0.6))
    best, least = Strengths(width=WIDTHS[0], ridge=RIDGES[0]), np.inf
    for width in WIDTHS:
        for ridge in RIDGES:
            tried = Strengths(width=width, ridge=ridge)
            rows, said = _trial(lives, fold, tried, cap=cap, seed=seed)
            error = _rmse(said, lives.take(rows), cap=cap)
            if error < least:
                best, least = tried, error
    return best


def _choose_cap(lives: Lives, fold: IntArray, strengths: Strengths, *, seed: int) -> float:
    """Longest life that can still be told from shorter ones; without many lives, there is none."""
    longest = float(lives.left_hours.max())
    if len(np.unique(lives.device)) < DEVICES_MIN:
        return longest
    for share in reversed(CAP_SHARES):
        cap = float(np.quantile(lives.left_hours, share))
        rows, said = _trial(lives, fold, strengths, cap=cap, seed=seed)
        tested = lives.take(rows)
        weight = device_weights(tested.device)
        truth = np.minimum(tested.left_hours, cap)
        spread = np.average((truth - np.average(truth, weights=weight)) ** 2, weights=weight)
        if _rmse(said, tested, cap=cap) ** 2 <= (1 - TOLD_APART) * spread:
            return cap
    return longest


def _left_out(  # noqa: PLR0913 - one way and what it is grown from, named
    way: tuple[Way, About],
    lives: Lives,
    fold: IntArray,
    *,
    names: Sequence[str],
    cap: float,
    strengths: Strengths,
    seed: int,
) -> FloatArray:
    """What a member says of every row, grown without that row's fold."""
    raw = np.empty(len(lives))
    seen = _seen(lives, names, way[1])
    for number in range(int(fold.max()) + 1):
        part = seen.take(_thinned(lives, np.flatnonzero(fold != number), ROWS_MAX))
        weight = device_weights(part.device)
        member = grow(*way, part, weight, cap=cap, strengths=strengths, seeds=(seed,))
        test = np.flatnonzero(fold == number)
        raw[test] = member.raw(seen.x[test], seen.age_hours[test])
    return raw


def _weighted(lives: Lives, raws: Sequence[FloatArray], *, cap: float) -> list[Member]:
    """Members without models, each with the weight and the noise that devices left out give it."""
    weight = device_weights(lives.device)
    members = []
    for (way, about), raw in zip(WAYS, raws, strict=True):
        member = grow(
            "age", about, lives, weight, cap=cap,
            strengths=Strengths(width=WIDTHS[0], ridge=RIDGES[0]), seeds=(),
        )  # fmt: skip
        if about == "share" and way != "age":
            noise = float(np.sqrt(np.average((raw - lives.shares) ** 2, weights=weight)))
            member = msgspec.structs.replace(member, noise=noise)
        members.append(member)
    age, pairs = lives.age_hours, list(zip(members, raws, strict=True))
    hours = np.stack([member.hours(raw, age, cap=cap) for member, raw in pairs], axis=1)
    shares = _stacked(hours, np.minimum(lives.left_hours, cap), weight)
    members = [
        msgspec.structs.replace(member, weight=float(share))
        for member, share in zip(members, shares, strict=True)
    ]
    telling = [n for n, member in enumerate(members) if member.about == "share"]
    used = np.stack([members[n].used(raws[n], age) for n in telling], axis=1)
    for n, share in zip(telling, _stacked(used, lives.shares, weight), strict=True):
        members[n] = msgspec.structs.replace(members[n], share_weight=float(share))
    return members


def _stacked(said: FloatArray, truth: FloatArray, weight: FloatArray) -> FloatArray:
    """Non-negative weights with sum 1 whose mixture is nearest to the truth, drawn towards equal ones; (members,)."""
    count = said.shape[1]
    least = float(np.average((said - truth[:, None]) ** 2, axis=0, weights=weight).min())
    root, belief = np.sqrt(weight), np.sqrt(BELIEF_LIVES * max(least, 1e-12))
    table = np.concatenate([said * root[:, None], belief * np.eye(count)])
    shares, _ = nnls(table, np.concatenate([truth * root, np.full(count, belief / count)]))
    total = float(shares.sum())
    return np.asarray(shares / total) if total > 0 else np.full(count, 1 / count)


def _together(
    members: Sequence[Member], raws: Sequence[FloatArray], lives: Lives, *, cap: float
) -> FloatArray:
    total = np.zeros(len(lives))
    for member, raw in zip(members, raws, strict=True):
        total += member.weight * member.hours(raw, lives.age_hours, cap=cap)
    return total


def _choose_memory(alone: FloatArray, lives: Lives, *, cap: float) -> tuple[float, FloatArray]:
    """Return for how long earlier estimates count, hours, and the filtered estimates."""
    same = lives.device[1:] == lives.device[:-1]
    step = float(np.median(np.diff(lives.at_us)[same])) / US_PER_HOUR if same.any() else 1.0
    best, chosen = _rmse(alone, lives, cap=cap) * WORTH_IT, (0.0, alone)
    for steps in MEMORIES[1:]:
        filtered = follow(alone, lives.device, lives.at_us, memory_hours=steps * step)
        error = _rmse(filtered, lives, cap=cap)
        if error < best:
            best, chosen = error, (steps * step, filtered)
    return chosen


def _rmse(said: FloatArray, lives: Lives, *, cap: float) -> float:
    error = (np.minimum(said, cap) - np.minimum(lives.left_hours, cap)) ** 2
    return float(np.sqrt(np.average(error, weights=device_weights(lives.device))))
