from dataclasses import replace

import numpy as np
import pytest

from anomaly.fleet.lives import Lives
from anomaly.fleet.watches import Events, Member, Sister, watches_of
from tests.unit.anomaly.bench import PUMP

DAY_US = 86_400_000_000
DEVICE = Member(
    device_id=7, product_id=1, lot="B7", city="Ulm", firmware="4.1.0",
    born_us=0, since_us=10 * DAY_US, until_us=100 * DAY_US, is_in_service=True,
)  # fmt: skip
OWN = Sister(product_id=1, title="Test pump", product=PUMP)
BEARING = PUMP.failure_mode("bearing_wear")


def lives_of(member: Member = DEVICE, **events: object) -> tuple[Lives, Lives]:
    watches = watches_of(1, [OWN], [member], Events(**events))
    found = next(w for w in watches if w.mode == BEARING.name)
    return found.failed, found.detected


def stretches(lives: Lives) -> list[tuple[float, float, bool]]:
    return list(
        zip(lives.since.tolist(), lives.until.tolist(), lives.has_failed.tolist(), strict=True)
    )


def test_a_device_is_watched_from_its_first_sample_to_its_newest():
    failed, _ = lives_of()

    assert stretches(failed) == [(10, 100, False)]
    assert failed.age_until.tolist() == [100]
    assert failed.goes_on.tolist() == [True]


def test_a_life_ends_with_the_failure_and_its_signs_with_the_first_detection():
    failed, detected = lives_of(
        failures={(7, BEARING.name): 50 * DAY_US}, signs={(7, BEARING.name): 40 * DAY_US}
    )

    assert stretches(failed) == [(10, 50, True)]
    assert stretches(detected) == [(10, 40, True)]


def test_a_failure_found_after_the_last_sample_counts():
    failed, _ = lives_of(failures={(7, BEARING.name): 103 * DAY_US})

    assert stretches(failed) == [(10, 103, True)]


def test_a_failure_from_before_the_first_sample_was_not_watched():
    failed, _ = lives_of(failures={(7, BEARING.name): 9 * DAY_US})

    assert stretches(failed) == []


@pytest.mark.parametrize(
    ("failed_day", "expected"),
    [(None, (10, 30, False)), (50, (10, 30, False)), (30, (10, 30, True))],
)
def test_with_a_replaced_component_the_part_that_was_delivered_is_gone(failed_day, expected):
    events = {} if failed_day is None else {(7, BEARING.name): failed_day * DAY_US}

    failed, _ = lives_of(failures=events, replaced={(7, BEARING.component): 30 * DAY_US})

    assert stretches(failed) == [expected]
    assert not failed.goes_on[0] or failed.has_failed[0]


def test_a_life_is_cut_where_the_firmware_changed():
    failed, _ = lives_of(
        failures={(7, BEARING.name): 80 * DAY_US},
        versions={7: [(5 * DAY_US, "4.1.0"), (60 * DAY_US, "4.2.0"), (90 * DAY_US, "4.3.0")]},
    )
    firmware = next(t for t in failed.traits if t.name == "firmware")

    assert stretches(failed) == [(10, 60, False), (60, 80, True)]
    assert [firmware.values[code] for code in firmware.code] == ["4.1.0", "4.2.0"]
    assert np.unique(failed.device).tolist() == [7]


def test_only_what_runs_today_is_at_stake():
    failed, _ = lives_of(versions={7: [(0, "4.1.0"), (60 * DAY_US, "4.2.0")]})
    retired, _ = lives_of(replace(DEVICE, is_in_service=False))

    assert failed.goes_on.tolist() == [False, True]
    assert retired.goes_on.tolist() == [False]


def test_products_are_compared_where_a_failure_mode_has_the_same_name():
    other = Sister(product_id=2, title="Other pump", product=PUMP)
    stranger = replace(DEVICE, device_id=8, product_id=2)

    watches = watches_of(1, [OWN, other], [DEVICE, stranger], Events())

    traits = [[t.name for t in w.failed.traits] for w in watches if w.mode == BEARING.name]
    assert traits == [["lot", "firmware", "city"], ["product"]]
    assert [len(w.failed) for w in watches if w.mode == BEARING.name] == [1, 2]
