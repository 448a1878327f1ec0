"""`forecare evaluate fleet`: simulated years of a whole fleet, the simulator's truth as the judge."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress

from anomaly.backtest.replay import (
    STATUSES,
    Stream,
    Track,
    learn_baseline,
    replay_streams,
)
from anomaly.features import Layout
from anomaly.judge.alerts import Rule, judge
from anomaly.judge.calibration import brier, calibration_error, known_within
from anomaly.judge.lives import lives_of, watch_of
from anomaly.judge.ranking import average_precision
from anomaly.judge.tally import AlertFigures, Costs, tally
from anomaly.learn.age import Age
from anomaly.learn.frame import GROUPS, Frame, Group
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel, fit_mode_model
from anomaly.learn.outcome import outcome_of
from anomaly.learn.wear import Wear
from anomaly.records import BoolArray, FloatArray
from anomaly.runs import Rows
from anomaly.training.contest import Contest, contest, decision_hours
from anomaly.training.said import FirstLayer, Said, chance_within
from anomaly.training.slices import Slices, cut, is_judge
from anomaly.training.speaker import speak
from anomaly.yardstick import Yardstick
from bench.evaluate.readers.fleet import Truth, sheet_of, streams_of, wear_history
from bench.evaluate.report import Report, deliver, result_options
from bench.evaluate.tickets import runs_of_mode, tickets_of
from core.clock import monotonic_s
from firmware_sim.long_run import LongRun, make_long_run

START_S = 1_672_531_200
HORIZON_DAYS = 90
"""W: an earlier ticket than this counts as false."""
_US_PER_DAY = 86_400_000_000
_LEADS_HOURS = (24.0, 72.0, 168.0, 336.0, 720.0)
_PRODUCTS = ("heat_pump", "water_pump")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """One product's devices after their years."""

    catalog: Catalog
    tracks: list[Track]
    truths: list[Truth]


@click.command()
@result_options
@click.option("--devices", default=500, show_default=True, help="Devices, of two products.")
@click.option("--days", default=730.0, show_default=True, help="Days that each is watched.")
@click.option("--jobs", default=2, show_default=True, help="Processes that replay devices.")
def command(
    seeds: tuple[int, ...], devices: int, days: float, jobs: int, as_json: bool, folder: Path
) -> None:
    """Simulated years of a fleet whose physics, lives and faults are drawn anew from each seed.

    Every stream goes sample by sample through the scorer that serves live devices. Three quarters of the
    devices teach the second layer in the first 60 % of the time, the next 20 % calibrate it and the
    last 20 % judge it on the devices that it never saw; it speaks only where it was better than the
    first layer. Tickets are what the production policy opens by expected cost. The judge is the
    simulator's truth. Beside it stands the first layer alone, and a forecaster of the same kind
    that is told the true wear of every part: the best that anybody could do.
    """
    began = monotonic_s()
    console = Console(stderr=True)
    found: list[_Found] = []
    for seed in seeds:
        run = make_long_run(devices=devices, days=days, seed=seed, start_s=START_S)
        for product in _PRODUCTS:
            fleet = _replay(run, product, jobs=jobs, console=console)
            found.append(_judge_all(fleet, seed=seed, console=console))
    sides = list(found[0].sides)
    pooled = {name: _pool([f.sides[name] for f in found]) for name in sides}
    report = Report(
        name="fleet",
        figures=pooled.pop("forecare"),
        controls=pooled,
        seeds=seeds,
        seconds=monotonic_s() - began,
        options={"devices": devices, "days": days},
        details={"by_mode": _by_mode(found), "contests": [c for f in found for c in f.contests]},
        notes=(
            "Sudden failures cannot be foreseen and are not counted.",
            f"A ticket counts if it opens {HORIZON_DAYS} days before the failure or later, and the sheet's lead time before.",
            "true_wear is told the wear of every part; first_layer has learned from no failure.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


# --- replaying -----------------------------------------------------------------------------------


def _replay(run: LongRun, product: str, *, jobs: int, console: Console) -> _Fleet:
    sheet = sheet_of(product)
    catalog, layout = Catalog(sheet), Layout(sheet)
    pairs = streams_of(run, sheet)
    yard = Yardstick(layout, learn_baseline(layout, [stream for stream, _ in pairs]))
    work = partial(_one, catalog, yard)
    with (
        ProcessPoolExecutor(jobs) as pool,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(f"{product}, seed {run.seed}: replaying", total=len(pairs))
        tracks = []
        for track in pool.map(work, [stream for stream, _ in pairs], chunksize=1):
            tracks.append(track)
            bar.advance(task)
    return _Fleet(catalog=catalog, tracks=tracks, truths=[truth for _, truth in pairs])


def _one(catalog: Catalog, yard: Yardstick, stream: Stream) -> Track:
    track = replay_stream(catalog, yard, stream)
    history = replace(
        track.history,
        values=track.history.values.astype(np.float32),
        health=track.history.health.astype(np.float32),
    )
    return replace(track, history=history)


# --- learning and judging ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Of one failure mode of one product and seed, for one side."""

    mode: str
    figures: AlertFigures
    chance: FloatArray
    happened: FloatArray
    weight: FloatArray
    covered: FloatArray
    """1 or 0 per declining row whose end is known."""
    width_hours: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    sides: Mapping[str, list[_Counts]]
    contests: list[dict[str, Any]]


def _judge_all(fleet: _Fleet, *, seed: int, console: Console) -> _Found:
    catalog = fleet.catalog
    histories = [
        _true(catalog, t, truth) for t, truth in zip(fleet.tracks, fleet.truths, strict=True)
    ]
    tracks = [replace(t, history=h) for t, h in zip(fleet.tracks, histories, strict=True)]
    slices = cut(histories)
    models, contests = _learn(catalog, tracks, slices, seed=seed, console=console)
    judges = [number for number, h in enumerate(histories) if is_judge(h.device)]
    knowing = [
        wear_history(catalog, h, truth) for h, truth in zip(histories, fleet.truths, strict=True)
    ]
    best, aged = (
        _fit(catalog, of, slices, seed=seed, groups=groups)
        for of, groups in ((knowing, (Wear,)), (histories, (Age,)))
    )
    spoken = {
        "forecare": [speak(catalog, tracks[n], models) for n in judges],
        "first_layer": [tracks[n] for n in judges],
        "true_wear": [speak(catalog, replace(tracks[n], history=knowing[n]), best) for n in judges],
        "age": [speak(catalog, _blind(tracks[n]), aged) for n in judges],
    }
    sides = {name: _judge_side(catalog, own, slices) for name, own in spoken.items()}
    return _Found(sides=sides, contests=[msgspec.to_builtins(c) for c in contests])


def _true(catalog: Catalog, track: Track, truth: Truth) -> History:
    """Put the simulator's failures in the place of those that were reported."""
    failures = [
        (failure.fails_s * 1_000_000, catalog.modes.index(failure.mode))
        for failure in truth.machine.failures
        if failure.fails_s * 1_000_000 <= track.history.until_us
    ]
    columns = np.array(sorted(failures), dtype=np.int64).reshape(-1, 2)
    return replace(track.history, failure_us=columns[:, 0], failure_mode=columns[:, 1])


def _blind(track: Track) -> Track:
    """Take the first layer's signs away: what is left knows the calendar of its life only."""
    ok, declining = STATUSES.index("ok"), STATUSES.index("declining")
    status = np.where(track.status == declining, ok, track.status)
    return replace(track, status=status)


def _fit(
    catalog: Catalog,
    histories: Sequence[History],
    slices: Slices,
    *,
    seed: int,
    groups: Sequence[type[Group]] = GROUPS,
) -> dict[str, ModeModel]:
    teachers = [history for history in histories if not is_judge(history.device)]
    return {
        mode: fit_mode_model(
            catalog, teachers, mode=mode, train_until_us=slices.train_until_us,
            calibrate_until_us=slices.calibrate_until_us, seeds=(seed,), groups=groups,
        )
        for mode in _foreseeable(catalog)
    }  # fmt: skip


def _learn(
    catalog: Catalog, tracks: Sequence[Track], slices: Slices, *, seed: int, console: Console
) -> tuple[dict[str, ModeModel], list[Contest]]:
    """Train a challenger for each failure mode; keep those that were better than the first layer."""
    histories = [track.history for track in tracks]
    with console.status(f"{catalog.product.title}: learning from failures"):
        challengers = _fit(catalog, histories, slices, seed=seed)
    first_layer = FirstLayer(
        catalog=catalog,
        said={t.history.device: Said(made_us=t.made_us, p_fail=t.p_fail) for t in tracks},
    )
    contests = [
        contest(
            catalog, histories, challenger=model, slices=slices, seed=seed,
            champion=first_layer.of(mode),
        )
        for mode, model in challengers.items()
    ]  # fmt: skip
    better = {c.mode for c in contests if c.is_better}
    return {mode: m for mode, m in challengers.items() if mode in better}, contests


def _foreseeable(catalog: Catalog) -> list[str]:
    return [mode.name for mode in catalog.product.failure_modes if mode.evidence]


def _judge_side(catalog: Catalog, tracks: Sequence[Track], slices: Slices) -> list[_Counts]:
    """Judge what one forecaster said in the test slice."""
    histories = [track.history for track in tracks]
    numbers = {history.device: n for n, history in enumerate(histories)}
    episodes = [e for track in tracks for e in tickets_of(catalog, track)]
    episodes = [e for e in episodes if e.opened_us > slices.calibrate_until_us]
    found = []
    for name in _foreseeable(catalog):
        mode = catalog.product.failure_mode(name)
        place = catalog.modes.index(name)
        rows = _rows(tracks, place, slices, hours=decision_hours(mode))
        rule = Rule(
            lead_us=mode.lead_time // timedelta(microseconds=1),
            horizon_us=HORIZON_DAYS * _US_PER_DAY,
        )
        judgement = judge(
            runs_of_mode(episodes, mode=name, devices=numbers),
            lives=lives_of(catalog, histories, mode=name),
            watch=watch_of(rows, every_us=catalog.every_us),
            rule=rule,
        )
        costs = Costs(failure=mode.cost_of_failure, visit=mode.cost_of_visit)
        frame = Frame(device=rows.device, at_us=rows.at_us, x=np.empty((0, 0)), names=())
        outcome = outcome_of(catalog, histories, frame, mode=name)
        known = known_within(outcome.hours, outcome.has_failed, horizon_hours=decision_hours(mode))
        life = np.concatenate([t.life_hours[_test(t, slices), place] for t in tracks])
        status = np.concatenate([t.status[_test(t, slices), place] for t in tracks])
        low, high = life[:, 1], life[:, 3]
        ended = outcome.has_failed | (outcome.hours > high)
        shown = (status == STATUSES.index("declining")) & ended & np.isfinite(high)
        inside = (low <= outcome.hours) & (outcome.hours <= high) & outcome.has_failed
        found.append(
            _Counts(
                mode=f"{catalog.product.name}.{name}",
                figures=tally(judgement, leads_hours=_LEADS_HOURS, costs=costs),
                chance=rows.score,
                happened=known.happened.astype(np.float64),
                weight=np.where(np.isnan(rows.score), 0.0, known.weight),
                covered=inside[shown].astype(np.float64),
                width_hours=(high - low)[shown],
            )
        )
    return found


def _rows(tracks: Sequence[Track], place: int, slices: Slices, *, hours: float) -> Rows:
    counts, at, score = [], [], []
    claims = [STATUSES.index(name) for name in ("ok", "declining")]
    for track in tracks:
        rows = _test(track, slices)
        chance = chance_within(track.p_fail[rows, place], hours)
        at.append(track.made_us[rows])
        score.append(np.where(np.isin(track.status[rows, place], claims), chance, np.nan))
        counts.append(int(rows.sum()))
    return Rows(
        device=np.repeat(np.arange(len(tracks)), counts),
        at_us=np.concatenate(at),
        score=np.concatenate(score),
    )


def _test(track: Track, slices: Slices) -> BoolArray:
    return np.asarray(track.made_us > slices.calibrate_until_us)


# --- pooling -------------------------------------------------------------------------------------


def _pool(parts: Sequence[Sequence[_Counts]]) -> dict[str, Any]:
    """Figures of all seeds, products and modes together: counts are added, rows put side by side."""
    counts = [count for part in parts for count in part]
    figures = [count.figures for count in counts]
    events = sum(f.events for f in figures)
    caught = sum(f.events_caught for f in figures)
    false = sum(f.false_alarms for f in figures)
    right = sum(f.alerts - f.false_alarms - f.late - f.undecided for f in figures)
    years = sum(max(c.figures.device_years for c in part) for part in parts)
    chance, happened, weight, covered, width = (
        np.concatenate([getattr(count, name) for count in counts])
        for name in ("chance", "happened", "weight", "covered", "width_hours")
    )
    kept = weight > 0
    chance, happened, weight = chance[kept], happened[kept] > 0, weight[kept]
    leads = [f for f in figures if f.lead_hours_median is not None]
    return {
        "events": events,
        "events_caught": caught,
        "event_recall": _over(caught, events),
        "alert_precision": _over(right, right + false),
        "false_alarms_per_device_year": _over(false, years),
        "device_years": years,
        "late": sum(f.late for f in figures),
        "undecided": sum(f.undecided for f in figures),
        "lead_hours_q10": _average([f.lead_hours_q10 for f in leads]),
        "lead_hours_median": _average([f.lead_hours_median for f in leads]),
        "brier": brier(chance, happened, weight),
        "ece": calibration_error(chance, happened, weight),
        "average_precision": average_precision(chance, happened, weight),
        "coverage_80": float(covered.mean()) if len(covered) else None,
        "width_80_hours": float(np.median(width)) if len(width) else None,
        "cost_per_device_year": _average([f.cost_per_device_year for f in figures]),
    }


def _by_mode(found: Sequence[_Found]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for side in found[0].sides:
        for mode in sorted({count.mode for f in found for count in f.sides[side]}):
            own = [[c for c in f.sides[side] if c.mode == mode] for f in found]
            own = [part for part in own if part]
            table.setdefault(mode, {})[side] = _pool(own)
    return table


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
