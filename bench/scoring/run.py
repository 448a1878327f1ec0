"""`forecare bench scoring` from beginning to end: what is measured, in which order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from anomaly.records import IntArray
from bench.ingest.figures import ratio
from bench.ingest.instance import Instance, own_instance
from bench.ingest.machine import machine_facts, versions
from bench.scoring.fleet import Fleet
from bench.scoring.following import measure_following
from bench.scoring.measure import (
    METRICS,
    Cost,
    Known,
    bring,
    let_in,
    measure_alone,
    on_one_core,
    score_stored,
)
from bench.scoring.training import measure_training
from bench.scoring.trees import NoTreesError, TreesCost, measure_trees
from core.clock import monotonic_s, wall_now
from core.settings import Settings

_INSTANCE = "bench-scoring"
PARTS = ("scoring", "training", "following")
FOLLOWING_DEVICES, FOLLOWING_MINUTES = 4_000, 361
"""Of the part in which devices follow themselves."""


ROUND_MINUTES = 180
"""New samples of each device in a round: three windows and a forecast, whatever the fleet's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A fleet, and how often it is scored."""

    devices: int
    rounds: int
    """In each pass: more of a small fleet, so that there is enough to measure."""
    passes: int
    """The fleets take turns, pass by pass, and the middle one of each counts."""

    @property
    def fleet(self) -> Fleet:
        return Fleet(f"bench_pump_{self.devices}", self.devices)

    @property
    def minutes(self) -> int:
        return self.passes * self.rounds * ROUND_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOrder:
    """What to measure."""

    main: Stretch
    growth: Sequence[Stretch]
    trees_rows: int
    repeats: int
    alone_minutes: int = 2 * ROUND_MINUTES
    training: tuple[int, int] = (500, 730)
    """Devices, and days of each."""
    is_quick: bool = False


FULL = ScoringOrder(
    main=Stretch(devices=10_000, rounds=1, passes=5),
    growth=(
        Stretch(devices=100, rounds=20, passes=5),
        Stretch(devices=1_000, rounds=5, passes=5),
        Stretch(devices=100_000, rounds=1, passes=3),
    ),
    trees_rows=60_000,
    repeats=3,
)
QUICK = ScoringOrder(
    main=Stretch(devices=10_000, rounds=1, passes=1),
    growth=(
        Stretch(devices=100, rounds=20, passes=1),
        Stretch(devices=1_000, rounds=3, passes=1),
    ),
    trees_rows=20_000,
    repeats=2,
    training=(60, 365),
    is_quick=True,
)


def run_scoring(
    settings: Settings, order: ScoringOrder, *, parts: Collection[str], console: Console
) -> dict[str, Any]:
    """Measure everything in one run; return the result as it is kept.

    Parameters
    ----------
    parts : collection of str
        Some of `PARTS`.
    """
    began_s = monotonic_s()
    result: dict[str, Any] = {"is_quick": order.is_quick, "metrics": METRICS}
    if "scoring" in parts:
        result |= _scoring(settings, order, console=console)
    if "training" in parts:
        devices, days = order.training
        with own_instance(settings, _INSTANCE, console=console) as instance:
            result |= _facts(instance)
            result["training"] = measure_training(
                instance, devices=devices, days=days, console=console
            )
    if "following" in parts:
        with console.status("devices that follow themselves"):
            result["following"] = measure_following(FOLLOWING_DEVICES, FOLLOWING_MINUTES)
    return result | {
        "at": wall_now().isoformat(timespec="seconds"),
        "seconds": round(monotonic_s() - began_s, 1),
    }


def _scoring(settings: Settings, order: ScoringOrder, *, console: Console) -> dict[str, Any]:
    fleet = order.main.fleet
    with console.status("the scorer and the bare arithmetic, from arrays"):
        alone, bare = measure_alone(fleet, order.alone_minutes + 1, repeats=order.repeats)
    with console.status("river's half-space trees (installed the first time)"):
        trees = _trees(settings, fleet, order.trees_rows)
    with own_instance(settings, _INSTANCE, console=console) as instance:
        facts = _facts(instance)
        _score_all(instance, [Stretch(devices=50, rounds=3, passes=1)], console=console)  # warms up
        stretches = sorted((order.main, *order.growth), key=lambda stretch: stretch.devices)
        costs = _score_all(instance, stretches, console=console)
    points = [(stretch, middle(costs[stretch.devices])) for stretch in stretches]
    stored = next(cost for stretch, cost in points if stretch == order.main)
    return facts | {
        "scoring": _headline(order.main, stored, alone, bare, trees),
        "growth": [_point(stretch, cost, base=stored) for stretch, cost in points],
        "growth_worst": _worst([cost for _, cost in points]),
    }


def _facts(instance: Instance) -> dict[str, Any]:
    return {
        "machine": machine_facts(instance.settings.runtime_path),
        "versions": versions(instance),
    }


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the middle pass by its cost per sample; of an even number, the cheaper one of two."""
    return sorted(costs, key=lambda cost: cost.us)[(len(costs) - 1) // 2]


def _score_all(
    instance: Instance, stretches: Sequence[Stretch], *, console: Console
) -> dict[int, list[Cost]]:
    """Let samples come round by round, and score each; return the cost of each pass, by devices.

    The fleets take turns, so that what else the machine does at a time meets all of them.
    """
    ids = {stretch.devices: let_in(instance, stretch.fleet) for stretch in stretches}
    known = Known()
    found: dict[int, list[Cost]] = {stretch.devices: [] for stretch in stretches}
    for number in range(max(stretch.passes for stretch in stretches)):
        for stretch in (one for one in stretches if number < one.passes):
            with console.status(f"{stretch.devices:,} devices, pass {number + 1}"):
                own = ids[stretch.devices]
                found[stretch.devices].append(_score_pass(instance, stretch, own, known, number))
    return found


def _score_pass(
    instance: Instance, stretch: Stretch, ids: IntArray, known: Known, number: int
) -> Cost:
    fleet, total = stretch.fleet, Cost(samples=0, scorer_s=0.0)
    for one in range(number * stretch.rounds, (number + 1) * stretch.rounds):
        # A window is whole when the sample after it has come.
        first = one * ROUND_MINUTES + (one > 0)
        bring(instance, fleet, ids, first=first, minutes=ROUND_MINUTES + (one == 0))
        with on_one_core(instance):
            total += score_stored(instance, fleet, known)
    return total


def _trees(settings: Settings, fleet: Fleet, rows: int) -> TreesCost | str:
    try:
        return measure_trees(fleet, rows, cache=settings.runtime_path / "peers-scoring")
    except NoTreesError as error:
        return str(error)


def _headline(
    stretch: Stretch, stored: Cost, alone: Cost, bare: Cost, trees: TreesCost | str
) -> Mapping[str, Any]:
    known = None if isinstance(trees, str) else trees
    return {
        "devices": stretch.devices,
        "minutes": stretch.minutes,
        "samples_per_s": round(stored.per_s),
        "wall_samples_per_s": round(stored.samples / stored.wall_s),
        "us_per_sample": round(stored.us, 3),
        "scorer_us_per_sample": round(1e6 * stored.scorer_s / stored.samples, 3),
        "database_us_per_sample": round(1e6 * stored.database_s / stored.samples, 3),
        "database_share": round(stored.database_s / (stored.scorer_s + stored.database_s), 3),
        "with_database_share": round(1 - alone.us / stored.us, 3),
        "alone_samples_per_s": round(alone.per_s),
        "bare_samples_per_s": round(bare.per_s),
        "ratio_bare": ratio(alone.per_s, bare.per_s),
        "trees_version": known.version if known else "",
        "trees_reason": trees if isinstance(trees, str) else "",
        "trees": [
            {
                "name": way.name,
                "trees": way.trees,
                "height": way.height,
                "samples_per_s": round(way.per_s),
                "ratio": ratio(stored.per_s, way.per_s),
            }
            for way in (known.ways if known else ())
        ],
    }


def _point(stretch: Stretch, cost: Cost, *, base: Cost) -> Mapping[str, Any]:
    return {
        "devices": stretch.devices,
        "minutes": stretch.minutes,
        "samples": cost.samples,
        "us_per_sample": round(cost.us, 3),
        "scorer_us_per_sample": round(1e6 * cost.scorer_s / cost.samples, 3),
        "database_us_per_sample": round(1e6 * cost.database_s / cost.samples, 3),
        "ratio": ratio(cost.us, base.us),
        "wall_samples_per_s": round(cost.samples / cost.wall_s),
    }


def _worst(costs: Sequence[Cost]) -> float:
    """How much dearer a sample is in the dearest fleet than in the cheapest."""
    return round(max(cost.us for cost in costs) / min(cost.us for cost in costs), 3)
