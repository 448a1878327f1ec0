"""Remaining life from a device's own path of wear."""

import numpy as np
import pytest

from anomaly.learn.history import History
from anomaly.learn.trend import choose_path, trend_life
from tests.unit.anomaly.learn.test_frame import HOUR


def worn(hours: int, *, power: float = 1.0, seen: int | None = None) -> History:
    """Wear grows with a power of the age and reaches 1 after so many hours."""
    age = np.arange(1, (seen or hours) + 1)
    at = age * HOUR
    return History(
        device="one", begins_us=0, until_us=int(at[-1]), at_us=at,
        values=np.empty((len(at), 0)), health=1 - ((age / hours) ** power)[:, None],
        failure_us=at[-1:], failure_mode=np.zeros(1, dtype=np.int64),
    )  # fmt: skip


@pytest.mark.parametrize("path", ["laws", "line"])
def test_steady_wear_goes_on_to_its_end(path: str) -> None:
    one = worn(100, seen=60)

    life = trend_life(one, one.at_us[-1:], place=0, path=path)  # type: ignore[arg-type]

    assert life[0] == pytest.approx(40, rel=0.25)


def test_nothing_after_the_instant_is_looked_at() -> None:
    whole, cut = worn(100), worn(100, seen=60)
    at = cut.at_us

    for path in ("laws", "line"):
        assert np.array_equal(
            trend_life(whole, at, place=0, path=path),  # type: ignore[arg-type]
            trend_life(cut, at, place=0, path=path),  # type: ignore[arg-type]
            equal_nan=True,
        )


def test_too_little_history_says_nothing() -> None:
    one = worn(100)

    assert np.isnan(trend_life(one, one.at_us[:5], place=0, path="line")).all()


def test_known_lives_choose_the_path_and_without_any_the_laws_stand() -> None:
    slowing = [worn(hours, power=0.95) for hours in (80, 120)]
    at = [one.at_us[len(one.at_us) // 2 : -1] for one in slowing]

    path, error, errors = choose_path(slowing, at, place=0)

    others = {p: trend_life(slowing[0], at[0], place=0, path=p) for p in ("laws", "line")}  # type: ignore[arg-type]
    left = (slowing[0].until_us - at[0]) / HOUR
    assert np.mean((others[path] - left) ** 2) == min(
        np.mean((said - left) ** 2) for said in others.values()
    )
    assert np.isfinite(error)
    assert errors is not None
    assert choose_path([], [], place=0) == ("laws", np.inf, None)
