"""Remaining life in production: of parts, learned from those that failed, told where it is better than the hazard."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import msgspec
import numpy as np
import pytest

from anomaly.judge.life import life_losses
from anomaly.learn.age import Age
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import FrameSpec, fit_spec, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.life import fit_and_judge
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.learn.outlook import HORIZONS_HOURS, outlook_rows
from anomaly.learn.reach import recent, windows_needed
from anomaly.learn.remaining import (
    Slice,
    fit_mode_life,
    life_frame,
    life_hours,
    part_begins_us,
    parts_of,
)
from anomaly.learn.services import Services
from anomaly.records import LIFE_SHARES, FloatArray
from anomaly.training.speaker import go_on, hours_of
from tests.unit.anomaly.learn.test_frame import HOUR, product

DAY = 24 * HOUR
CATALOG = Catalog(msgspec.structs.replace(product(), forecast_every=timedelta(days=2)))
MODE = "belt_worn"
GROUPS = (Age, Services, Metrics)
DAYS, DEVICES = 240, 60


def worn(number: int, *, is_telling: bool = True) -> History:
    """A press whose vibration grows with the share of its belt's life of 30 to 90 days, or whose belt just breaks; half never fail."""
    rng = np.random.default_rng([number, 5])
    at = np.arange(1, DAYS * 8 + 1, dtype=np.int64) * 3 * HOUR
    values = 0.3 * rng.normal(size=(len(at), len(CATALOG.metrics)))
    fails: list[int] = []
    begin = -int(rng.integers(0, 40)) * DAY
    while number % 2 and begin < DAYS * DAY:
        days = rng.uniform(30, 90) if is_telling else 2 + rng.exponential(60)
        end = begin + int(days * DAY)
        inside = (at > begin) & (at <= end)
        if is_telling:
            values[inside, 2] += 10 * (at[inside] - begin) / (end - begin)
        if 0 < end <= DAYS * DAY:
            fails.append(end)
        begin = end + HOUR
    failure = np.array(fails, dtype=np.int64)
    return History(
        device=f"press-{number}", begins_us=0, until_us=DAYS * DAY, at_us=at, values=values,
        failure_us=failure, failure_mode=np.zeros(len(failure), dtype=np.int64),
        service_us=failure + HOUR, service_component=np.zeros(len(failure), dtype=np.int64),
    )  # fmt: skip


@cache
def learned() -> ModeModel:
    return learn([worn(number) for number in range(DEVICES)])


def learn(histories: list[History]) -> ModeModel:
    return fit_mode_model(
        CATALOG, histories, mode=MODE, train_until_us=150 * DAY, calibrate_until_us=DAYS * DAY,
        seeds=(0,), groups=GROUPS,
    )  # fmt: skip


def laid_out(histories: list[History]) -> tuple[FrameSpec, Slice]:
    spec = fit_spec(CATALOG, histories, groups=GROUPS)
    return spec, Slice.of(CATALOG, make_frame(CATALOG, spec, histories), histories, mode=MODE)


def loss(outcome: Outcome, life: FloatArray) -> float:
    found = life_losses(
        outcome.hours, outcome.has_failed, life, shares=LIFE_SHARES, until_hours=90 * 24
    ).mean
    assert found is not None
    return found


def test_a_part_is_as_old_as_since_it_was_replaced_and_a_part_by_itself() -> None:
    history = replace(
        worn(0),
        failure_us=np.array([50 * DAY]), failure_mode=np.array([0]),
        service_us=np.array([51 * DAY, 60 * DAY]), service_component=np.array([0, 1]),
    )  # fmt: skip
    other = worn(2)
    spec = fit_spec(CATALOG, [history, other], groups=GROUPS)
    at = np.array([49, 51, 53, 70], dtype=np.int64) * DAY + HOUR
    frame = make_frame(CATALOG, spec, [history, other], at_us=[at, at])

    own = life_frame(CATALOG, frame, mode=MODE, names=spec.names)
    parts = parts_of(CATALOG, frame, [history, other], mode=MODE)

    age = own.x[:, spec.names.index("age_hours")]
    assert age[:4] == pytest.approx([49 * 24 + 1, 1, 49, 19 * 24 + 1])
    assert age[4:] == pytest.approx([49 * 24 + 1, 51 * 24 + 1, 53 * 24 + 1, 70 * 24 + 1])
    assert parts[:4].tolist() == [0, 2, 2, 2]
    assert len(set(parts[4:].tolist())) == 1
    assert parts[4] not in parts[:4]
    assert frame.x[1, 0] == 51 * 24 + 1


def test_where_nothing_was_replaced_it_is_what_is_learned_from_the_rows_as_they_are() -> None:
    """What a benchmark learns is what a product learns."""
    histories = [
        replace(h.upto(int(h.failure_us[0])), service_us=h.service_us[:0],
                service_component=h.service_component[:0])
        for h in map(worn, range(1, 13, 2))
    ]  # fmt: skip
    spec, known = laid_out(histories)

    found = fit_mode_life(CATALOG, spec, known, mode=MODE, seeds=(0,))
    plain = fit_and_judge(known.frame, known.outcome, seeds=(0,))

    assert found is not None
    assert plain is not None
    assert msgspec.msgpack.encode(found[0]) == msgspec.msgpack.encode(plain[0])
    assert np.array_equal(found[1].life_hours, plain[1].life_hours)
    said = life_hours(CATALOG, found[0], known.frame, histories, mode=MODE)
    assert np.array_equal(said, plain[0].predict(known.frame))


def test_lives_that_ended_tell_more_than_the_hazard_where_wear_shows() -> None:
    model = learned()
    unseen = [worn(number) for number in range(101, 121)]
    frame = make_frame(CATALOG, model.spec, unseen)

    assert model.life is not None
    assert model.life_share > 0
    hours = life_hours(CATALOG, model.life, frame, unseen, mode=MODE)
    chance, life = outlook_rows(model, frame.x, hours)
    same, by_hazard = outlook_rows(model, frame.x)
    outcome = outcome_of(CATALOG, unseen, frame, mode=MODE)
    assert np.array_equal(chance, same)
    assert loss(outcome, life) < loss(outcome, by_hazard)
    soon = chance[:, 2] > 0.5
    assert loss(outcome.take(soon), life[soon]) < 0.95 * loss(outcome.take(soon), by_hazard[soon])
    for column, horizon in enumerate(HORIZONS_HOURS):
        assert (chance[life[:, 2] < horizon, column] >= 0.5 - 1e-9).all()


def test_where_nothing_shows_before_a_failure_the_hazard_speaks_alone() -> None:
    model = learn([worn(number, is_telling=False) for number in range(DEVICES)])

    assert model.life is None
    assert model.life_share == 0


def test_where_nothing_that_wears_is_measured_the_hazard_speaks_alone() -> None:
    model = fit_mode_model(
        CATALOG, [worn(number) for number in range(DEVICES)], mode=MODE, train_until_us=150 * DAY,
        calibrate_until_us=DAYS * DAY, seeds=(0,), groups=(Age, Services),
    )  # fmt: skip

    assert model.has_learned
    assert (model.life, model.trend, model.life_share) == (None, None, 0.0)
    assert learned().life is not None


def test_a_stored_model_tells_the_same_remaining_life() -> None:
    model = learned()
    unseen = [worn(201)]
    frame = make_frame(CATALOG, model.spec, unseen)

    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(model), type=ModeModel)

    assert model.life is not None
    assert kept.life is not None
    before = life_hours(CATALOG, model.life, frame, unseen, mode=MODE)
    after = life_hours(CATALOG, kept.life, frame, unseen, mode=MODE)
    assert np.array_equal(after, before)
    assert np.array_equal(
        outlook_rows(kept, frame.x, after)[1], outlook_rows(model, frame.x, before)[1]
    )


def test_lives_after_the_training_slice_teach_nothing() -> None:
    """A device that failed only afterwards is one that had not failed."""
    histories = [worn(number) for number in range(DEVICES)]
    model = learned()
    cut = [h if n % 4 != 1 else h.upto(150 * DAY) for n, h in enumerate(histories)]
    other = learn(cut)

    assert model.life is not None
    assert other.life is not None
    assert msgspec.msgpack.encode(other.life) == msgspec.msgpack.encode(model.life)


@pytest.mark.parametrize("pieces", [(7,), (1, 2, 3, 40, 41)])
def test_going_on_from_what_was_kept_says_the_same_as_all_at_once(pieces: tuple[int, ...]) -> None:
    model = learned()
    assert model.life is not None
    model = msgspec.structs.replace(
        model, life=msgspec.structs.replace(model.life, memory_hours=200.0)
    )
    device = worn(203)
    assert len(device.failure_us) > 1
    frame = make_frame(CATALOG, model.spec, [device])
    whole = hours_of(CATALOG, model, [device], frame)

    said, kept = [], None
    for at in np.split(frame.at_us, pieces):
        hours, kept = go_on(CATALOG, model, device.upto(int(at[-1])), at, kept)
        said.append(hours)

    assert whole is not None
    assert np.array_equal(np.concatenate(said), whole)
    assert kept is not None
    assert kept.part == 2 * len(device.failure_us)


def test_a_model_that_begins_late_needs_nothing_of_the_parts_before_but_all_of_this_one() -> None:
    """What `anomaly.training.live` reads of a device that it has not been asked about."""
    model = learned()
    assert model.life is not None
    life = msgspec.structs.replace(model.life, memory_hours=1000.0)
    model = msgspec.structs.replace(model, life=life)
    device = worn(203)
    device = replace(device, health=np.ones((len(device.at_us), len(CATALOG.modes))))
    frame = make_frame(CATALOG, model.spec, [device])
    whole = hours_of(CATALOG, model, [device], frame)
    assert whole is not None
    begins_us = part_begins_us(CATALOG, device, int(frame.at_us[-2]), mode=MODE)
    assert begins_us == device.service_us[-1]
    of_part = int(np.searchsorted(frame.at_us, begins_us))
    assert len(frame) - of_part > 5

    hours, _ = go_on(CATALOG, model, device, frame.at_us[-2:], None)
    short = recent(
        CATALOG, device, from_us=begins_us, windows=windows_needed(CATALOG, model), codes=None
    )
    again, _ = go_on(CATALOG, model, short, frame.at_us[-2:], None)

    assert np.array_equal(hours, whole[-2:])
    later = life_hours(
        CATALOG, life, frame.take(np.arange(of_part + 1, len(frame))), [device], mode=MODE
    )
    assert not np.array_equal(later[-2:], hours)
    assert again == pytest.approx(hours, rel=1e-9)


def test_instants_at_which_nobody_asked_count_all_the_same() -> None:
    model = learned()
    assert model.life is not None
    model = msgspec.structs.replace(
        model, life=msgspec.structs.replace(model.life, memory_hours=200.0)
    )
    device = worn(203)
    at = instants(CATALOG, device)
    some = make_frame(CATALOG, model.spec, [device], at_us=[at[5::7]])
    every = make_frame(CATALOG, model.spec, [device])

    asked = hours_of(CATALOG, model, [device], some)
    always = hours_of(CATALOG, model, [device], every)

    assert asked is not None
    assert always is not None
    assert np.array_equal(asked, always[5::7])
