"""Remaining lives are judged by the simulator's truth, also where a part fails after the end."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly.backtest.track import STATUSES, Track
from anomaly.backtest.verdict import Question, answer
from anomaly.judge.rows import life_figures
from bench.evaluate.readers.fleet import Truth, streams_of
from bench.evaluate.true_lives import true_life_rows, with_true_lives
from firmware_sim.long_run import LongRun, make_long_run
from maintenance.replay import REPLAY
from tests.unit.bench.evaluate.test_oracle import CATALOG, DECLINING, SHEET, START_S, blank

HOUR_US = 3_600_000_000
LEARNING = STATUSES.index("learning")


@pytest.fixture(scope="module")
def run() -> LongRun:
    return make_long_run(devices=160, days=730, seed=9, start_s=START_S, products=("water_pump",))


@pytest.fixture(scope="module")
def truths(run: LongRun) -> list[Truth]:
    return [truth for _, truth in streams_of(run, SHEET)]


def question(run: LongRun) -> Question:
    return Question(
        from_us=run.start_s * 1_000_000,
        until_us=run.end_s * 1_000_000,
        useful_hours=2160.0,
        draws=5,
    )


def telling(run: LongRun, truths: list[Truth], place: int, mode: str, *, factor: float) -> Track:
    """A device of which is always told how long a part really lasts, times a factor, give or take a tenth."""
    track, column = blank(run, place), CATALOG.modes.index(mode)
    left = truths[place].left_hours(mode, track.made_us)
    life = track.life_hours.copy()
    life[:, column] = left[:, None] * factor * np.array([0.9, 0.92, 1.0, 1.08, 1.1])
    status = track.status.copy()
    status[:, column] = np.where(status[:, column] == LEARNING, LEARNING, DECLINING)
    return replace(track, status=status, life_hours=life)


def test_the_next_failure_is_known_beyond_the_end_and_a_healthy_part_has_none(
    run: LongRun, truths: list[Truth]
) -> None:
    end_us = np.array([run.end_s * 1_000_000])
    for unit, machine, later, truth in zip(run.units, run.machines, run.later, truths, strict=True):
        for mode in CATALOG.modes:
            left = truth.left_hours(mode, end_us)[0]
            beyond = [
                f.fails_s for f in machine.failures if f.mode == mode and f.fails_s > run.end_s
            ]
            expected = [*beyond, *([later[mode]] if mode in later else [])]
            if unit.is_healthy:
                assert np.isinf(left)
            else:
                assert left == pytest.approx((min(expected) - run.end_s) / 3600)


def test_between_two_failures_the_next_one_counts(truths: list[Truth]) -> None:
    truth, failure = next(
        (t, f) for t in truths for f in t.machine.failures if f.fails_s > START_S + 86_400
    )
    at_us = np.array([failure.fails_s - 7200, failure.fails_s]) * 1_000_000

    before, then = truth.left_hours(failure.mode, at_us).tolist()

    assert before == 2.0
    assert then > 30 * 24


def test_lives_that_end_after_the_observation_are_judged_too(
    run: LongRun, truths: list[Truth]
) -> None:
    place = next(n for n, later in enumerate(run.later) if "seal_leak" in later)
    tracks = [blank(run, n) for n in range(len(truths))]
    tracks[place] = telling(run, truths, place, "seal_leak", factor=1.0)
    wrong = [*tracks]
    wrong[place] = telling(run, truths, place, "seal_leak", factor=2.0)

    def judged(said: list[Track]) -> tuple[int, float | None]:
        rows = true_life_rows(CATALOG, said, truths, mode="seal_leak", question=question(run))
        found = life_figures(rows)
        return found.rows, found.coverage_90

    told = int((tracks[place].status == DECLINING).sum())
    assert judged(tracks) == (told, 1.0)
    number, held = judged(wrong)
    assert number == told
    assert held is not None
    assert held < 0.05


def test_the_table_keeps_its_alerts_and_gets_the_lives_of_the_truth(
    run: LongRun, truths: list[Truth]
) -> None:
    place = next(n for n, later in enumerate(run.later) if "seal_leak" in later)
    tracks = [blank(run, n) for n in range(len(truths))]
    tracks[place] = telling(run, truths, place, "seal_leak", factor=1.0)
    chances = [replace(t, p_fail=np.nan_to_num(t.p_fail)) for t in tracks]
    asked = question(run)
    table = answer(CATALOG, chances, asked, REPLAY).table

    found = with_true_lives(CATALOG, table, chances, truths, asked)

    assert found.total.alerts == table.total.alerts
    assert table.total.life is not None
    assert found.total.life is not None
    assert found.total.life.rows > table.total.life.rows
    assert found.total.life.coverage_90 == 1.0
