"""Remaining life, learned from devices that were watched until they failed. Pure; stored as plain arrays.

Several ways of estimating (`members`) are weighted by how well they do together on devices left out; so with
hundreds of lives smooth functions and trees carry the estimate, with four the share of life used up or just
the age. Where their mean is off is learned too, given twenty lives (`second`). Successive estimates of a device
are filtered: a life falls by one hour an hour, and how long earlier estimates are worth anything is chosen on
devices left out. Errors on those devices make the quantiles (`conformal`). Far from the end there is no sign;
up to where lives can be told apart is learned too (`apart`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR, Age
from anomaly.learn.apart import choose_cap, choose_strengths, folds
from anomaly.learn.conformal import Errors, device_weights, fit_errors
from anomaly.learn.events import Events
from anomaly.learn.frame import Frame, Group
from anomaly.learn.members import About, Lives, Member, Strengths, Way, grow
from anomaly.learn.metrics import Metrics
from anomaly.learn.outcome import Outcome
from anomaly.learn.second import Second, fit_second
from anomaly.learn.services import Services
from anomaly.learn.traits import Traits
from anomaly.learn.wear import Wear
from anomaly.learn.weights import said_by, together, weighted
from anomaly.records import LIFE_SHARES, FloatArray, IntArray

GROUPS: tuple[type[Group], ...] = (Age, Services, Events, Traits, Wear, Metrics)
"""Features that remaining life is learned from: the hour of the week has no part in it."""
LIVES_MIN = 3
"""Fewer lives say nothing about the next one."""
ROWS_MAX = 12_000
"""Rows that members learn from: rows of one life are alike, so more of them teach little."""
JUDGED_MAX = 100_000
"""Rows on which they are judged, by members that did not see the device."""
MEMORIES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""How long an earlier estimate counts, in steps between rows, tried."""
WORTH_IT = 0.99
"""Memory must bring the error below this share of what it is without."""
WAYS: tuple[tuple[Way, About], ...] = (
    ("trees", "life"), ("kernel", "life"), ("trees", "share"), ("kernel", "share"),
    ("indicator", "share"), ("age", "share"), ("age", "life"),
)  # fmt: skip


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
    second: Second | None = None
    """Corrects the mean of the members, where that is worth it."""

    def estimate(self, frame: Frame) -> FloatArray:
        """Remaining life in hours of every row by itself; (rows,)."""
        age = frame.x[:, self.names.index("age_hours")]
        counting = [member for member in self.members if member.weight > 0]
        raws = [m.raw(without_age(frame.x, self.names, m.about), age) for m in counting]
        said = said_by(counting, raws, age, cap=self.cap_hours)
        mean = together(counting, said)
        if self.second is None:
            return mean
        return self.second.look(mean, said, age, cap=self.cap_hours)

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

    def mean(self, life: FloatArray, *, up_to: float) -> FloatArray:
        """Mean of the remaining life, each cut off at `up_to`, hours; (rows,).

        `life` is that mean for a limit of `cap_hours`: this is what was learned. Errors say what lies between
        the two limits; taking the whole mean from them would add the noise of a few devices per group.
        """
        beyond = self.errors.mean(life, up_to=up_to) - self.errors.mean(life, up_to=self.cap_hours)
        return np.asarray(np.clip(life + beyond, 0.0, up_to))

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


def fit_and_judge(
    frame: Frame, outcome: Outcome, *, seeds: Sequence[int], horizon_hours: float = np.inf
) -> tuple[Life, LeftOut] | None:
    """Learn remaining life, and return the estimates for devices left out with it.

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

    Returns
    -------
    tuple of Life, LeftOut or None
        None with fewer than `LIVES_MIN` lives that ended in a failure.
    """
    rows = np.flatnonzero(outcome.has_failed)
    rows = rows[:: max(1, -(-len(rows) // JUDGED_MAX))]
    if len(np.unique(frame.device[rows])) < LIVES_MIN:
        return None
    lives = Lives(
        x=frame.x[rows], device=frame.device[rows], at_us=frame.at_us[rows],
        age_hours=frame.x[rows, frame.names.index("age_hours")],
        left_hours=outcome.hours[rows],
    )  # fmt: skip
    fold = folds(lives.device, seed=seeds[0])
    strengths = choose_strengths(lives, fold, seed=seeds[0])
    cap = min(choose_cap(lives, fold, strengths, seed=seeds[0]), horizon_hours)
    ways = ways_with(frame.names)
    raws = [
        _left_out(way, lives, fold, names=frame.names, cap=cap, strengths=strengths, seed=seeds[0])
        for way in ways
    ]
    members = weighted(ways, lives, raws, cap=cap)
    said = said_by(members, raws, lives.age_hours, cap=cap)
    second, alone = fit_second(
        together(members, said), said, lives, fold, cap=cap, seed=seeds[0]
    )  # fmt: skip
    memory, life = _choose_memory(alone, lives, cap=cap)
    by_age = members[-1].hours(raws[-1], lives.age_hours, cap=cap)
    return Life(
        names=frame.names,
        members=_grown(
            members, lives, names=frame.names, cap=cap, strengths=strengths, seeds=seeds
        ),
        cap_hours=cap,
        memory_hours=memory,
        errors=fit_errors(life, lives.left_hours, lives.device),
        lives=len(np.unique(lives.device)),
        rmse_hours=lives.rmse(life, cap=cap),
        rmse_age_hours=lives.rmse(by_age, cap=cap),
        second=second,
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


def ways_with(names: Sequence[str]) -> tuple[tuple[Way, About], ...]:
    """Return the ways of estimating for which there are features; the age is always one."""
    return tuple((way, about) for way, about in WAYS if way == "age" or seen_names(names, about))


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
        part = seen.take(lives.thinned(np.flatnonzero(fold != number), most=ROWS_MAX))
        weight = device_weights(part.device)
        member = grow(*way, part, weight, cap=cap, strengths=strengths, seeds=(seed,))
        test = np.flatnonzero(fold == number)
        raw[test] = member.raw(seen.x[test], seen.age_hours[test])
    return raw


def _grown(  # noqa: PLR0913 - members and what they are grown from, named
    members: Sequence[Member],
    lives: Lives,
    *,
    names: Sequence[str],
    cap: float,
    strengths: Strengths,
    seeds: Sequence[int],
) -> tuple[Member, ...]:
    """Members whose word counts, grown on all lives."""
    part = lives.take(lives.thinned(np.arange(len(lives)), most=ROWS_MAX))
    kept = []
    for (way, about), member in zip(ways_with(names), members, strict=True):
        if member.weight > 0 or member.share_weight > 0:
            grown = grow(
                way, about, _seen(part, names, about), device_weights(part.device),
                cap=cap, strengths=strengths, seeds=tuple(seeds),
            )  # fmt: skip
            kept.append(
                msgspec.structs.replace(
                    grown, weight=member.weight, share_weight=member.share_weight,
                    noise=member.noise,
                )
            )  # fmt: skip
    return tuple(kept)


def _choose_memory(alone: FloatArray, lives: Lives, *, cap: float) -> tuple[float, FloatArray]:
    """Return for how long earlier estimates count, hours, and the filtered estimates."""
    same = lives.device[1:] == lives.device[:-1]
    step = float(np.median(np.diff(lives.at_us)[same])) / US_PER_HOUR if same.any() else 1.0
    best, chosen = lives.rmse(alone, cap=cap) * WORTH_IT, (0.0, alone)
    for steps in MEMORIES[1:]:
        filtered = follow(alone, lives.device, lives.at_us, memory_hours=steps * step)
        error = lives.rmse(filtered, cap=cap)
        if error < best:
            best, chosen = error, (steps * step, filtered)
    return chosen
