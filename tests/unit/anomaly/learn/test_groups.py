"""Groups of features: events, services, traits, calendar. Counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly.learn.calendar import Calendar
from anomaly.learn.events import CODES_MAX, EVENTS_MIN, Events
from anomaly.learn.history import History
from anomaly.learn.services import Services
from anomaly.learn.traits import MISSING, UNSEEN, Traits
from tests.unit.anomaly.learn.test_frame import CATALOG, HOUR


def device(**changes: object) -> History:
    return replace(History(device="press-1", begins_us=0, until_us=100 * HOUR), **changes)  # type: ignore[arg-type]


def events(hours: list[float], codes: list[int]) -> History:
    return device(
        event_us=np.array([round(h * HOUR) for h in hours], dtype=np.int64),
        event_metric=np.zeros(len(hours), dtype=np.int64),
        event_code=np.array(codes),
    )


def test_events_are_counted_over_spans_and_the_last_is_remembered() -> None:
    often = events(list(range(1, EVENTS_MIN + 1)), [7] * EVENTS_MIN)
    group = Events.fit(CATALOG, [often])

    seen = events([1, 4, 5.5], [7, 7, 8])
    x = group.columns(CATALOG, seen, np.array([0, 4, 6]) * HOUR)

    at = {name: x[:, column].tolist() for column, name in enumerate(group.names)}
    assert group.spans_hours == (3, 12)
    assert at["error_7_in_3h"] == [0, 1, 1]
    assert at["error_7_in_12h"] == [0, 2, 2]
    assert at["error_7_hours_ago"][1:] == [0, 2]
    assert np.isnan(at["error_7_hours_ago"][0])
    assert at["error_7_came_at_hour"][1:] == [4, 4]
    assert at["rare_event_in_3h"] == [0, 0, 1]
    assert at["any_event_in_12h"] == [0, 2, 3]


def test_the_most_frequent_codes_have_columns_and_the_others_share_one() -> None:
    codes = [code for code in range(1, CODES_MAX + 5) for _ in range(EVENTS_MIN + code)]
    group = Events.fit(CATALOG, [events([1.0] * len(codes), codes)])

    assert [code.code for code in group.codes] == list(range(5, CODES_MAX + 5))
    assert Events.fit(CATALOG, [events([1.0] * 3, [1, 1, 1])]).codes == ()


def test_without_events_there_are_no_columns() -> None:
    group = Events.fit(CATALOG, [device()])

    assert group.names == ()
    assert group.columns(CATALOG, device(), np.array([HOUR])).shape == (1, 0)


def test_a_component_is_as_old_as_its_last_replacement() -> None:
    served = device(
        service_us=np.array([10 * HOUR]), service_component=np.array([1]),
        failure_us=np.array([5 * HOUR]), failure_mode=np.array([0]),
    )  # fmt: skip
    group = Services.fit(CATALOG, [served])

    x = group.columns(CATALOG, served, np.array([3, 10, 12]) * HOUR)

    at = {name: x[:, column].tolist() for column, name in enumerate(group.names)}
    assert at["pump_age_hours"] == [3, 0, 2]
    assert at["any_service_hours_ago"][1:] == [0, 2]
    assert at["belt_worn_hours_ago"][1:] == [5, 7]
    assert at["belt_worn_so_far"] == [0, 1, 1]
    assert len(group.names) == 4


def test_traits_become_ranks_or_stay_numbers() -> None:
    fleet = [
        device(traits={"model": model, "heat": heat, "maker": "one"})
        for model, heat in (("b", "20"), ("a", "21.5"), ("b", "22"))
    ]
    group = Traits.fit(CATALOG, fleet)

    def row(**traits: str) -> list[float]:
        return group.columns(CATALOG, device(traits=traits), np.array([HOUR]))[0].tolist()  # type: ignore[no-any-return]

    assert group.names == ("trait_heat", "trait_model")
    assert row(heat="21.5", model="b") == [21.5, 1]
    assert row(heat="30", model="never seen") == [30, UNSEEN]
    assert row(heat="30") == [30, MISSING]
    assert np.isnan(row(model="a")[0])


def test_the_calendar_is_a_circle() -> None:
    group = Calendar.fit(CATALOG, [])

    day, week = 24 * HOUR, 7 * 24 * HOUR
    x = group.columns(CATALOG, device(), np.array([6 * HOUR, 6 * HOUR + day, 6 * HOUR + week]))

    assert x[0] == pytest.approx([1, 0, np.sin(np.pi / 14), np.cos(np.pi / 14)], abs=1e-12)
    assert np.array_equal(x[0], x[2])
    assert np.array_equal(x[0, :2], x[1, :2])
    assert not np.array_equal(x[0, 2:], x[1, 2:])
