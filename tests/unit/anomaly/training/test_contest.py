"""A challenger speaks only where it was better on devices that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

from anomaly.learn.age import Age
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import outcome_of
from anomaly.records import LIFE_SHARES, FloatArray
from anomaly.training.contest import contest, decision_hours
from anomaly.training.slices import Slices, cut, is_judge
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR, product

DEVICES, DAYS = 60, 120
DAY = 24 * HOUR


def device(number: int, *, is_telling: bool) -> History:
    """A device whose vibration grows for ten days before its belt fails, or tells nothing."""
    rng = np.random.default_rng([number, int(is_telling)])
    at = np.arange(1, DAYS * 24 + 1, dtype=np.int64) * HOUR
    values = rng.normal(size=(len(at), 3))
    fails = np.sort(rng.integers(15, DAYS, 4)) * DAY
    fails = fails[np.append(True, np.diff(fails) > 14 * DAY)]
    if is_telling:
        for failure in fails:
            ahead = (failure - at) / DAY
            values[:, 2] += np.where((ahead > 0) & (ahead < 10), 10 - ahead, 0)
    return History(
        device=f"press-{number}", begins_us=0, until_us=DAYS * DAY, at_us=at, values=values,
        service_us=fails + HOUR, service_component=np.zeros(len(fails), dtype=np.int64),
        failure_us=fails, failure_mode=np.zeros(len(fails), dtype=np.int64),
    )  # fmt: skip


def learn(histories: Sequence[History], slices: Slices) -> ModeModel:
    return fit_mode_model(
        CATALOG, [h for h in histories if not is_judge(h.device)], mode="belt_worn",
        train_until_us=slices.train_until_us, calibrate_until_us=slices.calibrate_until_us,
        seeds=(0,), groups=(Age, Metrics),
    )  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """Says the same of all devices; of their remaining life what a constant hazard comes to, or what it is told to."""

    rate: float = -float(np.log1p(-0.06))
    life_hours: float | None = None

    def chance(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        return np.full(len(frame), -np.expm1(-self.rate))

    def life(self, histories: Sequence[History], frame: Frame) -> FloatArray:
        hours = -np.log1p(-np.array(LIFE_SHARES)) * 24 / self.rate
        told = hours if self.life_hours is None else np.full(len(LIFE_SHARES), self.life_hours)
        return np.tile(told, (len(frame), 1))


constant = Constant()


@pytest.fixture(scope="module")
def telling() -> list[History]:
    return [device(number, is_telling=True) for number in range(DEVICES)]


def test_what_learned_from_telling_metrics_beats_a_constant(telling: list[History]) -> None:
    slices = cut(telling)

    result = contest(
        CATALOG,
        telling,
        challenger=learn(telling, slices),
        champion=constant,
        slices=slices,
        seed=0,
    )

    assert result.is_better, result.reason
    assert result.events >= 5
    assert result.challenger.brier is not None
    assert result.champion.brier is not None
    assert result.challenger.brier < 0.8 * result.champion.brier
    assert result.devices == sum(is_judge(h.device) for h in telling)


def test_what_learned_from_noise_beats_nothing() -> None:
    histories = [device(number, is_telling=False) for number in range(DEVICES)]
    slices = cut(histories)
    rate = 3.0 / DAYS

    class Base(Constant):
        def chance(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
            return np.full(len(frame), 1 - np.exp(-rate * hours / 24))

    result = contest(
        CATALOG,
        histories,
        challenger=learn(histories, slices),
        champion=Base(),
        slices=slices,
        seed=0,
    )

    assert not result.is_better


def test_a_challenger_whose_remaining_lives_are_surely_worse_does_not_speak(
    telling: list[History],
) -> None:
    """Nobody knows remaining lives as well as who is told them."""
    slices = cut(telling)

    class Seer(Constant):
        def life(self, histories: Sequence[History], frame: Frame) -> FloatArray:
            hours = outcome_of(CATALOG, histories, frame, mode="belt_worn").hours
            return np.tile(hours[:, None], (1, len(LIFE_SHARES)))

    result = contest(
        CATALOG, telling, challenger=learn(telling, slices), champion=Seer(), slices=slices, seed=0
    )

    assert not result.is_better
    assert "remaining life" in result.reason
    assert result.better_share >= 0.9
    assert result.life_better_share == 0
    assert result.champion.life_loss == pytest.approx(0)


def test_a_few_failures_prove_nothing(telling: list[History]) -> None:
    few = [h if n % 4 else h.upto(90 * DAY) for n, h in enumerate(telling)]
    judges = [n for n, h in enumerate(few) if is_judge(h.device)]
    for n in judges:
        few[n] = telling[n].upto(cut(telling).calibrate_until_us + DAY)
    slices = cut(telling)

    result = contest(
        CATALOG, few, challenger=learn(telling, slices), champion=constant, slices=slices, seed=0
    )

    assert not result.is_better
    assert "failures" in result.reason


def test_a_judge_stays_a_judge_and_a_fair_share_are() -> None:
    names = [f"press-{number}" for number in range(2000)]

    share = np.mean([is_judge(name) for name in names])

    assert 0.2 < share < 0.3
    assert [is_judge(name) for name in names] == [is_judge(name) for name in names]


def test_the_slices_follow_each_other_and_leave_a_test() -> None:
    histories = [History(device="a", begins_us=0, until_us=1000, watched_from_us=500)]

    slices = cut(histories)

    assert (slices.from_us, slices.until_us) == (500, 1000)
    assert slices.train_until_us == 800
    assert slices.calibrate_until_us == 900


def test_the_scheduler_needs_a_day_beyond_the_lead_time() -> None:
    mode = Catalog(product()).product.failure_mode("belt_worn")

    assert timedelta(hours=decision_hours(mode)) == mode.lead_time + timedelta(days=1)
