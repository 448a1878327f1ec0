"""Remaining life from a part's own path of wear."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from anomaly.learn.age import Age
from anomaly.learn.fit import fit_mode_model
from anomaly.learn.frame import Frame, fit_spec, instants, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.outcome import Outcome
from anomaly.learn.outlook import outlook_rows
from anomaly.learn.reach import recent, windows_needed
from anomaly.learn.remaining import Slice, choose_way, path_frame
from anomaly.learn.services import Services
from anomaly.learn.trend import Trend, fit_trend, trend_hours
from anomaly.learn.wear import Wear
from anomaly.training.records import life_told
from anomaly.training.speaker import hours_of
from tests.unit.anomaly.learn.test_frame import HOUR, product

DAY = 24 * HOUR
MODE = "belt_worn"
CATALOG = Catalog(msgspec.structs.replace(product(), forecast_every=timedelta(days=1)))
GROUPS = (Age, Services, Wear)


def worn(hours: int, *, power: float = 1.0, seen: int | None = None) -> tuple[Frame, Outcome]:
    """Wear grows with a power of the age and reaches 1 after so many hours."""
    age = np.arange(1.0, (seen or hours) + 1)
    health = 1 - (age / hours) ** power
    frame = Frame(
        device=np.zeros(len(age), dtype=np.int64), at_us=(age * HOUR).astype(np.int64),
        x=np.column_stack([age, health]), names=("age_hours", f"{MODE}.health"),
    )  # fmt: skip
    return frame, Outcome(hours=hours - age, has_failed=np.ones(len(age), dtype=np.bool_))


def joined(parts: list[tuple[Frame, Outcome]]) -> tuple[Frame, Outcome]:
    frames, outcomes = zip(*parts, strict=True)
    return (
        Frame(
            device=np.concatenate([np.full(len(f), n) for n, f in enumerate(frames)]),
            at_us=np.concatenate([f.at_us for f in frames]), x=np.concatenate([f.x for f in frames]),
            names=frames[0].names,
        ),
        Outcome(hours=np.concatenate([o.hours for o in outcomes]),
                has_failed=np.concatenate([o.has_failed for o in outcomes])),
    )  # fmt: skip


@pytest.mark.parametrize("path", ["laws", "line"])
def test_steady_wear_goes_on_to_its_end(path: str) -> None:
    one, _ = worn(100, seen=60)

    life = trend_hours(one, np.array([59]), mode=MODE, path=path)  # type: ignore[arg-type]

    assert life[0] == pytest.approx(40, rel=0.25)


@pytest.mark.parametrize("path", ["laws", "line"])
def test_nothing_after_a_row_and_of_another_part_is_looked_at(path: str) -> None:
    whole, _ = joined([worn(90), worn(100)])
    cut, _ = worn(100, seen=60)

    both = trend_hours(whole, 90 + np.arange(60), mode=MODE, path=path)  # type: ignore[arg-type]
    alone = trend_hours(cut, np.arange(60), mode=MODE, path=path)  # type: ignore[arg-type]

    assert np.array_equal(both, alone, equal_nan=True)


def test_too_little_history_says_nothing() -> None:
    one, _ = worn(100)

    assert np.isnan(trend_hours(one, np.arange(5), mode=MODE, path="line")).all()
    assert np.isnan(trend_hours(one, np.arange(5), mode="other", path="line")).all()


def test_known_lives_choose_the_path_and_without_any_the_laws_stand() -> None:
    frame, outcome = joined([worn(hours, power=0.95) for hours in (80, 120)])
    going_on = replace(outcome, has_failed=np.zeros(len(frame), dtype=np.bool_))

    found = fit_trend(frame, outcome, mode=MODE)

    late = np.flatnonzero((frame.x[:, 0] >= outcome.hours) & (outcome.hours > 0))
    squares = {}
    for path in ("laws", "line"):
        error = trend_hours(frame, late, mode=MODE, path=path) - outcome.hours[late]  # type: ignore[arg-type]
        squares[path] = np.mean([np.mean(error[frame.device[late] == n] ** 2) for n in (0, 1)])
    assert squares[found.path] == min(squares.values())
    assert found.rmse_hours == pytest.approx(np.sqrt(min(squares.values())))
    assert found.lives == 2
    assert found.errors is not None
    assert fit_trend(frame, going_on, mode=MODE) == Trend()


# --- in production -------------------------------------------------------------------------------


def press(number: int) -> History:
    """Of four presses' belts, one wears out in 60 to 80 days, is replaced and wears again; health has some noise."""
    rng = np.random.default_rng([number, 12])
    at = np.arange(1, 400, dtype=np.int64) * DAY
    health = np.column_stack([np.ones(len(at)), np.ones(len(at))])
    fails: list[int] = []
    begin = -int(rng.integers(0, 50))
    while number % 4 == 0 and begin < 400:
        end = begin + int(rng.integers(60, 80))
        inside = (at > begin * DAY) & (at <= end * DAY)
        health[inside, 0] = 1 - (at[inside] / DAY - begin) / (end - begin)
        if 0 < end < 400:
            fails.append(end)
        begin = end
    health += rng.normal(0, 0.01, health.shape)
    failure = np.array(fails, dtype=np.int64) * DAY
    return History(
        device=f"press-{number}", begins_us=0, until_us=int(at[-1]), at_us=at,
        values=np.empty((len(at), 0)), health=health,
        failure_us=failure, failure_mode=np.zeros(len(failure), dtype=np.int64),
        service_us=failure + HOUR, service_component=np.zeros(len(failure), dtype=np.int64),
    )  # fmt: skip


def test_where_few_devices_failed_the_path_of_wear_tells_when() -> None:
    """Failures enough for a hazard, but all on six devices: too few to learn lives from."""
    model = fit_mode_model(
        CATALOG, [press(number) for number in range(24)], mode=MODE, train_until_us=300 * DAY,
        calibrate_until_us=399 * DAY, seeds=(0,), groups=GROUPS,
    )  # fmt: skip
    unseen = press(100)
    at = instants(CATALOG, unseen)[30::9]
    frame = make_frame(CATALOG, model.spec, [unseen], at_us=[at])

    assert model.hazard.members
    assert model.life is None
    assert model.trend is not None
    assert "path of wear" in life_told(model).words
    hours = hours_of(CATALOG, model, [unseen], frame)
    assert hours is not None
    newest = np.flatnonzero(np.isfinite(hours))[-1:]
    short = recent(
        CATALOG, unseen, from_us=int(at[newest][0]), windows=windows_needed(CATALOG, model),
        codes=None,
    )  # fmt: skip
    again = hours_of(
        CATALOG, model, [short], make_frame(CATALOG, model.spec, [short], at_us=[at[newest]])
    )
    assert again is not None
    assert again == pytest.approx(hours[newest], rel=1e-12)
    ends = np.append(unseen.failure_us, 10**18)
    left = (ends[np.searchsorted(ends, at)] - at) / HOUR
    known = np.isfinite(hours) & (left < 30 * 24)
    assert known.sum() > 5
    assert np.median(np.abs(hours[known] - left[known])) < 4 * 24
    chance, life = outlook_rows(model, frame.x, hours)
    same, _ = outlook_rows(model, frame.x)
    assert np.array_equal(chance, same)
    assert (chance[life[:, 2] < 720, 2] >= 0.5 - 1e-9).all()
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(model), type=type(model))
    assert np.array_equal(outlook_rows(kept, frame.x, hours)[1], life)


def test_lives_and_paths_are_judged_on_the_same_rows() -> None:
    """Two lives are too few to learn from: the path stands."""
    histories = [press(0), press(4)]
    spec = fit_spec(CATALOG, histories, groups=GROUPS)
    known = Slice.of(CATALOG, make_frame(CATALOG, spec, histories), histories, mode=MODE)

    told, left_out = choose_way(CATALOG, spec, known, mode=MODE, seeds=(0,))

    assert isinstance(told, Trend)
    assert left_out is None
    assert told == fit_trend(
        path_frame(CATALOG, known.frame, histories, mode=MODE), known.outcome, mode=MODE
    )
