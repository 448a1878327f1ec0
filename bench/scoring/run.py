"""`forecare bench scoring` from beginning to end: what is measured, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bench.ingest.figures import ratio
from bench.ingest.instance import Instance, own_instance
from bench.ingest.machine import machine_facts, versions
from bench.scoring.fleet import Fleet
from bench.scoring.measure import (
    METRICS,
    Cost,
    bring,
    let_in,
    measure_alone,
    on_one_core,
    score_stored,
)
from bench.scoring.trees import NoTreesError, TreesCost, measure_trees
from core.clock import monotonic_s, wall_now
from core.settings import Settings

_INSTANCE = "bench-scoring"


ROUND_MINUTES = 180
"""New samples of each device in a round: three windows and a forecast, whatever the fleet's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A fleet, and how many rounds of it are scored: more of a small one, so that it can be measured."""

    devices: int
    rounds: int

    @property
    def fleet(self) -> Fleet:
        return Fleet(f"bench_pump_{self.devices}", self.devices)

    @property
    def minutes(self) -> int:
        return self.rounds * ROUND_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOrder:
    """What to measure."""

    main: Stretch
    growth: Sequence[Stretch]
    trees_rows: int
    repeats: int
    is_quick: bool = False


FULL = ScoringOrder(
    main=Stretch(devices=10_000, rounds=2),
    growth=(
        Stretch(devices=100, rounds=40),
        Stretch(devices=1_000, rounds=8),
        Stretch(devices=100_000, rounds=1),
    ),
    trees_rows=60_000,
    repeats=3,
)
QUICK = ScoringOrder(
    main=Stretch(devices=10_000, rounds=1),
    growth=(Stretch(devices=100, rounds=20), Stretch(devices=1_000, rounds=3)),
    trees_rows=20_000,
    repeats=2,
    is_quick=True,
)


def run_scoring(settings: Settings, order: ScoringOrder, *, console: Console) -> dict[str, Any]:
    """Measure everything in one run; return the result as it is kept."""
    began_s = monotonic_s()
    fleet = order.main.fleet
    with console.status("the scorer and the bare arithmetic, from arrays"):
        alone, bare = measure_alone(fleet, order.main.minutes + 1, repeats=order.repeats)
    with console.status("river's half-space trees (installed the first time)"):
        trees = _trees(settings, fleet, order.trees_rows)
    with own_instance(settings, _INSTANCE, console=console) as instance:
        found_versions, machine = versions(instance), machine_facts(instance.settings.runtime_path)
        _score_rounds(instance, Stretch(devices=50, rounds=3), console=console)  # warms up
        points = [
            (stretch, _score_rounds(instance, stretch, console=console))
            for stretch in sorted((order.main, *order.growth), key=lambda s: s.devices)
        ]
    stored = next(cost for stretch, cost in points if stretch == order.main)
    return {
        "at": wall_now().isoformat(timespec="seconds"),
        "is_quick": order.is_quick,
        "machine": machine,
        "versions": found_versions,
        "metrics": METRICS,
        "scoring": _headline(order.main, stored, alone, bare, trees),
        "growth": [_point(stretch, cost, base=stored) for stretch, cost in points],
        "growth_worst": _worst([cost for _, cost in points]),
        "seconds": round(monotonic_s() - began_s, 1),
    }


def _score_rounds(instance: Instance, stretch: Stretch, *, console: Console) -> Cost:
    """Let samples come round by round, and score each."""
    fleet, total = stretch.fleet, Cost(samples=0, scorer_s=0.0)
    with console.status(f"{stretch.devices:,} devices, {stretch.rounds} rounds"):
        ids = let_in(instance, fleet)
        for number in range(stretch.rounds):
            # A window is whole when the sample after it has come.
            first = number * ROUND_MINUTES + (number > 0)
            minutes = ROUND_MINUTES + (number == 0)
            bring(instance, fleet, ids, first=first, minutes=minutes)
            with on_one_core(instance):
                total += score_stored(instance, fleet)
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
        "trees_samples_per_s": round(known.defaults_per_s) if known else None,
        "ratio_trees": ratio(stored.per_s, known.defaults_per_s) if known else None,
        "trees_paper_samples_per_s": round(known.paper_per_s) if known else None,
        "ratio_trees_paper": ratio(stored.per_s, known.paper_per_s) if known else None,
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
