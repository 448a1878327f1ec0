"""How failures recur: features counted by hand, causality, and what is learned of all modes together."""

from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.learn.fit import fit_mode_models
from anomaly.learn.frame import instants, make_frame
from anomaly.learn.frames import frames_of
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.outcome import Outcome
from anomaly.learn.recurring import OWN_PRIOR, Recurring
from anomaly.learn.stack import mixture
from bench.evaluate.readers.alpi import sheet

HOUR = 3_600_000_000
CATALOG = Catalog(sheet((4, 7, 9)))
STEP = CATALOG.every_us
STRETCH_HOURS = 8.0


def machine(at_us: list[int], codes: list[int], *, until_us: int, name: str = "m") -> History:
    place = {4: 0, 7: 1, 9: 2}
    return History(
        device=name, begins_us=0, until_us=until_us,
        event_us=np.array(at_us, dtype=np.int64),
        event_metric=np.zeros(len(at_us), dtype=np.int64),
        event_code=np.array(codes, dtype=np.int64),
        failure_us=np.array(at_us, dtype=np.int64),
        failure_mode=np.array([place[code] for code in codes], dtype=np.int64),
    )  # fmt: skip


def drawn(number: int, *, steps: int = 60) -> History:
    """Code 9 follows code 7 by an hour after a window's end; 4 comes at any time, more often on some."""
    rng = np.random.default_rng([number, 5])
    signs = np.flatnonzero(rng.random(steps) < 0.3)
    own = rng.random(20 * steps) < 0.01 * (1 + 2 * (number % 4))
    pairs = [(int(s) * STEP + STEP - HOUR, 7) for s in signs]
    pairs += [(int(s) * STEP + STEP + HOUR, 9) for s in signs]
    pairs += [(int(p) * STEP // 20 + 7, 4) for p in np.flatnonzero(own)]
    pairs.sort()
    return machine(
        [at for at, _ in pairs], [code for _, code in pairs],
        until_us=(steps + 1) * STEP, name=f"m-{number}",
    )  # fmt: skip


FLEET = [drawn(number) for number in range(12)]


@cache
def learned() -> dict[str, ModeModel]:
    return fit_mode_models(
        CATALOG, FLEET, train_until_us=None, calibrate_until_us=61 * STEP, seeds=(0,),
        horizons_hours=(STRETCH_HOURS,),
    )  # fmt: skip


def fitted() -> Recurring:
    at = [instants(CATALOG, history) for history in FLEET]
    return Recurring.fit(CATALOG, FLEET, at_us=at, stretch_hours=STRETCH_HOURS)


def test_how_a_code_recurs_is_counted_by_hand() -> None:
    group = fitted()
    one = machine([HOUR, 3 * HOUR, 4 * HOUR], [4, 7, 4], until_us=10 * STEP)

    table = group.table(CATALOG, one, np.array([STEP]))[0]

    at = {name: table[:, place].tolist() for place, name in enumerate(group.kinds)}
    span = group.spans_hours[0]
    age, prior = STEP / HOUR, OWN_PRIOR * STRETCH_HOURS
    fleet = group.share.array
    assert at[f"times_in_{span:g}h"] == [2, 1, 0]
    assert at["hours_ago"] == pytest.approx([age - 4, age - 3, np.nan], nan_ok=True)
    assert at["events_ago"] == pytest.approx([0, 1, np.nan], nan_ok=True)
    assert at["events"] == [3, 3, 3]
    assert at["kinds"] == [2, 2, 2]
    assert at["own_share"] == pytest.approx(
        [(c + prior * f) / (age + prior) for c, f in zip((1 + 3, 3, 0), fleet, strict=True)]
    )
    expected = (group.follows.array[0] + group.follows.array[1]) / 2
    assert at["expected"] == pytest.approx(expected.tolist())


def test_what_follows_a_code_is_learned() -> None:
    follows = fitted().follows.array

    assert follows[1, 2] > 0.8
    assert follows[0, 2] < 0.5


@given(cut=st.integers(2, 58), number=st.integers(0, 11))
def test_what_comes_later_changes_no_row(cut: int, number: int) -> None:
    group, whole = fitted_once(), FLEET[number]
    at = instants(CATALOG, whole)[:cut]

    early = group.columns(CATALOG, whole.upto(int(at[-1])), at)

    assert np.array_equal(early, group.columns(CATALOG, whole, at), equal_nan=True)


@cache
def fitted_once() -> Recurring:
    return fitted()


def test_the_columns_of_one_mode_are_those_of_the_whole_table() -> None:
    group, at = fitted(), instants(CATALOG, FLEET[3])
    table = group.table(CATALOG, FLEET[3], at)

    for place, mode in enumerate(CATALOG.modes):
        own = group.of(mode).columns(CATALOG, FLEET[3], at)
        assert np.array_equal(own, table[:, place], equal_nan=True)


def test_a_code_that_follows_another_is_foreseen_on_a_machine_never_seen() -> None:
    model = learned()["alarm_9"]
    unseen = drawn(99)
    frame = make_frame(CATALOG, model.spec, [unseen])
    signs = unseen.event_us[unseen.event_code == 7]
    is_announced = np.isin(frame.at_us, signs + HOUR)

    chance = model.predict(frame).failed[:, 0]

    assert model.has_learned
    assert is_announced.sum() > 5
    assert chance[is_announced].mean() > 0.8
    assert chance[~is_announced].mean() < 0.2


def test_a_machine_that_often_failed_is_expected_to_fail_more() -> None:
    model = learned()["alarm_4"]
    calm, busy = (make_frame(CATALOG, model.spec, [drawn(n)]) for n in (96, 99))

    low, high = (model.predict(frame).failed[20:, 0].mean() for frame in (calm, busy))

    assert high > 1.5 * low


def test_frames_made_together_are_those_made_one_by_one() -> None:
    models = list(learned().values())
    at = [instants(CATALOG, history) for history in FLEET]

    for model, frame in frames_of(CATALOG, models, FLEET, at_us=at):
        alone = make_frame(CATALOG, model.spec, FLEET, at_us=at)
        assert frame.names == alone.names
        assert np.array_equal(frame.x, alone.x, equal_nan=True)


def test_a_stored_model_of_all_modes_forecasts_the_same() -> None:
    model = learned()["alarm_9"]
    frame = make_frame(CATALOG, model.spec, [drawn(98)])

    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(model), type=ModeModel)

    assert np.array_equal(kept.predict(frame).failed, model.predict(frame).failed)


def test_a_model_stored_before_there_were_shares_is_read_as_its_own_hazard_alone() -> None:
    plain = msgspec.structs.replace(learned()["alarm_9"], shared=None, shared_share=0.0)
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(plain))
    del old["shared"], old["shared_share"]

    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=ModeModel)

    assert kept == plain


def test_a_forecaster_that_knows_gets_the_share_and_one_that_guesses_does_not() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), 20)
    truth = rng.random(len(groups))
    outcome = Outcome(hours=np.where(rng.random(len(groups)) < truth, 1.0, 9.0),
                      has_failed=np.ones(len(groups), dtype=np.bool_))  # fmt: skip
    knows, guesses = truth[:, None], rng.random((len(groups), 1))
    level = np.full((len(groups), 1), 0.5)

    with_truth = mixture((level, knows), outcome, groups, horizons_hours=(5.0,))
    with_guess = mixture((level, guesses), outcome, groups, horizons_hours=(5.0,))

    assert with_truth[1] > 0.8
    assert with_guess.tolist() == [1.0, 0.0]
