"""`forecare evaluate fleet`: simulated years of a whole fleet, the simulator's truth as the judge."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import Manager
from pathlib import Path
from queue import Empty, Queue

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress

from anomaly.backtest.lives import corrections_of, with_lives
from anomaly.backtest.replay import learn_baseline, replay_streams
from anomaly.backtest.track import Track
from anomaly.backtest.verdict import Question, answer
from anomaly.features import Layout
from anomaly.judge.report import Figures, Table
from anomaly.learn.fit import fit_mode_models
from anomaly.learn.history import Catalog
from anomaly.learn.model import ModeModel
from anomaly.training.contest import Contest, contest
from anomaly.training.said import FirstLayer, Said
from anomaly.training.slices import Slices, cut, is_judge
from anomaly.training.speaker import speak
from anomaly.yardstick import Yardstick
from bench.evaluate.pooled import by_mode, by_seed, coverage_by_life, lives_pooled, pooled
from bench.evaluate.readers.fleet import Truth, sheet_of, streams_of, with_truth
from bench.evaluate.readers.oracle import oracle_track
from bench.evaluate.report import Report, deliver, result_options
from bench.evaluate.true_lives import with_true_lives
from core.clock import monotonic_s
from firmware_sim.long_run import LongRun, make_long_run
from maintenance.replay import REPLAY

START_S = 1_672_531_200
USEFUL_DAYS = 90
"""W: an earlier ticket than this counts as false."""
JUDGED_SHARE = 0.5
"""Of the time: its end. What is before teaches the controls, and the intervals of remaining life."""
DRAWS = 200
_US_PER_DAY = 86_400_000_000
_PRODUCTS = ("heat_pump", "water_pump")
_POLL_S = 0.5


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What one product of one seed gave: tables by who forecast."""

    seed: int
    product: str
    tables: Mapping[str, Table]
    seen: Mapping[str, Figures]
    """By who forecast, judged by the observation alone: only intervals that end within it."""
    contests: tuple[Contest, ...]


@click.command()
@result_options
@click.option("--devices", default=500, show_default=True, help="Devices, of two products.")
@click.option("--days", default=730.0, show_default=True, help="Days that each is watched.")
@click.option(
    "--jobs", default=2, show_default=True, help="Processes; each plays one product of one seed."
)
@click.option(
    "--learned/--no-learned",
    default=True,
    show_default=True,
    help="Let the second layer learn from failures, and speak where it proved better.",
)
def command(
    seeds: tuple[int, ...], devices: int, days: float, jobs: int, learned: bool, as_json: bool,
    folder: Path,
) -> None:  # fmt: skip
    """Simulated years of a fleet whose physics, lives and faults are drawn anew from each seed.

    Every stream goes sample by sample through the scorer that serves live devices, alerts come by the policy
    that opens tickets, and the judge is the simulator's truth. Judged is the second half of the time.
    Intervals of remaining life are corrected by failures that the devices had reported before. The second
    layer learns on three quarters of the devices, and speaks about the others after its time, only
    where it was better than the first layer. Beside it stand the controls, the first layer without
    corrected intervals, and a forecaster that is told the true wear of every part: the best that
    anybody could do.
    """
    began = monotonic_s()
    played = _play_all(seeds, devices=devices, days=days, jobs=jobs, learned=learned)
    sides = {name: [one.tables[name] for one in played] for name in played[0].tables}
    own = sides["forecare"]
    controls = {name: [table.controls[name] for table in own] for name in own[0].controls}
    beside = {
        name: [t.total for t in tables] for name, tables in sides.items() if name != "forecare"
    }
    report = Report(
        name="fleet",
        figures=pooled([table.total for table in own]),
        controls={name: pooled(figures) for name, figures in {**controls, **beside}.items()},
        seeds=seeds,
        seconds=monotonic_s() - began,
        options={"devices": devices, "days": days},
        details={
            "by_mode": {name: by_mode(tables) for name, tables in sides.items()},
            "by_seed": by_seed([(one.seed, one.tables["forecare"]) for one in played]),
            "coverage_in_observation": {
                name: lives_pooled([one.seen[name].life for one in played]) for name in sides
            },
            "coverage_by_life": {name: coverage_by_life(tables) for name, tables in sides.items()},
            "contests": [msgspec.to_builtins(c) for one in played for c in one.contests],
        },
        notes=(
            "Sudden failures cannot be foreseen and are not counted.",
            f"A ticket counts if it opens {USEFUL_DAYS} days before the failure or later, and the sheet's lead time before.",
            f"Judged: all devices, in the last {JUDGED_SHARE:.0%} of the time.",
            "Every remaining life that was told is judged by the simulator's truth, also beyond the end of the time.",
            "coverage_in_observation judges only intervals that end within the time.",
            "Over products and seeds, calibration and coverage are means by rows, lead times by caught failures.",
            "best_possible is told the true wear of every part and the law of its kind; laws_alone has learned from no failure.",
        ),
    )  # fmt: skip
    deliver(report, as_json=as_json, folder=folder)


# --- one process per product and seed ------------------------------------------------------------


def _play_all(
    seeds: Sequence[int], *, devices: int, days: float, jobs: int, learned: bool
) -> list[Played]:
    """Play all seeds, and show how far they have come."""
    console = Console(stderr=True)
    tasks = [(seed, product) for seed in seeds for product in _PRODUCTS]
    with (
        Manager() as manager,
        ProcessPoolExecutor(jobs) as pool,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        ticks: Queue[float] = manager.Queue()
        shown = bar.add_task(f"{len(tasks)} x {devices // 2} devices", total=len(tasks))
        futures = [
            pool.submit(
                play, seed, product, devices=devices, days=days, learned=learned, ticks=ticks
            )
            for seed, product in tasks
        ]  # fmt: skip
        for share in _ticking(futures, ticks):
            bar.advance(shown, share)
        return [future.result() for future in futures]


def _ticking(futures: Sequence[Future[Played]], ticks: "Queue[float]") -> Iterator[float]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=_POLL_S)
        for future in done:
            future.result()  # what went wrong stops all
        while True:
            try:
                yield ticks.get_nowait()
            except Empty:
                break


def play(
    seed: int,
    product: str,
    *,
    devices: int,
    days: float,
    learned: bool,
    ticks: "Queue[float] | None" = None,
) -> Played:
    """Simulate, replay, learn and judge one product."""
    run = make_long_run(devices=devices, days=days, seed=seed, start_s=START_S)
    sheet = sheet_of(product)
    catalog, layout = Catalog(sheet), Layout(sheet)
    pairs = streams_of(run, sheet)
    streams = [stream for stream, _ in pairs]
    yard = Yardstick(layout, learn_baseline(layout, streams))
    tick = None if ticks is None else ticks.put
    tracks = [_light(track) for track in replay_streams(catalog, yard, streams, tick=tick)]
    return _judged(catalog, run, tracks, [truth for _, truth in pairs], learned=learned)


def _light(track: Track) -> Track:
    history = replace(
        track.history,
        values=track.history.values.astype(np.float32),
        health=track.history.health.astype(np.float32),
    )
    return replace(track, history=history)


def _judged(
    catalog: Catalog, run: LongRun, tracks: Sequence[Track], truths: Sequence[Truth], *, learned: bool
) -> Played:  # fmt: skip
    question = Question(
        from_us=round(run.start_s * 1e6 + (1 - JUDGED_SHARE) * (run.end_s - run.start_s) * 1e6),
        until_us=run.end_s * 1_000_000,
        useful_hours=USEFUL_DAYS * 24.0,
        seeds=(run.seed,),
        horizons_hours=(),
        draws=DRAWS,
    )
    corrections = corrections_of(catalog.modes, tracks)
    true = [with_truth(catalog, t, truth) for t, truth in zip(tracks, truths, strict=True)]
    first = [with_lives(catalog.modes, track, corrections) for track in true]
    models, contests = _learn(catalog, first, seed=run.seed) if learned else ({}, ())
    slices = cut([track.history for track in true])
    habits = run.habits[catalog.product.name]
    said = {
        "forecare": [_spoken(catalog, track, models, slices) for track in first],
        "laws_alone": true,
        "best_possible": [
            oracle_track(catalog, track, truth, habits)
            for track, truth in zip(true, truths, strict=True)
        ],
    }
    plain = replace(question, has_controls=False)
    tables = {
        name: answer(catalog, own, question if name == "forecare" else plain, REPLAY).table
        for name, own in said.items()
    }
    return Played(
        seed=run.seed,
        product=catalog.product.name,
        tables={
            name: with_true_lives(catalog, table, said[name], truths, question)
            for name, table in tables.items()
        },
        seen={name: table.total for name, table in tables.items()},
        contests=tuple(contests),
    )


# --- the second layer ----------------------------------------------------------------------------


def _learn(
    catalog: Catalog, tracks: Sequence[Track], *, seed: int
) -> tuple[dict[str, ModeModel], list[Contest]]:
    """Train a challenger for each failure mode; keep those that were better than the first layer."""
    histories = [track.history for track in tracks]
    slices = cut(histories)
    teachers = [history for history in histories if not is_judge(history.device)]
    first_layer = FirstLayer(
        catalog=catalog,
        said={
            t.history.device: Said(made_us=t.made_us, p_fail=t.p_fail, life_hours=t.life_hours)
            for t in tracks
        },
    )
    models = fit_mode_models(
        catalog, teachers, modes=[m.name for m in catalog.product.failure_modes if m.evidence],
        train_until_us=slices.train_until_us, calibrate_until_us=slices.calibrate_until_us,
        seeds=(seed,),
    )  # fmt: skip
    better, contests = {}, []
    for mode, model in models.items():
        found = contest(
            catalog, histories, challenger=model, slices=slices, seed=seed,
            champion=first_layer.of(mode),
        )  # fmt: skip
        contests.append(found)
        if found.is_better:
            better[mode] = model
    return better, contests


def _spoken(
    catalog: Catalog, track: Track, models: Mapping[str, ModeModel], slices: Slices
) -> Track:
    """Let models speak about a device that they never saw, after the time that they learned from."""
    if not models or not is_judge(track.history.device):
        return track
    spoken = speak(catalog, track, models)
    later = track.made_us > slices.calibrate_until_us
    return replace(
        track,
        status=np.where(later[:, None], spoken.status, track.status),
        p_fail=np.where(later[:, None, None], spoken.p_fail, track.p_fail),
        life_hours=np.where(later[:, None, None], spoken.life_hours, track.life_hours),
    )
