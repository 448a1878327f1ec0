"""How early a bad group of devices is flagged, and how seldom a good one: a recording replayed in time.

Lives are given dates (their ages are all that a recording holds), the fleet is looked at as it was on
every day on which something failed, and the production rule (anomaly.fleet.standing) says which groups
stand out. Where the truth is known by construction, it is put in: groups of drawn devices are given ten
times the hazard, and labels are dealt out anew so that no group differs from the others but by chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import beta

from anomaly.fleet.lives import Lives, Trait, make_trait
from anomaly.fleet.rates import bands_of, count, rate_ratios
from anomaly.fleet.risk import TOLERATED
from anomaly.fleet.standing import FAILURES_MIN, FALSE_SHARE, ask, flagged
from anomaly.records import BoolArray, FloatArray

BAD = 10.0
"""A group that fails this many times as often must be flagged before a tenth of its failures."""
PLANTED_SIZES = (150, 300, 600)
"""Devices in a group that is given `BAD` times the hazard."""
NULL_SETS = 10
"""Dealings of labels in a replay."""
_ENTRY_DAYS = 1000.0
"""Span over which groups begin to be delivered, and …"""
_DELIVERY_DAYS = 365.0
"""… over which each is delivered."""
NOTES = (
    (
        "Emerging issues: bad is a whole-life rate ratio of at least 10 and at least 10 failures; a flag is false"
        " where the group fails at most 1.5 times as often as others at the ages that it had when it was flagged."
    ),
    (
        "Emerging issues, planted: drawn drives with ten times the hazard, delivered as a group; null: labels dealt"
        " out anew, where a false flag in a whole course of years is promised in at most a tenth of the runs"
        " (null_rate_high is the upper end of the one-sided 95 % interval of what was seen)."
    ),
    (
        "Emerging issues, control: every group is flagged at its third failure, the fewest at which the rule"
        " may speak."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A group that was flagged, and when."""

    trait: str
    value: str
    day: float
    failures: int
    """Of the group by then."""
    ever: int
    """Of the group in the whole recording."""
    devices: int
    """That had been delivered by then."""
    oldest: float
    """Age of its oldest device by then."""

    @property
    def share(self) -> float:
        return self.failures / self.ever


def emerging(
    days: FloatArray,
    has_failed: BoolArray,
    labels: Mapping[str, Sequence[str]],
    *,
    seeds: Sequence[int],
    planted_sizes: Sequence[int] = PLANTED_SIZES,
) -> dict[str, Any]:
    """Measure the emerging-issue rule on a recording of lives.

    Parameters
    ----------
    days : ndarray, shape (devices,)
        Length of each life, or how long it was seen.
    has_failed : ndarray of bool
    labels : mapping of str to sequence of str
        Per trait (brand, model) its value per device; the last trait is the one that is delivered as a
        group where entries are staggered.
    planted_sizes : sequence of int
        Devices in each group that is given `BAD` times the hazard.
    seeds : sequence of int
        Of the dates of delivery, the planted groups and the dealt labels.

    Returns
    -------
    dict
        `real`: flags on the recording as it is, with everybody starting on one day and, per seed, with
        staggered deliveries; `planted` and `null` per seed; and their summary.
    """
    traits = tuple(make_trait(name, values) for name, values in labels.items())
    record = _Recording(days=days, has_failed=has_failed, traits=traits)
    real = {"together": _real(record, np.zeros(len(days)))}
    planted, nulls = [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, 15])
        real[f"staggered, seed {seed}"] = _real(record, _deliveries(rng, traits[-1]))
        planted += _planted(record, rng, seed=seed, sizes=planted_sizes)
        nulls.append(_null(record, rng, seed=seed))
    return {
        "summary": _summary(real, planted, nulls),
        "real": real,
        "planted": planted,
        "null": nulls,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    days: FloatArray
    has_failed: BoolArray
    traits: tuple[Trait, ...]

    def lives(self, born: FloatArray) -> Lives:
        return Lives(
            device=np.arange(len(self.days)),
            born=born,
            since=born,
            until=born + self.days,
            has_failed=self.has_failed,
            goes_on=np.zeros(len(self.days), dtype=np.bool_),
            traits=self.traits,
        )


def replay(lives: Lives, sets: Sequence[Sequence[Trait]]) -> list[list[Flag]]:
    """Look at a fleet on every day on which something failed; once per set of traits.

    On other days only the time without failures grows, and with it the calm.
    """
    flat = tuple(trait for chosen in sets for trait in chosen)
    whole = replace(lives, traits=flat)
    names = [(at, place) for at, trait in enumerate(flat) for place in range(len(trait.values))]
    bounds = np.cumsum([0, *(sum(len(t.values) for t in chosen) for chosen in sets)])
    ever = np.concatenate([_tally(t, lives.has_failed) for t in flat])
    found: list[dict[int, Flag]] = [{} for _ in sets]
    for day in np.unique(np.ceil(lives.until[lives.has_failed])):
        now = whole.upto(float(day))
        asked = ask(now)
        for place, (low, high) in enumerate(pairwise(bounds.tolist())):
            chosen = flagged([asked.part(low, high)])[0]
            for group in np.flatnonzero(chosen) + low:
                if group in found[place]:
                    continue
                at, code = names[group]
                is_member = now.traits[at].code == code
                found[place][int(group)] = Flag(
                    trait=flat[at].name,
                    value=flat[at].values[code],
                    day=float(day),
                    failures=int((now.has_failed & is_member).sum()),
                    ever=int(ever[group]),
                    devices=int(is_member.sum()),
                    oldest=float(now.age_until[is_member].max()),
                )
    return [list(flags.values()) for flags in found]


def _real(record: _Recording, born: FloatArray) -> dict[str, Any]:
    """Replay the recording as it is, and hold the flags against the ratios of whole lives."""
    lives = record.lives(born)
    flags = {(f.trait, f.value): f for f in replay(lives, [record.traits])[0]}
    bands = bands_of(lives)
    groups = []
    for trait in record.traits:
        counts = count(lives, trait, bands)
        ratios = rate_ratios(counts)
        for place, value in enumerate(trait.values):
            flag = flags.get((trait.name, value))
            groups.append(
                {
                    "group": f"{trait.name} {value}",
                    "failures": int(counts.failures[place].sum()),
                    "expected": round(float(counts.expected[place]), 2),
                    "ratio": round(float(ratios.middle[place]), 2),
                    "ratio_low": round(float(ratios.low[place]), 2),
                    "flagged_day": flag.day if flag else None,
                    "flagged_at_failure": flag.failures if flag else None,
                    "flagged_share": round(flag.share, 3) if flag else None,
                    "ratio_of_those_ages": _ratio_until(lives, trait, place, flag)
                    if flag
                    else None,
                }
            )
    return {"groups": groups, **_verdict(groups)}


def _verdict(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say which flags were owed and which were not."""
    # Where a tenth of its failures is less than one, nobody can flag it before.
    bad = [g for g in groups if g["ratio"] >= BAD and g["failures"] >= 10]
    flags = [g for g in groups if g["flagged_day"] is not None]
    return {
        "bad": [g["group"] for g in bad],
        "bad_shares": [g["flagged_share"] for g in bad],
        "flags": len(flags),
        "false_flags": [g["group"] for g in flags if g["ratio_of_those_ages"] <= TOLERATED],
        "flags_of_groups_good_over_whole_lives": [
            g["group"] for g in flags if g["ratio"] <= TOLERATED
        ],
    }


def _ratio_until(lives: Lives, trait: Trait, place: int, flag: Flag) -> float:
    """Rate ratio of a flagged group at the ages that its devices had reached, from the whole recording."""
    until = np.minimum(lives.until, lives.born + flag.oldest)
    young = replace(lives, until=until, has_failed=lives.has_failed & (until == lives.until))
    ratios = rate_ratios(count(young, trait, bands_of(young)))
    return round(float(ratios.middle[place]), 2)


def _planted(
    record: _Recording, rng: np.random.Generator, *, seed: int, sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Give drawn groups ten times the hazard and see how many of their failures it takes."""
    chosen = rng.permutation(len(record.days))[: sum(sizes)]
    batch = np.full(len(record.days), -1)
    batch[chosen] = np.repeat(np.arange(len(sizes)), sizes)
    trait = Trait(name="batch", values=tuple(f"P{size}" for size in sizes), code=batch)
    days, failed = with_more_failures(record.days, record.has_failed, batch >= 0, rng, times=BAD)
    born = np.where(batch < 0, _deliveries(rng, record.traits[-1]), _deliveries(rng, trait))
    worse = _Recording(days=days, has_failed=failed, traits=(*record.traits, trait))
    lives = worse.lives(born)
    flags = {f.value: f for f in replay(lives, [worse.traits])[0] if f.trait == "batch"}
    ratios = rate_ratios(count(lives, trait, bands_of(lives)))
    made = []
    for place, value in enumerate(trait.values):
        flag = flags.get(value)
        made.append(
            {
                "seed": seed,
                "devices": sizes[place],
                "failures": int((failed & (batch == place)).sum()),
                "ratio": round(float(ratios.middle[place]), 2),
                "flagged_at_failure": flag.failures if flag else None,
                "flagged_share": round(flag.share, 3) if flag else None,
            }
        )
    return made


def with_more_failures(
    days: FloatArray,
    has_failed: BoolArray,
    chosen: BoolArray,
    rng: np.random.Generator,
    *,
    times: float,
) -> tuple[FloatArray, BoolArray]:
    """Multiply the hazard of chosen lives: end them earlier, at ages drawn from the others' hazard.

    A life that ends at the earlier of its own end and a draw from (times - 1) times the cumulative
    hazard of the others has the hazard of the others `times` over.
    """
    ages = np.sort(days[has_failed & ~chosen])
    at_risk = len(days) - chosen.sum() - np.searchsorted(np.sort(days[~chosen]), ages, side="left")
    hazard = np.cumsum(1 / at_risk) * (times - 1)
    place = np.searchsorted(hazard, rng.exponential(size=len(days)))
    drawn = np.append(ages, np.inf)[place]
    ends = chosen & (drawn < days)
    return np.where(ends, drawn, days), has_failed | ends


def _null(record: _Recording, rng: np.random.Generator, *, seed: int) -> dict[str, Any]:
    """Deal the labels out anew: groups that differ by chance alone, each delivered as a group."""
    sets = []
    for _ in range(NULL_SETS):
        order = rng.permutation(len(record.days))
        sets.append([replace(trait, code=trait.code[order]) for trait in record.traits])
    born = _deliveries(rng, sets[0][-1])
    flags = replay(record.lives(born), sets)
    groups = sum(len(trait.values) for trait in record.traits)
    return {
        "seed": seed,
        "runs": NULL_SETS,
        "groups": groups,
        "runs_with_a_flag": sum(bool(chosen) for chosen in flags),
        "runs_with_a_third_failure": sum(
            any(_tally(trait, record.has_failed).max(initial=0) >= FAILURES_MIN for trait in chosen)
            for chosen in sets
        ),
        "false_flags": [
            {"devices": f.devices, "failures": f.failures, "ever": f.ever, "day": f.day}
            for chosen in flags
            for f in chosen
        ],
    }


def _deliveries(rng: np.random.Generator, trait: Trait) -> FloatArray:
    """Draw when each device is delivered: a group over a year, the groups over three."""
    begins = rng.uniform(0, _ENTRY_DAYS, len(trait.values) + 1)
    return np.asarray(begins[trait.code] + rng.uniform(0, _DELIVERY_DAYS, len(trait.code)))


def _summary(
    real: Mapping[str, Mapping[str, Any]],
    planted: Sequence[Mapping[str, Any]],
    nulls: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    owed = [share for run in real.values() for share in run["bad_shares"]]
    shares = [p["flagged_share"] for p in planted]
    runs = sum(n["runs"] for n in nulls)
    with_a_flag = sum(n["runs_with_a_flag"] for n in nulls)
    return {
        "bad_products": sum(len(run["bad"]) for run in real.values()),
        "bad_products_flagged": sum(share is not None for share in owed),
        "bad_products_flagged_share_max": max((s for s in owed if s is not None), default=None),
        "false_flags": sum(len(run["false_flags"]) for run in real.values()),
        "planted": len(planted),
        "planted_flagged": sum(share is not None for share in shares),
        "planted_flagged_before_a_tenth": sum(s is not None and s <= 0.1 for s in shares),
        "planted_flagged_share_median": float(np.median([1.0 if s is None else s for s in shares])),
        "null_runs": runs,
        "null_runs_with_a_flag": with_a_flag,
        "null_rate_high": rate_high(with_a_flag, runs),
        "null_rate_promised": FALSE_SHARE,
        "control": _at_the_third(real, planted, nulls),
    }


def rate_high(hits: int, runs: int) -> float:
    """Upper end of the one-sided 95 % interval of a share (Clopper and Pearson)."""
    return 1.0 if hits >= runs else float(beta.ppf(0.95, hits + 1, runs - hits))


def _at_the_third(
    real: Mapping[str, Mapping[str, Any]],
    planted: Sequence[Mapping[str, Any]],
    nulls: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Flag every group at its third failure: as early as may be, and how wrong."""
    groups = [g for run in real.values() for g in run["groups"] if g["failures"] >= FAILURES_MIN]
    return {
        "flags": len(groups),
        "false_flags": sum(g["ratio"] <= TOLERATED for g in groups),
        "planted_flagged_before_a_tenth": sum(p["failures"] >= 10 * FAILURES_MIN for p in planted),
        "null_runs_with_a_flag": sum(n["runs_with_a_third_failure"] for n in nulls),
    }


def _tally(trait: Trait, rows: BoolArray) -> Any:
    known = rows & (trait.code >= 0)
    return np.bincount(trait.code[known], minlength=len(trait.values))
